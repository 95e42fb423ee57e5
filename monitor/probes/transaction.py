"""Commit, fail, roll back, be killed, vanish; run transactions side by side; and compare with the declared level."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import ClassVar

from pydantic import Field

from monitor.core import generated, transactions
from monitor.core.atomicity import ROWS, Ending
from monitor.core.confirmation import Reading
from monitor.core.generated import KEYS, Recorded, Recorder, drawn, workload
from monitor.core.levels import LEVELS, Isolation
from monitor.core.schedules.catalogue import SCHEDULES
from monitor.core.schedules.notation import INITIAL
from monitor.core.transactions import Seen, checked_at, controls_of
from monitor.core.verdict import Finding, Kind
from monitor.ports import ConflictError, RegisterConnection, Store
from monitor.probe import Duration, Probe, Run, Use, together
from monitor.staging import CONNECTIONS, Stage

_ROW_BYTES = 28  # the set, the number and the value
_PATIENCE = 0.25  # of a run's timeout may go into a history, and as much into a second one; far away it is shorter
_FATAL = (Ending.KILL, Ending.VANISH)  # each costs a connection, and so comes last


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
    needs: ClassVar = {Store.POSTGRES: CONNECTIONS}
    steps: ClassVar = ("connect", *map(str, Ending), "schedule")

    timeout: Duration = Field(default=timedelta(seconds=25), description="The end of a run: some 200 round trips.")
    generate_every: Duration = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="How often, by and large, a run generates a history."
    )
    transactions: int = Field(default=200, ge=10, le=2000, description="Transactions in a generated history, at most.")

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
            use(operation="make_registers", times=1, rows=made, payload=made * _ROW_BYTES),
            use(operation="play_schedule", times=len(played), rows=written, payload=written * _ROW_BYTES),
            use(operation="look_at_registers", times=looks),
            now_and_then(operation="make_lists", times=1, rows=KEYS, payload=KEYS * _ROW_BYTES),
            now_and_then(operation="transact_on_lists", times=asked, rows=appends, payload=appends * _ROW_BYTES),
            now_and_then(operation="look_at_lists", times=1),
            use(operation="remove_registers", times=1),
        )

    async def observe(self, run: Run) -> Seen:
        """Single transactions, then several side by side, then two that do not come to their end.

        Where a single one is not right the run ends: all that follows would stand on sand.
        """
        stage, declared = Stage(run=run), run.environment.isolation
        try:
            await stage.open()
            begun = await stage.observer.default_level()
            trials = [await stage.attempt(ending) for ending in Ending if ending not in _FATAL]
            seen = Seen(declared=declared, begun=begun, trials=tuple(trials))
            if not any(reading.doubtful for reading in trials):
                seen = await self._side_by_side(stage, seen)
                trials += [await stage.attempt(ending) for ending in _FATAL]
            await stage.remove()
        finally:
            await stage.close()
        return replace(seen, trials=tuple(trials))

    async def _side_by_side(self, stage: Stage, seen: Seen) -> Seen:
        checked, controls = checked_at(seen.declared), controls_of(seen.declared)
        await stage.prepare(len(checked) + len(controls))
        return replace(
            seen,
            checks=tuple([await stage.check(name) for name in checked]),
            controls=tuple([await stage.show(name, level) for name, level in controls]),
            history=await self._history(stage, seen.declared) if self._generates(stage.run) else None,
        )

    def _generates(self, run: Run) -> bool:
        return drawn(run.run_id, every=self.every, generate_every=self.generate_every)

    async def _history(self, stage: Stage, declared: Isolation) -> Reading[Recorded]:
        return await stage.look(
            lambda: self._generate(stage), lambda recorded: any(generated.judge(recorded, declared))
        )

    async def _generate(self, stage: Stage) -> Recorded:
        """All connections carry out transactions at once; one looks at all lists when they are done."""
        rows, recorder = stage.new_set(), Recorder()
        await stage.observer.make({rows: dict.fromkeys(range(1, KEYS + 1), 0)})
        waiting = iter(workload(str(rows), count=self.transactions))
        clock = stage.run.clock
        over = clock.monotonic() + _PATIENCE * self.timeout.total_seconds()

        async def client(process: int, connection: RegisterConnection) -> None:
            for planned in waiting:
                if clock.monotonic() > over:
                    return
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
