"""Synthetic users in the schema `holdfast`, and every path to what is theirs: the default binding of `isolation`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from monitor.core.payload import PROFILED
from monitor.core.record import Node
from monitor.core.tenancy import NO_LONGER_ANYBODY, NOBODY, Look, Row, Sight, Tenant, owners_of
from monitor.ports import Place, Way
from monitor.stores import attempts, tenant_keys
from monitor.stores.audit import AUDIT
from monitor.stores.rows import BEGIN_SHOWN, RowConnection
from monitor.stores.tenant_keys import OwnTenantKeys
from monitor.stores.ways import Ways

_SETTLE = """
WITH thread AS (
    INSERT INTO holdfast.threads (id, instance, user_id, name, metadata, message_count) VALUES ($1, $2, $3, $4, '{}', 1)
), message AS (
    INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)
    VALUES ($1, $1, $2, $3, 1, 'user', 'user_query', $4, '{}')
), profile AS (
    INSERT INTO holdfast.profiles (id, instance, user_id, version, body)
    VALUES ($1, $2, $3, 1, jsonb_build_object('secret', $4))
), register AS (
    INSERT INTO holdfast.registers (run, id, instance, user_id, items) VALUES ($1, 0, $2, $3, $4)
)
INSERT INTO holdfast.activities (id, kind, instance, user_id, content)
VALUES ($1, 'asked', $2, $3, $4), ($1, 'answered', $2, $3, $4)
""".strip()
_CLEAR = """
WITH message AS (DELETE FROM holdfast.messages WHERE id = $1),
    thread AS (DELETE FROM holdfast.threads WHERE id = $1),
    profile AS (DELETE FROM holdfast.profiles WHERE id = $1),
    register AS (DELETE FROM holdfast.registers WHERE run = $1)
DELETE FROM holdfast.activities WHERE id = $1
""".strip()
ROWS_OF_ONE = 6
"""How many rows one user has."""

_INVOKER_VIEW = "the view visible_messages"
_INVOKER_VIEWS_SINCE = 15
_IDS = "$1::text[]::uuid[]"  # for an array of uuid, asyncpg asks the catalogue first, and leaves a SET in the session
_SELECTS: Mapping[str, str] = {
    "the table threads": "SELECT user_id, name FROM holdfast.threads WHERE id = ANY ({ids})",
    "the table messages": "SELECT user_id, content FROM holdfast.messages WHERE id = ANY ({ids})",
    "the table profiles": "SELECT user_id, body ->> 'secret' FROM holdfast.profiles WHERE id = ANY ({ids})",
    "the table registers": "SELECT user_id, items FROM holdfast.registers WHERE run = ANY ({ids})",
    "the table activities": "SELECT user_id, content FROM holdfast.activities WHERE id = ANY ({ids})",
    "the partition activities_asked": "SELECT user_id, content FROM holdfast.activities_asked WHERE id = ANY ({ids})",
    "the partition activities_answered": (
        "SELECT user_id, content FROM holdfast.activities_answered WHERE id = ANY ({ids})"
    ),
    "the function read_messages": "SELECT user_id, content FROM holdfast.read_messages({ids})",
    "the view own_messages": "SELECT user_id, content FROM holdfast.own_messages WHERE id = ANY ({ids})",
    _INVOKER_VIEW: "SELECT user_id, content FROM holdfast.visible_messages WHERE id = ANY ({ids})",
    "the setting holdfast.user_id": "SELECT nullif(current_setting('holdfast.user_id', true), ''), NULL",
}
"""Every path by which rows are read, in the order asked; {ids} are those of this run's users, and nobody's else.

The last is what the connection itself says of its user.
"""
_PREPARED = " by a prepared statement"


def _look(paths: Iterable[str]) -> str:
    """One statement that takes all paths; each row begins with the path that it came by."""
    selects = (_SELECTS[path].replace("SELECT ", f"SELECT '{path}', ", 1).format(ids=_IDS) for path in paths)
    return "\nUNION ALL ".join(selects)


STATEMENTS: Mapping[str, str] = {
    "settle": _SETTLE,
    "clear": _CLEAR,
    "look": _look(_SELECTS),
    "look_without_invoker_view": _look(path for path in _SELECTS if path != _INVOKER_VIEW),
    "plan_once": "SET LOCAL plan_cache_mode = force_generic_plan",
    "audit": AUDIT,
    "reached": attempts.REACHED,
}
"""Every statement on users, by name."""

_BEGIN_NOBODY_SHOWN = "BEGIN; SET LOCAL statement_timeout = …; SET LOCAL lock_timeout = …"
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "settle_user": (BEGIN_SHOWN, _SETTLE, "COMMIT"),
    "look_as_nobody": (_BEGIN_NOBODY_SHOWN, STATEMENTS["look"], "COMMIT"),
    "look_as_user": (BEGIN_SHOWN, STATEMENTS["look"], STATEMENTS["plan_once"], STATEMENTS["look"], "COMMIT"),
    "look_through_pooler_as_nobody": (_BEGIN_NOBODY_SHOWN, STATEMENTS["look"], "COMMIT"),
    "look_through_pooler_as_user": (BEGIN_SHOWN, STATEMENTS["look"], "COMMIT"),
    "audit": (AUDIT,),
    "tamper_as_nobody": (_BEGIN_NOBODY_SHOWN, attempts.SHOWN, attempts.REACHED, "ROLLBACK"),
    "tamper_as_user": (BEGIN_SHOWN, attempts.SHOWN, attempts.REACHED, "ROLLBACK"),
    "clear_user": (BEGIN_SHOWN, _CLEAR, "COMMIT"),
}
"""What a probe may ask of PostgreSQL, and all that is then sent."""
KEYS = tenant_keys.OPERATIONS
"""The same of Redis."""


class OwnTenants:
    """Synthetic users in the schema `holdfast`, and every path to what is theirs."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    @property
    def users(self) -> int:
        """All but those whose profiles are for other probes."""
        return PROFILED

    async def connect(self, label: str, *, place: Place | None = None) -> OwnTenantConnection:
        """A new connection."""
        return await OwnTenantConnection.open(self._ways, label, place=place)

    async def connect_keys(self, label: str) -> OwnTenantKeys:
        """A new connection to Redis."""
        opened = await OwnTenantKeys.open(self._ways, label)
        opened.ways = self._ways
        return opened


