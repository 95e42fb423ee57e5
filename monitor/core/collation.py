"""The same questions answered by an index and by its table: rows that the index loses, doubles or puts elsewhere.

An index on text is right as long as the order of text is the one it was built by. That order comes from the C library
or ICU, and changes with them: with glibc 2.28 it did for nearly every string (https://wiki.postgresql.org/wiki/
Locale_data_changes). Nothing warns of it but the collation's recorded version, where there is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from monitor.core.verdict import Kind, Violation

WORDS = 280
"""How many rows the table has; schema.sql makes them."""
_SHOWN = 5


class Asked(StrEnum):
    """What was asked about a word of the table, or of all of them."""

    ORDER = "order"
    """All rows in the collation's order."""
    EQUAL = "equal"
    """The rows that hold this word."""
    PAGE = "page"
    """The first few rows from this word on, as keyset paging reads them."""


Question: TypeAlias = tuple[Asked, int]
"""What was asked, and about the row with which id (0: about all)."""
Answers: TypeAlias = Mapping[Question, tuple[int, ...]]
"""The ids of the rows that were the answer, in their order; a question without rows is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What one index and the table under it answered in one snapshot.

    `forced` says that the server's plans were, for all questions, scans of that index, and of the table alone: the
    control, without which agreement proves nothing.
    """

    index: str
    collation: str
    forced: bool
    by_index: Answers
    by_table: Answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """The version of the collation by which an index was made as the database has it recorded, and the server's own.

    Both are None where a collation has none, as C. `refresh` is the statement that records the server's own.
    `kept` is False where the server records no version of this collation at all.
    """

    index: str
    collation: str
    recorded: str | None
    actual: str | None
    refresh: str
    kept: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found: the words by id as the table has them, each index that there is, and its collation."""

    words: Mapping[int, str]
    comparisons: tuple[Comparison, ...]
    versions: tuple[Version, ...]


def right(look: Look) -> bool:
    """Whether no second look is needed."""
    return not any(compare(look))


def compare(look: Look) -> Iterator[Violation]:
    """Where an index that surely was used answers otherwise than its table does."""
    for comparison in look.comparisons:
        if comparison.forced and comparison.by_index != comparison.by_table:
            yield from _differences(comparison, look.words)


def left_out(look: Look) -> Iterator[str]:
    """What this look could not compare, and which collations have drifted: not yet a wrong answer, but soon one."""
    if len(look.words) < WORDS:
        missing = f"the table holdfast.words holds {len(look.words)} of {WORDS} rows"
        yield f"indexes on text are compared with less than was meant: {missing}; run `holdfast setup ENV`"
    if not look.comparisons:
        yield "indexes on text are not compared with their table: holdfast.words has none; run `holdfast setup ENV`"
    for comparison in look.comparisons:
        if not comparison.forced:
            why = "the server does not use it where it is told to; is it valid? REINDEX it"
            yield f"the index holdfast.{comparison.index} is not compared with its table: {why}"
    for version in look.versions:
        if not version.kept:
            yield f"drift of the collation {version.collation} is not seen: PostgreSQL before 15 keeps no version of it"
        elif version.recorded != version.actual:
            yield _drift(version)


def _drift(version: Version) -> str:
    versions = f"version {version.recorded or 'unknown'} is recorded, the server now has {version.actual or 'none'}"
    what = f"the collation {version.collation} of the index holdfast.{version.index} has drifted: {versions}"
    return f"{what}; every index on text may be in the wrong order: REINDEX them, then {version.refresh}"


def _differences(comparison: Comparison, words: Mapping[int, str]) -> Iterator[Violation]:
    lost: set[int] = set()
    doubled: set[int] = set()
    moved: set[int] = set()
    strange: set[int] = set()
    for question in comparison.by_table.keys() | comparison.by_index.keys():
        table = comparison.by_table.get(question, ())
        index = comparison.by_index.get(question, ())
        missing = set(table) - set(index)
        lost |= missing
        doubled |= {id_ for id_, times in Counter(index).items() if times > 1}
        if missing:  # what then stands in its place follows from that
            continue
        strange |= set(index) - set(table)
        if question[0] is not Asked.EQUAL and set(index) == set(table) and len(index) == len(table):
            moved |= {there for there, here in zip(index, table, strict=True) if there != here}
    for kind, ids, how in (
        (Kind.LOST, lost, "not found by the index"),
        (Kind.DUPLICATED, doubled, "found twice in one answer of the index"),
        (Kind.PHANTOM, strange, "found by the index alone"),
        (Kind.REORDERED, moved, "elsewhere in the index's order"),
    ):
        if ids:
            yield _violation(comparison, kind, how=how, rows=[words.get(id_, f"row {id_}") for id_ in sorted(ids)])


def _violation(comparison: Comparison, kind: Kind, *, how: str, rows: list[str]) -> Violation:
    return Violation(
        kind=kind,
        subject=f"the index holdfast.{comparison.index}",
        expected="the rows that its table answers with, in the same order",
        actual=f"{len(rows)} rows {how}: {_some(rows)}",
        evidence={
            "collation": comparison.collation,
            "rows": [*rows],
            "next": f"REINDEX INDEX holdfast.{comparison.index}, and every other index with this collation",
        },
    )


def _some(rows: Iterable[str]) -> str:
    shown = [repr(row) for row in rows]
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")
