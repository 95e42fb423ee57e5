"""The pulse: moves a store's register many times between two runs, and so sees when that was not possible."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import floor

import structlog

from monitor.core.ledger.evidence import Epoch, as_json
from monitor.core.ledger.found import Outage
from monitor.core.ledger.outage import OPERATIONS, Attempt, Watch
from monitor.core.spread import share
from monitor.core.verdict import Reason
from monitor.ports import Clock, Environment, Place, StateError, Store, StoreError
from monitor.scribe import LedgerScribe

log = structlog.get_logger("holdfast")

_LONGEST = 1.0  # seconds between two attempts while nothing answers: an outage's bounds are no wider than needed
_LONGEST_REFUSED = 30.0  # seconds: whoever is refused fills a server's log, and somebody has to mend it first
_SHARE = 0.05  # of an outage so far is waited until the next attempt, so that its bounds stay near each other
_REFUSED = frozenset({Reason.REFUSED, Reason.MISCONFIGURED, Reason.INTERNAL})
_AWAY = frozenset({Reason.UNREACHABLE, Reason.TIMEOUT})
_KEPT_EVERY = 1.0  # seconds between two notes of an outage that lasts
_GRACE = 1.0  # seconds for what was cut off to let go


@dataclass(slots=True, kw_only=True)
class Pulse:
    """The pulse of one store of one environment, from `run` until it is cancelled or `stop`.

    `audit` is asked for a run of `durability` after a break and in a new epoch, one at a time; `paused` says whether
    the environment is left alone. It judges nothing. Its first tick is `after` so long, so that those of many
    environments, each of which looks at its schema first, do not fall together.
    """

    environment: Environment
    store: Store
    scribe: LedgerScribe
    rate: float
    patience: timedelta
    clock: Clock
    audit: Callable[[], Awaitable[object]]
    paused: Callable[[], bool]
    after: timedelta = timedelta()
    ticks: int = 0
    """How many moves were acknowledged."""
    _watches: dict[str, Watch] | None = None
    _outages: dict[str, Outage] = field(default_factory=dict)
    _kept: float = 0.0
    _epoch: Epoch | None = None
    _told: int | None = None
    _alarm: int = 0
    _failing: float | None = None
    _refusals: int = 0
    _auditing: asyncio.Task[None] | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Tick on a steady grid, at its own part of each period; a tick that is too late is not made up for."""
        start = self.clock.monotonic() + share(self.environment.name, self.store) / self.rate
        wait = self.after.total_seconds()
        try:
            while not await self._stopped(within=self._until_next(start, wait)):
                if self.paused():
                    await self.scribe.close()
                    self._watches, wait = None, _LONGEST
                else:
                    wait = await self._tick()
        finally:
            self.scribe.kept, self.scribe.witness = False, None
            if self._auditing is not None:
                self._auditing.cancel()
            await self.scribe.close()

    @property
    def failing(self) -> frozenset[str]:
        """The operations whose latest attempt failed."""
        return frozenset(operation for operation, watch in (self._watches or {}).items() if watch.failing)

    def stop(self) -> None:
        """End after the tick that is under way."""
        self._stop.set()

    def _until_next(self, start: float, wait: float) -> float:
        """Seconds until the next moment of the grid, or the first one after a wait."""
        now, period = self.clock.monotonic(), 1 / self.rate
        turns = floor((now + max(0.0, wait - period) - start) / period) + 1
        return start + turns * period - now

    async def _stopped(self, *, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True

    async def _tick(self) -> float:
        """One move of the register, and what it tells. Returns how long to wait at least until the next."""
        try:
            if self._watches is None:
                await self._begin()
            wait = await self._move()
            await self._keep_outages()
            # A run may have written, looked and calmed the alarm in between: what it found is told all the same.
            if self.scribe.epoch != self._told:
                await self._tell_of_failovers()
                self._told = self.scribe.epoch
            if self.scribe.alarm > self._alarm:
                self._ask_for_an_audit()
            self._alarm = self.scribe.alarm
        except StateError:  # nothing was sent; the journal says what is wrong with the state database
            return _LONGEST
        except Exception:
            log.exception("pulse.failed", environment=self.environment.name, store=self.store)
            return _LONGEST_REFUSED
        return wait

    async def _begin(self) -> None:
        """Take up what the ledger knows: the epoch that was seen last, and outages that lasted."""
        ledger = self.environment.ledger
        lasting = {each.operation: each for each in await ledger.outages(self.store) if each.ended is None}
        self._epoch = await self._latest_epoch()
        self._watches = {operation: Watch(resumed=lasting.get(operation)) for operation in OPERATIONS}
        self.scribe.kept, self.scribe.witness = True, self._hear

    async def _move(self) -> float:
        began = self.clock.monotonic()
        try:
            await self._prepare(began)
            await self.scribe.write(identified=False, within=self.patience)
        except StoreError as error:
            self.environment.learn(error)
            self._failing = began if self._failing is None else self._failing
            self._refusals = self._refusals + 1 if error.reason in _REFUSED else 0
            return self._back_off()
        self.ticks += 1
        self._failing, self._refusals = None, 0
        return 0.0

    async def _prepare(self, began: float) -> None:
        try:
            await self.environment.prepare({self.store: 1})  # free after the first time
        except StoreError as error:
            if error.reason in _AWAY:
                ended, at = self.clock.monotonic(), self.environment.ledger.now()
                for operation in OPERATIONS:
                    self._hear(Attempt(operation=operation, began=began, ended=ended, at=at, ok=False))
            raise

    def _back_off(self) -> float:
        """Seconds to wait after a failure: a small share of how long it has lasted, more where it is refused."""
        if self._refusals:
            return min(_LONGEST_REFUSED, 2.0 ** min(self._refusals, 16) / 2)
        lasted = self.clock.monotonic() - (self._failing or 0.0)
        return min(_LONGEST, lasted * _SHARE)

    def _hear(self, attempt: Attempt) -> None:
        if self._watches is None:
            return
        watch = self._watches[attempt.operation]
        if (outage := watch.outage(self.store, attempt)) is not None:
            self._outages[attempt.operation] = outage
        self._watches[attempt.operation] = watch.after(attempt)

    async def _keep_outages(self) -> None:
        """Those that ended at once; those that last, once a second."""
        now = self.clock.monotonic()
        keep = [each for each in self._outages.values() if each.ended is not None or now - self._kept >= _KEPT_EVERY]
        for outage in keep:
            await self.environment.ledger.outage(outage)
            if outage.ended is None:
                self._kept = now
            del self._outages[outage.operation]

    async def _tell_of_failovers(self) -> None:
        before, after = self._epoch, await self._latest_epoch()
        if before is not None and after is not None and after.id != before.id:
            log.warning(
                "failover.observed",
                environment=self.environment.name,
                store=self.store,
                before=as_json(before.evidence),
                after=as_json(after.evidence),
            )
        self._epoch = after

    async def _latest_epoch(self) -> Epoch | None:
        place = str(Place(self.store))
        own = [epoch for epoch in await self.environment.ledger.epochs() if epoch.place == place]
        return own[-1] if own else None

    def _ask_for_an_audit(self) -> None:
        if self._auditing is None or self._auditing.done():
            name = f"audit {self.environment.name}/{self.store}"
            self._auditing = asyncio.create_task(self._audit(), name=name)

    async def _audit(self) -> None:
        """A run that was under way may have looked too early: then one more."""
        for _ in range(2):
            await self.audit()
            if not self.scribe.alarm:
                return


class Pulses:
    """The pulses of all environments: started, replaced and stopped as the configuration says."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beating: dict[tuple[str, Store], tuple[Pulse, asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def watch(
        self,
        environment: Environment,
        scribes: Mapping[Store, LedgerScribe],
        *,
        rate: float,
        patience: timedelta,
        audit: Callable[[], Awaitable[object]],
        paused: Callable[[], bool],
        after: timedelta = timedelta(),
    ) -> None:
        """Begin with these, instead of those that the environment had."""
        self.unwatch(environment.name)
        for store, scribe in scribes.items() if rate else ():
            pulse = Pulse(
                environment=environment,
                store=store,
                scribe=scribe,
                rate=rate,
                patience=patience,
                clock=self._clock,
                audit=audit,
                paused=paused,
                after=after,
            )
            task = asyncio.create_task(pulse.run(), name=f"pulse {environment.name}/{store}")
            task.add_done_callback(_ended)
            self._beating[environment.name, store] = pulse, task

    def unwatch(self, name: str) -> None:
        """Stop those of an environment; each makes its move to the end."""
        for store in Store:
            if (name, store) not in self._beating:
                continue
            pulse, task = self._beating.pop((name, store))
            pulse.stop()
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def end(self, within: timedelta) -> None:
        """Stop all, and cut off what does not end in time."""
        for name, _ in list(self._beating):
            self.unwatch(name)
        if not self._ending:
            return
        _, late = await asyncio.wait(self._ending, timeout=within.total_seconds())
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_GRACE)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("pulse.failed", task=task.get_name(), message=str(error))
