"""Whether a daemon runs with a state: a lock that is let go of however the daemon ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from monitor.ports import StateError, StateTakenError
from monitor.stores.database import failure
from monitor.stores.home import Home, Schema

_TRIES, _GLANCE = 3, 0.05  # seconds: whoever asks whether it is free holds it for a moment himself
_AGAIN = 1.0  # seconds between two attempts to take back a lock whose connection broke
_TAKE = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"


class StateLock(Protocol):
    """The lock of one state. Two daemons with one state would each take the other for dead, and sweep it."""

    async def take(self) -> None:
        """Hold it until `release`, or until this process ends. Raises StateTakenError where another daemon holds it."""

    async def keep(self) -> None:
        """Never returns; raises StateTakenError once another daemon took it."""

    async def release(self) -> None:
        """Let go."""

    async def free(self) -> bool:
        """Whether certainly no daemon holds it; in doubt one does."""


def lock_of(home: Home) -> StateLock:
    """The lock of a state. One in memory has no other daemon: who asks for it has made a mistake."""
    if home is None:
        raise ValueError("a state in memory has no lock")
    return SchemaLock(home) if isinstance(home, Schema) else FileLock(home)


class FileLock:
    """A file beside the state file; the kernel lets go of its lock.

    Where the file system has no locks, or nothing can be made there, nothing is held.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._path = state.with_name(f"{state.name}.lock")
        self._file: int | None = None

    async def take(self) -> None:
        """Hold it until `release`, or until this process ends. Raises StateTakenError where another daemon holds it."""
        with suppress(OSError):
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            for _ in range(_TRIES):
                with suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                await asyncio.sleep(_GLANCE)
            await self.release()
            raise StateTakenError(
                f"the state file {self._state} belongs to another daemon, which is running;"
                " give each daemon a `state` of its own, or stop the other"
            )

    async def keep(self) -> None:
        """Nothing takes it from whoever holds it."""
        await asyncio.get_running_loop().create_future()

    async def release(self) -> None:
        """Let go."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    async def free(self) -> bool:
        """Whether certainly no daemon holds it; in doubt one does."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(file)


class SchemaLock:
    """An advisory lock on a connection of its own; PostgreSQL lets go of it when that ends."""

    def __init__(self, home: Schema) -> None:
        self._home = home
        self._connection: Any = None

    async def take(self) -> None:
        """Hold it until `release`, or until this process ends. Raises StateTakenError where another daemon holds it.

        Raises StateError where the database cannot be asked.
        """
        for _ in range(_TRIES):
            if await self._taken():
                return
            await asyncio.sleep(_GLANCE)
        raise StateTakenError(
            f"{self._home} belongs to another daemon, which is running; give each daemon a `location` of its own,"
            " or stop the other"
        )

    async def keep(self) -> None:
        """Take it again where its connection broke. Raises StateTakenError once another daemon took it meanwhile."""
        while True:
            if self._connection is not None:
                ended = asyncio.Event()
                self._connection.add_termination_listener(lambda _, ended=ended: ended.set())
                if not self._connection.is_closed():
                    await ended.wait()
                self._connection = None
            try:
                await self.take()
            except StateTakenError:
                raise
            except StateError:
                await asyncio.sleep(_AGAIN)

    async def release(self) -> None:
        """Let go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def free(self) -> bool:
        """Whether certainly no daemon holds it; in doubt one does."""
        try:
            return await self._taken()
        except StateError:
            return False
        finally:
            await self.release()

    async def _taken(self) -> bool:
        try:
            connection = await self._home.connect()
            try:
                if await connection.fetchval(_TAKE, self._home.name):
                    self._connection = connection
            finally:
                if self._connection is not connection:
                    connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise failure(self._home, error) from None
        return self._connection is connection
