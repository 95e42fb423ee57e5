"""What many runs come to: an hour, or a day, of one probe in one environment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from monitor.core import sketch
from monitor.core.budget import over_budget, suspect
from monitor.core.record import NotRun, RunRecord, StepTiming
from monitor.core.sketch import Sketch
from monitor.core.verdict import Reason, Verdict

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

BudgetOf = Callable[[str, str, str], timedelta | None]
"""The time that a step may take, by environment, probe and step; None where nobody knows it any more."""
Link = tuple[str, str]
"""From where a change was followed, and to where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRollup:
    """One step of a probe where it did not fail: how often, how often for longer than `budget` (seconds), and how long.

    `over` counts what holdfast_budget_exceeded_total does, and `took` what holdfast_step_duration_seconds does: all but
    those whose time says more of this process than of a store. Where the budget was changed, `budget` is the longest.
    """

    count: int
    over: int
    budget: float | None
    took: Sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """What the runs of one probe in one environment came to that began within `length` from `start`.

    `start` is UTC and a multiple of `length`, an hour or a day. `verdicts` and `reasons` count runs, also those that
    were due and did not take place, and name only what there was. `propagations` are seconds by source and target.
    """

    environment: str
    probe: str
    start: datetime
    length: timedelta
    verdicts: Mapping[Verdict, int]
    reasons: Mapping[Reason, int] = field(default_factory=dict)
    steps: Mapping[str, StepRollup] = field(default_factory=dict)
    propagations: Mapping[Link, Sketch] = field(default_factory=dict)

    @property
    def end(self) -> datetime:
        """The first moment that is not its own."""
        return self.start + self.length


def rolled(
    records: Iterable[RunRecord], *, length: timedelta, budgets: BudgetOf, not_run: Iterable[NotRun] = ()
) -> list[Rollup]:
    """The rollups of some runs, one per environment, probe and span; budgets are those of now."""
    spans: dict[tuple[str, str, datetime], _Span] = defaultdict(_Span)
    for record in records:
        spans[record.environment, record.probe, floor(record.started, length)].take(record)
    for each in not_run:
        spans[each.environment, each.probe, floor(each.at, length)].take_not_run(each)
    return [span.rollup(place, length=length, budgets=budgets) for place, span in sorted(spans.items())]


def merged(rollups: Iterable[Rollup], length: timedelta) -> list[Rollup]:
    """The same runs in fewer rollups: one per environment, probe and span of `length`, none of them split by it."""
    parts: dict[tuple[str, str, datetime], list[Rollup]] = defaultdict(list)
    for each in rollups:
        parts[each.environment, each.probe, floor(each.start, length)].append(each)
    return [_merged(place, length, of) for place, of in sorted(parts.items())]


def floor(moment: datetime, length: timedelta) -> datetime:
    """The beginning of the span in which a moment is, in UTC."""
    seconds = length.total_seconds()
    return datetime.fromtimestamp(moment.timestamp() // seconds * seconds, UTC)


def spans(since: datetime, until: datetime) -> list[tuple[timedelta, datetime, datetime]]:
    """The fewest rollups for the whole hours of a time, as (length, since, until): hours, the days between, hours."""
    first, last = _ceiling(since, HOUR), floor(until, HOUR)
    dawn, dusk = _ceiling(first, DAY), floor(last, DAY)
    parts = [(HOUR, first, dawn), (DAY, dawn, dusk), (HOUR, dusk, last)] if dawn < dusk else [(HOUR, first, last)]
    return [part for part in parts if part[1] < part[2]]


def _ceiling(moment: datetime, length: timedelta) -> datetime:
    start = floor(moment, length)
    return start if start == moment else start + length


class _Span:
    """What is gathered of one span while runs come in."""

    def __init__(self) -> None:
        self.verdicts: Counter[Verdict] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.steps: dict[str, list[StepTiming]] = defaultdict(list)
        self.propagations: dict[Link, list[float]] = defaultdict(list)

    def take(self, record: RunRecord) -> None:
        self.verdicts[record.verdict] += 1
        if record.finding.reason is not None:
            self.reasons[record.finding.reason] += 1
        for step in record.steps:
            if not step.failed:
                self.steps[step.name].append(step)
        for each in record.propagations:
            self.propagations[each.source, each.target].append(each.took.total_seconds())

    def take_not_run(self, each: NotRun) -> None:
        self.verdicts[Verdict.UNKNOWN] += each.times
        self.reasons[each.reason] += each.times

    def rollup(self, place: tuple[str, str, datetime], *, length: timedelta, budgets: BudgetOf) -> Rollup:
        environment, probe, start = place
        return Rollup(
            environment=environment,
            probe=probe,
            start=start,
            length=length,
            verdicts=dict(self.verdicts),
            reasons=dict(self.reasons),
            steps={name: _step(found, budgets(environment, probe, name)) for name, found in self.steps.items()},
            propagations={link: Sketch.of(took) for link, took in self.propagations.items()},
        )


def _step(found: Sequence[StepTiming], budget: timedelta | None) -> StepRollup:
    return StepRollup(
        count=len(found),
        over=len(over_budget(found, lambda _step: budget)) if budget is not None else 0,
        budget=budget.total_seconds() if budget is not None else None,
        took=Sketch.of(step.took.total_seconds() for step in found if budget is None or not suspect(step, budget)),
    )


def _merged(place: tuple[str, str, datetime], length: timedelta, parts: Sequence[Rollup]) -> Rollup:
    environment, probe, start = place
    verdicts, reasons = Counter[Verdict](), Counter[Reason]()
    steps: dict[str, list[StepRollup]] = defaultdict(list)
    links: dict[Link, list[Sketch]] = defaultdict(list)
    for part in parts:
        verdicts.update(part.verdicts)
        reasons.update(part.reasons)
        for name, step in part.steps.items():
            steps[name].append(step)
        for link, took in part.propagations.items():
            links[link].append(took)
    return Rollup(
        environment=environment,
        probe=probe,
        start=start,
        length=length,
        verdicts=dict(verdicts),
        reasons=dict(reasons),
        steps={name: _merged_step(of) for name, of in steps.items()},
        propagations={link: sketch.merged(of) for link, of in links.items()},
    )


def _merged_step(parts: Sequence[StepRollup]) -> StepRollup:
    return StepRollup(
        count=sum(part.count for part in parts),
        over=sum(part.over for part in parts),
        budget=max((part.budget for part in parts if part.budget is not None), default=None),
        took=sketch.merged(part.took for part in parts),
    )
