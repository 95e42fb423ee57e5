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
from monitor.core.atomicity import Trial
from monitor.core.confirmation import Reading
from monitor.core.generated import KEYS, Planned, Recorded, drawn, workload
from monitor.core.history.operations import Kind as End
from monitor.core.history.operations import MicroOperation, Operation
from monitor.core.levels import LEVELS, Isolation
from monitor.core.schedules.catalogue import SCHEDULES
from monitor.core.schedules.notation import AFTERWARDS, INITIAL, Verb
from monitor.core.schedules.results import Result
from monitor.core.transactions import Played, Seen, checked_at, controls_of
from monitor.core.verdict import Finding, Kind
from monitor.ports import ConflictError, RegisterConnection, Store, StoreError
from monitor.probe import Duration, Probe, Run, Use, together

ROWS = {1: 101, 2: 102, 3: 103}
"""What each single transaction writes, a statement for each row."""
_ROW_BYTES = 28  # the set, the number and the value
_SINGLE = (
    "insert_and_commit",
    "insert_and_fail",
    "insert_and_roll_back",
    "insert_with_savepoints",
    "insert_and_be_killed",
    "insert_and_vanish",
)
_ATTEMPTS = 3  # for what others beside it may disturb: a conflict is no verdict
_NOT_ENDED = "what a killed server process leaves: the role may not end a process of its own, or a pooler hides it"

T = TypeVar("T")
Scene = Callable[["Stage"], Awaitable[T]]


@dataclass(slots=True, kw_only=True)
class Stage:
    """Three connections, and every set of rows that was made on them. They are replaced for a second look."""

    run: Run
    connections: list[RegisterConnection] = field(default_factory=list)
    sets: list[UUID] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def writer(self) -> RegisterConnection:
        """The first actor."""
        return self.connections[0]

    @property
    def rival(self) -> RegisterConnection:
        """The second actor."""
        return self.connections[1]

    @property
    def observer(self) -> RegisterConnection:
        """Who looks at what the others leave."""
        return self.connections[2]

    async def open(self) -> None:
        """Open all three."""
        for _ in range(3):
            async with self.run.step("connect"):
                self.connections.append(await self.run.environment.registers.connect(self.run.probe))

    async def close(self) -> None:
        """Really close them."""
        while self.connections:
            await self.connections.pop().close()

    def new_set(self) -> UUID:
        """The name of a set of rows of this run."""
        self.sets.append(self.run.author.id("set", len(self.sets)))
        return self.sets[-1]

    async def remove(self) -> None:
        """Tidy up. What cannot be removed is left to the sweep: a failure here must not outweigh what was seen."""
        with suppress(StoreError):
            await self.observer.remove(self.sets)

    async def look(self, scene: Scene[T], wrong: Callable[[T], bool]) -> Reading[T]:
        """Do something; and where what comes of it is wrong, once more on new connections to a known node."""
        first = await _undisturbed(self, scene)
        if not wrong(first):
            return Reading(first=first)
        await self.close()
        await self.open()
        self.run.node = await self.observer.node()
        return Reading(first=first, second=await _undisturbed(self, scene), node=self.run.node)


