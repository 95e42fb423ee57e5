"""How much of an objective's error budget is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from monitor.core.verdict import Reason, Verdict

WINDOW = timedelta(days=30)
"""The time that an objective is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBudget:
    """What an environment was allowed to get wrong within `window`, and what it did.

    `objective` is a share of runs, 0 to 1, that are to be good; `good` and `bad` are runs. What is bad is what the
    recording rules of `holdfast rules` call so: `counted` says it.
    """

    objective: float
    window: timedelta
    good: int
    bad: int

    @property
    def runs(self) -> int:
        """All that count."""
        return self.good + self.bad

    @property
    def availability(self) -> float | None:
        """The share of runs that were good; None before there was any."""
        return self.good / self.runs if self.runs else None

    @property
    def allowed(self) -> float:
        """How many of those runs may be bad."""
        return (1 - self.objective) * self.runs

    @property
    def left(self) -> float:
        """The share of the budget that is left: 1 where nothing was bad, 0 where all is spent, less when overspent.

        An objective of 1 allows nothing: its budget is whole, or overspent by all that was bad.
        """
        if not self.bad:
            return 1.0
        return 1 - self.bad / self.allowed if self.allowed else -float(self.bad)


def counted(verdicts: Mapping[Verdict, int], reasons: Mapping[Reason, int]) -> tuple[int, int]:
    """How many runs were good and how many bad.

    Good is what was ok or slow. Bad is what was violated, or unknown for whatever reason but a pause: what was missed
    since a store is sick is bad, for nobody could have used it. A pause is neither.
    """
    good = verdicts.get(Verdict.OK, 0) + verdicts.get(Verdict.SLOW, 0)
    untold = sum(times for reason, times in reasons.items() if reason is not Reason.PAUSED)
    return good, verdicts.get(Verdict.VIOLATED, 0) + untold
