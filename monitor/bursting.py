"""How a burst is carried out: given out when it is due, watched, stopped where it has to be, verified and removed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from monitor.chapters import Chapters
from monitor.core.bursts import Seen
from monitor.core.openloop import Cause, Figures, Limits, Operation, Replay, Sample, Stop, Watch, operations
from monitor.core.record import StepTiming
from monitor.ports import Gauge, Store, StoreError, ThreadConnection
from monitor.probe import Run, together

_GLANCE = 0.02  # seconds between two looks at the limits
_LEAST_ROUND = 0.5  # seconds of a burst between two times of giving way
_BETWEEN_LAGS = 0.25  # seconds between two looks at the replicas


@dataclass(slots=True, kw_only=True)
class Following:
    """What somebody who follows a burst sees of it, and may ask of it.

    `now` are the seconds since its beginning, `waiting` the operations that are not answered yet, `lags` the seconds
    by which replicas are behind, `looked_for` the acknowledged messages that were read once more at the end, right or
    not, and `conversations` those that they are in. `ended_by` says who wants it to end; it then ends well.
    """

    samples: list[Sample] = field(default_factory=list)
    now: float = 0.0
    waiting: int = 0
    p99: float = 0.0
    phase: str = "waits for connections"
    lags: dict[str, float] = field(default_factory=dict)
    stop: Stop | None = None
    looked_for: int = 0
    conversations: int = 0
    ended_by: str = ""


@dataclass(slots=True)
class _Lane:
    """One connection, and what is to be asked over it, one after the other."""

    queue: asyncio.Queue[tuple[Operation, float] | None] = field(default_factory=asyncio.Queue)
    connection: ThreadConnection | None = None

    async def drop(self) -> None:
        """Close the connection, if there is one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.close()