class TransactionProbe(Probe[Seen]):
    """A transaction takes effect whole or not at all, and the declared isolation level really holds.

    What failed, was rolled back, killed or abandoned leaves nothing. Anomalies that the declared level forbids are
    provoked by directed schedules, each beside the same schedule at the level below, and now and then sought in a
    generated history.
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
    needs: ClassVar = {Store.POSTGRES: 3}
    steps: ClassVar = ("connect", "write", "end", "look", "schedule")

    generate_every: Duration = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="How often, by and large, a run generates a history."
    )
    transactions: int = Field(default=200, ge=10, le=2000, description="Transactions in a generated history.")

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends where serializable is declared; weaker levels ask for fewer schedules."""
        use = partial(Use, store=Store.POSTGRES)
        strictest = LEVELS[-1]
        played = [SCHEDULES[name].schedule for name in (*checked_at(strictest), *dict(controls_of(strictest)))]
        looked_at = sum(any(step.actor == AFTERWARDS for step in schedule.steps) for schedule in played)
        written = sum(step.verb in {Verb.WRITE, Verb.ADD} for schedule in played for step in schedule.steps)
        made = len(played) * len(INITIAL)
        share = min(1.0, self.every / self.generate_every)
        return (
            use(operation="default_level", times=1),
            *(use(operation=each, times=1, rows=len(ROWS), payload=len(ROWS) * _ROW_BYTES) for each in _SINGLE),
            use(operation="make_registers", times=len(played), rows=made, payload=made * _ROW_BYTES),
            use(operation="play_schedule", times=len(played), rows=written, payload=written * _ROW_BYTES),
            use(operation="look_at_registers", times=len(_SINGLE) + 1 + looked_at),
            use(operation="make_registers_for_lists", times=1, rows=KEYS, payload=KEYS * _ROW_BYTES, share=share),
            use(
                operation="transact_on_lists",
                times=self.transactions,
                rows=self.transactions,
                payload=self.transactions * _ROW_BYTES,
                share=share,
            ),
            use(operation="look_at_lists", times=1, share=share),
            use(operation="remove_registers", times=1),
        )

    async def observe(self, run: Run) -> Seen:
        """Single transactions, then several side by side, then two that do not come to their end."""
        stage, declared = Stage(run=run), run.environment.isolation
        try:
            await stage.open()
            begun = await stage.writer.default_level()
            trials = [await stage.look(each, _is_wrong) for each in (_committed, _failed, _rolled_back, _in_part)]
            checks = [await stage.look(partial(_played, name=name), _has_occurred) for name in checked_at(declared)]
            controls = [await _shown(stage, name, level) for name, level in controls_of(declared)]
            history = None
            if drawn(run.run_id, every=self.every, generate_every=self.generate_every):
                history = await stage.look(self._history, lambda recorded: any(generated.judge(recorded, declared)))
            trials.append(await stage.look(_killed, _is_wrong))
            trials.append(await stage.look(_vanished, _is_wrong))
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
            left_out=tuple(dict.fromkeys(stage.left_out)),
        )

    async def _history(self, stage: Stage) -> Recorded:
        rows, operations = stage.new_set(), list[Operation]()
        await stage.observer.make({rows: dict.fromkeys(range(1, KEYS + 1), 0)})
        waiting = iter(workload(str(rows), count=self.transactions))

        def record(kind: End, process: int, value: tuple[MicroOperation, ...]) -> None:
            operations.append(Operation(kind, process, value, len(operations)))

        async def client(process: int, connection: RegisterConnection) -> None:
            for planned in waiting:
                record(End.INVOKE, process, planned.wanted)
                record(*await _transacted(connection, rows, planned, process))

        await together(*(client(number, connection) for number, connection in enumerate(stage.connections)))
        return Recorded(operations=tuple(operations), final=await stage.observer.lists(rows))

    def judge(self, seen: Seen) -> Finding:
        """Each transaction, each schedule beside its control, and the history."""
        return transactions.judge(seen)


async def _transacted(
    connection: RegisterConnection, rows: UUID, planned: Planned, process: int
) -> tuple[End, int, tuple[MicroOperation, ...]]:
    """One transaction of a history, and how it ended."""
    try:
        done = await connection.transact(rows, planned.wanted, end=planned.end)
    except ConflictError:
        return End.FAIL, process, planned.wanted
    return (End.OK, process, done) if planned.end == "COMMIT" else (End.FAIL, process, planned.wanted)


