"""Give some users a secret each, and try by every path to reach it as each other, as nobody, and through the pooler.

An application that a binding names is asked by all that the binding has: its statements, and its requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import ClassVar, TypeVar

from pydantic import Field

from monitor.core import tenancy
from monitor.core.payload import PROFILED
from monitor.core.tenancy import Look, Part, Seen, Tenant, Unseen, tenants_of
from monitor.core.verdict import Finding, Kind
from monitor.ports import Connection, Place, Store, StoreError, Surroundings, Way
from monitor.probe import Duration, Probe, Run, Use

C = TypeVar("C", bound=Connection)

ROWS_OF_ONE = 6
SECRET_BYTES = 48
POOLER = Place(Store.POSTGRES, Way.POOLER)
API = Place(Store.API)

NO_FENCE = (
    "whether Redis keeps Holdfast from other keys: the URL names no user of its own; give it one with the ACL that"
    " `holdfast setup ENV --print` shows"
)


@dataclass(slots=True, kw_only=True)
class Notes:
    """What a run notes on its way."""

    run: Run
    tenants: tuple[Tenant, ...]
    parts: list[Part] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    async def read(
        self,
        name: str,
        look: Callable[[C], Awaitable[Look]],
        *,
        on: C,
        connect: Callable[[str], Awaitable[C]],
        step: str,
        hiding: str = tenancy.HIDDEN_BY_STORES,
    ) -> None:
        """Look; and where somebody reached what is not its own, look once more on a new connection."""
        reading = await self.run.reading(
            look,
            lambda seen: not tenancy.leaks(seen),
            on=on,
            connect=connect,
            step=step,
        )
        self.parts.append(Part(name=name, reading=reading, hiding=hiding))

    async def aside(self, part: Awaitable[None]) -> None:
        """A part that the others do not depend on: where it fails they are carried out all the same."""
        try:
            await part
        except StoreError as error:
            self.unseen.append(Unseen(reason=error.reason, message=str(error), place=str(error.place)))

    def end(self) -> Seen:
        """All that was seen."""
        return Seen(
            users=tuple(tenant.user for tenant in self.tenants),
            parts=tuple(self.parts),
            unseen=tuple(self.unseen),
            left_out=tuple(self.left_out),
        )


class IsolationProbe(Probe[Seen]):
    """What belongs to one user is neither seen nor changed by another, nor by whoever is nobody, on any path.

    The paths are tables, partitions, views, a function, prepared statements, writes, a pooler, and keys in Redis. Of an
    application that is bound they are its own: each statement, on behalf of each user with the ids of each other, and
    where the database has policies with their names as well; each request, with each user's token and each other's
    ids, without a token, and with one that nobody gave. What is cached by path alone shows when several ask in turn.
    """

    name: ClassVar = "isolation"
    kinds: ClassVar = frozenset({Kind.LEAKED})
    needs: ClassVar = {Store.POSTGRES: 2}
    steps: ClassVar = (
        "connect",
        "settle",
        "look_through_pooler",
        "look_at_keys",
        "reconnect",
        "look",
        "tamper",
        "clear",
        "settle_through_api",
        "look_through_api",
        "tamper_through_api",
    )

    every: Duration = Field(default=timedelta(minutes=1), description="One run each so often.")
    timeout: Duration = Field(default=timedelta(seconds=30), description="The end of a run, whatever happens.")
    budgets: Mapping[str, Duration] = Field(
        default={
            "look": timedelta(seconds=5),
            "tamper": timedelta(seconds=5),
            "look_through_api": timedelta(seconds=10),
            "tamper_through_api": timedelta(seconds=20),
        },
        description="Other budgets for single steps.",
    )
    users: int = Field(
        default=3, ge=2, le=PROFILED, description="Users of whom each tries to reach what is each other's."
    )
    fence: bool = Field(
        default=True,
        description="Whether a Redis user that the URL names must be refused keys that are not Holdfast's.",
    )

    def wants(self) -> dict[Store, int]:
        """Redis is looked at where there is one."""
        return {Store.POSTGRES: 2, Store.REDIS: 2}

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """What an environment that has no more than this does not let it see."""
        rows = Store.POSTGRES in around.moved(self.name, self.needs)
        absent = {
            "paths through the application's API: none is bound": Store.API not in self._layers(around),
            "paths through the application's tables: the binding names none": not rows,
            "what leaks through a pooler: the environment names none": rows and POOLER not in around.places,
            "keys in Redis: the environment has none": Store.REDIS not in around.stores,
        }
        return tuple(sentence for sentence, is_so in absent.items() if is_so)

    def _layers(self, around: Surroundings) -> dict[Store, int]:
        """Where users' things are asked for: in the database, through an application's API, or both."""
        moved = around.moved(self.name, self.needs)
        return {store: count for store, count in moved.items() if store in around.stores}

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends."""
        rows, keys = partial(Use, store=Store.POSTGRES), partial(Use, store=Store.REDIS)
        written, many = self.users * ROWS_OF_ONE, self.users
        return (
            rows(operation="settle_user", times=many, rows=written, payload=written * SECRET_BYTES),
            rows(operation="look_through_pooler_as_nobody", times=2),
            rows(operation="look_through_pooler_as_user", times=many),
            rows(operation="look_as_nobody", times=2),
            rows(operation="look_as_user", times=many),
            rows(operation="audit", times=1),
            rows(operation="tamper_as_user", times=many),
            rows(operation="tamper_as_nobody", times=1),
            rows(operation="clear_user", times=many),
            keys(operation="settle_users", times=many, rows=many, payload=many * SECRET_BYTES),
            keys(operation="look_as_users", times=many),
            keys(operation="look_beyond_the_fence", times=int(self.fence)),
            keys(operation="clear_users", times=1),
        )

    async def observe(self, run: Run) -> Seen:
        """Look at rows, and through the API where one is bound, then at Redis.

        Of the database and an API, each is asked even where the other is down.
        """
        notes = Notes(run=run, tenants=tenants_of(run.author, min(self.users, run.environment.tenants.users)))
        looks = {Store.POSTGRES: self._look_at_rows, Store.API: self._look_through_api}
        wanted = [looks[store] for store in self._layers(run.environment.surroundings)]
        if len(wanted) == 1:
            await wanted[0](notes)
        else:
            for look in wanted:
                await notes.aside(look(notes))
        if Store.REDIS in run.environment.stores:
            await notes.aside(self._look_at_keys(notes))
        return notes.end()

    async def _look_at_rows(self, notes: Notes) -> None:
        """Settle the users and go away; look through the pooler, and on the primary; tamper; clear.

        On each new connection nobody asks first: there nobody has said yet who it is.
        """
        run, where, tenants = notes.run, "on the primary", notes.tenants
        connect = run.environment.tenants.connect
        async with run.connection(connect, step="connect") as writer:
            for tenant in tenants:
                async with run.step("settle"):
                    await writer.settle(tenant)
        if POOLER in run.environment.places:
            await notes.aside(self._look_through_pooler(notes))
        async with run.connection(connect, step="reconnect") as reader:
            await notes.read(where, lambda on: on.look(tenants), on=reader, connect=connect, step="look")
            await notes.read(where, lambda on: on.tamper(tenants), on=reader, connect=connect, step="tamper")
            notes.left_out += reader.left_out
            with suppress(StoreError):  # what was seen outweighs a failure to tidy up, which the sweep makes good
                for tenant in tenants:
                    async with run.step("clear"):
                        await reader.clear(tenant)

    async def _look_through_pooler(self, notes: Notes) -> None:
        """The same as on the primary, but for what only the primary can tell."""
        connect = partial(notes.run.environment.tenants.connect, place=POOLER)
        async with notes.run.connection(connect) as connection:
            await notes.read(
                "through the pooler",
                lambda on: on.look(notes.tenants),
                on=connection,
                connect=connect,
                step="look_through_pooler",
            )

    async def _look_through_api(self, notes: Notes) -> None:
        """Each user's token against each other's ids, on each request that the binding names."""
        run, where, tenants = notes.run, "through the API", notes.tenants
        connect = partial(run.environment.tenants.connect, place=API)
        read = partial(notes.read, where, connect=connect, hiding=tenancy.HIDDEN_BY_API)
        async with run.connection(connect) as user:
            try:
                async with run.step("settle_through_api"):
                    for tenant in tenants:
                        await user.settle(tenant)
                await read(lambda on: on.look(tenants), on=user, step="look_through_api")
                await read(lambda on: on.tamper(tenants), on=user, step="tamper_through_api")
                notes.left_out += user.left_out
            finally:
                with suppress(StoreError):
                    for tenant in tenants:
                        await user.clear(tenant)

    async def _look_at_keys(self, notes: Notes) -> None:
        """Each user's key, and where there is a fence around Holdfast's keys, what lies beyond it."""
        run = notes.run
        connect = run.environment.tenants.connect_keys
        async with run.connection(connect) as keys:
            fence = self.fence and keys.fenced
            if self.fence and not fence:
                notes.left_out.append(NO_FENCE)
            await keys.settle(run.run_id, notes.tenants)
            await notes.read(
                "in Redis",
                lambda on: on.look(run.run_id, notes.tenants, fence=fence),
                on=keys,
                connect=connect,
                step="look_at_keys",
            )
            with suppress(StoreError):
                await keys.clear(run.run_id, notes.tenants)

    def judge(self, seen: Seen) -> Finding:
        """Each path, from each user to each other; then whether each found what is its own."""
        return tenancy.judge(seen)
