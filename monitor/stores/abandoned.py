"""Rows of ledgers whose daemon is gone, and how many rows of ledgers there are."""

from __future__ import annotations

from typing import Any

import asyncpg

from monitor.stores.postgres import Postgres

ABANDONED_DAYS = 8
"""A ledger's rows are another daemon's to sweep when its register has not moved for so long, and neither are they
younger: the default ladder ends after 7 days, so that nobody looks for them any more, and a day is for being late."""

_BOUND = 20_000  # rows in one sweep: more than a ladder of a week leaves behind, and less than a second of work
_BEFORE = f"clock_timestamp() - interval '{ABANDONED_DAYS} days'"
_RECORDS = (
    "DELETE FROM holdfast.ledger_records WHERE (daemon, series, n) IN ("  # noqa: S608  constants
    "SELECT record.daemon, record.series, record.n FROM holdfast.ledger_records AS record"
    " LEFT JOIN holdfast.ledger_registers AS register ON register.daemon = record.daemon"
    f" WHERE record.daemon <> $1 AND record.created_at < {_BEFORE}"
    f" AND (register.moved_at IS NULL OR register.moved_at < {_BEFORE}) LIMIT {_BOUND})"
)
_REGISTERS = (
    "DELETE FROM holdfast.ledger_registers AS register WHERE daemon <> $1"  # noqa: S608  constants
    f" AND moved_at < {_BEFORE}"
    " AND NOT EXISTS (SELECT FROM holdfast.ledger_records AS record WHERE record.daemon = register.daemon)"
)
_COUNT = "SELECT count(*) FROM holdfast.ledger_records"


async def sweep(connection: asyncpg.Connection[Any], *, own: str) -> int:
    """Remove what other daemons than `own` have abandoned; -> how many rows. What is left over goes the next time."""
    tags = [await connection.execute(statement, own) for statement in (_RECORDS, _REGISTERS)]
    return sum(int(tag.rsplit(" ", 1)[-1]) for tag in tags)


async def count(connection: asyncpg.Connection[Any]) -> int:
    """How many records the ledgers of all daemons have here."""
    return int(await connection.fetchval(_COUNT))


async def remembered(postgres: Postgres) -> int:
    """The same, on a connection of its own. Raises StoreError."""
    connection = await postgres.connect("sweep")
    broken = True
    try:
        async with postgres.asked():
            found = await count(connection)
        broken = False
    finally:
        await postgres.close(connection, broken=broken)
    return found
