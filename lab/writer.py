"""The lab's own client: it writes one numbered row after another by the clients' address, and notes each answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Self

import asyncpg

from lab.truth import Attempt

TABLE = "public.lab_rows"
PAUSE_SECONDS = 0.02
STATEMENT_SECONDS = 2.0
RECENT = 100  # attempts; two seconds' worth
# The last is what asyncpg raises where an answer comes after the client has stopped waiting for it.
FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class Writer:
    """``async with Writer(dsn)``: rows are written until the block is left, whatever happens to the server."""

    def __init__(self, dsn: str) -> None:
        self.attempts: list[Attempt] = []
        self._dsn = dsn
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def acknowledges(self, *, since: float) -> bool:
        """Whether a row is acknowledged that was sent after a moment of `time.monotonic()`."""
        return any(attempt.acked and attempt.sent > since for attempt in self.attempts[-RECENT:])

    async def _write(self) -> None:
        while True:
            with contextlib.suppress(*FAILURES):
                connection = await asyncpg.connect(self._dsn, timeout=STATEMENT_SECONDS)
                try:
                    while True:
                        await self._row(connection)
                        await asyncio.sleep(PAUSE_SECONDS)
                finally:
                    connection.terminate()
            await asyncio.sleep(PAUSE_SECONDS)

    async def _row(self, connection: asyncpg.Connection) -> None:
        n, sent, acked = len(self.attempts) + 1, time.monotonic(), False
        try:
            await connection.execute(f"INSERT INTO {TABLE} (n) VALUES ($1)", n, timeout=STATEMENT_SECONDS)  # noqa: S608
            acked = True
        finally:
            self.attempts.append(Attempt(n=n, sent=sent, answered=time.monotonic(), acked=acked))


async def create(dsn: str) -> None:
    """Make the table, as whoever the address names, open to everyone."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"CREATE TABLE {TABLE} (n bigint PRIMARY KEY); GRANT ALL ON {TABLE} TO PUBLIC")
    finally:
        await connection.close()


async def rows(dsn: str) -> list[int]:
    """The numbers that are there."""
    connection = await asyncpg.connect(dsn)
    try:
        return [row["n"] for row in await connection.fetch(f"SELECT n FROM {TABLE}")]  # noqa: S608
    finally:
        await connection.close()
