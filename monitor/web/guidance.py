"""What people on call can do next, and which runbook has more: the names of runbooks are those of the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.core import advice, runbooks
from monitor.core.meanings import UNTOLD
from monitor.core.verdict import Kind, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.web import words
from monitor.web.picture import Picture, ProbePicture


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do: words, in which commands stand between grave accents, and the runbook that has more."""

    text: str
    runbook: str | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a violation, in words."""

    what: str
    at: datetime
    run_id: str | None = None


def runbook_of(kind: Kind) -> str:
    """The runbook of a kind of violation."""
    return runbooks.of_kinds({kind})


def of_violation(kept: KeptViolation) -> Sequence[Step]:
    """What to do about a violation, and the runbook beside the first of it; nothing where it is closed."""
    runbook = runbook_of(kept.kind)
    return [Step(text, None if place else runbook) for place, text in enumerate(advice.next_steps(kept))]


def of_environment(of: Picture) -> Sequence[Step]:
    """What to do about an environment, the gravest first; one step that says so where there is nothing to do."""
    name = of.watched.name
    steps = [
        Step(f"{kept.probe} found {kept.kind}: {kept.subject}. See the violation above.", runbook_of(kept.kind))
        for kept in of.violations
        if kept.stage is Stage.OPEN
    ]
    if of.paused_until:
        steps.append(Step(f"Probing is paused until {words.when(of.paused_until)}; `resume` in the API ends it."))
    for store, resting in of.resting.items():
        reason = f": {UNTOLD[resting.reason]}" if resting.reason else ""
        steps.append(Step(f"{store} is left alone after failures{reason}.", "HoldfastEnvironmentUnreachable"))
    if not of.paused_until:
        steps += [step for probe, each in of.worst_first if (step := _of_probe(probe, each))]
    if not steps and of.verdict is Verdict.OK:
        return (Step("Nothing is to be done."),)
    return steps or (Step(f"See for yourself: `holdfast check {name}`."),)


def _of_probe(name: str, each: ProbePicture) -> Step | None:
    if each.latest is None or each.resting:
        return None
    if each.overdue:
        return Step(f"{name} has not ended a run for {words.rough(each.age)}." if each.age else name, _NOT_RUNNING)
    if each.verdict is Verdict.SLOW:
        return Step(f"{name} was right, and over its budget: see its steps below.", "HoldfastBudgetExceeded")
    if each.verdict is Verdict.UNKNOWN and each.reason:
        return Step(f"{name} cannot tell: {UNTOLD[each.reason]}.", runbooks.of_reason(each.reason))
    return None


_NOT_RUNNING = "HoldfastProbeNotRunning"


def timeline(kept: KeptViolation) -> Sequence[Moment]:
    """The life of a violation, in order."""
    again = f"seen again, for the {words.ordinal(kept.times)} time" if kept.times > 1 else "seen again"
    moments = [Moment("opened", kept.opened, kept.run_id)]
    if kept.last_run_id != kept.run_id:
        moments.append(Moment(again, kept.last_seen, kept.last_run_id))
    if kept.acknowledged:
        moments.append(Moment("acknowledged", kept.acknowledged))
    if kept.closed:
        moments.append(Moment(f"closed, {advice.ending(kept)}", kept.closed))
    return sorted(moments, key=lambda each: each.at)


def cause(kept: KeptViolation) -> str | None:
    """What the evidence names as the cause, in words."""
    found = kept.evidence.get("cause")
    if isinstance(found, str):
        return found
    if isinstance(found, dict):
        return ", ".join(f"{key}: {value}" for key, value in found.items() if isinstance(value, str)) or None
    return None
