"""How far a copy of a store goes.

A store takes a daemon's writes one after the other, and every one of them moves the register. So a right copy holds
all writes up to some number and none after it; the register says which number that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.ledger.entries import Entry, Fate, Mark, State
from monitor.core.ledger.found import Loss, Restore

ACKNOWLEDGED = frozenset({State.ACKED, State.RETIRING, State.RETIRED})
_EARLY = timedelta(minutes=1)  # before a store lets go of a record by itself, none is demanded any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What is in a copy, beside all that the ledger remembers.

    `entries`, the oldest first, are read after the copy was, moves of the register included; `at` is when that was, by
    the ledger's clock. `as_of` is the moment that the copy has to be of; clocks that disagree by no more than `slack`
    are borne. A `live` store may hold later writes, too. `keeps` is how long the store itself keeps a record.
    """

    environment: str
    store: str
    at: datetime
    entries: Sequence[Entry]
    register: Mark | None
    digests: Mapping[Mark, str]
    as_of: datetime | None = None
    slack: timedelta = timedelta()
    live: bool = False
    losses: Sequence[Loss] = ()
    restores: Sequence[Restore] = ()
    keeps: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The moment that a copy is of, as bounds; None where the ledger remembers nothing that would bound it.

    Not before the newest write that it holds was sent, and not after the first that it lacks was acknowledged.
    """

    at_least: datetime | None = None
    at_most: datetime | None = None


class Prefix:
    """The number and the moment up to which a copy goes, and what need not be in it all the same.

    `position` is the number of the newest write that it holds, None where it holds none.
    """

    def __init__(self, copy: Copy) -> None:
        self._copy = copy
        self._reach = {entry.mark.series: entry.mark.n for entry in copy.entries}
        self._lost = [
            (loss.first.n, loss.last.n) for loss in copy.losses if loss.suffix and (loss.accepted or not copy.live)
        ]
        self.position = self._position()
        self.point = self._point()

    def own(self, mark: Mark) -> bool:
        """Whether a mark is of this ledger, as far as it reaches.

        A state database that was lost, or restored from an older copy, does not know what was written later.
        """
        return mark.n <= self._reach.get(mark.series, -1)

    def holds(self, entry: Entry) -> bool:
        """Whether a write belongs to it, by its number."""
        return self.position is not None and entry.mark.n <= self.position

    def excuses(self, entry: Entry) -> bool:
        """Whether nobody demands that a write is in it.

        Its loss in the live store is known, a restore that was declared explains it, or the store no longer keeps it.
        """
        copy, n, answered = self._copy, entry.mark.n, entry.answered
        if entry.fate is Fate.LOST and (entry.accepted or not copy.live):
            return True
        if any(first <= n <= last for first, last in self._lost):
            return True
        if answered and any(restore.at < answered <= restore.declared for restore in copy.restores):
            return True
        return self.let_go(entry.intended)

    def let_go(self, written: datetime) -> bool:
        """Whether the store may have let go, by itself, of what was written then."""
        return self._copy.keeps is not None and written + self._copy.keeps - _EARLY <= self._copy.at

    def _position(self) -> int | None:
        register, newest = self._copy.register, self._copy.entries[-1].mark.n if self._copy.entries else -1
        if register is not None and self.own(register):
            return register.n
        if register is not None and register.n > newest >= 0:
            return newest
        return max((mark.n for mark in self._copy.digests if self.own(mark)), default=None)

    def _point(self) -> Point:
        inside = [entry.intended for entry in self._copy.entries if self.holds(entry)]
        after = (
            entry.answered
            for entry in self._copy.entries
            if not self.holds(entry) and entry.state in ACKNOWLEDGED and not self.excuses(entry)
        )
        return Point(at_least=inside[-1], at_most=next(after, None)) if inside else Point()
