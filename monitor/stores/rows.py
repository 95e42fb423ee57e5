"""Rows in Holdfast's own schema: transactions as one synthetic user, changes that are held to what they must touch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar, Self

import asyncpg

from monitor.core.payload import USERS, synthetic_user
from monitor.core.record import Node
from monitor.core.residue import Broom
from monitor.core.verdict import Reason
from monitor.ports import Isolation, MissingError, Place, Store
from monitor.stores import abandoned
from monitor.stores.postgres import Postgres
from monitor.stores.ways import Ways

_BEGIN = "BEGIN{level};{user} SET LOCAL statement_timeout = {ms}; SET LOCAL lock_timeout = {ms}"
BEGIN_SHOWN = (
    "BEGIN; SET LOCAL holdfast.user_id = 'holdfast-user-N'; SET LOCAL statement_timeout = …; SET LOCAL lock_timeout = …"
)
"""How every transaction begins, as `holdfast plan` shows it."""
READ_COMMITTED_SHOWN = BEGIN_SHOWN.replace("BEGIN;", "BEGIN ISOLATION LEVEL READ COMMITTED;")
"""The same where each statement has to see anew, whatever level the application's transactions have."""

_SWEEP_TIMEOUT = timedelta(minutes=1)

_HAS_SCHEMA = (
    "SELECT coalesce(bool_or(has_schema_privilege(oid, 'USAGE')), false) FROM pg_namespace WHERE nspname = 'holdfast'"
)

TABLES = ("messages", "threads", "registers", "profiles", "activities")
"""Every table that holds synthetic records, each with `instance`, `user_id` and `created_at`; what refers to others
comes before them."""

# Leftovers, as monitor.core.residue.Broom has it: of this daemon's earlier incarnations, then by age.
_RESIDUE = (
    " WHERE user_id = $1 AND ((instance LIKE $2 || '-%' AND instance <> $3)"
    " OR (instance = $3 AND created_at < clock_timestamp() - $4::interval)"
    " OR created_at < clock_timestamp() - $5::interval)"
)


def _begin(user: str | None, timeout: timedelta, level: Isolation | None = None) -> str:
    level_words = f" ISOLATION LEVEL {level.upper()}" if level else ""
    user_words = "" if user is None else f" SET LOCAL holdfast.user_id = '{user}';"
    return _BEGIN.format(level=level_words, user=user_words, ms=round(timeout.total_seconds() * 1000))


class Transactions:
    """One connection to PostgreSQL, and transactions on it that end as they were asked to end, or raise StoreError."""

    def __init__(self, postgres: Postgres, connection: asyncpg.Connection[Any], *, ways: Ways) -> None:
        self.postgres = postgres
        self.connection = connection
        self._timeout = ways.timeout
        self._broken = False

    async def node(self) -> Node:
        """The server at the other end."""
        return await self.postgres.node(self.connection)

    async def close(self) -> None:
        """Really close it."""
        await self.postgres.close(self.connection, broken=self._broken)

    @asynccontextmanager
    async def transaction(
        self, user: str | None, *, sent_bytes: int = 0, end: str = "COMMIT", level: Isolation | None = None
    ) -> AsyncIterator[None]:
        """One transaction as a synthetic user, by SET LOCAL only, so that a pooler's next client inherits nothing.

        Without `level` it has the one that the role, the database or the server gives it. Without a user the session
        is left as it was found.
        """
        async with self.postgres.asked(sent_bytes=sent_bytes):
            await self.start(user, level)
            yield
        async with self.postgres.asked(committing=end == "COMMIT"):
            self._must_end(await self.finish(end), end)
        self.ended()

    async def start(self, user: str | None, level: Isolation | None) -> None:
        """The beginning of a transaction; for those that do not end where they began."""
        self._broken = True  # until it has ended, nobody else may talk on this connection
        await self.connection.execute(_begin(user, self._timeout, level))

    async def finish(self, end: str) -> str:
        """Send the end of a transaction; -> the server's tag."""
        return str(await self.connection.execute(end))

    def ended(self) -> None:
        """The transaction that was begun is over."""
        self._broken = False

    def _must_end(self, tag: str, end: str) -> None:
        """PostgreSQL answers ROLLBACK to the COMMIT of a failed transaction, and nothing is raised.

        What a ROLLBACK is answered by matters little: the next reload tells whether it took everything back.
        """
        if end == "COMMIT" and tag != end:
            raise self.postgres.error(Reason.INCONCLUSIVE, f"answered {end} by {tag}: the transaction did not happen")


