"""Carries out a schedule on real connections: each statement when those before it are answered, or wait for a lock."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from uuid import UUID

from monitor.core.schedules.notation import AFTERWARDS, Schedule, Step, Value, Verb
from monitor.core.schedules.results import Answer
from monitor.ports import Isolation
from monitor.ports.registers import ConflictError, RegisterConnection, Registered

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.1  # seconds between two questions whether a statement waits, at least


class Director:
    """Whether a statement waits is read from the server, so that nothing depends on how fast anything is.

    What a transaction is asked to do while it waits comes after that. A schedule that was disturbed all the same,
    say by somebody who locked the table, proves nothing wrong: its marks cannot show unless the anomaly occurred.
    """

    def __init__(
        self,
        schedule: Schedule,
        rows: UUID,
        *,
        actors: Sequence[RegisterConnection],
        observer: RegisterConnection,
        level: Isolation | None,
    ) -> None:
        self._schedule = schedule
        self._rows = rows
        self._cast = dict(zip(schedule.actors, actors, strict=False))  # not every schedule needs all of them
        self._observer = observer
        self._level = level
        self._answers: dict[int, Answer] = {}
        self._to_do: dict[str, deque[int]] = {actor: deque() for actor in self._cast}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._processes: dict[str, int] = {}
        self._waited: set[str] = set()
        self._ended: set[str] = set()
        self._known: dict[tuple[str, int], Value] = {}
        self._round_trip = 0.0  # seconds; what is answered sooner than in two of them need not be asked after

    async def direct(self) -> tuple[Answer, ...]:
        """Carry it out from the first step to the last; -> the answers. Raises StoreError."""
        steps = self._schedule.steps
        try:
            for number, step in enumerate(steps):
                if step.actor != AFTERWARDS:
                    self._to_do[step.actor].append(number)
                if step.verb is not Verb.BEGIN:  # all begin at once, with the first statement of any of them
                    await self._settle()
            while self._running:  # the last commit lets go of what still waits
                await self._settle(patient=True)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._look_afterwards()
        return tuple(self._answers[number] for number in range(len(steps)))

    async def _settle(self, *, patient: bool = False) -> None:
        """Go on until each transaction has done all that it was asked to, or waits for a lock."""
        pause = max(_FIRST_PAUSE, 2 * self._round_trip)
        while True:
            for actor, to_do in self._to_do.items():
                if to_do and actor not in self._running:
                    self._running[actor] = asyncio.create_task(self._next(actor, to_do.popleft()))
            if not self._running:
                return
            done, _ = await asyncio.wait(
                self._running.values(), timeout=None if patient else pause, return_when=asyncio.FIRST_COMPLETED
            )
            if done:
                self._take(done)
            elif all([await self._waits(actor) for actor in self._running]):
                self._waited.update(self._running)
                return
            else:
                pause = max(pause, min(2 * pause, _LONGEST_PAUSE))

    def _take(self, done: set[asyncio.Task[None]]) -> None:
        for actor, task in list(self._running.items()):
            if task in done:
                del self._running[actor]
                self._waited.discard(actor)
                task.result()

    async def _waits(self, actor: str) -> bool:
        return actor in self._processes and await self._observer.waits(self._processes[actor])

    async def _next(self, actor: str, number: int) -> None:
        step = self._schedule.steps[number]
        if actor in self._ended:
            self._answers[number] = Answer(skipped=True)
            return
        try:
            value, refused = await self._do(actor, step), ""
        except ConflictError as conflict:
            self._ended.add(actor)
            if step.verb is not Verb.COMMIT:
                await self._cast[actor].end("ROLLBACK")
            value, refused = None, conflict.why
        self._answers[number] = Answer(value=value, refused=refused, waited=actor in self._waited)

    async def _do(self, actor: str, step: Step) -> Value:
        connection = self._cast[actor]
        if step.verb is Verb.BEGIN:
            before = asyncio.get_running_loop().time()
            await connection.begin(level=self._level)
            self._round_trip = max(self._round_trip, asyncio.get_running_loop().time() - before)
            self._processes[actor] = await connection.process()
            return None
        if step.ends:
            await connection.end("COMMIT" if step.verb is Verb.COMMIT else "ROLLBACK")
            return None
        value = await connection.carry_out(self._rows, step, known=self._known.get((actor, step.register)))
        if step.verb in {Verb.READ, Verb.LOCK}:
            self._known[actor, step.register] = value
        return value

    async def _look_afterwards(self) -> None:
        wanted = {n: step for n, step in enumerate(self._schedule.steps) if step.actor == AFTERWARDS}
        if not wanted:
            return
        rows = await self._observer.look(self._rows)
        for number, step in wanted.items():
            self._answers[number] = Answer(value=_in_all(step, rows))


def _in_all(step: Step, rows: Registered) -> Value:
    if step.verb is Verb.COUNT_OVER:
        return sum(value > step.number for value in rows.values())
    if step.verb is Verb.COUNT_UNDER:
        return sum(value < step.number for value in rows.values())
    return rows.get(step.register)
