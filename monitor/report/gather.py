"""All that is read for a report; judges nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from monitor.core.impact import Span
from monitor.core.ledger.evidence import Epoch
from monitor.core.ledger.found import Loss, Outage, Restore
from monitor.core.record import NotRun, RunRecord
from monitor.core.rollup import DAY, HOUR, Rollup, floor, merged, rolled, spans
from monitor.core.trend import WEEK
from monitor.core.violations import KeptViolation
from monitor.impacts import recalled
from monitor.ports import Ledger, Rollups, State
from monitor.report.period import Period
from monitor.report.subject import Subject

StepName = tuple[str, str]
"""A probe and a step of it."""
_RUNS_AT_ONCE = 1000
_LATELY = timedelta(hours=6)
_MOST = 10_000  # events of one sort; whoever has more has other worries than a report


class Memory(State, Rollups, Protocol):
    """What of a state database a report reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Of one environment: counts by the hour, steps by the period's grain, medians of two weeks of hours, events.

    `latest` has of each probe the last run that is kept, `missed` the last turn of the last hours that was none.

    Where the hours of a day are forgotten, its counts are those of the day. What is not rolled up yet is in it, too.
    """

    subject: Subject
    period: Period
    counts: Sequence[Rollup] = ()
    rollups: Sequence[Rollup] = ()
    medians: Mapping[StepName, Mapping[datetime, float]] = field(default_factory=dict)
    latest: Mapping[str, RunRecord] = field(default_factory=dict)
    missed: Mapping[str, NotRun] = field(default_factory=dict)
    violations: Sequence[KeptViolation] = ()
    unusable: Sequence[Span] = ()
    losses: Sequence[Loss] = ()
    outages: Sequence[Outage] = ()
    restores: Sequence[Restore] = ()
    epochs: Sequence[Epoch] = ()


async def gather(
    subject: Subject,
    period: Period,
    *,
    state: Memory,
    ledger: Ledger | None,
    violations: Sequence[KeptViolation],
) -> Gathered:
    """Read what is kept of an environment. `violations` are those of all. Raises StateError."""
    name = subject.name
    ended = await state.rolled_until() or floor(await state.first_run() or period.until, HOUR)
    fresh = await _fresh(subject, period, state=state, since=ended)
    counts = await _counts(name, period, state=state)
    medians = await state.medians(
        length=HOUR, since=floor(period.until, HOUR) - 2 * WEEK, until=period.until, environment=name
    )
    parts = [(HOUR, period.since, period.until)]
    if period.grain > HOUR:
        parts = spans(period.since, floor(period.until, HOUR))
    steps = [
        each
        for length, since, until in parts
        for each in await state.rollups(length=length, since=since, until=until, environment=name)
    ]
    fresh = [each for each in fresh if each.start >= period.since]
    return Gathered(
        subject=subject,
        period=period,
        counts=[*counts, *fresh],
        rollups=merged([*steps, *fresh], period.grain),
        medians=_with(medians, fresh),
        latest={
            probe: run for probe in subject.budgets for run in await state.runs(environment=name, probe=probe, limit=1)
        },
        missed={
            each.probe: each
            for each in sorted(
                await state.not_run(name, since=period.until - _LATELY, until=period.until), key=lambda each: each.at
            )
        },
        violations=[kept for kept in violations if kept.environment == name],
        unusable=await recalled(state, name),
        losses=await ledger.losses(limit=_MOST) if ledger else (),
        outages=[each for store in sorted(subject.keepers) for each in await ledger.outages(store, limit=_MOST)]
        if ledger
        else (),
        restores=await ledger.restores() if ledger else (),
        epochs=await ledger.epochs() if ledger else (),
    )


async def _counts(name: str, period: Period, *, state: Memory) -> list[Rollup]:
    """By the hour; by the day as far back as hours are forgotten."""
    hours = await state.rollups(length=HOUR, since=period.since, until=period.until, environment=name, counts_only=True)
    if period.grain == HOUR:
        return hours
    dawn = floor(hours[0].start if hours else period.until, DAY)
    first = floor(period.since, DAY)
    days = await state.rollups(length=DAY, since=first, until=dawn + DAY, environment=name, counts_only=True)
    if not days or days[0].start >= dawn:
        return hours
    return [*days, *(each for each in hours if each.start >= days[-1].end)]


async def _fresh(subject: Subject, period: Period, *, state: Memory, since: datetime) -> list[Rollup]:
    """The rollups of what is not rolled up yet; where all is, that is the hour that goes on."""
    records = [
        record
        for probe in subject.budgets
        async for some in state.runs_between(subject.name, probe, since=since, until=period.until, size=_RUNS_AT_ONCE)
        for record in some
    ]
    missed = await state.not_run(subject.name, since=since, until=period.until)
    return rolled(records, length=HOUR, budgets=subject.budget, not_run=missed)


def _with(
    medians: Mapping[StepName, Mapping[datetime, float]], fresh: Sequence[Rollup]
) -> dict[StepName, Mapping[datetime, float]]:
    found = {name: dict(of) for name, of in medians.items()}
    for hour in fresh:
        for name, step in hour.steps.items():
            median = step.took.quantile(0.5)
            if median is not None:
                found.setdefault((hour.probe, name), {})[hour.start] = median
    return {**found}
