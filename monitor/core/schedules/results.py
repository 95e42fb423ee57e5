"""What the answers to a schedule mean: the anomaly occurred, or it did not, or this cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from monitor.core.schedules.notation import RETURNING, Schedule, Value
from monitor.core.verdict import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one step.

    `refused` is why a transaction was ended by the server: 40001, 40P01, or the tag by which COMMIT was answered.
    `skipped` are its steps after that. `waited` says whether it had to wait for a lock.
    """

    value: Value = None
    waited: bool = False
    refused: str = ""
    skipped: bool = False


class Result(StrEnum):
    """How a schedule ended."""

    OCCURRED = "occurred"
    PREVENTED = "prevented"
    REFUSED = "refused"
    UNTOLD = "untold"


def result(schedule: Schedule, answers: Sequence[Answer]) -> Result:
    """What the answers to all steps of a schedule mean.

    A server that ended a transaction has prevented the anomaly (`refused`). Where a control does not hold nothing can
    be told: the schedule was disturbed, or does not do what it says. The anomaly occurred if every mark of it shows.
    """
    steps = list(zip(schedule.steps, answers, strict=True))
    if any(answer.refused or answer.skipped for _, answer in steps):
        return Result.REFUSED
    if any(step.must is not None and answer.value != step.must for step, answer in steps):
        return Result.UNTOLD
    if all(answer.value == step.shows for step, answer in steps if step.shows is not None):
        return Result.OCCURRED
    return Result.PREVENTED


def told(schedule: Schedule, answers: Sequence[Answer]) -> list[Json]:
    """The schedule with its answers, a line each, for evidence."""
    return [
        f"{step.text}{_told(answer, returns=step.verb in RETURNING)}"
        for step, answer in zip(schedule.steps, answers, strict=True)
    ]


def _told(answer: Answer, *, returns: bool) -> str:
    if answer.refused or answer.skipped:
        return f" -> {answer.refused or 'not sent'}"
    waited = ", after waiting" if answer.waited else ""
    return f" -> {'nothing' if answer.value is None else answer.value}{waited}" if returns else waited