class OwnTenantConnection(RowConnection):
    """One connection. Who asks is told to the server by SET LOCAL, or not told at all."""

    statements: ClassVar = STATEMENTS

    @property
    def left_out(self) -> tuple[str, ...]:
        """What this server does not have."""
        if self._has_invoker_views:
            return ()
        return (f"views with the rights of who asks: PostgreSQL has them since {_INVOKER_VIEWS_SINCE}",)

    @property
    def _has_invoker_views(self) -> bool:
        return int(self.connection.get_server_version().major) >= _INVOKER_VIEWS_SINCE

    @property
    def _paths(self) -> tuple[str, ...]:
        return tuple(path for path in _SELECTS if self._has_invoker_views or path != _INVOKER_VIEW)

    async def node(self) -> Node:
        """The server at the other end; through a pooler that is one server for the length of a transaction only."""
        async with self.transaction(None):
            return await super().node()

    async def settle(self, tenant: Tenant) -> None:
        """Store a thread with its message, a profile, a register and two activities."""
        async with self.transaction(tenant.user, sent_bytes=ROWS_OF_ONE * len(tenant.secret)):
            await self.connection.execute(_SETTLE, tenant.id, self.instance, tenant.user, tenant.secret)

    async def look(self, tenants: Sequence[Tenant]) -> Look:
        """Ask by every path as nobody, as each, and as nobody again, on one connection."""
        pooled = self.postgres.place.way is Way.POOLER
        sights = await self._look_as_nobody(NOBODY, tenants)
        for tenant in tenants:
            async with self.transaction(tenant.user):
                sights += await self._by_every_path(tenant.user, tenants)
                if not pooled:  # one plan, made for the first of them, then serves all
                    await self.connection.execute(STATEMENTS["plan_once"])
                    sights += await self._by_every_path(tenant.user, tenants, suffix=_PREPARED)
        sights += await self._look_as_nobody(NO_LONGER_ANYBODY, tenants)
        return Look(sights=tuple(sights), weaknesses=() if pooled else await self._weaknesses())

    async def _look_as_nobody(self, viewer: str, tenants: Sequence[Tenant]) -> list[Sight]:
        async with self.transaction(None):
            return await self._by_every_path(viewer, tenants)

    async def _by_every_path(self, viewer: str, tenants: Sequence[Tenant], *, suffix: str = "") -> list[Sight]:
        statement = STATEMENTS["look" if self._has_invoker_views else "look_without_invoker_view"]
        found: dict[str, list[Row]] = {path: [] for path in self._paths}
        for path, user, content in await self.connection.fetch(statement, [str(tenant.id) for tenant in tenants]):
            found[path].append((user, content))
        return [
            Sight(path=path + suffix, viewer=viewer, owners=owners_of(rows, tenants)) for path, rows in found.items()
        ]

    async def _weaknesses(self) -> tuple[str, ...]:
        async with self.postgres.asked():
            return tuple(sentence for (sentence,) in await self.connection.fetch(AUDIT))

    async def tamper(self, tenants: Sequence[Tenant]) -> Look:
        """Try to change everybody's data as each and as nobody; each transaction ends in ROLLBACK."""
        sights = [sight for viewer in (*tenants, None) for sight in await self._tamper(viewer, tenants)]
        return Look(sights=tuple(sights))

    async def _tamper(self, viewer: Tenant | None, tenants: Sequence[Tenant]) -> list[Sight]:
        async with self.transaction(viewer.user if viewer else None, end="ROLLBACK"):
            await self.connection.execute(attempts.block(self.instance, viewer, tenants))
            reached: list[tuple[str, str]] = json.loads(await self.connection.fetchval(attempts.REACHED))
        return [
            Sight(
                path=path,
                viewer=viewer.user if viewer else NO_LONGER_ANYBODY,
                owners=frozenset(owner for by, owner in reached if by == path),
            )
            for path in (attempts.PATHS if viewer else attempts.PATHS_OF_NOBODY)
        ]

    async def clear(self, tenant: Tenant) -> None:
        """Delete everything of a user."""
        async with self.transaction(tenant.user):
            await self.connection.execute(_CLEAR, tenant.id)