class Burst:
    """One burst of one run. It takes its connections itself, and gives them back as soon as another probe waits."""

    def __init__(
        self,
        run: Run,
        figures: Figures,
        limits: Limits,
        *,
        needs: Mapping[Store, int],
        patience: timedelta,
        following: Following,
    ) -> None:
        self._run = run
        self._figures = figures
        self._limits = limits
        self._needs = needs
        self._patience = patience.total_seconds()
        self._seen_by = following
        self._watch = Watch(limits)
        self._upcoming = deque(operations(figures, turn=run.author.id("turn").int % figures.users))
        self._chapters = Chapters(run, users=figures.users)
        self._waiting: dict[int, float] = {}
        self._replays: dict[str, Replay] = {}
        self._unwatched: dict[str, str] = {}
        self._epoch = 0.0
        self._waited = 0.0
        self._rounds = 0

    async def carry_out(self) -> Seen:
        """All of it. Raises StoreError where it could not begin, or where what it wrote cannot be read."""
        while self._upcoming and self._seen_by.stop is None:
            async with self._room() as there_is_room:
                if not there_is_room:
                    break
                await self._round()
        left = await self._look_again() if self._chapters.any else 0
        chapters = self._chapters
        return Seen(
            samples=tuple(self._seen_by.samples),
            reloads=tuple(chapters.reloads),
            looks=tuple(chapters.looks),
            owners=chapters.owners,
            stop=self._seen_by.stop,
            under_way=chapters.under_way,
            unbound=chapters.unbound,
            unwatched=tuple(f"replica {name} is not watched: {why}" for name, why in self._unwatched.items()),
            waited=self._waited,
            left=left,
        )

    async def _look_again(self) -> int:
        """Verify all that was written, and remove it; -> how many conversations could not be removed."""
        async with self._room(for_ever=True):
            self._seen_by.phase, self._seen_by.waiting = "verifies", 0
            try:
                await self._chapters.verify()
            except StoreError:
                await self._chapters.remove()
                raise
            self._seen_by.looked_for = self._chapters.looked_for
            self._seen_by.conversations = len(self._chapters)
            self._seen_by.phase = "removes what it wrote"
            return await self._chapters.remove()

    @asynccontextmanager
    async def _room(self, *, for_ever: bool = False) -> AsyncIterator[bool]:
        """Connections, as soon as the environment has them to give; False where that took too long."""
        clock, slots = self._run.clock, self._run.environment.slots(self._needs)
        before = clock.monotonic()
        try:
            async with asyncio.timeout(None if for_ever else self._patience):
                await slots.__aenter__()
        except TimeoutError:
            what = f"other probes held the connections of this environment for {self._patience:.0f} s"
            self._seen_by.stop = Stop(cause=Cause.CROWDED, message=what)
            yield False
            return
        try:
            self._waited += clock.monotonic() - before
            yield True
        finally:
            await slots.__aexit__(None, None, None)

    async def _round(self) -> None:
        """As much of the burst as there is until it ends or somebody waits for its connections."""
        lanes = [_Lane() for _ in range(self._figures.connections)]
        async with self._gauge() as gauge:
            try:
                await together(*map(self._open, lanes))
                await together(self._direct(lanes, gauge), *map(self._work, lanes))
            finally:
                for lane in lanes:
                    await lane.drop()

    @asynccontextmanager
    async def _gauge(self) -> AsyncIterator[Gauge | None]:
        run = self._run
        if Store.POSTGRES not in run.environment.stores:
            yield None
            return
        gauge = await run.environment.gauges.connect(run.probe)
        try:
            if not self._rounds and run.probe not in run.environment.surroundings.bound:
                self._chapters.unbound = await gauge.unbound()
            yield gauge
        finally:
            self._unwatched |= gauge.silent
            await gauge.close()

    async def _open(self, lane: _Lane) -> None:
        async with self._run.step("connect"):
            lane.connection = await self._run.environment.threads.connect(self._run.probe)

    async def _direct(self, lanes: list[_Lane], gauge: Gauge | None) -> None:
        """Give out what is due, and watch, until this round is over."""
        watching = asyncio.create_task(self._watch_replicas(gauge))
        try:
            await self._give_out(lanes)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            for lane in lanes:
                lane.queue.put_nowait(None)

    async def _give_out(self, lanes: list[_Lane]) -> None:
        began = self._run.clock.monotonic()
        self._epoch = began - (self._upcoming[0].due if self._rounds else 0.0)
        self._rounds += 1
        self._seen_by.phase = "asks"
        while (self._upcoming or self._waiting) and not self._must_end():
            crowded = self._upcoming and self._run.environment.crowded(self._needs)
            if crowded and self._run.clock.monotonic() - began > _LEAST_ROUND:
                self._seen_by.phase = "gives way to other probes"
                return
            early = self._upcoming[0].due - self._now() if self._upcoming else _GLANCE
            if early > 0:
                await asyncio.sleep(min(early, _GLANCE))
                continue
            operation = self._upcoming.popleft()
            self._waiting[operation.number] = operation.due
            lanes[operation.lane].queue.put_nowait((operation, self._now()))

    def _now(self) -> float:
        """Seconds since the beginning, without those in which it gave way."""
        return self._run.clock.monotonic() - self._epoch

    def _must_end(self) -> bool:
        """Whether something stops the burst now."""
        following, now, waiting = self._seen_by, self._now(), list(self._waiting.values())
        following.now, following.waiting = now, len(waiting)
        if following.stop is None:
            if following.ended_by:
                following.stop = Stop(cause=Cause.HAND, message=following.ended_by)
            elif self._chapters.doubtful:
                following.stop = Stop(cause=Cause.EVIDENCE, message="what was read was not as it had been acknowledged")
            else:
                following.stop = self._watch.stop(now, waiting)
        return following.stop is not None

    async def _work(self, lane: _Lane) -> None:
        """What is given to one connection, until there is no more; once the burst is stopped nothing begins."""
        while (given := await lane.queue.get()) is not None:
            operation, at = given
            if self._seen_by.stop is None:
                await self._carry_out(operation, at, lane)
            self._waiting.pop(operation.number, None)

    async def _carry_out(self, operation: Operation, given: float, lane: _Lane) -> None:
        """One operation, in its connection or a new one in the place of one that broke."""
        began, act, failed = self._now(), operation.act, None
        try:
            if lane.connection is None:
                lane.connection = await self._run.environment.threads.connect(self._run.probe)
            act = self._chapters.act(operation)
            await self._chapters.carry_out(act, operation.user, lane.connection)
        except StoreError as error:
            failed = error.reason
            await lane.drop()
        self._ended(
            Sample(act=act, due=operation.due, given=given, began=began, ended=self._now(), failed=failed),
        )

    def _ended(self, sample: Sample) -> None:
        """Note a sample, as a step that began when it should have begun."""
        following = self._seen_by
        following.samples.append(sample)
        self._watch.ended(sample)
        following.p99 = self._watch.p99(sample.ended, list(self._waiting.values()))
        due = self._epoch + sample.due
        self._run.steps.append(
            StepTiming(
                name=sample.act.value,
                after=timedelta(seconds=due - self._run.began),
                took=timedelta(seconds=sample.latency),
                failed=sample.failed is not None,
                lag=timedelta(seconds=min(self._run.lag(due), sample.latency)),
            )
        )

    async def _watch_replicas(self, gauge: Gauge | None) -> None:
        """Look again and again how far each replica is behind; whoever cannot say so is not watched."""
        clock, following = self._run.clock, self._seen_by
        try:
            while gauge is not None and following.stop is None:
                found = await gauge.replayed()
                if not found:
                    return
                for name, replayed in found.items():
                    replay = self._replays.setdefault(name, Replay())
                    following.lags[name] = replay.lag(clock.monotonic(), replayed)
                    following.stop = following.stop or replay.stop(following.lags[name], name=name, limits=self._limits)
                at, position = clock.monotonic(), await gauge.written()
                for name in found:
                    self._replays[name].written(at, position)
                await asyncio.sleep(_BETWEEN_LAGS)
        except StoreError as error:
            self._unwatched |= dict.fromkeys(self._replays, str(error))
