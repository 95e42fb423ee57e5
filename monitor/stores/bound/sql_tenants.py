"""An application's users over SQL: each statement of the binding, on behalf of each user, for what is each other's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeAlias

import asyncpg

from monitor.bindings.guards import asks_whose, names_who, tables_of
from monitor.bindings.statements import Statement, inlined
from monitor.core.record import Node
from monitor.core.tenancy import NO_LONGER_ANYBODY, NOBODY, Look, Tenant
from monitor.core.verdict import Reason
from monitor.ports import MissingError, StoreError, Way
from monitor.stores.bound.belongings import Belongings, Sights
from monitor.stores.bound.context import Bound
from monitor.stores.bound.sql_policies import KEPT, WEAKNESSES
from monitor.stores.bound.sql_rehearsal import FORBIDDEN, block, literal
from monitor.stores.bound.sql_tampering import FORGED, UNTOLD, Tampering
from monitor.stores.bound.sql_threads import SqlThreadConnection
from monitor.stores.postgres import Postgres

Row: TypeAlias = Mapping[str, object]

READS: Final = ("load", "messages", "page", "newest", "count", "list")
MOST: Final = 50
"""How many rows are asked for at once; there are two."""
_PREPARED: Final = " by a prepared statement"
_SAVED: Final = "SAVEPOINT asked"
_BACK: Final = "ROLLBACK TO SAVEPOINT asked"
# What keeps somebody out may be a missing right, a policy or a trigger that raises, or a constraint.
_KEPT_OUT: Final = frozenset({Reason.REFUSED, Reason.MISCONFIGURED})


@dataclass(frozen=True, slots=True)
class Question:
    """One statement that reads, and the name of its path. `of_one` is whether it is asked for one user's at a time."""

    path: str
    statement: Statement
    of_one: bool


