"""What a run of `transaction` saw, judged: single transactions, schedules beside their controls, and a history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from monitor.core import atomicity, confirmation, generated
from monitor.core.atomicity import Trial
from monitor.core.confirmation import Judgement, Reading
from monitor.core.generated import Recorded
from monitor.core.levels import Isolation
from monitor.core.schedules.catalogue import SCHEDULES, Known
from monitor.core.schedules.results import Answer, Result, result, told
from monitor.core.verdict import Finding, Violation

LOST_UPDATE = "lost update"
CHECKED = ("G0", "G1a", "G1b", "G1c", "locked update", LOST_UPDATE, "G-single", "G2-item")
"""The schedules of every run, as far as the declared level prevents their anomaly. None needs more than two actors."""


def checked_at(level: Isolation) -> tuple[str, ...]:
    """The schedules whose anomaly a level prevents."""
    return tuple(name for name in CHECKED if SCHEDULES[name].prevented_at(level))


def controls_of(level: Isolation) -> tuple[tuple[str, Isolation], ...]:
    """Schedules that must show their anomaly, each at the level just below the one that prevents it.

    One is among them whatever is declared: an update is lost at read committed unless rows are locked.
    """
    found = {name: SCHEDULES[name].shown_at for name in (LOST_UPDATE, *checked_at(level))}
    return tuple((name, shown) for name, shown in found.items() if shown is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One schedule and its answers. `level` is the one that was asked for, None where none was."""

    name: str
    level: Isolation | None
    answers: tuple[Answer, ...]

    @property
    def known(self) -> Known:
        """What is known of the schedule."""
        return SCHEDULES[self.name]

    @property
    def result(self) -> Result:
        """What the answers mean."""
        return result(self.known.schedule, self.answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one run saw.

    `declared` is the level that the application relies on, `begun` the one at which its transactions begin unless they
    ask for another. Schedules are there where all single transactions were right, `history` in the runs that generate
    one.
    """

    declared: Isolation
    begun: str
    trials: tuple[Reading[Trial], ...]
    checks: tuple[Reading[Played], ...] = ()
    controls: tuple[Played, ...] = ()
    history: Reading[Recorded] | None = None


def judge(seen: Seen) -> Finding:
    """Each transaction, each schedule beside its control, and the history."""
    judgements = [*map(_judge_trial, seen.trials), *_judge_schedules(seen)]
    if seen.history is not None:
        judgements.append(_judge_history(seen.history, seen.declared))
    left_out = [reading.first.left_out for reading in seen.trials if reading.first.left_out]
    return confirmation.conclude(judgements, checks=len(judgements) - len(left_out), left_out=left_out)


def _judge_trial(reading: Reading[Trial]) -> Judgement:
    name = atomicity.SUBJECTS[reading.first.ending]
    if reading.first.doubt:
        return Judgement(doubt=f"{name}: {reading.first.doubt}")
    return confirmation.judge(name, reading, atomicity.judge)


def _judge_schedules(seen: Seen) -> Iterator[Judgement]:
    unshown = {played.name: played for played in seen.controls if played.result is not Result.OCCURRED}
    for reading in seen.checks:
        first = reading.first

        def anomaly(played: Played) -> Iterable[Violation]:
            return _anomaly(played, seen)

        judgement = confirmation.judge(f"schedule {first.name}", reading, anomaly)
        if first.result is Result.UNTOLD:
            judgement = Judgement(doubt=f"schedule {first.name} was disturbed: {_answers(first)}")
        elif not judgement.violations and first.name in unshown:
            judgement = Judgement(doubt=_unshown(unshown.pop(first.name), f"at {seen.declared}"))
        yield judgement
    if LOST_UPDATE in unshown:
        yield Judgement(doubt=_unshown(unshown[LOST_UPDATE], "of rows that are locked"))


def _unshown(played: Played, where: str) -> str:
    return (
        f"schedule {played.name} did not show its anomaly at {played.level} ({_answers(played)}),"
        f" so that its absence {where} proves nothing"
    )


def _answers(played: Played) -> str:
    return ", ".join(map(str, told(played.known.schedule, played.answers)))


def _anomaly(played: Played, seen: Seen) -> Iterator[Violation]:
    if played.result is not Result.OCCURRED:
        return
    known = played.known
    control = f"; at {known.shown_at} it occurs" if known.shown_at else ""
    yield Violation(
        kind=known.schedule.kind,
        subject=f"schedule {played.name}",
        expected=f"prevented, as {seen.declared} promises{control}",
        actual=f"it occurred; transactions begin at {seen.begun}",
        evidence={
            "schedule": told(known.schedule, played.answers),
            "declared": seen.declared,
            "transactions_begin_at": seen.begun,
        },
    )


def _judge_history(reading: Reading[Recorded], level: Isolation) -> Judgement:
    judgement = confirmation.judge("history", reading, lambda recorded: generated.judge(recorded, level))
    if judgement.violations or judgement.doubt:
        return judgement
    return Judgement(doubt=generated.doubt(reading.first, level))