class RowConnection(Transactions):
    """One connection by which one kind of record is kept in Holdfast's own schema.

    `statements` are all that it may send.
    """

    statements: ClassVar[Mapping[str, str]]

    def __init__(self, postgres: Postgres, connection: asyncpg.Connection[Any], *, ways: Ways) -> None:
        super().__init__(postgres, connection, ways=ways)
        self.instance = ways.instance.mark

    @classmethod
    async def open(cls, ways: Ways, label: str, *, place: Place | None = None) -> Self:
        """A new connection, to the primary unless another place is named. Raises StoreError."""
        postgres = ways.primary_postgres if place is None else ways.postgres[place]
        return cls(postgres, await postgres.connect(label), ways=ways)

    async def change(self, statement: str, *arguments: object) -> None:
        """Run a statement that must touch exactly one row; else the server has not acknowledged what was asked."""
        tag = await self.connection.execute(self.statements[statement], *arguments)
        if tag.endswith(" 1"):
            return
        what = f"answered {statement} by {tag!r}, where one row was expected: nothing was acknowledged"
        if tag in {"UPDATE 0", "DELETE 0"}:
            raise MissingError(f"PostgreSQL at {self.postgres.address} {what}", store=Store.POSTGRES)
        raise self.postgres.error(Reason.INCONCLUSIVE, what)


async def has_rows(postgres: Postgres) -> bool:
    """Whether there is a schema of Holdfast's own in which this role could have rows. Raises StoreError."""
    connection = await postgres.connect("sweep")
    broken = True
    try:
        async with postgres.asked():
            there = await connection.fetchval(_HAS_SCHEMA)
        broken = False
    finally:
        await postgres.close(connection, broken=broken)
    return bool(there)


async def sweep_rows(postgres: Postgres, broom: Broom, *, dry_run: bool) -> int:
    """Remove leftover records of all kinds. Returns how many rows went (or would go).

    Of ledgers only those go that other daemons have abandoned, however young a record the broom takes.
    """

    async def sweep(connection: asyncpg.Connection[Any], user: str) -> int:
        own = (broom.instance.id, broom.instance.mark, broom.own_age, broom.any_age)
        tags = [
            await connection.execute(f"DELETE FROM holdfast.{table}{_RESIDUE}", user, *own)  # noqa: S608  constants
            for table in TABLES
        ]
        return sum(int(tag.rsplit(" ", 1)[-1]) for tag in tags)

    async def sweep_ledgers(connection: asyncpg.Connection[Any]) -> int:
        return await abandoned.sweep(connection, own=broom.instance.id)

    return await _as_each_user(postgres, sweep, then=sweep_ledgers, end="ROLLBACK" if dry_run else "COMMIT")


async def count_rows(postgres: Postgres) -> int:
    """How many synthetic records there are, of all instances, those of ledgers among them.

    A conversation counts as one, whatever its length.
    """
    counts = " + ".join(
        f"(SELECT count(*) FROM holdfast.{table} WHERE user_id = $1)"  # noqa: S608  constants
        for table in TABLES
        if table != "messages"
    )

    async def count(connection: asyncpg.Connection[Any], user: str) -> int:
        return int(await connection.fetchval(f"SELECT {counts}", user))

    return await _as_each_user(postgres, count, then=abandoned.count, end="COMMIT")


async def _as_each_user(
    postgres: Postgres,
    work: Callable[[asyncpg.Connection[Any], str], Awaitable[int]],
    *,
    then: Callable[[asyncpg.Connection[Any]], Awaitable[int]],
    end: str,
) -> int:
    """Do something as each synthetic user in turn, and something else as nobody; -> the sum of what they return.

    Row-level security is what fences it: a row of anybody else cannot even be seen.
    """
    connection = await postgres.connect("sweep")
    total, broken = 0, True
    try:
        async with postgres.asked():
            for user in (*map(synthetic_user, range(USERS)), None):
                await connection.execute(_begin(user, _SWEEP_TIMEOUT))
                total += await (work(connection, user) if user else then(connection))
                await connection.execute(end)
        broken = False
    finally:
        await postgres.close(connection, broken=broken)
    return total
