"""Many users at once, through the pooler where there is one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from monitor.core.crowd import Answer, Register
from monitor.core.record import Node
from monitor.core.verdict import Reason
from monitor.ports import Place, Store, StoreError, Way
from monitor.stores.rows import BEGIN_SHOWN, RowConnection
from monitor.stores.ways import Ways

# What a client leaves behind in a server connection. Poolers keep application_name and client_encoding in step with
# each client, and prepare statements by the protocol (which from_sql is not) on behalf of their clients. The values
# may be a customer's, so only names leave the server.
_DIRT = """
SELECT array_agg(what ORDER BY what) FROM (
    SELECT 'setting ' || name AS what FROM pg_settings
        WHERE source = 'session' AND setting IS DISTINCT FROM reset_val AND name <> ALL ($1::text[])
        AND name NOT IN ('application_name', 'client_encoding')
    UNION ALL SELECT 'setting ' || name FROM unnest($2::text[]) AS name
        WHERE coalesce(current_setting(name, true), '') <> '' AND name <> ALL ($1::text[])
    UNION ALL SELECT 'role' WHERE current_user <> session_user
    UNION ALL SELECT 'temporary table' WHERE EXISTS (
        SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relkind = 'r')
    UNION ALL SELECT 'prepared statement' WHERE EXISTS (SELECT FROM pg_prepared_statements WHERE from_sql)
    UNION ALL SELECT 'cursor' WHERE EXISTS (SELECT FROM pg_cursors WHERE is_holdable)
    UNION ALL SELECT 'advisory lock' WHERE EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())
    UNION ALL SELECT 'LISTEN' WHERE EXISTS (SELECT FROM pg_listening_channels())
) AS dirt
"""
STATEMENTS: Mapping[str, str] = {
    "enter": "BEGIN",
    "dirt": " ".join(_DIRT.split()),
    "leave": "COMMIT",
    "create": "INSERT INTO holdfast.registers (run, id, instance, user_id) VALUES ($1, $2, $3, $4)",
    "add_one": "UPDATE holdfast.registers SET value = value + 1 WHERE run = $1 AND id = $2",
    "read": (
        "SELECT $2::text AS nonce, current_setting('holdfast.user_id', true) AS acting_as, id, user_id, value,"
        " (SELECT CASE WHEN rolsuper THEN format('the role %I is a superuser', rolname)"
        " WHEN rolbypassrls THEN format('the role %I has BYPASSRLS', rolname) END"
        " FROM pg_roles WHERE rolname = current_user) AS unbound"
        " FROM (SELECT) AS always LEFT JOIN holdfast.registers ON run = $1 ORDER BY id"
    ),
    "forget": "DELETE FROM holdfast.registers WHERE run = $1",
}
"""Every statement, by name."""

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "look_around": (STATEMENTS["enter"], STATEMENTS["dirt"], STATEMENTS["leave"]),
    "create_register": (BEGIN_SHOWN, STATEMENTS["create"], "COMMIT"),
    "add_one": (BEGIN_SHOWN, STATEMENTS["add_one"], "COMMIT"),
    "read_registers": (BEGIN_SHOWN, STATEMENTS["read"], "COMMIT"),
    "vanish": (BEGIN_SHOWN, STATEMENTS["create"]),
    "forget_registers": (BEGIN_SHOWN, STATEMENTS["forget"], "COMMIT"),
}
"""What a probe may ask for, and all that is then sent; without a pooler nobody looks for what others left."""


class OwnCrowd:
    """Many users at once, through the pooler where there is one."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    @property
    def place(self) -> Place:
        """The pooler, or the primary itself, as an application's own pool would open it."""
        pooler = Place(Store.POSTGRES, Way.POOLER)
        return pooler if pooler in self._ways.postgres else Place(Store.POSTGRES)

    async def connect(self, label: str) -> OwnCrowdConnection:
        """A new connection on that way."""
        return await OwnCrowdConnection.open(self._ways, label, place=self.place)


class OwnCrowdConnection(RowConnection):
    """One user's connection. Whatever it asks stands in a transaction, so that a pooler gives it one server process."""

    statements: ClassVar = STATEMENTS

    async def node(self) -> Node:
        """The server at the other end, asked within a transaction."""
        async with self.transaction(None):
            return await super().node()

    async def enter(self) -> None:
        """Begin a transaction that sets nothing. Raises StoreError where the pool has nothing to give."""
        self._broken = True
        try:
            async with self.postgres.asked():
                await self.connection.execute(STATEMENTS["enter"])
        except StoreError as error:
            if error.reason is not Reason.TIMEOUT or self.postgres.place.way is not Way.POOLER:
                raise
            what = "gave no server connection in time (who holds them? look at cl_waiting in SHOW POOLS)"
            raise self.postgres.error(Reason.TIMEOUT, what) from None

    async def dirt(self, *, expected: Collection[str], empty: Collection[str]) -> tuple[str, ...]:
        """What others left; nothing where no others can have been here before."""
        if self.postgres.place.way is not Way.POOLER:
            return ()
        async with self.postgres.asked():
            found = await self.connection.fetchval(STATEMENTS["dirt"], list(expected), list(empty))
        return tuple(found or ())

    async def leave(self) -> None:
        """End the transaction."""
        async with self.postgres.asked():
            self._must_end(await self.connection.execute(STATEMENTS["leave"]), "COMMIT")
        self._broken = False

    async def create(self, run_id: str, number: int, *, user: str) -> None:
        """Write a register of value 0."""
        async with self.transaction(user):
            await self.change("create", run_id, number, self.instance, user)

    async def add_one(self, run_id: str, number: int, *, user: str) -> None:
        """Count a register up."""
        async with self.transaction(user):
            await self.change("add_one", run_id, number)

    async def read(self, run_id: str, *, user: str, nonce: str) -> Answer:
        """Every register of the run that this user can see, with the nonce in each row."""
        async with self.transaction(user):
            rows = await self.connection.fetch(STATEMENTS["read"], run_id, nonce)
        return Answer(
            nonce=rows[0]["nonce"],
            acting_as=rows[0]["acting_as"] or "",
            unbound=rows[0]["unbound"] or "",
            registers=tuple(
                Register(number=row["id"], user=row["user_id"], value=row["value"])
                for row in rows
                if row["id"] is not None
            ),
        )

    async def vanish(self, run_id: str, number: int, *, user: str) -> None:
        """Write a register, and drop the connection."""
        async with self.postgres.asked():
            await self.start(user, None)
            await self.change("create", run_id, number, self.instance, user)
        self.connection.terminate()

    async def forget(self, run_id: str, *, user: str) -> None:
        """Delete this user's registers of the run."""
        async with self.transaction(user):
            await self.connection.execute(STATEMENTS["forget"], run_id)
