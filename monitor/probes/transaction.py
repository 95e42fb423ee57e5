"""Commit, fail, roll back, be killed, vanish; run transactions side by side; and compare with the declared level."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import ClassVar, TypeVar
from uuid import UUID

from pydantic import Field

from monitor.core import atomicity, generated, transactions
from monitor.core.atomicity import ROWS, Ending, Trial
from monitor.core.confirmation import Reading
from monitor.core.generated import KEYS, Recorded, Recorder, drawn, workload
from monitor.core.levels import LEVELS, Isolation
from monitor.core.schedules.catalogue import SCHEDULES
from monitor.core.schedules.notation import INITIAL
from monitor.core.schedules.results import Result
from monitor.core.transactions import Played, Seen, checked_at, controls_of
from monitor.core.verdict import Finding, Kind
from monitor.ports import ConflictError, RegisterConnection, Store, StoreError
from monitor.probe import Duration, Probe, Run, Use, together

_CONNECTIONS = 3
_ROW_BYTES = 28  # the set, the number and the value
_ATTEMPTS = 3  # for what others beside it may disturb: a conflict is no verdict
_FATAL = (Ending.KILL, Ending.VANISH)  # each costs a connection, and so comes last

T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Stage:
    """Two actors, an observer, and every set of rows of a run. For a second look all three connections are replaced."""

    run: Run
    connections: list[RegisterConnection] = field(default_factory=list)
    sets: list[UUID] = field(default_factory=list)

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
        for _ in range(_CONNECTIONS):
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

    async def remove(self) -> None:
        """Tidy up. What cannot be removed is left to the sweep: a failure here must not outweigh what was seen."""
        with suppress(StoreError):
            await self.observer.remove(self.sets)

    async def look(self, scene: Callable[[Stage], Awaitable[T]], wrong: Callable[[T], bool]) -> Reading[T]:
        """Do something; and where what comes of it is wrong, once more on new connections to a known node."""
        first = await self._undisturbed(scene)
        if not wrong(first):
            return Reading(first=first)
        await self.close()
        await self.open()
        self.run.node = await self.observer.node()
        return Reading(first=first, second=await self._undisturbed(scene), node=self.run.node)

    async def _undisturbed(self, scene: Callable[[Stage], Awaitable[T]]) -> T:
        """Do something, and again where the server ended a transaction because of others, as it may."""
        for _ in range(_ATTEMPTS - 1):
            with suppress(ConflictError):
                return await scene(self)
            for actor in self.actors:
                await actor.end("ROLLBACK")
        return await scene(self)


class TransactionProbe(Probe[Seen]):
    """A transaction takes effect whole or not at all, and the declared isolation level really holds.

    What failed, was rolled back, killed or abandoned leaves nothing. Anomalies that the declared level forbids are
    provoked by directed schedules, each beside the same schedule at the level below, and now and then sought in a
    generated history. Transactions under test begin as the application's do, at the level that the role, the database
    or the server gives them.
    """

    name: ClassVar = "transaction"
    kinds: ClassVar = frozenset(
        {
            Kind.LOST,
            Kind.CORRUPT,
            Kind.DUPLICATED,
            Kind.PHANTOM,
            Kind.TORN,
            Kind.LOST_UPDATE,
            Kind.DIRTY_WRITE,
            Kind.ABORTED_READ,
            Kind.INTERMEDIATE_READ,
            Kind.CIRCULAR_FLOW,
            Kind.READ_SKEW,
            Kind.WRITE_SKEW,
        }
    )
    needs: ClassVar = {Store.POSTGRES: _CONNECTIONS}
    steps: ClassVar = ("connect", *map(str, Ending), "schedule")

    generate_every: Duration = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="How often, by and large, a run generates a history."
    )
    transactions: int = Field(default=200, ge=10, le=2000, description="Transactions in a generated history.")

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends where serializable is declared; weaker levels ask for fewer schedules."""
        use = partial(Use, store=Store.POSTGRES)
        single = partial(use, times=1, rows=len(ROWS), payload=len(ROWS) * _ROW_BYTES)
        names = [*checked_at(LEVELS[-1]), *(name for name, _ in controls_of(LEVELS[-1]))]
        played = [SCHEDULES[name].schedule for name in names]
        made, written = len(played) * len(INITIAL), sum(schedule.writes for schedule in played)
        looks = 1 + len(Ending) + sum(schedule.looks for schedule in played)
        now_and_then = partial(use, share=min(1.0, self.every / self.generate_every))
        asked, appends = self.transactions, sum(each.writes for each in workload("", count=self.transactions))
        return (
            use(operation="default_level", times=1),
            *(single(operation=f"attempt_{ending}") for ending in Ending),
            use(operation="make_registers", times=len(played), rows=made, payload=made * _ROW_BYTES),
            use(operation="play_schedule", times=len(played), rows=written, payload=written * _ROW_BYTES),
            use(operation="look_at_registers", times=looks),
            now_and_then(operation="make_lists", times=1, rows=KEYS, payload=KEYS * _ROW_BYTES),
            now_and_then(operation="transact_on_lists", times=asked, rows=appends, payload=appends * _ROW_BYTES),
            now_and_then(operation="look_at_lists", times=1),
            use(operation="remove_registers", times=1),
        )

    async def observe(self, run: Run) -> Seen:
        """Single transactions, then several side by side, then two that do not come to their end."""
        stage, declared = Stage(run=run), run.environment.isolation
        try:
            await stage.open()
            begun = await stage.observer.default_level()
            trials = [await _attempt(stage, ending) for ending in Ending if ending not in _FATAL]
            checks = [await stage.look(partial(_play, name=name), _has_occurred) for name in checked_at(declared)]
            controls = [await _show(stage, name, level) for name, level in controls_of(declared)]
            history = await self._history(stage, declared) if self._generates(run) else None
            trials += [await _attempt(stage, ending) for ending in _FATAL]
            await stage.remove()
        finally:
            await stage.close()
        return Seen(
            declared=declared,
            begun=begun,
            trials=tuple(trials),
            checks=tuple(checks),
            controls=tuple(controls),
            history=history,
        )

    def _generates(self, run: Run) -> bool:
        return drawn(run.run_id, every=self.every, generate_every=self.generate_every)

    async def _history(self, stage: Stage, declared: Isolation) -> Reading[Recorded]:
        return await stage.look(self._generate, lambda recorded: any(generated.judge(recorded, declared)))

    async def _generate(self, stage: Stage) -> Recorded:
        """All connections carry out transactions at once; one looks at all lists when they are done."""
        rows, recorder = stage.new_set(), Recorder()
        await stage.observer.make({rows: dict.fromkeys(range(1, KEYS + 1), 0)})
        waiting = iter(workload(str(rows), count=self.transactions))

        async def client(process: int, connection: RegisterConnection) -> None:
            for planned in waiting:
                recorder.begun(process, planned)
                try:
                    done = await connection.transact(rows, planned.wanted, end=planned.end)
                except ConflictError:
                    recorder.failed(process, planned)
                else:
                    recorder.ended(process, planned, done)

        await together(*(client(number, connection) for number, connection in enumerate(stage.connections)))
        return recorder.recorded(await stage.observer.lists(rows))

    def judge(self, seen: Seen) -> Finding:
        """Each transaction, each schedule beside its control, and the history."""
        return transactions.judge(seen)


