"""The latest runs of one probe, small enough to keep for thousands: when, how near the budget, and how they ended."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, isnan, nan
from typing import TypeAlias

from monitor.core.budget import suspect
from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Verdict

KEPT = 60
"""Runs of one probe that a sparkline shows: half an hour where there is one every 30 s."""

BudgetOf: TypeAlias = Callable[[str], timedelta]
_VERDICTS = tuple(Verdict)
_NUMBER = {verdict: number for number, verdict in enumerate(_VERDICTS)}


@dataclass(frozen=True, slots=True)
class Recent:
    """Some runs, the oldest first: three sequences of one length.

    `started` is in seconds since the epoch. `shares` says how much of its budget the worst step of a run took: 1.0 is
    all of it, None that no step was timed to its end.
    """

    started: Sequence[float] = ()
    shares: Sequence[float | None] = ()
    verdicts: Sequence[Verdict] = ()


class Latest:
    """The latest `KEPT` runs of one probe, in about a kilobyte."""

    __slots__ = ("_shares", "_started", "_verdicts")

    def __init__(self) -> None:
        self._started, self._shares, self._verdicts = array("d"), array("f"), bytearray()

    def add(self, record: RunRecord, budget_of: BudgetOf) -> None:
        """Take in the run that has just ended; the oldest goes where there are too many."""
        if len(self._started) == KEPT:
            del self._started[0], self._shares[0], self._verdicts[0]
        self._append(record, budget_of)

    def precede(self, records: Iterable[RunRecord], budget_of: BudgetOf) -> None:
        """Take in what ran before the oldest that is known, in whatever order."""
        since = self._started[0] if self._started else float("inf")
        older = Latest()
        for record in sorted(records, key=lambda each: each.started):
            if record.started.timestamp() < since:
                older.add(record, budget_of)
        self._started = (older._started + self._started)[-KEPT:]
        self._shares = (older._shares + self._shares)[-KEPT:]
        self._verdicts = (older._verdicts + self._verdicts)[-KEPT:]

    def view(self) -> Recent:
        """What is known now; it stays as it is when more comes."""
        return Recent(
            started=tuple(self._started),
            shares=tuple(None if isnan(share) else share for share in self._shares),
            verdicts=tuple(_VERDICTS[number] for number in self._verdicts),
        )

    def _append(self, record: RunRecord, budget_of: BudgetOf) -> None:
        share = worst_share(record.steps, budget_of)
        self._started.append(record.started.timestamp())
        self._shares.append(nan if share is None else share)
        self._verdicts.append(_NUMBER[record.verdict])


def worst_share(steps: Iterable[StepTiming], budget_of: BudgetOf) -> float | None:
    """How much of its budget the worst step took; None where none was timed well to its end."""
    budgets = ((step, budget_of(step.name)) for step in steps if not step.failed)
    return max((step.took / budget for step, budget in budgets if not suspect(step, budget)), default=None)


def p99(shares: Sequence[float | None], *, slots: int = 20) -> list[float | None]:
    """The 99th percentile (nearest rank) of each of `slots` groups of runs that follow each other, the oldest first.

    Fewer runs than slots are a group each. None stands for a group in which nothing was timed.
    """
    size = max(1, ceil(len(shares) / slots))
    groups = (shares[start : start + size] for start in range(0, len(shares), size))
    return [_nearest([share for share in group if share is not None]) for group in groups]


def _nearest(shares: list[float]) -> float | None:
    if len(shares) < 100:  # noqa: PLR2004  of so few it is the largest
        return max(shares, default=None)
    return sorted(shares)[ceil(0.99 * len(shares)) - 1]