async def _undisturbed(stage: Stage, scene: Scene[T]) -> T:
    """Do something, and again where the server ended a transaction because of others, as it may."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(ConflictError):
            return await scene(stage)
        for actor in (stage.writer, stage.rival):
            await actor.end("ROLLBACK")
    return await scene(stage)


def _is_wrong(trial: Trial) -> bool:
    return any(atomicity.judge(trial))


def _has_occurred(played: Played) -> bool:
    return played.result is Result.OCCURRED


async def _committed(stage: Stage) -> Trial:
    rows, run = stage.new_set(), stage.run
    async with run.step("write"):
        await stage.writer.begin()
        await stage.writer.insert(rows, ROWS)
    during = await stage.observer.look(rows)
    async with run.step("end"):
        answer = await stage.writer.end("COMMIT")
    if answer != "COMMIT":
        raise ConflictError(f"COMMIT was answered by {answer}", why=answer)
    async with run.step("look"):
        after = await stage.observer.look(rows)
    return Trial(name="a transaction that commits", wrote=ROWS, keeps=ROWS, during=during, after=after, answer=answer)


async def _failed(stage: Stage) -> Trial:
    """COMMIT after a statement that failed: the server answers ROLLBACK to it, and raises nothing."""
    rows = stage.new_set()
    await stage.writer.begin()
    await stage.writer.insert(rows, ROWS)
    await stage.writer.fail(rows, 1)
    answer = await stage.writer.end("COMMIT")
    after = await stage.observer.look(rows)
    return Trial(name="COMMIT of a transaction that failed", wrote=ROWS, after=after, answer=answer)


async def _rolled_back(stage: Stage) -> Trial:
    rows = stage.new_set()
    await stage.writer.begin()
    await stage.writer.insert(rows, ROWS)
    async with stage.run.step("end"):
        await stage.writer.end("ROLLBACK")
    after = await stage.observer.look(rows)
    return Trial(name="a transaction that is rolled back", wrote=ROWS, after=after)


async def _in_part(stage: Stage) -> Trial:
    """What follows a savepoint is taken back, what comes before and after it is kept."""
    rows, writer = stage.new_set(), stage.writer
    await writer.begin()
    await writer.insert(rows, {1: ROWS[1]})
    await writer.savepoint("SAVEPOINT")
    await writer.insert(rows, {2: ROWS[2]})
    await writer.savepoint("ROLLBACK TO SAVEPOINT")
    await writer.insert(rows, {3: ROWS[3]})
    await writer.savepoint("RELEASE SAVEPOINT")
    answer = await writer.end("COMMIT")
    after = await stage.observer.look(rows)
    keeps = {1: ROWS[1], 3: ROWS[3]}
    return Trial(
        name="a transaction that goes back to a savepoint", wrote=ROWS, keeps=keeps, after=after, answer=answer
    )


async def _killed(stage: Stage) -> Trial:
    """The server process of an open transaction of our own is ended."""
    rows, name = stage.new_set(), "a transaction whose server process is killed"
    await stage.writer.begin()
    await stage.writer.insert(rows, ROWS)
    process = await stage.writer.process()
    if not await stage.observer.end_process(process):
        stage.left_out.append(_NOT_ENDED)
        await stage.writer.end("ROLLBACK")
        return Trial(name=name, wrote=ROWS)
    gone = await stage.observer.gone(process)
    answer = await stage.writer.commit_if_alive()
    after = await stage.observer.look(rows)
    return Trial(name=name, wrote=ROWS, after=after, answer=answer, doubt=_still_there(gone=gone))


async def _vanished(stage: Stage) -> Trial:
    """The client of an open transaction is gone without a word."""
    rows = stage.new_set()
    await stage.rival.begin()
    await stage.rival.insert(rows, ROWS)
    process = await stage.rival.process()
    stage.rival.vanish()
    gone = await stage.observer.gone(process)
    after = await stage.observer.look(rows)
    return Trial(name="a transaction whose client vanishes", wrote=ROWS, after=after, doubt=_still_there(gone=gone))


def _still_there(*, gone: bool) -> str:
    return "" if gone else "its server process is still there, as if it knew of nothing"


async def _played(stage: Stage, *, name: str, level: Isolation | None = None) -> Played:
    """Carry out a schedule, again where it was disturbed."""
    return await _until(stage, name, level, lambda result: result is not Result.UNTOLD)


async def _shown(stage: Stage, name: str, level: Isolation) -> Played:
    """Carry out a schedule where its anomaly must occur, again where it did not."""
    return await _until(stage, name, level, lambda result: result is Result.OCCURRED)


async def _until(stage: Stage, name: str, level: Isolation | None, wanted: Callable[[Result], bool]) -> Played:
    attempt = 1
    while True:
        rows = stage.new_set()
        await stage.observer.make({rows: INITIAL})
        async with stage.run.step("schedule"):
            answers = await stage.run.environment.registers.play(
                SCHEDULES[name].schedule,
                rows,
                actors=(stage.writer, stage.rival),
                observer=stage.observer,
                level=level,
            )
        played = Played(name=name, level=level, answers=answers)
        if wanted(played.result) or attempt == _ATTEMPTS:
            return played
        attempt += 1
