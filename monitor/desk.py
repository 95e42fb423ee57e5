"""Where a run reports to, and what it goes by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from monitor.core.record import NotRun
from monitor.core.verdict import Reason
from monitor.gate import Gate
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where a run reports to, the clock that it goes by, and the gate that it goes through.

    `lag` tells for how many seconds this process was late since a moment of the clock. `missed` is told of
    every turn that did not take place.
    """

    journal: Journal
    metrics: Metrics
    clock: Clock
    gate: Gate = field(default_factory=Gate)
    lag: Callable[[float], float] = lambda _moment: 0.0
    missed: Callable[[NotRun], object] = bool  # nobody is

    def not_run(self, environment: str, probe: str, reason: Reason, *, times: int = 1) -> None:
        """Count runs that were due and did not take place."""
        self.metrics.not_run(environment, probe, reason, times=times)
        self.missed(NotRun(environment=environment, probe=probe, at=self.clock.now(), reason=reason, times=times))
