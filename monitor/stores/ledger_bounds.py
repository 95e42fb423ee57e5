"""What a ledger may forget, so that it stays small: never the highest number, never what the register may hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from monitor.core.ledger.entries import State
from monitor.stores.ledger_book import Book
from monitor.stores.tables import ledger_breaks, ledger_entries, ledger_epochs, ledger_losses, ledger_outages

MOST_MOVES = 250_000
"""Moves of one store's register that are kept, whatever their age: three hours and a half at 20 a second."""

_MOST_EVENTS = 10_000  # breaks, outages, losses and epochs of one environment: the latest
_AT_ONCE = 2000  # rows that one transaction deletes: an intent waits no longer than for so many

_c = ledger_entries.c


@dataclass(frozen=True, slots=True)
class Bounds:
    """Retired entries that had their last answer, and moves that were intended, before these moments are forgotten."""

    retired: float
    moves: float


_EVENTS: tuple[tuple[sa.Table, sa.Column[Any]], ...] = (
    (ledger_epochs, ledger_epochs.c.id),
    (ledger_breaks, ledger_breaks.c.id),
    (ledger_outages, ledger_outages.c.began),
    (ledger_losses, ledger_losses.c.id),
)


async def forget(book: Book, environment: str, store: str, bounds: Bounds) -> int:
    """Forget what is older than its bound, or too much, piece by piece; -> how many entries."""
    here = (_c.environment == environment, _c.store == store)
    last, acked = await book.read(partial(_ends, here=here))
    free = (_c.n < last, sa.or_(_c.n < acked, _c.state == State.REFUSED))
    moves = (~_c.identified, sa.or_(_c.intended < bounds.moves, _c.n <= last - MOST_MOVES))
    # What is accepted or was never there is as good as retired.
    over = sa.or_(_c.state.in_([State.RETIRED, State.REFUSED]), _c.accepted.is_not(None))
    retired = (_c.identified, over, sa.func.coalesce(_c.retired, _c.intended) < bounds.retired)
    gone = 0
    for old in (moves, retired):
        which = sa.select(_c.n).where(*here, *free, *old).order_by(_c.n).limit(_AT_ONCE)
        while numbers := await book.read(partial(_numbers, query=which)):
            await book.write(partial(_execute, change=sa.delete(ledger_entries).where(*here, _c.n.in_(numbers))))
            gone += len(numbers)
    return gone


async def forget_events(book: Book, environment: str) -> None:
    """Forget the oldest epochs, breaks, outages and losses where there are too many."""
    for table, age in _EVENTS:
        mine = table.c.environment == environment
        oldest = sa.select(age).where(mine).order_by(age.desc()).offset(_MOST_EVENTS).limit(1).scalar_subquery()
        await book.write(partial(_execute, change=sa.delete(table).where(mine, age <= oldest)))


def _ends(connection: sa.Connection, here: tuple[sa.ColumnElement[bool], ...]) -> tuple[int, int]:
    """The highest number, and the highest that was acknowledged; 0 where there is none."""
    last = connection.execute(sa.select(sa.func.max(_c.n)).where(*here)).scalar_one()
    acked = (
        sa.select(_c.n).where(*here, _c.answered.is_not(None), _c.state != State.REFUSED).order_by(_c.n.desc()).limit(1)
    )
    return last or 0, connection.execute(acked).scalar_one_or_none() or 0


def _numbers(connection: sa.Connection, query: sa.Select[Any]) -> Sequence[int]:
    return connection.scalars(query).all()


def _execute(connection: sa.Connection, change: sa.Executable) -> None:
    connection.execute(change)
