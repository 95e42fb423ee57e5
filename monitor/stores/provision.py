"""Holdfast's own schema: made where it may be, recognised, and never taken from another environment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from importlib.resources import files
from typing import Any

import asyncpg

from monitor.core.verdict import Reason
from monitor.ports import Outcome, Store, StoreError
from monitor.stores.postgres import Postgres
from monitor.stores.versions import too_old

_PATIENCE = timedelta(seconds=10)
SCHEMA_VERSION = 3
"""Grows with each change of schema.sql; an older schema is brought up to it by running that file again."""

_WHOSE = "SELECT name, version FROM holdfast.environment"
_CLAIM = (
    "INSERT INTO holdfast.environment (name, version) VALUES ($1, $2)"
    " ON CONFLICT (only_row) DO UPDATE SET version = excluded.version"
)
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('holdfast'))"  # two daemons may meet an empty database at once


def schema_sql() -> str:
    """The SQL that makes Holdfast's schema; it may be run again at any time."""
    return (files("monitor.stores") / "schema.sql").read_text("utf-8")


def roles_sql(environment: str, *, role: str, connections: int = 4) -> str:
    """The SQL for a DBA: a role that may do what the probes do and nothing else, and the schema it works in.

    It may have twice as many `connections` as one daemon and some more: for a second daemon, sweeps and people.
    """
    text = (files("monitor.stores") / "roles.sql").read_text("utf-8")
    for mark, value in (
        ("@role@", role),
        ("@limit@", str(2 * connections + 8)),
        ("@environment@", environment),
        ("@version@", str(SCHEMA_VERSION)),
        ("@schema@", schema_sql()),
    ):
        text = text.replace(mark, value)
    return text


def redis_acl(*, user: str, more: Sequence[str] = ()) -> str:
    """The Redis ACL for a user that may do what the probes do, on Holdfast's own keys only.

    `more` are words for what a binding names besides: patterns of keys, and commands of modules.
    """
    commands = (
        "+ping +echo +time +info +client|setname +select +get +mget +set +setrange +del +unlink +pexpire +pttl"
        " +hset +hgetall +hdel +hexists +hincrby +zadd +zrem +zremrangebyscore +zrange +zcard"
        " +watch +multi +exec +discard +eval +scan +publish +subscribe +xadd +xgroup|create"
        " +xreadgroup +xack +xpending +xclaim"
    )
    fence = "resetkeys ~holdfast:* resetchannels &holdfast:*"
    return f"ACL SETUSER {user} on >CHOOSE-A-PASSWORD {fence} nocommands {' '.join((commands, *more))}"


async def make_sure(postgres: Postgres, *, environment: str, provision: bool) -> None:
    """The schema is there and belongs to this environment.

    Raises StoreError with `misconfigured` if it is missing and may not be made, if it is another environment's, or if
    the server is too old for it.
    """
    connection = await postgres.connect("setup")
    broken = True
    try:
        if what := too_old(Store.POSTGRES, connection.get_settings().server_version):
            raise postgres.error(Reason.MISCONFIGURED, what)
        async with postgres.asked():
            owner, version = await _present(connection)
            if owner in {None, environment} and version < SCHEMA_VERSION:
                if not provision:
                    found = f"is of version {version}, not {SCHEMA_VERSION}" if version else "is missing"
                    what = f"the schema holdfast {found}, and postgres.provision is off"
                    raise _misconfigured(postgres, what, environment)
                owner = await _provision(connection, postgres, environment)
        broken = False
    finally:
        await postgres.close(connection, broken=broken)
    if owner != environment:
        message = (
            f"PostgreSQL at {postgres.address}: this database belongs to the environment {owner!r}, not to"
            f" {environment!r} (table holdfast.environment); check the DSN, or update that row after a renaming"
        )
        raise StoreError(Reason.MISCONFIGURED, message, store=Store.POSTGRES)


async def _present(connection: asyncpg.Connection[Any]) -> tuple[str | None, int]:
    """Whose the schema is and of which version; nobody's and 0 where there is none."""
    try:
        row = await connection.fetchrow(_WHOSE)
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None, 0
    return (None, 0) if row is None else (str(row["name"]), int(row["version"]))


async def _provision(connection: asyncpg.Connection[Any], postgres: Postgres, environment: str) -> str:
    try:
        async with connection.transaction(isolation="read_committed"):  # to see what the holder of the lock has made
            await connection.execute(_LOCK)
            owner, version = await _present_to_owner(connection)
            if owner not in {None, environment}:  # somebody else was faster
                return str(owner)
            if version < SCHEMA_VERSION:
                await connection.execute(schema_sql())
                await connection.execute(_CLAIM, environment, SCHEMA_VERSION)
            return environment
    except asyncpg.InsufficientPrivilegeError as error:
        raise _misconfigured(postgres, str(error), environment) from None


async def _present_to_owner(connection: asyncpg.Connection[Any]) -> tuple[str | None, int]:
    """The same within a transaction, which a failed statement would end."""
    missing = await connection.fetchval("SELECT to_regclass('holdfast.environment') IS NULL")
    return (None, 0) if missing else await _present(connection)


def _misconfigured(postgres: Postgres, what: str, environment: str) -> StoreError:
    message = (
        f"PostgreSQL at {postgres.address}: {what}; ask a DBA to run the SQL that"
        f" `holdfast setup {environment} --print` shows"
    )
    return StoreError(Reason.MISCONFIGURED, message, store=Store.POSTGRES)


async def grant(dsn: str, environment: str, *, role: str, connections: int) -> None:
    """Make the role and the schema, as whoever the DSN names. Raises StoreError."""
    postgres = Postgres(dsn, tally=_Nobody(), statement_timeout=_PATIENCE, connect_timeout=_PATIENCE)
    connection = await postgres.connect("setup")
    broken = True
    try:
        async with postgres.asked(), connection.transaction():
            await connection.execute(roles_sql(environment, role=role, connections=connections))
        broken = False
    finally:
        await postgres.close(connection, broken=broken)


class _Nobody:
    """A set-up by hand is counted nowhere."""

    def add(self, store: Store, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        pass
