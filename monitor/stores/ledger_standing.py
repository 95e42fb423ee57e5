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


@dataclass(frozen=True, slots=True)
class Records:
    """What only writes, looks and deletions change."""

    live: int
    lost: int
    indeterminate: int
    expired: int
    oldest: datetime | None


@dataclass(slots=True)
class Counted:
    """What is remembered between two askings: the records, until one of them changes, and the looks of an hour."""

    of: Records | None = None
    looks: deque[tuple[datetime, int]] = field(default_factory=deque)
    """When looks were taken that were due, and how many."""

    def took(self, looks: int, *, at: datetime) -> None:
        """So many looks that were due were taken."""
        self.looks.append((at, looks))
        self.within_the_hour(at)

    def within_the_hour(self, now: datetime) -> int:
        """How many looks that were due were taken within the past hour."""
        while self.looks and self.looks[0][0] < now - _WINDOW:
            self.looks.popleft()
        return sum(looks for _, looks in self.looks)


def counted(connection: sa.Connection, environment: str, store: str) -> Records:
    """Count the identified records by state and fate."""
    c = ledger_entries.c
    here = (c.environment == environment, c.store == store, c.identified)
    accepted = c.accepted.is_not(None)
    rows = connection.execute(
        sa.select(c.state, c.fate, accepted, sa.func.count()).where(*here).group_by(c.state, c.fate, accepted)
    )
    live = lost = indeterminate = expired = 0
    for state, fate, is_accepted, count in rows:
        live += count if state == State.ACKED and fate != Fate.LOST else 0
        lost += count if state == State.ACKED and fate == Fate.LOST and not is_accepted else 0
        indeterminate += count if state == State.PERHAPS else 0
        expired += count if state == State.RETIRED else 0
    right = (c.state == State.ACKED, c.fate == Fate.FOUND)
    oldest = connection.execute(sa.select(c.answered).where(*here, *right).order_by(c.n).limit(1)).scalar_one_or_none()
    return Records(live, lost, indeterminate, expired, moment(oldest) if oldest is not None else None)


def standing(connection: sa.Connection, environment: str, store: str, counted: Counted, *, now: datetime) -> Standing:
    """How it stands now."""
    c, lost, out = ledger_entries.c, ledger_losses.c, ledger_outages.c
    overdue = connection.execute(
        sa.select(sa.func.count()).where(c.environment == environment, c.store == store, c.due <= now.timestamp())
    ).scalar_one()
    point = connection.execute(
        sa.select(lost.most)
        .where(lost.environment == environment, lost.store == store)
        .order_by(lost.found.desc(), lost.id.desc())
        .limit(1)
    ).scalar_one_or_none()
    time = connection.execute(
        sa.select(out.most)
        .where(out.environment == environment, out.store == store, out.operation == "write")
        .order_by(out.began.desc())
        .limit(1)
    ).scalar_one_or_none()
    records = counted.of or Records(0, 0, 0, 0, None)
    taken = counted.within_the_hour(now)
    return Standing(
        live=records.live,
        lost=records.lost,
        indeterminate=records.indeterminate,
        expired=records.expired,
        due=overdue + taken,
        verified=taken,
        oldest=now - records.oldest if records.oldest else None,
        recovery_point=None if point is None else timedelta(seconds=point),
        recovery_time=None if time is None else timedelta(seconds=time),
    )
