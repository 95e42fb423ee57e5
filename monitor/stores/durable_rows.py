"""PostgreSQL as what keeps the ledger's writes: one register of each daemon, and records that are looked for again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, ClassVar

import asyncpg

from monitor.core.ledger.entries import Entry, Mark, content_of, digest_of
from monitor.core.ledger.evidence import PostgresEvidence
from monitor.core.ledger.found import Sighting, Written
from monitor.core.verdict import Reason
from monitor.ports import Place, Way
from monitor.stores.postgres import Postgres
from monitor.stores.rows import RowConnection
from monitor.stores.ways import Ways

_BATCH = 1000  # records or marks in one statement: some 130 kB of either
_MOST_OTHERS = 20  # other daemons that are told of; the latest first

# FOR UPDATE makes `held` what the register holds now, not what it held when the statement began: a write whose answer
# was lost may still be about to commit. What is no mark (somebody's hand) counts as nothing, and is written over.
_MOVE = r"""WITH held AS (SELECT mark FROM holdfast.ledger_registers WHERE daemon = $1 FOR UPDATE),
 moved AS (UPDATE holdfast.ledger_registers AS register SET mark = $2, moved_at = clock_timestamp() FROM held
 WHERE register.daemon = $1
 AND (held.mark = ANY (string_to_array($3, ' ')) OR ($4::boolean AND held.mark !~ '^[^/]*/[0-9]+$')) RETURNING 1),
 made AS (INSERT INTO holdfast.ledger_registers (daemon, mark) SELECT $1, $2
 WHERE $4::boolean AND NOT EXISTS (SELECT FROM held) ON CONFLICT (daemon) DO NOTHING RETURNING 1)""".replace("\n", "")
_MOVED = "EXISTS (SELECT FROM moved) OR EXISTS (SELECT FROM made)"
_HELD = "(SELECT mark FROM held) AS before"
_MARKS = (
    "SELECT split_part(mark, '/', 1), split_part(mark, '/', 2)::bigint FROM unnest(string_to_array($2, ' ')) AS mark"
)
_EVIDENCE = (
    "SELECT NOT pg_is_in_recovery() AS writable,"
    " host(inet_server_addr()) || ':' || inet_server_port() AS address,"
    " CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_walfile_name(pg_current_wal_lsn()) END AS file,"
    " pg_postmaster_start_time()::text AS started,"
    " extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8 AS uptime,"
    " pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END,"
    " '0/0')::bigint AS lsn,"
    " extract(epoch FROM current_setting('wal_writer_delay')::interval)::float8 AS delay,"
    " {} AS system"
)

STATEMENTS: Mapping[str, str] = {
    "move": f"{_MOVE} SELECT {_MOVED} AS moved, {_HELD}",
    "record": (
        f"{_MOVE}, recorded AS (INSERT INTO holdfast.ledger_records (daemon, series, n, content)"  # noqa: S608  constants
        f" SELECT $1, $5, $6::bigint, $7 WHERE {_MOVED} RETURNING 1)"
        f" SELECT {_MOVED} AS moved, {_HELD}, EXISTS (SELECT FROM recorded) AS recorded,"
        " pg_current_xact_id()::text AS xid"
    ),
    "read": "SELECT mark FROM holdfast.ledger_registers WHERE daemon = $1",
    "delete": (
        "DELETE FROM holdfast.ledger_records WHERE daemon = $1"  # noqa: S608  constants
        f" AND (series, n) IN ({_MARKS})"
    ),
    "leave": (
        "WITH records AS (DELETE FROM holdfast.ledger_records WHERE daemon = $1)"
        " DELETE FROM holdfast.ledger_registers WHERE daemon = $1"
    ),
    "evidence": _EVIDENCE.format("(SELECT system_identifier::text FROM pg_control_system())"),
    "evidence without system": _EVIDENCE.format("''"),
    "registers": (
        "SELECT daemon, mark, extract(epoch FROM clock_timestamp() - moved_at)::float8 AS idle,"  # noqa: S608  constants
        " CASE WHEN daemon <> $1 THEN"
        " (SELECT count(*) FROM holdfast.ledger_records AS record WHERE record.daemon = register.daemon) END AS records"
        " FROM holdfast.ledger_registers AS register"
        f" ORDER BY daemon = $1 DESC, moved_at DESC LIMIT {_MOST_OTHERS + 1}"
    ),
    "wanted": (
        "SELECT series, n, content FROM holdfast.ledger_records WHERE daemon = $1"  # noqa: S608  constants
        f" AND (series, n) IN ({_MARKS})"
    ),
    "all": (
        "SELECT series, n, content FROM holdfast.ledger_records"  # noqa: S608  constants
        f" WHERE daemon = $1 AND (series, n) > ($2, $3::bigint) ORDER BY series, n LIMIT {_BATCH}"
    ),
    "happened": "SELECT pg_xact_status($1::text::xid8)",
}
"""Every statement on the ledger's rows, by name. Lists are sent as text: of a type of lists the driver would ask
first."""

_BEGIN_RECORD = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = …; SET LOCAL lock_timeout = …"
_BEGIN_LOOK = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_AROUND = (_BEGIN_LOOK, STATEMENTS["evidence"], STATEMENTS["registers"])
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "introduce": (STATEMENTS["evidence"],),
    "move_register": (STATEMENTS["move"],),
    "leave_record": (_BEGIN_RECORD, STATEMENTS["record"], "COMMIT"),
    "read_register": (STATEMENTS["read"],),
    "look_at_server": (*_AROUND, "ROLLBACK"),
    "look_at_records": (*_AROUND, STATEMENTS["wanted"], "ROLLBACK"),
    "look_at_all_records": (*_AROUND, STATEMENTS["all"], "ROLLBACK"),
    "ask_for_outcome": (STATEMENTS["happened"],),
    "delete_records": (STATEMENTS["delete"],),
    "leave": (STATEMENTS["leave"],),
}
"""What a probe may ask, and all that is then sent. Each connection introduces itself once, when it is opened; of
records, each thousand takes a statement of its own."""

_MISSING = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)


class RowDurables:
    """PostgreSQL as what keeps the ledger's writes."""

    lifetime = None

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    async def writer(self, label: str) -> OwnRows:
        """A new connection to the primary. Raises StoreError."""
        return await self._introduced(label, None)

    async def reader(self, label: str, *, place: Place | None = None) -> OwnRows:
        """A new connection to the primary, or to another place. Raises StoreError."""
        return await self._introduced(label, place)

    async def _introduced(self, label: str, place: Place | None) -> OwnRows:
        rows = await OwnRows.open(self._ways, label, place=place)
        try:
            await rows.introduce()
        except BaseException:
            await rows.close()
            raise
        return rows


