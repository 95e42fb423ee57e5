"""Leftovers in an application's tables: what a killed daemon could not remove."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitor.core.payload import USERS, synthetic_user
from monitor.core.residue import Broom
from monitor.stores.bound.context import Bound
from monitor.stores.bound.sql import SqlConnection

_WHOLE_SECONDS = timedelta(seconds=2)


async def sweep_sql(bound: Bound, broom: Broom, *, dry_run: bool) -> int:
    """Remove what this daemon's synthetic users have left, by `clean` of the binding; -> how many rows that names.

    Which incarnation wrote a row, an application does not keep: every row goes that is older than any run lasts.
    """
    if bound.binding.postgres is None or not bound.binding.postgres.clean:
        return 0
    connection = await SqlConnection.open(bound, "sweep")
    users = {bound.identities.user(user): user for user in map(synthetic_user, range(USERS))}
    try:
        return sum([await _sweep(connection, user, broom, dry_run=dry_run) for user in users.values()])
    finally:
        await connection.close()


async def _sweep(connection: SqlConnection, user: str, broom: Broom, *, dry_run: bool) -> int:
    removed = 0
    async with connection.transaction(user, end="ROLLBACK" if dry_run else "COMMIT"):
        there: datetime = await connection.connection.fetchval("SELECT clock_timestamp()")
        # Rows may bear either clock's time: by the one that is behind, none of a run under way is old.
        # Where none is under way all of them go, also those whose moments are kept in whole seconds.
        here = datetime.now(UTC)
        before = min(there, here) - broom.own_age if broom.own_age else max(there, here) + _WHOLE_SECONDS
        values = {"before": before, "before_ms": round(before.timestamp() * 1000)}
        for statement in connection.sql.statements("clean"):
            _, tag = await connection.done(statement, values)
            word, _, count = tag.rpartition(" ")
            removed += int(count) if word in {"DELETE", "UPDATE"} else 0
    return removed
