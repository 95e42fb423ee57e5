"""The stage of `transaction`: its connections, what is tried on them, and the second look at what went wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from monitor.core import atomicity
from monitor.core.atomicity import Ending, Trial
from monitor.core.confirmation import Reading
from monitor.core.levels import Isolation
from monitor.core.schedules.catalogue import SCHEDULES
from monitor.core.schedules.notation import INITIAL
from monitor.core.schedules.results import Result
from monitor.core.transactions import Played
from monitor.ports import ConflictError, RegisterConnection, StoreError
from monitor.probe import Run

CONNECTIONS = 3
_ATTEMPTS = 3  # for what others beside it may disturb: a conflict is no verdict

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Stage:
    """Two actors, an observer, and every set of rows of a run. For a second look all three connections are replaced."""

    run: Run
    connections: list[RegisterConnection] = field(default_factory=list)
    sets: list[UUID] = field(default_factory=list)
    ready: list[UUID] = field(default_factory=list)

    @property
    def actors(self) -> list[RegisterConnection]:
        """Whose transactions are under test."""
        return self.connections[:2]

    @property
    def observer(self) -> RegisterConnection:
        """Who prepares, looks at what the actors leave, and tidies up."""
        return self.connections[2]

    async def open(self) -> None:
        """Open all three."""
        for _ in range(CONNECTIONS):
            async with self.run.step("connect"):
                self.connections.append(await self.run.environment.registers.connect(self.run.probe))

    async def close(self) -> None:
        """Really close them."""
        while self.connections:
            await self.connections.pop().close()

    def new_set(self) -> UUID:
        """The name of another set of rows of this run."""
        self.sets.append(self.run.author.id("set", len(self.sets)))
        return self.sets[-1]

    async def prepare(self, count: int) -> None:
        """Make so many sets of registers for schedules, all at once."""
        self.ready = [self.new_set() for _ in range(count)]
        await self.observer.make(dict.fromkeys(self.ready, INITIAL))

    async def registers(self) -> UUID:
        """A set of registers on which nothing was done yet."""
        if not self.ready:
            await self.prepare(1)
        return self.ready.pop()

    async def remove(self) -> None:
        """Tidy up. What cannot be removed is left to the sweep: a failure here must not outweigh what was seen."""
        with suppress(StoreError):
            await self.observer.remove(self.sets)

    async def look(self, scene: Callable[[], Awaitable[T]], wrong: Callable[[T], bool]) -> Reading[T]:
        """Do something; and where what comes of it is wrong, once more on new connections to a known node."""
        first = await self._undisturbed(scene)
        if not wrong(first):
            return Reading(first=first)
        await self.close()
        await self.open()
        self.run.node = await self.observer.node()
        return Reading(first=first, second=await self._undisturbed(scene), node=self.run.node)

    async def _undisturbed(self, scene: Callable[[], Awaitable[T]]) -> T:
        """Do something, and again where the server ended a transaction because of others, as it may."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(ConflictError):
                return await scene()
            for actor in self.actors:
                await actor.end("ROLLBACK")
        return await scene()

    async def attempt(self, ending: Ending) -> Reading[Trial]:
        """Carry out a transaction that ends in this way; and once more if it left what it must not."""

        async def scene() -> Trial:
            actor = self.actors[ending is Ending.VANISH]  # the other one has been killed by then
            async with self.run.step(str(ending)):
                return await self.run.environment.registers.attempt(
                    ending, self.new_set(), actor=actor, observer=self.observer
                )

        return await self.look(scene, lambda trial: any(atomicity.judge(trial)))

    async def check(self, name: str) -> Reading[Played]:
        """Carry out a schedule as the application would, again where it was disturbed; once more if it occurred."""
        return await self.look(
            lambda: self._play(name, None, lambda result: result is not Result.UNTOLD),
            lambda played: played.result is Result.OCCURRED,
        )

    async def show(self, name: str, level: Isolation) -> Played:
        """Carry out a schedule at a level where its anomaly must occur, again where it did not."""
        return await self._play(name, level, lambda result: result is Result.OCCURRED)

    async def _play(self, name: str, level: Isolation | None, wanted: Callable[[Result], bool]) -> Played:
        attempt = 0
        while True:
            attempt += 1
            rows = await self.registers()
            async with self.run.step("schedule"):
                answers = await self.run.environment.registers.play(
                    SCHEDULES[name].schedule, rows, actors=self.actors, observer=self.observer, level=level
                )
            played = Played(name=name, level=level, answers=answers)
            if wanted(played.result) or attempt == _ATTEMPTS:
                return played
