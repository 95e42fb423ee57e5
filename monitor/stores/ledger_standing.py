"""How the ledger stands for one store, counted cheaply enough to be asked every few seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from monitor.core.ledger.entries import Fate, State
from monitor.core.ledger.found import Standing
from monitor.stores.ledger_kept import moment
from monitor.stores.tables import ledger_entries, ledger_losses, ledger_outages

_WINDOW = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What only writes, looks, deletions, losses and outages change, and that a look falls due, `next` as a moment."""

    live: int
    lost: int
    indeterminate: int
    expired: int
    overdue: int
    next: float | None
    oldest: datetime | None
    recovery_point: timedelta | None
    recovery_time: timedelta | None


@dataclass(slots=True)
class Counted:
    """What is remembered between two askings: the records until something changes, and the looks of an hour."""

    of: Records | None = None
    changes: int = 0
    looks: deque[tuple[datetime, int]] = field(default_factory=deque)
    """When looks were taken that were due, and how many."""

    def changed(self) -> None:
        """What was counted is so no more, nor what is being counted now."""
        self.of = None
        self.changes += 1

    def still(self, now: datetime) -> Records | None:
        """What was counted, if it is still so."""
        falls_due = self.of is not None and self.of.next is not None and self.of.next <= now.timestamp()
        return None if falls_due else self.of

    def took(self, looks: int, *, at: datetime) -> None:
        """So many looks that were due were taken."""
        self.looks.append((at, looks))
        self.within_the_hour(at)

    def within_the_hour(self, now: datetime) -> int:
        """How many looks that were due were taken within the past hour."""
        while self.looks and self.looks[0][0] < now - _WINDOW:
            self.looks.popleft()
        return sum(looks for _, looks in self.looks)


_c, _l, _o = ledger_entries.c, ledger_losses.c, ledger_outages.c
_OF = sa.bindparam("of", type_=sa.String)
_THERE = sa.bindparam("there", type_=sa.String)
_NOW = sa.bindparam("now", type_=sa.Float)
_HERE = (_c.environment == _OF, _c.store == _THERE)
_ACCEPTED = _c.accepted.is_not(None)
_BY_STATE = (
    sa.select(_c.state, _c.fate, _ACCEPTED, sa.func.count())
    .where(*_HERE, _c.identified)
    .group_by(_c.state, _c.fate, _ACCEPTED)
)
_OLDEST = (
    sa.select(_c.answered)
    .where(*_HERE, _c.identified, _c.state == State.ACKED, _c.fate == Fate.FOUND)
    .order_by(_c.n)
    .limit(1)
)
_OVERDUE = sa.select(sa.func.count()).where(*_HERE, _c.due <= _NOW)
_NEXT = sa.select(sa.func.min(_c.due)).where(*_HERE, _c.due > _NOW)
_POINT = (
    sa.select(_l.most).where(_l.environment == _OF, _l.store == _THERE).order_by(_l.found.desc(), _l.id.desc()).limit(1)
)
_TIME = (
    sa.select(_o.most)
    .where(_o.environment == _OF, _o.store == _THERE, _o.operation == "write")
    .order_by(_o.began.desc())
    .limit(1)
)


def counted(connection: sa.Connection, environment: str, store: str, *, now: datetime) -> Records:
    """Count the identified records by state and fate, and what is due."""
    asked = {"of": environment, "there": store, "now": now.timestamp()}

    def one(query: sa.Select[Any]) -> Any:  # noqa: ANN401  whatever stands in that column
        return connection.execute(query, asked).scalar_one_or_none()

    live = lost = indeterminate = expired = 0
    for state, fate, is_accepted, count in connection.execute(_BY_STATE, asked):
        live += count if state == State.ACKED and fate != Fate.LOST else 0
        lost += count if state == State.ACKED and fate == Fate.LOST and not is_accepted else 0
        indeterminate += count if state == State.PERHAPS else 0
        expired += count if state == State.RETIRED else 0
    oldest = one(_OLDEST)
    return Records(
        live=live,
        lost=lost,
        indeterminate=indeterminate,
        expired=expired,
        overdue=one(_OVERDUE),
        next=one(_NEXT),
        oldest=moment(oldest) if oldest is not None else None,
        recovery_point=_length(one(_POINT)),
        recovery_time=_length(one(_TIME)),
    )


def _length(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def standing(records: Records, *, taken: int, now: datetime) -> Standing:
    """How it stands now, with so many looks that were due and taken within the past hour."""
    return Standing(
        live=records.live,
        lost=records.lost,
        indeterminate=records.indeterminate,
        expired=records.expired,
        due=records.overdue + taken,
        verified=taken,
        oldest=now - records.oldest if records.oldest else None,
        recovery_point=records.recovery_point,
        recovery_time=records.recovery_time,
    )
