"""All or nothing: what became of transactions that committed, failed, were taken back, or never came to their end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from monitor.core.verdict import Json, Kind, Violation

Rows = Mapping[int, int]
"""Rows of one set: the value of each, by its number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One transaction, as others saw it. `wrote` is all that it wrote, `keeps` what must be there in the end.

    `during` is what another connection saw before the end, where it looked; `after` what it saw after it. `answer` is
    the tag by which a COMMIT was answered, empty where there was no answer. `doubt` says why nothing can be told.
    """

    name: str
    wrote: Rows
    keeps: Rows = field(default_factory=dict)
    during: Rows = field(default_factory=dict)
    after: Rows = field(default_factory=dict)
    answer: str = ""
    doubt: str = ""


def judge(trial: Trial) -> Iterator[Violation]:
    """What is wrong with one transaction; nothing of one about which nothing can be told."""
    if trial.doubt:
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
        yield _violation(
            Kind.LOST, trial, expected="COMMIT refused, or answered by ROLLBACK", actual="answered by COMMIT"
        )
    differing = {number for number, value in trial.keeps.items() if trial.after.get(number, value) != value}
    if differing:
        values = ", ".join(str(trial.after[number]) for number in sorted(differing))
        yield _violation(Kind.CORRUPT, trial, expected=_expected(trial), actual=f"{_rows(differing)} with {values}")


def _expected(trial: Trial) -> str:
    return f"{_rows(trial.keeps)} visible" if trial.keeps else "nothing visible"


def _rows(rows: Mapping[int, int] | set[int]) -> str:
    word = "row" if len(rows) == 1 else "rows"
    return f"{word} {', '.join(map(str, sorted(rows)))}" if rows else "nothing"


def _violation(kind: Kind, trial: Trial, *, expected: str, actual: str) -> Violation:
    return Violation(
        kind=kind,
        subject=trial.name,
        expected=expected,
        actual=actual,
        evidence={
            "wrote": _listed(trial.wrote),
            "seen_before_the_end": _listed(trial.during),
            "seen_after_the_end": _listed(trial.after),
            "answer": trial.answer,
        },
    )


def _listed(rows: Rows) -> list[Json]:
    return [f"{number}: {value}" for number, value in sorted(rows.items())]
