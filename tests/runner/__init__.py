"""A small probe that does what a test tells it, an environment without servers, and ways to wait for what happens."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, ClassVar

from monitor import ports
from monitor.core.payload import Speech
from monitor.core.verdict import Finding, Kind, Reason, Violation
from monitor.desk import Desk
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import Store, StoreError, SystemClock
from monitor.probe import Probe, Run, Use
from monitor.stores.state import KeptState

Deed = Callable[[Run], Awaitable[object]]
RIGHT = Finding.of((), checks=2)
LOST = Violation(kind=Kind.LOST, subject="message 1", expected="present", actual="absent", evidence={"id": "m1"})


async def nothing(_run: Run) -> object:
    """See nothing in particular."""
    return None


def sick(reason: Reason = Reason.UNREACHABLE) -> StoreError:
    """What a store says that does not do what it was asked."""
    return StoreError(reason, "connection refused by db:5432", store=Store.POSTGRES)


class Doing(Probe[object]):
    """Whatever the test says."""

    name: ClassVar = "doing"
    kinds: ClassVar = frozenset({Kind.LOST, Kind.STALE})
    needs: ClassVar = {Store.POSTGRES: 1}
    steps: ClassVar = ("connect", "reload")

    deed: Deed = nothing
    verdict: Callable[[object], Finding] = lambda _seen: RIGHT

    def plan(self) -> tuple[Use, ...]:
        """Nothing is sent."""
        return ()

    async def observe(self, run: Run) -> object:
        """What the test says."""
        return await self.deed(run)

    def judge(self, seen: object) -> Finding:
        """What the test says."""
        return self.verdict(seen)


class Another(Doing):
    """Whatever the test says, beside the first."""

    name: ClassVar = "another"


def every(milliseconds: int, kind: type[Doing] = Doing, **settings: Any) -> Doing:
    """A probe that runs so often."""
    length = timedelta(milliseconds=milliseconds)
    return kind(every=length, timeout=length * 0.9, **settings)


class Bell:
    """Counts what happens, and wakes whoever waits for it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._changed = asyncio.Event()

    def ring(self, what: str, times: int = 1) -> None:
        """It happened."""
        self.counts[what] += times
        self._changed.set()

    async def until(self, right: Callable[[], bool]) -> None:
        """Wait until it is so, which is looked at whenever something happens."""
        async with asyncio.timeout(30):
            while not right():
                self._changed.clear()
                await self._changed.wait()

    async def more(self, what: str, times: int = 1) -> None:
        """Wait until it has happened so many times more."""
        wanted = self.counts[what] + times
        await self.until(lambda: self.counts[what] >= wanted)


class Place:
    """An environment without servers. While `gate` is shut, runs wait for their connections."""

    def __init__(self, name: str = "production") -> None:
        self.name = name
        self.stores = frozenset({Store.POSTGRES})
        self.instance = "0badcafe-1"
        self.gate = asyncio.Event()
        self.gate.set()
        self.prepared = 0
        self.learned: list[StoreError] = []
        self.unfit: Exception | None = None
        self.within = 0
        self.most_within = 0

        self.places = (ports.Place(Store.POSTGRES),)
        self.isolation: ports.Isolation = "read committed"
        self.surroundings = ports.Surroundings(places=self.places)
        self.speech = Speech()

    @property
    def threads(self) -> ports.Threads:
        """None, and nothing else either."""
        raise LookupError

    sessions: property = threads
    registers: property = threads
    tenants: property = threads
    copies: property = threads
    notices: property = threads
    profiles: property = threads
    crowd: property = threads

    @asynccontextmanager
    async def slots(self, _needs: Mapping[Store, int]) -> AsyncIterator[None]:
        """Room, as soon as the gate is open."""
        self.within += 1
        self.most_within = max(self.most_within, self.within)
        try:
            await self.gate.wait()
            yield
        finally:
            self.within -= 1

    async def prepare(self, _needs: Mapping[Store, int], *, probe: str = "") -> None:  # noqa: ARG002  the port has it
        """Fit, unless the test says otherwise."""
        self.prepared += 1
        if self.unfit is not None:
            raise self.unfit

    def learn(self, error: StoreError) -> None:
        """Note it."""
        self.learned.append(error)


class ShiftedClock(SystemClock):
    """The machine's clock, which a test can set and let pass."""

    def __init__(self) -> None:
        self.shift = timedelta()
        self.passed = 0.0

    def now(self) -> datetime:
        """The moment."""
        return datetime.now(UTC) + self.shift

    def monotonic(self) -> float:
        """Seconds."""
        return super().monotonic() + self.passed


class HeardMetrics(Metrics):
    """Metrics that ring for each run and for each that did not take place."""

    def __init__(self, bell: Bell) -> None:
        super().__init__(location="test", version="0")
        self._bell = bell

    def record(self, record: Any) -> None:
        """A run ended."""
        super().record(record)
        self._bell.ring("run")
        self._bell.ring(f"run {record.environment}/{record.probe}")

    def not_run(self, environment: str, probe: str, reason: Reason, *, times: int = 1) -> None:
        """A run did not take place."""
        super().not_run(environment, probe, reason, times=times)
        self._bell.ring(f"{reason} {environment}/{probe}", times)

    def value(self, name: str, **labels: str) -> float | None:
        """A sample of the environment `production` of the probe `doing`, unless another is named."""
        whole = {"location": "test", "environment": "production", **labels}
        if not name.startswith(("holdfast_paused", "holdfast_environment")):
            whole.setdefault("probe", "doing")
        return self.registry.get_sample_value(name, whole)


@asynccontextmanager
async def desk_with(bell: Bell) -> AsyncIterator[tuple[Desk, HeardMetrics, ShiftedClock]]:
    """A desk with a real journal in memory, metrics that ring, and a clock that a test can set."""
    state, clock, metrics, ids = KeptState(None), ShiftedClock(), HeardMetrics(bell), count(1)
    await state.open()
    journal = Journal(state, clock=clock, new_id=lambda: f"violation-{next(ids)}")
    try:
        yield Desk(journal=journal, metrics=metrics, clock=clock), metrics, clock
    finally:
        await state.close()
