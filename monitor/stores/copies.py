"""A versioned record, and every place where its copies must arrive."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg

from monitor.core.document import Document
from monitor.core.freshness import Look, Origin
from monitor.core.payload import synthetic_user
from monitor.core.residue import key_of
from monitor.core.verdict import Reason
from monitor.ports import Place, Store, Way
from monitor.stores import documents
from monitor.stores.documents import CopyConnection, DocumentConnection
from monitor.stores.redis import fields
from monitor.stores.rows import READ_COMMITTED_SHOWN
from monitor.stores.ways import Ways

_SERVER = "extract(epoch FROM pg_postmaster_start_time())::text || ':' || current_setting('port')"

STATEMENTS: Mapping[str, str] = {
    # The insert position: with synchronous_commit off the written one may lie before an acknowledged COMMIT.
    "position": f"SELECT pg_current_wal_insert_lsn()::text || ' ' || {_SERVER}",
    "applied": f"SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn AS applied, {_SERVER} = $2 AS by_source",
    "version": "SELECT version FROM holdfast.profiles WHERE id = $1",
    "system": "SELECT system_identifier::text FROM pg_control_system()",
    "schema": "SELECT extract(epoch FROM created_at)::text FROM holdfast.environment",
}
"""Every statement on copies, by name."""

ROWS: Mapping[str, tuple[str, ...]] = {
    **documents.ROWS,
    "position": (STATEMENTS["position"],),
    "look_at_row": (READ_COMMITTED_SHOWN, STATEMENTS["version"], "ROLLBACK"),
    "look_at_replica": (READ_COMMITTED_SHOWN, STATEMENTS["applied"], STATEMENTS["version"], "ROLLBACK"),
}
"""What a probe may ask of PostgreSQL, and all that is then sent."""
KEYS: Mapping[str, tuple[str, ...]] = {
    **documents.KEYS,
    "replication_offset": ("ECHO NONCE", "INFO replication"),
    "look_at_copy": ("ECHO NONCE", "INFO replication", "GET {key}"),
}
"""The same of Redis."""

_NO_REPLICATION = "0" * 40  # what Redis tells where there is no second replication id
_MISSING = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)


class OwnCopies:
    """A versioned record, and every place where its copies must arrive."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    def key(self, run_id: str, name: str) -> str:
        """The key of a copy of one run."""
        return key_of(self._ways.environment, self._ways.instance, run_id, name, kind="copy")

    async def source(self, label: str) -> Rows:
        """A new connection to the primary of PostgreSQL."""
        return await Rows.open(self._ways, label)

    async def witness(self, store: Store, label: str) -> Rows:  # noqa: ARG002  only one has rows
        """The same: nothing else has rows."""
        return await self.source(label)

    async def cache(self, label: str) -> Keys:
        """A new connection to the primary of Redis."""
        return await Keys.open(self._ways, label)

    async def target(self, place: Place, label: str) -> Rows | Keys:
        """A new connection to any place."""
        return await (Keys if place.store is Store.REDIS else Rows).open(self._ways, label, place=place)


class Rows(DocumentConnection):
    """One connection to PostgreSQL, its pooler or a replica of it."""

    async def position(self) -> str:
        """The LSN up to which all is written that was acknowledged by now, and the server, as nobody else is named."""
        async with self.postgres.asked():
            return str(await self.connection.fetchval(STATEMENTS["position"]))

    async def look(self, document: Document, *, key: str, position: str) -> Look:  # noqa: ARG002  it is a row
        """The version of a row. A replica is asked first what it has replayed: one snapshot must not serve both."""
        async with self.transaction(document.user, level="read committed", end="ROLLBACK"):
            applied, by_source = await self._applied(position)
            try:
                version = await self.connection.fetchval(STATEMENTS["version"], document.id)
            except _MISSING as error:  # a replica that lags may not have the table yet
                if applied is not False:
                    raise self.postgres.error(
                        Reason.MISCONFIGURED, f"{error} (check the name of the database in the DSN)"
                    ) from None
                version = None
        return Look(version=version, applied=applied, by_source=by_source)

    async def _applied(self, position: str) -> tuple[bool | None, bool]:
        match self.postgres.place.way:
            case Way.PRIMARY:
                return True, False
            case Way.REPLICA:
                row = await self.connection.fetchrow(STATEMENTS["applied"], *position.split(" "))
                return row["applied"], row["by_source"]
            case _:
                return None, False

    async def origin(self) -> Origin:
        """The identifier of the cluster, where the role may see it, and the moment at which our schema was made."""
        return Origin(marks=(await self._mark("system"), await self._mark("schema")))

    async def _mark(self, statement: str) -> frozenset[str]:
        async with self.transaction(synthetic_user(0), level="read committed", end="ROLLBACK"):
            try:
                found = await self.connection.fetchval(STATEMENTS[statement])
            except (asyncpg.InsufficientPrivilegeError, *_MISSING):
                found = None
        return frozenset() if found is None else frozenset({str(found)})


class Keys(CopyConnection):
    """One connection to Redis or a replica of it."""

    async def position(self) -> str:
        """The replication id and offset up to which all is written that was acknowledged by now."""
        info = fields(await self.ask(("INFO", "replication")))
        return f"{info.get('master_replid', '')} {info.get('master_repl_offset', '')}"

    async def look(self, document: Document, *, key: str, position: str) -> Look:  # noqa: ARG002  it is a key
        """The version of a copy; the server is asked in the same pipeline, but before, what it has applied."""
        info, reply = await self.ask(("INFO", "replication"), self.reading(key))
        found, told = self.cached(reply).document, fields([info])
        return Look(
            version=found.version if found else None,
            applied=_applied(told, position),
            by_source=_is_source(told, position),
        )

    async def origin(self) -> Origin:
        """The replication ids, the one before the latest failover included."""
        info = fields(await self.ask(("INFO", "replication")))
        ids = {info.get("master_replid", ""), info.get("master_replid2", "")}
        return Origin(marks=(frozenset(ids - {"", _NO_REPLICATION}),))


def _applied(info: Mapping[str, str], position: str) -> bool | None:
    """Whether a server has applied a position; offsets of different histories cannot be compared."""
    history, _, offset = position.partition(" ")
    own = info.get("master_repl_offset" if info.get("role") == "master" else "slave_repl_offset", "")
    if not (history and offset.isdigit() and own.isdigit()):
        return None
    return info.get("master_replid") == history and int(own) >= int(offset)


def _is_source(info: Mapping[str, str], position: str) -> bool:
    """Whether a server is the one of a position: whoever is promoted begins a history of its own."""
    history = position.partition(" ")[0]
    return info.get("role") == "master" and info.get("master_replid") == history not in {"", _NO_REPLICATION}
