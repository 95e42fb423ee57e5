"""What a daemon's ledger says of one store, held against what bystanders know of it. Pure but for reading the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from monitor.core.ledger.entries import Mark

ONCE_ACKED = frozenset({"acked", "retiring", "retired"})
OPEN = frozenset({"intended", "perhaps"})
_ENTRIES = """\
SELECT series, n, identified, state, answered, fate, verified, due FROM ledger_entries WHERE store = ? ORDER BY n
"""
_LOSSES = 'SELECT "first", "last", records, writes, cause FROM ledger_losses WHERE store = ? ORDER BY id'


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One entry of the ledger, as its file has it."""

    series: str
    n: int
    identified: bool
    state: str
    answered: float | None
    fate: str
    verified: float | None
    due: float | None

    @property
    def mark(self) -> Mark:
        """Its number."""
        return Mark(self.series, self.n)

    @property
    def acked(self) -> bool:
        """Whether it was acknowledged, whatever became of it since. One whose answer was lost may be retired, too."""
        return self.state in ONCE_ACKED and self.answered is not None

    def late(self, due_by: float) -> bool:
        """Whether it is owed, fell due by a moment, and was not looked at since."""
        live = self.identified and self.state == "acked" and self.fate != "lost"
        return live and self.due is not None and self.due <= due_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One loss, as the ledger's file has it."""

    first: str
    last: str
    records: int
    writes: int
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """All that the ledger has of one store."""

    entries: Sequence[Written]
    losses: Sequence[Told]

    @classmethod
    def at(cls, state: Path, store: str) -> Kept:
        """Read it, in one snapshot, as another process."""
        with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")
            entries = [dict(row) for row in connection.execute(_ENTRIES, (store,))]
            losses = [Told(**row) for row in connection.execute(_LOSSES, (store,))]
        return cls(entries=[Written(**row | {"identified": bool(row["identified"])}) for row in entries], losses=losses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What bystanders know: which writes went over the wire and were answered, and what the surviving server has.

    `moves` are noted in the same step as each write and stay for good; `records` are those that are there.
    """

    sent: Collection[Mark]
    answered: Collection[Mark]
    moves: Collection[Mark]
    records: Collection[Mark]


@dataclass(kw_only=True)
class Account:
    """One store's account over all its failovers. `reported` are the marks that were ever called lost."""

    first: int | None = None
    """From this number on the moves are noted."""
    reported: set[Mark] = field(default_factory=set)
    gone: set[Mark] = field(default_factory=set)
    acked: int = 0
    perhaps: int = 0
    there: int = 0
    unsent: int = 0
    unanswered: int = 0
    unrecorded: int = 0

    def settle(self, kept: Kept, known: Known) -> Iterator[str]:
        """What is not as it should be, as sentences. An unseen loss may still be found; a false one stays false."""
        if self.first is None:
            self.first = min((mark.n for mark in known.moves), default=0)
        entries = [entry for entry in kept.entries if entry.n >= self.first]
        acked = {entry.mark: entry for entry in entries if entry.acked}
        self.gone = {mark for mark in acked if mark not in known.moves}
        self.reported |= {entry.mark for entry in entries if entry.fate == "lost"}
        self._count(entries, known)
        yield from self._false(acked, known)
        yield from self._unseen(kept, acked)
        yield from self._damaged(acked, known)
        yield from numbers(entries)

    def _count(self, entries: Sequence[Written], known: Known) -> None:
        open_ = [entry.mark for entry in entries if entry.state in OPEN]
        open_ += [entry.mark for entry in entries if entry.state in ONCE_ACKED and entry.answered is None]
        self.acked = sum(entry.acked for entry in entries)
        self.perhaps = len(open_)
        self.there = sum(mark in known.moves for mark in open_)
        self.unsent = sum(mark not in known.sent for mark in open_)
        self.unrecorded = sum(mark in known.answered for mark in open_)
        self.unanswered = self.perhaps - self.unsent - self.unrecorded

    def _false(self, acked: dict[Mark, Written], known: Known) -> Iterator[str]:
        for mark in sorted(self.reported):
            if mark not in acked:
                yield f"FALSE LOSS: {mark} is called lost, and was never acknowledged"
            elif mark not in self.gone:
                yield f"FALSE LOSS: {mark} is called lost, and is there"
        if unheard := sorted(mark for mark in acked if mark not in known.answered):
            yield f"the ledger has {len(unheard)} as acknowledged that no server answered, the first {unheard[0]}"

    def _unseen(self, kept: Kept, acked: dict[Mark, Written]) -> Iterator[str]:
        if unseen := sorted(self.gone - self.reported):
            yield f"UNSEEN LOSS: {len(unseen)} acknowledged writes are gone and not called lost, the first {unseen[0]}"
        counted = (sum(loss.writes for loss in kept.losses), sum(loss.records for loss in kept.losses))
        true = (len(self.gone), sum(acked[mark].identified for mark in self.gone))
        if counted != true:
            yield f"losses of {counted[0]} writes and {counted[1]} records are told; gone are {true[0]} and {true[1]}"

    def _damaged(self, acked: dict[Mark, Written], known: Known) -> Iterator[str]:
        for mark, entry in acked.items():
            owed = entry.identified and entry.state == "acked"
            if owed and (mark in self.gone) == (mark in known.records):
                yield f"{mark} is {'gone' if mark in self.gone else 'there'} by its move, and not so by its record"
            if entry.identified and entry.state == "retired" and entry.verified is None and mark not in self.gone:
                yield f"{mark} was acknowledged, and retired without ever having been found"


def numbers(entries: Sequence[Written]) -> Iterator[str]:
    """Each series has its numbers in one piece: none is handed out by two daemons, and none goes back."""
    series = [name for name, _ in groupby(entries, key=lambda entry: entry.series)]
    if len(series) != len(set(series)):
        yield f"a series begins twice: {' '.join(series)}"


def twice(sent: Collection[Mark], starts: int) -> Iterator[str]:
    """No number was sent under two marks, and no series by two daemons."""
    if len({mark.n for mark in sent}) != len(set(sent)):
        yield "a number was sent under two marks"
    if len({mark.series for mark in sent}) > starts:
        yield f"there are more series than {starts} starts"
