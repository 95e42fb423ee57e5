"""How long to leave a sick store alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from monitor.core.verdict import Reason

SICK = frozenset({Reason.UNREACHABLE, Reason.TIMEOUT, Reason.REFUSED, Reason.CAPACITY})
"""Reasons that say something of the store's health; the others would not be cured by leaving it alone."""

FIRST = timedelta(seconds=5)
LONGEST = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Backoff:
    """The state of one store of one environment: healthy, or sick until a monotonic moment.

    After each trial that fails the wait doubles, from 5 s to 5 min. While it lasts no run starts. When it is over, one
    run is let through as a trial; the others wait for its outcome.
    """

    failures: int = 0
    until: float = 0.0
    trial: bool = False

    @property
    def sick(self) -> bool:
        """Whether the latest run against the store failed."""
        return self.failures > 0

    def admits(self, now: float) -> bool:
        """Whether a run may start at this monotonic moment."""
        return not self.sick or (now >= self.until and not self.trial)

    def started(self) -> Backoff:
        """A run starts: against a sick store it is the one trial."""
        return replace(self, trial=self.sick)

    def failed(self, now: float) -> Backoff:
        """A run failed because the store is sick. Of runs that were under way together, the first to fail counts."""
        if self.sick and not self.trial:
            return self
        wait = min(LONGEST, FIRST * 2 ** min(self.failures, 16))
        return Backoff(failures=self.failures + 1, until=now + wait.total_seconds())

    def passed(self) -> Backoff:
        """A run reached the store: all is well."""
        return Backoff()

    def abandoned(self) -> Backoff:
        """A trial ended without a word about the store (it was cancelled, or failed for another reason)."""
        return replace(self, trial=False)
