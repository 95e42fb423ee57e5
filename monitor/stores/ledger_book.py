"""What the ledgers of all environments share: the state database, its group commit, a clock, and a series."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from secrets import token_hex
from typing import TypeVar

import sqlalchemy as sa

from monitor.ports import Clock, StateError
from monitor.stores.database import Database, Work
from monitor.stores.group_commit import GroupCommit, Row
from monitor.stores.home import Home
from monitor.stores.ledger_kept import moment
from monitor.stores.tables import ledger_entries, ledger_epochs, ledger_losses, ledger_outages

T = TypeVar("T")

_KEPT_MOMENTS = (
    ledger_entries.c.intended,
    ledger_entries.c.answered,
    ledger_epochs.c.last,
    ledger_outages.c.ended,
    ledger_losses.c.found,
)


class LedgerClock:
    """The wall clock's moment when it was made, and monotonic time since: it never goes back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base = clock.now()
        self._since = clock.monotonic()

    def now(self) -> datetime:
        """The moment."""
        return self._base + timedelta(seconds=self._clock.monotonic() - self._since)

    def not_before(self, latest: datetime) -> None:
        """Go on from a moment that was kept, if it would else be earlier: the wall clock was set back since."""
        self._base += max(timedelta(), latest - self.now())


class Book:
    """The state database as ledgers use it. Opened, and its tables made, by the first that asks.

    It has a connection for reading besides the one that writes: who reads much delays no intent.
    """

    def __init__(self, home: Home, *, clock: Clock) -> None:
        self.home = home
        self.series = token_hex(4)
        self.clock = LedgerClock(clock)
        self._database = Database(home)
        self._reading = Database(home) if home else self._database
        self._groups = GroupCommit(self._database)
        self._opening = asyncio.Lock()
        self._open = False

    async def keep(self, statement: sa.Executable, *rows: Row) -> None:
        """Returns once it is on disk."""
        await self._opened()
        await self._groups.keep(statement, *rows)

    def put(self, statement: sa.Executable, row: Row) -> None:
        """Returns at once; on disk soon."""
        self._groups.put(statement, row)

    async def write(self, work: Work[T]) -> T:
        """A transaction of its own, after all that was put."""
        await self._opened()
        await self._groups.flush()
        return await self._database.write(work)

    async def read(self, work: Work[T]) -> T:
        """What is there, with all that was put."""
        await self._opened()
        await self._groups.flush()
        return await self._reading.read(work)

    async def close(self) -> None:
        """Write what waits, and let go. What cannot be written any more is `perhaps` at the next start."""
        with suppress(StateError):
            await self._groups.flush()
        self._groups.stop()
        await self._database.close()
        await self._reading.close()

    async def _opened(self) -> None:
        if self._open:
            return
        async with self._opening:
            if not self._open:
                await self._database.open()
                self.clock.not_before(await self._database.read(_latest))
                self._open = True


def _latest(connection: sa.Connection) -> datetime:
    """The latest moment that is kept."""
    found = [connection.execute(sa.select(sa.func.max(column))).scalar_one() for column in _KEPT_MOMENTS]
    return moment(max(each or 0.0 for each in found))