class SqlTenantConnection(SqlThreadConnection):
    """One connection. Who asks is told to the server as the binding's `begin` says, or not told at all."""

    def __init__(self, postgres: Postgres, connection: asyncpg.Connection[Any], *, bound: Bound) -> None:
        super().__init__(postgres, connection, bound=bound)
        self.things = Belongings(bound.binding.speech, bound.identities)
        self._left_out: dict[str, dict[str, None]] = {}

    @property
    def left_out(self) -> tuple[str, ...]:
        """The statements that cannot tell users apart, and the changes that nobody sees."""
        return tuple(f"{', '.join(paths)}: {why}" for why, paths in self._left_out.items())

    @cached_property
    def told(self) -> bool:
        """Whether the server is told who asks, so that it can tell users apart by itself."""
        return any(names_who(statement.sql) for statement in self.sql.statements("begin"))

    async def node(self) -> Node:
        """The server at the other end; through a pooler that is one server for the length of a transaction only."""
        async with self.transaction(None):
            return await super().node()

    async def settle(self, tenant: Tenant) -> None:
        """Store its thread with a message, and its profile."""
        if self.sql.threads:
            thread = self.things.thread(tenant)
            await self.create(thread)
            await self.append(thread, self.things.message(tenant))
        await self.settle_profile(tenant)

    async def settle_profile(self, tenant: Tenant) -> None:
        """Store its profile."""
        if self.sql.profile:
            async with self.transaction(tenant.user, sent_bytes=len(tenant.secret)):
                for statement in (*self.sql.statements("parents"), *self.sql.profile.statements("write")):
                    await self.done(statement, self.things.profile(tenant))

    async def clear(self, tenant: Tenant) -> None:
        """Delete everything of a user."""
        if self.sql.profile:
            async with self.transaction(tenant.user):
                for statement in self.sql.profile.statements("delete"):
                    await self.done(statement)
        if self.sql.threads:
            await self.delete_thread(self.things.thread(tenant))

    async def look(self, tenants: Sequence[Tenant]) -> Look:
        """Ask by every statement that reads, as nobody, as each, and as nobody again, on one connection."""
        sights, weaknesses = Sights(), tuple[str, ...]()
        kept = await self.kept_tables()
        await self._look_as_nobody(sights, NOBODY, tenants, kept)
        for tenant in tenants:
            async with self.saved(tenant.user):
                await self._look_as(sights, tenant, tenants)
                await self._look_as_forger(sights, tenant, tenants, kept)
                if self.postgres.place.way is not Way.POOLER:  # one plan, made for the first of them, then serves all
                    weaknesses = weaknesses or await self._weaknesses()
                    await self.connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
                    await self._look_as(sights, tenant, tenants, suffix=_PREPARED)
        await self._look_as_nobody(sights, NO_LONGER_ANYBODY, tenants, kept)
        return Look(sights=sights.all(), weaknesses=weaknesses)

    async def tamper(self, tenants: Sequence[Tenant]) -> Look:
        """Try to change everybody's data as each and as nobody; each transaction ends in ROLLBACK."""
        attempts = await Tampering(self, tenants, await self.kept_tables()).all()
        return Look(sights=attempts.all())

    async def _look_as(self, sights: Sights, viewer: Tenant, tenants: Sequence[Tenant], *, suffix: str = "") -> None:
        """On behalf of a user, in its own name: what is its own first."""
        for question in self._questions:
            if not self.tells(question.statement):
                self.leave_out(question.path, UNTOLD)
                continue
            for owner in (viewer, *(tenant for tenant in tenants if tenant is not viewer)):
                rows = await self._ask(question, owner, tenants, must=owner is viewer)
                sights.see(question.path + suffix, viewer.user, self._owners(rows, owner, tenants))
                if not question.of_one:
                    break

    async def _look_as_forger(
        self, sights: Sights, viewer: Tenant, tenants: Sequence[Tenant], kept: frozenset[str]
    ) -> None:
        """On behalf of a user, in the name of another: an application that forgot who asks, where policies have not."""
        for question in self._questions:
            if self.told and names_who(question.statement.sql) and self.is_kept(question.statement, kept):
                for owner in tenants:
                    rows = await self._ask(question, owner, tenants, must=owner is viewer, name=owner)
                    sights.see(question.path + FORGED, viewer.user, self._owners(rows, owner, tenants))

    async def _look_as_nobody(
        self, sights: Sights, viewer: str, tenants: Sequence[Tenant], kept: frozenset[str]
    ) -> None:
        """In the name of each, but without having told the server who asks."""
        questions = [
            question
            for question in self._questions
            if self.told and (not names_who(question.statement.sql) or self.is_kept(question.statement, kept))
        ]
        if questions:
            async with self.saved(None):
                for question in questions:
                    for owner in tenants:
                        rows = await self._ask(question, owner, tenants, must=False, name=owner)
                        sights.see(question.path, viewer, self._owners(rows, owner, tenants))

    @cached_property
    def _questions(self) -> tuple[Question, ...]:
        return tuple(self._each_question())

    def _each_question(self) -> Iterator[Question]:
        threads, profile = self.sql.threads, self.sql.profile
        for task in READS if threads else ():
            for statement in threads.statements(task) if threads else ():
                yield Question(f"threads.{task}", statement, of_one="thread_id" in statement.names)
        if profile:
            (read,) = profile.statements("read")
            yield Question("profile.read", read, of_one=False)

    async def _ask(
        self,
        question: Question,
        owner: Tenant,
        tenants: Sequence[Tenant],
        *,
        must: bool,
        name: Tenant | None = None,
    ) -> Sequence[Row]:
        """What a statement returns of an owner's. A refusal is nothing; where one `must` be let in, it is raised."""
        threads = self.bound.identities.threads
        values: dict[str, object] = {"limit": MOST, "after_id": None}
        if self.sql.threads:
            values["thread_id"] = threads.id(owner.id)
            values["thread_ids"] = [threads.id(tenant.id) for tenant in tenants]
        try:
            return await self.rows(question.statement, {**values, **(self.of(name.user) if name else {})})
        except StoreError as error:
            if must or not self.kept_out(error):
                raise
            await self.connection.execute(_BACK)
            return ()

    @staticmethod
    def kept_out(error: StoreError) -> bool:
        """Whether the server said no, and not that it cannot say."""
        return error.reason in _KEPT_OUT or isinstance(error, MissingError)

    def of(self, user: str) -> dict[str, object]:
        """The values by which a statement asks in the name of a user."""
        return self._of(user)

    async def forbids(self, statements: Sequence[Statement], values: Row) -> bool:
        """Whether the server would refuse these statements for want of a right, or by a policy."""
        written = []
        for statement in statements:
            with self.named(statement):
                prepared = await self._prepare(statement)
                places = zip(self._arguments(statement, prepared, values), prepared.get_parameters(), strict=True)
                texts = [literal(value, schema=kind.schema, name=kind.name) for value, kind in places]
                written.append(inlined(statement.sql, texts))
        with self.named(statements[0]):
            await self.connection.execute(block(written))
        return bool(await self.connection.fetchval(FORBIDDEN) == "yes")

    async def become(self, tenant: Tenant) -> None:
        """In the midst of a transaction, tell the server that another asks."""
        self._standing = self._of(tenant.user)
        for statement in self.sql.statements("begin"):
            if names_who(statement.sql):
                await self.rows(statement)

    async def back(self, viewer: Tenant | None) -> None:
        """Take back whatever was done since the transaction began, who asks included."""
        await self.connection.execute(_BACK)
        self._standing = self._of(viewer.user) if viewer else {}

    def _owners(self, rows: Sequence[Row], owner: Tenant, tenants: Sequence[Tenant]) -> frozenset[str]:
        """Whose these rows are. One that has nothing but a count is the owner's where it counts anything."""
        counted = {owner.user} if any(row.get("messages") for row in rows) else set()
        return self.things.marked(rows, tenants) | counted

    def tells(self, statement: Statement) -> bool:
        """Whether it can tell users apart, by itself or because the server is told who asks."""
        return self.told or asks_whose(statement.sql)

    def is_kept(self, statement: Statement, kept: frozenset[str]) -> bool:
        """Whether it touches tables of which the server itself keeps users apart."""
        return not kept.isdisjoint(tables_of(statement.sql))

    def leave_out(self, path: str, why: str) -> None:
        """A path is not tried, or proves nothing."""
        self._left_out.setdefault(why, {})[path] = None

    @asynccontextmanager
    async def saved(self, user: str | None, *, end: str = "COMMIT") -> AsyncIterator[None]:
        """A transaction as a user in which one can go back to its beginning.

        Nobody's begins as any other does, but for what says who asks.
        """
        async with self.transaction(user, end=end):
            for statement in self.sql.statements("begin") if user is None else ():
                if not names_who(statement.sql):
                    await self.rows(statement)
            await self.connection.execute(_SAVED)
            yield

    async def kept_tables(self) -> frozenset[str]:
        """The tables of which the server itself keeps users apart."""
        if not self.told:
            return frozenset()
        async with self.transaction(None):
            return frozenset(name for (name,) in await self.connection.fetch(KEPT, self._tables))

    async def _weaknesses(self) -> tuple[str, ...]:
        if not self.told:
            return ()
        return tuple(sentence for (sentence,) in await self.connection.fetch(WEAKNESSES, self._tables))

    @cached_property
    def _tables(self) -> list[str]:
        """Those of conversations and profiles: what `parents` need is not what is kept apart."""
        parts = [part for part in (self.sql.threads, self.sql.profile) if part]
        return sorted(
            {
                table
                for part in parts
                for task in type(part).model_fields
                for statement in part.statements(task)
                for table in tables_of(statement.sql)
            }
        )
