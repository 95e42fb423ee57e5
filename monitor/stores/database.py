"""The database that Holdfast keeps for itself: one connection, one transaction at a time, failures as StateError."""

from __future__ import annotations

import asyncio
import json
import re
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import AsyncAdaptedQueuePool, StaticPool
from sqlalchemy.util import greenlet_spawn

from monitor.ports import StateError
from monitor.stores.home import Home, Schema
from monitor.stores.migrate import upgrade
from monitor.stores.tables import metadata

T = TypeVar("T")

Work = Callable[[sa.Connection], T]
"""What is asked of the database: everything in it happens in one transaction, and perhaps in another thread."""

_json = partial(json.dumps, separators=(",", ":"))
_BUSY = 2  # seconds to wait for another writer of the same file, e.g. `holdfast violations ack`


class Database:
    """One connection to a SQLite file, to a schema of a PostgreSQL, or to a database in memory without a home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._one_at_a_time = asyncio.Lock()  # they share one connection: who ends first would roll back the others
        self._asked: set[asyncio.Future[Any]] = set()
        self._thread: ThreadPoolExecutor | None = None
        # Not by sqlalchemy.ext.asyncio: that imports the whole object-relational mapper, which nothing here uses.
        match home:
            case None:
                # No thread for what never waits: whoever forgets to close it leaves nothing behind that runs.
                self._engine = sa.create_engine(
                    "sqlite://",
                    poolclass=StaticPool,
                    connect_args={"check_same_thread": False},
                    json_deserializer=_loads,
                )
                weakref.finalize(self, self._engine.dispose)
            case Path():
                # A whole transaction is one errand there; a driver that sends each call by itself takes twice the time.
                self._thread = ThreadPoolExecutor(1, thread_name_prefix="state")
                self._engine = sa.create_engine(
                    f"sqlite:///{home}",
                    connect_args={"timeout": _BUSY, "check_same_thread": False},  # only who ends it is another
                    poolclass=StaticPool,
                    json_deserializer=_loads,
                )
                sa.event.listen(self._engine, "connect", _pragmas)
            case Schema():
                self._engine = sa.create_engine(
                    "postgresql+asyncpg://",
                    connect_args={"async_creator_fn": home.connect},
                    poolclass=AsyncAdaptedQueuePool,
                    pool_size=1,
                    max_overflow=0,
                    json_deserializer=_loads,
                )

    async def open(self) -> None:
        """Make it where it is missing and bring its tables up to date. Raises StateError."""
        await self.write(upgrade if self.home else metadata.create_all)  # what forgets has no past to migrate

    async def close(self) -> None:
        """Let go of it, once all that was asked has come to its end."""
        if self._asked:
            await asyncio.wait(self._asked)
        await greenlet_spawn(self._engine.dispose)
        if self._thread is not None:
            self._thread.shutdown()

    async def read(self, work: Work[T]) -> T:
        """Ask something. Raises StateError."""
        return await self._do(work, writing=False)

    async def write(self, work: Work[T]) -> T:
        """Change something: all of it is on disk when this returns, or nothing of it ever will be.

        Raises StateError; where its COMMIT was not answered, nobody knows which of both it is.
        """
        return await self._do(work, writing=True)

    async def _do(self, work: Work[T], *, writing: bool) -> T:
        if self.home is None:
            return self._in_one(work, writing=True)
        # Whoever is cancelled waits no longer; what he asked for comes to its end, or the connection would be lost.
        asked = (
            asyncio.create_task(self._in_turn(work, writing=writing))
            if self._thread is None
            else asyncio.get_running_loop().run_in_executor(self._thread, partial(self._in_one, work, writing=writing))
        )
        self._asked.add(asked)
        asked.add_done_callback(self._ended)
        return await asyncio.shield(asked)

    async def _in_turn(self, work: Work[T], *, writing: bool) -> T:
        async with self._one_at_a_time:
            return await greenlet_spawn(self._in_one, work, writing=writing)

    def _in_one(self, work: Work[T], *, writing: bool) -> T:
        """One transaction. Its driver may wait: within greenlet_spawn that gives the loop to others."""
        with _failures_of(self.home), self._engine.begin() if writing else self._engine.connect() as connection:
            return work(connection)

    def _ended(self, asked: asyncio.Future[Any]) -> None:
        self._asked.discard(asked)
        if not asked.cancelled():
            asked.exception()  # seen: it may be that nobody waits any more


@contextmanager
def _failures_of(home: Home) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise failure(home, error) from None


def failure(home: Home, error: Exception) -> StateError:
    """What went wrong with a state database, and the next step; no secret is in it."""
    said = (str(getattr(error, "orig", None) or error) or type(error).__name__).splitlines()[0]
    reason = re.sub(r"^<class '[^']*'>: ", "", said)  # SQLAlchemy tells the class of asyncpg's errors in this form
    if isinstance(home, Schema):
        return StateError(f"{home} cannot be used: {home.scrub(reason)}; {home.advice(reason)}")
    name = f"the state file {home}" if home else "the state in memory"
    return StateError(f"{name} cannot be used: {reason}; {_advice(reason)}")


def insert(connection: sa.Connection, table: sa.Table) -> Any:  # noqa: ANN401  one of two classes of one interface
    """An INSERT that may say what to do ON CONFLICT; each database has its own."""
    if connection.dialect.name != "postgresql":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  a daemon whose state is a file starts without it

    return postgresql.insert(table)


def _pragmas(connection: DBAPIConnection, _record: object) -> None:
    # WAL: `holdfast violations` reads while the daemon writes. FULL: what is kept survives a power cut.
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.cursor().execute(f"PRAGMA {pragma}")


def _advice(reason: str) -> str:
    for words, advice in (
        ("malformed", "move it away, and a new one is made; its violations and runs are then forgotten"),
        ("not a database", "it is some other file; choose another path in `state`"),
        ("readonly", "make the file and its folder writable for the user that Holdfast runs as"),
        ("unable to open", "make sure that its folder exists and that the user that Holdfast runs as may write there"),
        ("full", "free some space"),
        ("disk I/O", "look into the kernel's log and at the limits of this process"),
        ("locked", "another process is writing to it; is a second daemon using the same file?"),
    ):
        if words in reason:
            return advice
    return "probing goes on, and nothing of it is kept until this is mended"


def _loads(text: str | bytes) -> object:
    """JSON, five times as fast as the standard library has it; that one wrote it, and knows numbers that are none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
