"""PostgreSQL, as the modules of the platform see it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import asyncpg
import orjson

Row: TypeAlias = Mapping[str, Any]

_SCHEMA = Path(__file__).with_name("schema.sql")
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_SECONDS = 5.0  # a statement, and the wait for a connection


class Queries(Protocol):
    """Something that runs statements: a connection, or the pool where one statement is all."""

    async def fetch(self, query: str, *arguments: object) -> list[Row]:
        """All rows."""
        ...

    async def fetchrow(self, query: str, *arguments: object) -> Row | None:
        """The first row."""
        ...


class Database(Queries, Protocol):
    """The pool."""

    def transaction(self) -> AbstractAsyncContextManager[Queries]:
        """A transaction on a connection of its own; it is committed when the block ends well."""
        ...


class Pool:
    """A `Database` on asyncpg."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def fetch(self, query: str, *arguments: object) -> list[Row]:
        """All rows."""
        async with self._pool.acquire(timeout=_SECONDS) as connection:
            rows: list[Row] = await connection.fetch(query, *arguments)
            return rows

    async def fetchrow(self, query: str, *arguments: object) -> Row | None:
        """The first row."""
        async with self._pool.acquire(timeout=_SECONDS) as connection:
            row: Row | None = await connection.fetchrow(query, *arguments)
            return row

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Queries]:
        """A transaction on a connection of its own."""
        async with self._pool.acquire(timeout=_SECONDS) as connection, connection.transaction():
            yield connection


@asynccontextmanager
async def open_database(dsn: str, *, schema: str) -> AsyncIterator[Database]:
    """Connect, and make the schema and the tables that are missing. Raises ValueError for a name that is none."""
    if not _NAME.fullmatch(schema):
        raise ValueError(f"--schema: expected a name in small letters, found {schema!r}")
    async with asyncpg.create_pool(
        dsn,
        min_size=0,  # none is kept up while the server is away
        max_size=10,
        timeout=_SECONDS,
        command_timeout=_SECONDS,
        init=_speak_json,
        server_settings={"search_path": schema, "application_name": "platform"},
    ) as pool:
        async with pool.acquire() as connection, connection.transaction():
            # IF NOT EXISTS does not keep two processes from making the same table at once; this lock does.
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('platform: schema'))")
            if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", schema):
                await connection.execute(f'CREATE SCHEMA "{schema}"')
            await connection.execute(_SCHEMA.read_text("utf-8"))
        yield Pool(pool)


async def _speak_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: orjson.dumps(value).decode(),
        decoder=orjson.loads,
    )