class OwnRows(RowConnection):
    """One connection: this daemon's register and records, and what the server says of itself."""

    statements: ClassVar = STATEMENTS

    def __init__(self, postgres: Postgres, connection: asyncpg.Connection[Any], *, ways: Ways) -> None:
        super().__init__(postgres, connection, ways=ways)
        self._daemon = ways.instance.id
        self._weak = False
        self._asking = "evidence"
        self.xid = ""
        self.evidence: PostgresEvidence
        connection.add_log_listener(self._warned)

    async def introduce(self) -> None:
        """Ask who the server is; once, right after the connection was opened."""
        async with self._alone():
            try:
                self.evidence = await self._seen()
            except asyncpg.InsufficientPrivilegeError:  # some managed servers keep their identifier to themselves
                self._asking = "evidence without system"
                self.evidence = await self._seen()

    async def read(self) -> Mark | None:
        """What the register holds."""
        async with self._alone():
            return _mark(await self.connection.fetchval(STATEMENTS["read"], self._daemon))

    async def write(self, entry: Entry, *, expected: Collection[Mark | None]) -> Written:
        """Move the register to the entry's mark and, if it is identified, leave its record: both or neither."""
        marks = " ".join(str(mark) for mark in expected if mark is not None)
        move = (self._daemon, str(entry.mark), marks, None in expected)
        self._weak, self.xid = False, ""
        if entry.identified:
            written = await self._record(entry, move)
        else:
            async with self._alone(committing=True):
                written = self._written(await self.connection.fetchrow(STATEMENTS["move"], *move))
        if not written.moved and written.before in expected:
            what = f"did not move the ledger's register, although it holds {written.before or 'nothing'}, as expected"
            raise self.postgres.error(Reason.INCONCLUSIVE, f"{what}; does a trigger or a rule stand in the way?")
        return written

    async def _record(self, entry: Entry, move: Sequence[object]) -> Written:
        content = content_of(entry.environment, entry.store, entry.mark)
        record = (entry.mark.series, entry.mark.n, content)
        async with self.transaction(None, sent_bytes=len(content.encode()), level="read committed"):
            row = await self.connection.fetchrow(STATEMENTS["record"], *move, *record)
            if row["moved"] != row["recorded"]:
                what = "moved the ledger's register and did not keep the record; does a trigger or a rule drop it?"
                raise self.postgres.error(Reason.INCONCLUSIVE, what)
            self.xid = row["xid"]
        return self._written(row)

    def _written(self, row: asyncpg.Record) -> Written:
        return Written(moved=row["moved"], before=_mark(row["before"]), weak=self._weak)

    async def delete(self, marks: Collection[Mark]) -> None:
        """Delete these records, and no more of them than that."""
        for batch in _batches(marks):
            async with self._alone(committing=True):
                await self.connection.execute(STATEMENTS["delete"], self._daemon, batch)

    async def leave(self) -> None:
        """Delete the register and all records of this daemon."""
        async with self._alone(committing=True):
            await self.connection.execute(STATEMENTS["leave"], self._daemon)

    async def look(
        self,
        wanted: Collection[Mark] | None,
        *,
        known: Collection[Mark] = (),  # noqa: ARG002  a table lists what is in it
    ) -> Sighting:
        """The register and the records of these marks, or of all of this daemon's, in one snapshot.

        A replica that has not come so far as to have the tables has no register and no records.
        """
        async with self._snapshot():
            evidence = await self._seen()
            try:
                registers = await self.connection.fetch(STATEMENTS["registers"], self._daemon)
            except _MISSING:
                if self.postgres.place.way is not Way.REPLICA:
                    raise
                return Sighting(evidence=evidence, register=None, digests={})
            found = self._all() if wanted is None else self._wanted(wanted)
            digests = {Mark(row["series"], row["n"]): digest_of(row["content"]) async for row in found}
        own = [row["mark"] for row in registers if row["daemon"] == self._daemon]
        others = [row for row in registers if row["daemon"] != self._daemon and row["records"]]
        return Sighting(
            evidence=evidence,
            register=_mark(own[0]) if own else None,
            digests=digests,
            others=tuple((row["daemon"], row["records"], row["idle"]) for row in others[:_MOST_OTHERS]),
        )

    async def _wanted(self, marks: Collection[Mark]) -> AsyncIterator[asyncpg.Record]:
        for batch in _batches(marks):
            for row in await self.connection.fetch(STATEMENTS["wanted"], self._daemon, batch):
                yield row

    async def _all(self) -> AsyncIterator[asyncpg.Record]:
        last, full = ("", -1), True
        while full:
            rows = await self.connection.fetch(STATEMENTS["all"], self._daemon, *last)
            for row in rows:
                yield row
            full = len(rows) == _BATCH
            last = (rows[-1]["series"], rows[-1]["n"]) if full else last

    async def happened(self, xid: str) -> bool | None:
        """Whether a transaction is known to have committed; None where it runs yet, is too old, or not of here."""
        if not xid:
            return None
        async with self._alone():
            try:
                status = await self.connection.fetchval(STATEMENTS["happened"], xid)
            except asyncpg.InvalidParameterValueError:  # in the future of this server: it was another one's
                return None
        return {"committed": True, "aborted": False}.get(status)

    async def _seen(self) -> PostgresEvidence:
        row = await self.connection.fetchrow(STATEMENTS[self._asking])
        return PostgresEvidence(
            address=row["address"] or self.postgres.address,
            writable=row["writable"],
            system=row["system"],
            timeline=int(row["file"][:8] or "0", 16),
            started=row["started"],
            uptime=timedelta(seconds=row["uptime"]),
            lsn=row["lsn"] or 0,
            delay=timedelta(seconds=row["delay"]),
        )

    @asynccontextmanager
    async def _alone(self, *, committing: bool = False) -> AsyncIterator[None]:
        """One statement that is its own transaction; what it changed stays even where its answer is lost."""
        self._broken = True  # who did not hear the answer does not wait for a goodbye either
        async with self.postgres.asked(committing=committing):
            yield
        self.ended()

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[None]:
        self._broken = True
        async with self.postgres.asked():
            await self.connection.execute(_BEGIN_LOOK)
            yield
            await self.connection.execute("ROLLBACK")
        self.ended()

    def _warned(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        """The wait for a synchronous standby was cancelled: told by the function, for words are translated."""
        self._weak = self._weak or (
            message.sqlstate == "01000" and message.server_source_function == "SyncRepWaitForLSN"
        )


def _mark(text: str | None) -> Mark | None:
    return None if text is None else Mark.parse(text)


def _batches(marks: Collection[Mark]) -> Iterator[str]:
    ordered = [str(mark) for mark in sorted(marks)]
    for start in range(0, len(ordered), _BATCH):
        yield " ".join(ordered[start : start + _BATCH])
