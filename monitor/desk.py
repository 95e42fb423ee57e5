"""Where a run reports to, and what it goes by."""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.gate import Gate
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where a run reports to, the clock that it goes by, and the gate that it goes through."""

    journal: Journal
    metrics: Metrics
    clock: Clock
    gate: Gate = field(default_factory=Gate)