async def _attempt(stage: Stage, ending: Ending) -> Reading[Trial]:
    async def scene(stage: Stage) -> Trial:
        actor = stage.actors[ending is Ending.VANISH]  # the other one has been killed by then
        async with stage.run.step(str(ending)):
            return await stage.run.environment.registers.attempt(
                ending, stage.new_set(), actor=actor, observer=stage.observer
            )

    return await stage.look(scene, lambda trial: any(atomicity.judge(trial)))


def _has_occurred(played: Played) -> bool:
    return played.result is Result.OCCURRED


async def _play(stage: Stage, *, name: str, level: Isolation | None = None) -> Played:
    """Carry out a schedule, again where it was disturbed."""
    return await _play_until(stage, name, level, lambda result: result is not Result.UNTOLD)


async def _show(stage: Stage, name: str, level: Isolation) -> Played:
    """Carry out a schedule where its anomaly must occur, again where it did not."""
    return await _play_until(stage, name, level, lambda result: result is Result.OCCURRED)


async def _play_until(stage: Stage, name: str, level: Isolation | None, wanted: Callable[[Result], bool]) -> Played:
    attempt = 0
    while True:
        attempt += 1
        rows = stage.new_set()
        await stage.observer.make({rows: INITIAL})
        async with stage.run.step("schedule"):
            answers = await stage.run.environment.registers.play(
                SCHEDULES[name].schedule, rows, actors=stage.actors, observer=stage.observer, level=level
            )
        played = Played(name=name, level=level, answers=answers)
        if wanted(played.result) or attempt == _ATTEMPTS:
            return played
