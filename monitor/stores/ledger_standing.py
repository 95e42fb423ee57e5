"""How the ledger stands for one store, counted cheaply enough to be asked every few seconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

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


def counted(connection: sa.Connection, environment: str, store: str, *, now: datetime) -> Records:
    """Count the identified records by state and fate, and what is due."""
    c, lost_, out = ledger_entries.c, ledger_losses.c, ledger_outages.c
    here = (c.environment == environment, c.store == store)
    accepted = c.accepted.is_not(None)
    rows = connection.execute(
        sa.select(c.state, c.fate, accepted, sa.func.count())
        .where(*here, c.identified)
        .group_by(c.state, c.fate, accepted)
    )
    live = lost = indeterminate = expired = 0
    for state, fate, is_accepted, count in rows:
        live += count if state == State.ACKED and fate != Fate.LOST else 0
        lost += count if state == State.ACKED and fate == Fate.LOST and not is_accepted else 0
        indeterminate += count if state == State.PERHAPS else 0
        expired += count if state == State.RETIRED else 0
    right = (c.identified, c.state == State.ACKED, c.fate == Fate.FOUND)
    oldest = connection.execute(sa.select(c.answered).where(*here, *right).order_by(c.n).limit(1)).scalar_one_or_none()
    at = now.timestamp()
    point = (
        sa.select(lost_.most)
        .where(lost_.environment == environment, lost_.store == store)
        .order_by(lost_.found.desc(), lost_.id.desc())
        .limit(1)
    )
    time = (
        sa.select(out.most)
        .where(out.environment == environment, out.store == store, out.operation == "write")
        .order_by(out.began.desc())
        .limit(1)
    )
    return Records(
        live=live,
        lost=lost,
        indeterminate=indeterminate,
        expired=expired,
        overdue=connection.execute(sa.select(sa.func.count()).where(*here, c.due <= at)).scalar_one(),
        next=connection.execute(sa.select(sa.func.min(c.due)).where(*here, c.due > at)).scalar_one(),
        oldest=moment(oldest) if oldest is not None else None,
        recovery_point=_length(connection.execute(point).scalar_one_or_none()),
        recovery_time=_length(connection.execute(time).scalar_one_or_none()),
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
