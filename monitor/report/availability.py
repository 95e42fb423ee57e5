"""Which runs were good, what that leaves of the error budget, and when nobody looked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.core.rollup import DAY, HOUR, Rollup, floor
from monitor.core.slo import ErrorBudget, counted
from monitor.core.verdict import Reason, Verdict
from monitor.report.gather import Gathered
from monitor.report.period import Period

_WORSE = 0.1
STALE = timedelta(hours=2)
"""Probes run every few seconds to minutes; what was right so long ago says nothing of now."""
_NOT_RUN = (Reason.PAUSED, Reason.MISSED)


class Hour(StrEnum):
    """What an hour was, from its runs; also its class in the picture."""

    GOOD = "good"
    BAD = "bad"
    WORSE = "worse"
    UNTOLD = "untold"
    PAUSED = "paused"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One grain: the share of its runs that were bad, None where none count, and what was left of the budget then."""

    start: datetime
    bad: float | None
    left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Hours in a row in which no run took place: of a probe, or of all where `probe` is empty. `why`, where known."""

    since: datetime
    until: datetime
    probe: str = ""
    why: str = ""

    @property
    def length(self) -> timedelta:
        """How long."""
        return self.until - self.since


def budget(found: Gathered) -> ErrorBudget:
    """What of the objective's error budget is left, over the period."""
    good, bad = _counted(found.counts)
    return ErrorBudget(objective=found.subject.objective, window=found.period.length, good=good, bad=bad)


def course(found: Gathered, whole: ErrorBudget) -> list[Point]:
    """Grain by grain; what is left is of what the whole period allows, so that it only falls."""
    by_grain: dict[datetime, list[Rollup]] = defaultdict(list)
    for rollup in found.counts:
        by_grain[floor(rollup.start, found.period.grain)].append(rollup)
    points, spent = [], 0
    for start in found.period.grains():
        good, bad = _counted(by_grain[start])
        spent += bad
        runs = good + bad
        left = 1 - spent / whole.allowed if whole.allowed else 1.0
        points.append(Point(start=start, bad=bad / runs if runs else None, left=left if runs else None))
    return points


def took_place(rollup: Rollup) -> int:
    """How many runs of it there really were."""
    ended = sum(rollup.verdicts.values())
    if not rollup.reasons:
        return ended
    return ended - sum(rollup.reasons.get(reason, 0) for reason in _NOT_RUN)


def told(rollup: Rollup) -> bool:
    """Whether any run of it could tell."""
    return any(rollup.verdicts.get(verdict) for verdict in Verdict if verdict is not Verdict.UNKNOWN)


def hours(found: Gathered) -> dict[datetime, Hour]:
    """What each hour of the period was, also those of which nothing is known; none of days kept only as a whole.

    An hour is good only if every probe could tell that had begun to run and is due often enough to have run in it.
    """
    runs: dict[datetime, list[Rollup]] = defaultdict(list)
    for rollup in found.counts:
        runs[rollup.start].append(rollup)
    days = {rollup.start for rollup in found.counts if rollup.length == DAY}
    begun: dict[str, datetime] = {}
    for rollup in found.counts:
        if rollup.probe in found.subject.budgets and took_place(rollup):
            begun[rollup.probe] = min(rollup.start, begun.get(rollup.probe, rollup.start))

    def due(start: datetime) -> list[str]:
        length = min(start + HOUR, found.period.until) - start
        patience = found.subject.patience
        return [probe for probe, of in begun.items() if of <= start and patience.get(probe, timedelta()) <= length]

    return {
        start: _hour(runs.get(start, []), due(start)) for start in found.period.hours() if floor(start, DAY) not in days
    }


def gaps(found: Gathered, known: Mapping[datetime, Hour]) -> list[Gap]:
    """When nobody looked: hours without any run, and hours in which single probes had none while others had."""
    period = found.period
    ran: dict[str, set[datetime]] = defaultdict(set, {probe: set() for probe in found.subject.budgets})
    for rollup in found.counts:
        if took_place(rollup):
            ran[rollup.probe].add(rollup.start)
    looked = [start for start, hour in known.items() if hour not in {Hour.SILENT, Hour.PAUSED}]
    silent = [
        (start, "probing was paused" if hour is Hour.PAUSED else "")
        for start, hour in known.items()
        if hour in {Hour.SILENT, Hour.PAUSED}
    ]
    result = _joined(silent, period)
    for probe, its in sorted(ran.items()):
        result += _joined([(start, "") for start in looked if start not in its], period, probe=probe)
    return result


def looked_last(found: Gathered) -> datetime | None:
    """The end of the last hour in which any run took place, at the most now."""
    ends = [rollup.end for rollup in found.counts if took_place(rollup)]
    return min(max(ends), found.period.until) if ends else None


def _joined(hours: Sequence[tuple[datetime, str]], period: Period, *, probe: str = "") -> list[Gap]:
    found: list[Gap] = []
    for hour, why in hours:
        end = min(hour + HOUR, period.until)
        if found and found[-1].until == hour and found[-1].why == why:
            found[-1] = Gap(since=found[-1].since, until=end, probe=probe, why=why)
        else:
            found.append(Gap(since=hour, until=end, probe=probe, why=why))
    return found


def _hour(rollups: Sequence[Rollup], due: Collection[str]) -> Hour:
    if not any(map(took_place, rollups)):
        return Hour.PAUSED if any(rollup.reasons.get(Reason.PAUSED) for rollup in rollups) else Hour.SILENT
    good, bad = _counted(rollups)
    if not bad:
        return Hour.GOOD if {rollup.probe for rollup in rollups if told(rollup)}.issuperset(due) else Hour.UNTOLD
    return Hour.WORSE if bad / (good + bad) >= _WORSE else Hour.BAD


def _counted(rollups: Sequence[Rollup]) -> tuple[int, int]:
    each = [counted(rollup.verdicts, rollup.reasons) for rollup in rollups]
    return sum(good for good, _ in each), sum(bad for _, bad in each)
