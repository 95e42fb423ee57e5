"""Which runs were good, what that leaves of the error budget, and when nobody looked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.rollup import HOUR, Rollup, floor
from monitor.core.slo import ErrorBudget, counted
from monitor.core.verdict import Reason
from monitor.report.gather import Gathered
from monitor.report.period import Period

_NOT_RUN = (Reason.PAUSED, Reason.MISSED)


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
    return sum(rollup.verdicts.values()) - sum(rollup.reasons.get(reason, 0) for reason in _NOT_RUN)


def gaps(found: Gathered) -> list[Gap]:
    """When nobody looked: hours without any run, and hours in which single probes had none while others had."""
    period = found.period
    ran: dict[datetime, set[str]] = defaultdict(set)
    paused: dict[datetime, bool] = {}
    for rollup in found.counts:
        if took_place(rollup):
            ran[rollup.start].add(rollup.probe)
        elif rollup.reasons.get(Reason.PAUSED):
            paused[rollup.start] = True
    probes = sorted({probe for some in ran.values() for probe in some})
    silent = [(hour, "probing was paused" if paused.get(hour) else "") for hour in period.hours() if not ran.get(hour)]
    result = _joined(silent, period)
    for probe in probes:
        missing = [(hour, "") for hour in period.hours() if ran.get(hour) and probe not in ran[hour]]
        result += _joined(missing, period, probe=probe)
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


def _counted(rollups: Sequence[Rollup]) -> tuple[int, int]:
    each = [counted(rollup.verdicts, rollup.reasons) for rollup in rollups]
    return sum(good for good, _ in each), sum(bad for _, bad in each)
