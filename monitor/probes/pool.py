"""Send many users through the pool at once, cut some of them off, and send them all again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from secrets import token_hex
from typing import ClassVar

from pydantic import Field

from monitor.core import crowd
from monitor.core.confirmation import Reading
from monitor.core.crowd import CUT, Seen, Visit, Wave
from monitor.core.payload import USERS, synthetic_user
from monitor.core.verdict import Finding, Kind
from monitor.ports import MissingError, Place, Store, StoreError, Surroundings, Way
from monitor.ports.crowd import CrowdConnection
from monitor.probe import Duration, Probe, Run, Use, together


@dataclass(slots=True)
class Gate:
    """Holds users in their transactions until all are there, so that each has a server connection of its own.

    Where the pool is smaller than the crowd they would wait for each other for ever: the first whose patience ends
    opens the gate for all.
    """

    users: int
    patience: float
    inside: int = 0
    most: int = 0
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self) -> None:
        """Wait for the others."""
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside == self.users:
            self.opened.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                await self.opened.wait()
        self.opened.set()
        self.inside -= 1


class PoolProbe(Probe[Seen]):
    """Many users at once each get a connection in time, find nothing of each other in it, and only their own data.

    The pool comes back after connections were cut in the middle of a transaction.
    """

    name: ClassVar = "pool"
    kinds: ClassVar = frozenset(
        {Kind.LEAKED, Kind.MISROUTED, Kind.LOST, Kind.LOST_UPDATE, Kind.DUPLICATED, Kind.PHANTOM}
    )
    needs: ClassVar = {Store.POSTGRES: 2}
    steps: ClassVar = ("connect", "wait", "write", "read")

    users: int = Field(default=4, ge=2, le=100, description="Users at once, each with a connection of its own.")
    transactions: int = Field(default=3, ge=1, le=100, description="Transactions of each user, in each of two waves.")
    cuts: int = Field(default=1, ge=0, le=10, description="Connections that are cut in the middle of a transaction.")
    hold: Duration = Field(
        default=timedelta(milliseconds=200),
        description="How long a user keeps its server connection at most, until all the others have theirs.",
    )
    expected_settings: tuple[str, ...] = Field(
        default=(), description="Settings that the pooler itself makes in each connection, as by connect_query."
    )
    tenant_settings: tuple[str, ...] = Field(
        default=("holdfast.user_id",),
        description="Settings by which an application says who its user is; they must be empty to begin with.",
    )

    def wants(self) -> Mapping[Store, int]:
        """One connection for each user."""
        return {Store.POSTGRES: self.users}

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """What clients leave behind in each other's connections shows only where connections are shared."""
        if Place(Store.POSTGRES, Way.POOLER) in around.places:
            return ()
        alone = "there is no pooler, and an application's own pool cannot be seen from outside"
        return (f"what clients leave behind in shared connections is not checked: {alone}",)

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends."""
        use = partial(Use, store=Store.POSTGRES)
        return (
            use(operation="look_around", times=2 * self.users),
            use(operation="create_register", times=self.users, rows=self.users),
            use(
                operation="add_one",
                times=2 * self.users * self.transactions,
                rows=2 * self.users * self.transactions,
            ),
            use(operation="read_registers", times=2 * self.users),
            use(operation="vanish", times=self.cuts, rows=self.cuts),
            use(operation="forget_registers", times=min(self.users, USERS)),
        )

    async def observe(self, run: Run) -> Seen:
        """All at once; some are cut off; all at once again. A wave that is not right is looked at by one more."""
        seen = await self._waves(run, dict.fromkeys(range(self.users), 0))
        await self._forget(run)
        return seen

    async def _waves(self, run: Run, counted: dict[int, int]) -> Seen:
        first = await self._wave(run, counted, create=True)
        if any(crowd.compare(first)):
            return Seen(before=await self._again(run, counted, first), after=None)
        await self._cut(run)
        second = await self._wave(run, counted)
        if any(crowd.compare(second)):
            return Seen(before=Reading(first=first), after=await self._again(run, counted, second))
        return Seen(before=Reading(first=first), after=Reading(first=second))

    async def _again(self, run: Run, counted: dict[int, int], first: Wave) -> Reading[Wave]:
        second = await self._wave(run, counted)
        async with run.connection(run.environment.crowd.connect) as fresh:
            run.node = await fresh.node()
        return Reading(first=first, second=second, node=run.node)

    async def _wave(self, run: Run, counted: dict[int, int], *, create: bool = False) -> Wave:
        gate = Gate(self.users, self.hold.total_seconds())
        visits: dict[int, Visit] = {}

        async def visit(number: int) -> None:
            async with run.connection(run.environment.crowd.connect, step="connect") as connection:
                visits[number] = await self._visit(run, connection, number, gate, counted, create=create)

        await together(*(visit(number) for number in range(self.users)))
        return Wave(at_once=gate.most, visits=tuple(visits[number] for number in sorted(visits)))

    async def _visit(
        self, run: Run, connection: CrowdConnection, number: int, gate: Gate, counted: dict[int, int], *, create: bool
    ) -> Visit:
        user, nonce = synthetic_user(number), token_hex(8)
        async with run.step("wait"):
            await connection.enter()
        dirt = await connection.dirt(expected=self.expected_settings, empty=self.tenant_settings)
        await gate.wait()
        await connection.leave()
        seen = partial(Visit, number=number, user=user, dirt=dirt, nonce=nonce)
        if dirt:
            return seen(answer=None, expected=counted[number])
        if create:
            async with run.step("write"):
                await connection.create(run.run_id, number, user=user)
        with suppress(MissingError):  # what was acknowledged before is then missed by the read
            for _ in range(self.transactions):
                async with run.step("write"):
                    await connection.add_one(run.run_id, number, user=user)
                counted[number] += 1
        async with run.step("read"):
            answer = await connection.read(run.run_id, user=user, nonce=nonce)
        return seen(answer=answer, expected=counted[number])

    async def _cut(self, run: Run) -> None:
        for number in range(self.cuts):
            async with run.connection(run.environment.crowd.connect, step="connect") as connection:
                await connection.vanish(run.run_id, CUT + number, user=synthetic_user(number))

    async def _forget(self, run: Run) -> None:
        """Tidy up. What cannot be removed is left to the sweep: a failure here must not outweigh what was seen."""
        with suppress(StoreError):
            async with run.connection(run.environment.crowd.connect) as connection:
                for number in range(min(self.users, USERS)):
                    await connection.forget(run.run_id, user=synthetic_user(number))

    def judge(self, seen: Seen) -> Finding:
        """A kind counts where two waves on new connections show it."""
        return crowd.judge(seen)
