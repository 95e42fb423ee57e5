"""All or nothing: what became of transactions that committed, failed, were taken back, or never came to their end."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from monitor.core.verdict import Json, Kind, Violation

Rows = Mapping[int, int]
"""Rows of one set: the value of each, by its number."""
ROWS: Rows = {1: 101, 2: 102, 3: 103}
"""What each transaction writes, a statement for each row."""


class Ending(StrEnum):
    """How a transaction may end."""

    COMMIT = "commit"
    FAIL = "fail"
    ROLL_BACK = "roll_back"
    SAVEPOINT = "savepoint"
    KILL = "kill"
    VANISH = "vanish"


SUBJECTS: Mapping[Ending, str] = {
    Ending.COMMIT: "a transaction that commits",
    Ending.FAIL: "COMMIT after a statement that failed",
    Ending.ROLL_BACK: "a transaction that is rolled back",
    Ending.SAVEPOINT: "a transaction that goes back to a savepoint",
    Ending.KILL: "a transaction whose server process is killed",
    Ending.VANISH: "a transaction whose client vanishes",
}
"""How a sentence names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One transaction that wrote ROWS, as another connection saw it. `keeps` is what must be there in the end.

    `during` was seen before the end, where there was a look; `after` after it. `answer` is the tag by which a COMMIT
    was answered, empty where there was none. `doubt` says why nothing can be told, `left_out` why it was not tried.
    """

    ending: Ending
    keeps: Rows = field(default_factory=dict)
    during: Rows = field(default_factory=dict)
    after: Rows = field(default_factory=dict)
    answer: str = ""
    doubt: str = ""
    left_out: str = ""


def judge(trial: Trial) -> Iterator[Violation]:
    """What is wrong with one transaction; nothing of one about which nothing can be told."""
    if trial.doubt or trial.left_out:
        return
    missing, surplus = trial.keeps.keys() - trial.after.keys(), trial.after.keys() - trial.keeps.keys()
    if trial.during:
        seen = f"{_rows(trial.during)} visible before it"
        yield _violation(Kind.TORN, trial, expected="nothing visible before COMMIT was answered", actual=seen)
    if surplus:
        yield _violation(Kind.PHANTOM, trial, expected=_expected(trial), actual=f"{_rows(surplus)} visible beyond that")
    if missing:
        kind = Kind.LOST if missing == trial.keeps.keys() else Kind.TORN
        yield _violation(kind, trial, expected=_expected(trial), actual=f"{_rows(missing)} missing")
    if not trial.keeps and not surplus and trial.answer == "COMMIT":
        refused = "COMMIT refused, or answered by ROLLBACK"
        yield _violation(Kind.LOST, trial, expected=refused, actual="answered by COMMIT, and nothing of it is there")
    differing = {number for number, value in trial.keeps.items() if trial.after.get(number, value) != value}
    if differing:
        values = ", ".join(str(trial.after[number]) for number in sorted(differing))
        expected = ", ".join(str(trial.keeps[number]) for number in sorted(differing))
        yield _violation(
            Kind.CORRUPT,
            trial,
            expected=f"{_rows(differing)} with {expected}",
            actual=f"{_rows(differing)} with {values}",
        )


def _expected(trial: Trial) -> str:
    return f"{_rows(trial.keeps)} visible" if trial.keeps else "nothing visible"


def _rows(numbers: Collection[int]) -> str:
    return f"{'row' if len(numbers) == 1 else 'rows'} {', '.join(map(str, sorted(numbers)))}"


def _values(rows: Rows, numbers: Collection[int]) -> str:
    return f"with {', '.join(str(rows[number]) for number in sorted(numbers))}"


def _violation(kind: Kind, trial: Trial, *, expected: str, actual: str) -> Violation:
    return Violation(
        kind=kind,
        subject=SUBJECTS[trial.ending],
        expected=expected,
        actual=actual,
        evidence={
            "wrote": _listed(ROWS),
            "seen_before_the_end": _listed(trial.during),
            "seen_after_the_end": _listed(trial.after),
            "answer": trial.answer,
        },
    )


def _listed(rows: Rows) -> list[Json]:
    return [f"{number}: {value}" for number, value in sorted(rows.items())]
