"""Group commit: one transaction for all who came while the one before was being written."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from itertools import groupby

import sqlalchemy as sa

from monitor.ports import StateError
from monitor.stores.database import Database

Row = Mapping[str, object]

_LINGER = 0.05  # seconds that a change may wait for company which nobody waits for
_AGAIN = 1.0  # seconds until what could not be written is tried again, if nobody comes before


class _Group:
    """What goes to disk together."""

    def __init__(self) -> None:
        self.firm: list[tuple[sa.Executable, Row]] = []
        """Somebody waits for these: whether they were kept is said to him."""
        self.loose: list[tuple[sa.Executable, Row]] = []
        """Nobody waits for these: they are tried until they are kept."""
        self.kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.wanted = False
        """Whether somebody waits for all of it."""


class GroupCommit:
    """Takes changes of single rows, and writes them in groups.

    A group's new rows come before its changes, and changes that nobody waits for before the others; among each, the
    order is that of coming for one and the same statement.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: _Group | None = None
        self._under_way: _Group | None = None
        self._writing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, statement: sa.Executable, *rows: Row) -> None:
        """Returns once it is on disk. Raises StateError, after which it is not tried again."""
        group = self._gather()
        group.firm += [(statement, row) for row in rows]
        self._start()
        await asyncio.shield(group.kept)

    def put(self, statement: sa.Executable, row: Row) -> None:
        """Returns at once; on disk with the next group."""
        self._gather().loose.append((statement, row))
        self._wait(_LINGER)

    async def flush(self) -> None:
        """Write what waits now, and nothing that comes later: there may be no end of that. Raises StateError."""
        if self._next is None and self._under_way is not None:
            with suppress(StateError):  # what nobody waits for is in the next group then
                await asyncio.shield(self._under_way.kept)
                return
        if self._next is not None:
            group, self._next.wanted = self._next, True
            self._start()
            await asyncio.shield(group.kept)

    def stop(self) -> None:
        """Try nothing again."""
        if self._next is not None:
            self._next.kept.cancel()
            self._next = None
        if self._timer is not None:
            self._timer.cancel()

    def _gather(self) -> _Group:
        if self._next is None:
            self._next = _Group()
        return self._next

    def _wait(self, seconds: float) -> None:
        if self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None and self._next is not None:
            self._writing = asyncio.create_task(self._write_all(), name="group commit")

    async def _write_all(self) -> None:
        """Write group after group, as long as there is one. A task of its own: who waits may be cancelled."""
        failed = False
        try:
            while self._next is not None and not (failed and not (self._next.firm or self._next.wanted)):
                self._under_way, self._next = self._next, None
                failed = not await self._wrote(self._under_way)
        finally:
            self._writing = self._under_way = None
            if self._next is not None:
                self._wait(_AGAIN)

    async def _wrote(self, group: _Group) -> bool:
        try:
            await self._database.write(partial(_write, group=group))
        except StateError as error:
            self._gather().loose[:0] = group.loose
            group.kept.set_exception(error)
            group.kept.exception()  # seen: it may be that nobody waits
            return False
        else:
            group.kept.set_result(None)
            return True
        finally:
            group.kept.cancel()  # of no effect unless this task itself was ended


def _write(connection: sa.Connection, group: _Group) -> None:
    inserts = [each for each in group.firm if isinstance(each[0], sa.Insert)]
    others = [each for each in group.firm if not isinstance(each[0], sa.Insert)]
    for part in (inserts, group.loose, others):
        # Stable: what came first for one statement stays first.
        for _, same in groupby(sorted(part, key=lambda each: id(each[0])), key=lambda each: id(each[0])):
            changes = list(same)
            connection.execute(changes[0][0], [dict(row) for _, row in changes])
