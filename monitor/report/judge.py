"""What was gathered of one environment, judged: pure, and in words where somebody reads the first line only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.slo import ErrorBudget
from monitor.core.verdict import Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.report import words
from monitor.report.availability import STALE, Gap, Hour, Point, budget, course, gaps, hours, looked_last
from monitor.report.events import Affected, Cost, Events, affected, costs, events
from monitor.report.gather import Gathered
from monitor.report.latency import StepLine, latencies
from monitor.report.period import Period
from monitor.report.sight import sentence, untold


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One environment's part of a report. `verdict` is whether its data is safe, which `summary` says first."""

    name: str
    objective: float
    period: Period
    verdict: Verdict
    summary: Sequence[str]
    budget: ErrorBudget
    course: Sequence[Point]
    steps: Sequence[StepLine]
    events: Events
    affected: Affected
    costs: Sequence[Cost]
    hours: Mapping[datetime, Hour]
    gaps: Sequence[Gap]

    @property
    def known_since(self) -> datetime:
        """Since when single hours are remembered."""
        return min(self.hours, default=self.period.until)

    @property
    def silent(self) -> timedelta:
        """For how long no run at all took place."""
        return sum((gap.length for gap in self.gaps if not gap.probe), timedelta())


def judged(found: Gathered) -> Judged:
    """Everything that the report says of an environment, except what only all environments together tell."""
    spent, happened, touched, known = budget(found), events(found), affected(found), hours(found)
    unknown = _unknown(found, usable=touched.usable)
    verdict, data = _data(happened, unknown)
    return Judged(
        name=found.subject.name,
        objective=found.subject.objective,
        period=found.period,
        verdict=verdict,
        summary=[data, _availability(spent), *_touched(touched, certain=not unknown)],
        budget=spent,
        course=course(found, spent),
        steps=latencies(found),
        events=happened,
        affected=touched,
        costs=costs(found),
        hours=known,
        gaps=gaps(found, known),
    )


def _data(happened: Events, unknown: str) -> tuple[Verdict, str]:
    """Is the data safe? Only if every enabled probe looked a short while ago, could tell and found nothing."""
    if happened.standing:
        beyond = f" Beyond that nobody knows: {unknown}." if unknown else ""
        return Verdict.VIOLATED, f"The data is not safe: {_standing(happened.standing)}.{beyond}"
    if unknown:
        return Verdict.UNKNOWN, f"Nobody knows whether the data is safe now: {unknown}."
    closed = len(happened.violations)
    if not closed:
        return Verdict.OK, "The data is safe: no promise was broken in this period."
    were = "one violation of this period is" if closed == 1 else f"all {closed} violations of this period are"
    return Verdict.OK, f"The data is safe now: {were} closed."


def _unknown(found: Gathered, *, usable: bool) -> str:
    """Why nobody knows whether all is right now; empty where that is known."""
    last = looked_last(found)
    if last is None:
        return "no run of this period is remembered"
    if found.period.until - last > STALE:
        return f"the last run was before {words.when(last)} UTC"
    if not found.subject.budgets:
        return "no probe is enabled"
    if blind := untold(found):
        return sentence(blind)
    return "" if usable else "a store cannot be used"


def _standing(standing: Sequence[KeptViolation]) -> str:
    kinds = ", ".join(sorted({kept.kind for kept in standing}))
    known = sum(kept.stage is Stage.ACKNOWLEDGED for kept in standing)
    many = f"{len(standing)} violations stand" if len(standing) > 1 else "a violation stands"
    return f"{many} ({kinds}; {known} acknowledged)" if known else f"{many} ({kinds})"


def _availability(spent: ErrorBudget) -> str:
    if spent.availability is None:
        return "No run counts for the objective."
    if not spent.bad:
        left = "nothing was taken from the error budget"
    elif spent.left >= 0:
        left = f"{words.percent(spent.left)} of the error budget is left"
    else:
        left = f"the error budget is spent {words.times(1 - spent.left)}"
    against = "met" if spent.left >= 0 else "missed"
    return (
        f"Of {spent.runs:,} runs {words.percent(spent.availability)} were good; the objective of "
        f"{words.percent(spent.objective)} is {against}, and {left}."
    )


def _touched(touched: Affected, *, certain: bool) -> list[str]:
    if not (touched.time or touched.now):
        if not touched.watched:
            return ["Whether users were affected is not known."]
        if not touched.current:
            return ["No users were affected, as long as somebody looked."]
        return ["No users were affected." if certain else "No users were seen to be affected, by what could tell."]
    now = "are affected now" if touched.now else "were affected"
    who = "Users" if touched.stakes.users is None else f"{touched.stakes.users:,} users"
    risk = "" if touched.revenue is None else f", with {words.number(touched.revenue)} of revenue at risk"
    return [f"{who} {now}, for {words.length(touched.time)} in all{risk}."]
