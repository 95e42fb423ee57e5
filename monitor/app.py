"""The one place where long-lived things are made, started, watched and stopped in order."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from pathlib import Path

import structlog
from uuid_utils import uuid7

from monitor import __version__
from monitor.books import Books
from monitor.budgets import Budgets
from monitor.configfile import ConfigError, Loaded, secrets_in
from monitor.core.impact import broken, unusable
from monitor.core.ledger.found import Standing
from monitor.core.record import NotRun, RunRecord
from monitor.core.rollup import Rollup
from monitor.core.secrets import Scrubber
from monitor.core.slo import ErrorBudget
from monitor.desk import Desk
from monitor.exposition import Turns
from monitor.fleet import left_out, live_environment, shape_metrics
from monitor.impacts import EVERY, Impacts
from monitor.journal import Journal
from monitor.logs import Scrubbing
from monitor.looplag import LoopWatch
from monitor.metrics import Metrics
from monitor.opening import open_state
from monitor.ports import Clock, StateError, Store, StoreError, SystemClock
from monitor.schedule import FIRST_ROUND, Schedule
from monitor.settings import EnvironmentSettings, Settings
from monitor.stores.environment import LiveEnvironment
from monitor.stores.home import home_of
from monitor.stores.lock import lock_of
from monitor.trends import Trends
from monitor.web import create_app
from monitor.web.daemon import Notice, Resting, Watched
from monitor.web.guard import Token
from monitor.web.server import GRACE, Serving, serve

log = structlog.get_logger("holdfast")

_TURN = 0.0005  # seconds that a thread keeps the interpreter from another: with Python's 5 ms each call of the state
# database's thread waited so long for a busy loop, the loop for it, and ledgers fell behind by seconds
_BEAT = 0.25  # seconds between two looks at the clocks
_CLOCK_JUMP = 2.0  # seconds by which the wall clock may part from the monotonic one before the schedule is realigned
_FLUSH = timedelta(seconds=1)
_STANDING = timedelta(seconds=5)
_GARBAGE = 10_000  # new objects among which garbage is looked for; by Python's 700 that takes a twentieth of all time
_SWEEP = timedelta(minutes=10)
_SWEEP_TIMEOUT = timedelta(seconds=30)
_PRUNE = timedelta(hours=1)
_TRENDS = timedelta(minutes=1)
_SAVED = timedelta(minutes=1)  # after its end, at the latest, a run is in the state database
_AT_START = ("location", "shard", "state", "http.listen", "logging")  # settings that are read once
_LOOK = timedelta(seconds=1)  # how often the files of the configuration are looked at


class App:
    """A daemon. `reload` reads the configuration anew, and raises ConfigError where it cannot be used."""

    def __init__(self, loaded: Loaded, *, reload: Callable[[], Loaded], scrubbing: Scrubbing) -> None:
        self.version = __version__
        self.clock: Clock = SystemClock()
        self.started = self.clock.now()
        part = loaded.settings.part
        self.metrics = Metrics(location=loaded.settings.location, version=__version__, shard=str(part))
        self.journal: Journal
        self.url = ""
        self._loaded = loaded
        self._reload = reload
        self._scrubbing = scrubbing
        self._seen = _contents(loaded.files)  # here, so that a change while it starts is one, too
        self._begun_with = loaded.settings
        self._rejected: tuple[str, ...] = ()
        self._hup = asyncio.Event()
        self._token = Token(None)
        self._live: dict[str, LiveEnvironment] = {}
        self._watched: Mapping[str, Watched] = {}
        self._loop = LoopWatch(self.metrics.turned_late)

    @property
    def settings(self) -> Settings:
        """The configuration that is in force."""
        return self._loaded.settings

    @property
    def location(self) -> str:
        """Where this daemon stands."""
        return self.settings.location

    async def run(self, stop: asyncio.Event, *, started: Callable[[], None] | None = None) -> None:
        """Probe until `stop` is set, then end in order. `started` is called once the page can be read.

        Raises ListenError, StateTakenError, and whatever ended a background task that has no end.
        """
        sys.setswitchinterval(_TURN)
        home = home_of(self.settings.state.get_secret_value(), location=self.location, shard=self.settings.part)
        self._lock = lock_of(home)
        self._state, self._instance, self._state_trouble = await open_state(home, self._lock)
        self.journal = Journal(self._state, clock=self.clock, new_id=lambda: str(uuid7()))
        await self.journal.load()
        self._trends = Trends(self._state, clock=self.clock, budgets=self._step_budget)
        self._budgets = Budgets(self._state, clock=self.clock)
        self.journal.listen(self._budgets)
        desk = Desk(
            journal=self.journal, metrics=self.metrics, clock=self.clock, lag=self._loop.since, missed=self._missed
        )
        self._schedule = Schedule(desk)
        self._books = Books(self._state.home, clock=self.clock, metrics=self.metrics)
        self._impacts = Impacts(self._state, clock=self.clock, metrics=self.metrics)
        web_stop, serving = asyncio.Event(), None
        try:
            await self._apply(self._loaded)
            await self._recall_pauses()
            self.metrics.reloaded(self.clock.now())
            serving = await self._serve(web_stop)
            self.url = serving.url
            self._loop.start()
            self._schedule.start()
            log.info("daemon.started", version=__version__, instance=self._instance.mark, url=serving.url)
            if started is not None:
                started()
            gc.collect()
            gc.freeze()  # what was made so far stays; walking through it again would stall every run in flight
            gc.set_threshold(_GARBAGE, 10, 10)
            await self._until(stop, serving.task)
        finally:
            if serving is not None:  # else it never started, and whoever called says why
                log.info("daemon.stopping")
            self._loop.stop()
            pulses = asyncio.create_task(self._books.end(self.settings.shutdown_timeout))
            cut_off = await self._schedule.drain(self.settings.shutdown_timeout)
            await pulses
            web_stop.set()
            if serving is not None:
                await asyncio.wait({serving.task}, timeout=GRACE + 1)
            await self.journal.flush()
            with suppress(StateError):  # the journal says what is wrong
                await self._trends.flush()
            await self._impacts.end()
            await self._books.close()
            await self._state.close()
            await self._lock.release()
            if serving is not None:
                log.info("daemon.stopped", runs_cut_off=cut_off or None)

    async def _serve(self, web_stop: asyncio.Event) -> Serving:
        http = self.settings.http
        port = http.port and http.port + self.settings.part.number - 1  # those on one machine share a configuration
        return await serve(create_app(self, token=self._token, stop=web_stop), host=http.host, port=port, stop=web_stop)

    async def _until(self, stop: asyncio.Event, web: asyncio.Task[None]) -> None:
        """Wait for `stop` beside the tasks that have no end. The first of them that ends ends the daemon."""
        endless = {
            asyncio.create_task(work, name=name)
            for name, work in (
                ("clock", self._watch_clock()),
                *((("lock", self._lock.keep()),) if self._state.home is not None else ()),
                ("journal", self._every(_FLUSH, self._flush)),
                ("recall", self._every(_FLUSH, self.journal.recall)),
                ("ledgers", self._every(_STANDING, self._books.show)),
                ("impact", self._every(EVERY, self._look_at_impact)),
                ("sweep", self._every(_SWEEP, self._sweep_all)),
                ("prune", self._every(_PRUNE, self._prune)),
                ("trends", self._every(_TRENDS, self._follow_trends)),
                ("reload", self._reload_on_change()),
            )
        } | {web}
        stopped = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait({stopped, *endless}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopped, *(endless - {web})):
                task.cancel()
            await asyncio.gather(stopped, *(endless - {web}), return_exceptions=True)
        for task in done - {stopped}:
            log.error("daemon.failed", task=task.get_name())
            task.result()  # raises what it died of
            raise RuntimeError(f"the background task {task.get_name()} ended, which it never should")

    # What the web asks.

    def environments(self) -> Mapping[str, Watched]:
        """Every environment that is watched now, in the order of the configuration."""
        return self._watched

    async def run_now(self, environment: str, probe: str) -> RunRecord:
        """Run a probe at once, or join the run that is under way. Raises KeyError if it is not watched."""
        return await self._schedule.run_now(environment, probe)

    async def pause(self, environment: str, until: datetime) -> None:
        """Run nothing against an environment before this moment, also after a restart."""
        self._schedule.pause(self._live[environment].name, until)
        log.info("environment.paused", environment=environment, until=until.isoformat())
        await self._remember_pause(environment, until)

    async def resume(self, environment: str) -> None:
        """End a pause, if there is one."""
        self._schedule.resume(self._live[environment].name)
        log.info("environment.resumed", environment=environment)
        await self._remember_pause(environment, None)

    def paused_until(self, environment: str) -> datetime | None:
        """When a pause ends, or None if there is none."""
        return self._schedule.paused_until(environment)

    def resting(self, environment: str) -> Mapping[Store, Resting]:
        """The stores that are left alone because runs against them failed."""
        now, at = self.clock.now(), self.clock.monotonic()
        found = {}
        for store, state in self._schedule.sick(environment).items():
            why = self._schedule.why_sick(environment, store)
            until = now + timedelta(seconds=max(0.0, state.until - at))
            found[store] = Resting(until=until, reason=why.reason, message=why.message)
        return found

    def ledgers(self, environment: str) -> Mapping[Store, Standing]:
        """How the ledger of each store stood a few seconds ago, where `durability` keeps one."""
        return self._books.standing(environment)

    def budget(self, environment: str) -> ErrorBudget | None:
        """What is left of the error budget now; None before the past is known, soon after the start."""
        watched = self.settings.environments.get(environment)
        return self._budgets.of(environment, objective=watched.objective_share) if watched else None

    async def rollups(
        self, environment: str, probe: str | None, *, length: timedelta, since: datetime, until: datetime
    ) -> list[Rollup]:
        """What runs came to by the hour or the day. Raises StateError."""
        return await self._state.rollups(length=length, since=since, until=until, environment=environment, probe=probe)

    def not_ready(self) -> Sequence[str]:
        """What is missing until every probe has had its first run."""
        return () if self._schedule.first_round_done else ("the first round of runs is not done",)

    def notices(self) -> Sequence[Notice]:
        """What somebody should mend about the daemon itself; a log line is soon out of sight."""
        state = [Notice("state database", each) for each in (self._state_trouble, self.journal.trouble) if each]
        rejected = [
            Notice("configuration", f"the new one cannot be used, so the old one is in force: {problem}")
            for problem in self._rejected
        ]
        waiting = [
            Notice("configuration", f"{key} has changed; that takes effect at the next start")
            for key in _AT_START
            if attrgetter(key)(self.settings) != attrgetter(key)(self._begun_with)
        ]
        return (*state, *rejected, *waiting)

    def stalled(self) -> float:
        """Seconds since the loop last turned."""
        return self.clock.monotonic() - self._loop.turned

    # What goes on in the background.

    async def _every(self, length: timedelta, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await work()
            await asyncio.sleep(length.total_seconds())

    async def _watch_clock(self) -> None:
        """Notice when the wall clock jumps, which the scheduler goes by."""
        apart = self.clock.now().timestamp() - self.clock.monotonic()
        while True:
            await asyncio.sleep(_BEAT)
            now_apart = self.clock.now().timestamp() - self.clock.monotonic()
            if abs(now_apart - apart) > _CLOCK_JUMP:
                log.warning("clock.jumped", seconds=round(now_apart - apart, 3))
                self._schedule.realign()
            apart = now_apart

    async def _flush(self) -> None:
        before = self.journal.trouble
        await self.journal.flush()
        trouble = self.journal.trouble
        if trouble != before:
            log.error("state.failed", message=trouble) if trouble else log.info("state.recovered")
        self.metrics.state(up=not trouble and self._state.home is not None)
        for environment in self.journal.heard():
            self.metrics.standing(environment, self.journal.standing(environment))

    async def _look_at_impact(self) -> None:
        turns = Turns()
        for name, watched in list(self._watched.items()):
            if name not in self.settings.environments:  # it left while others had their turn
                continue
            resting = [each.reason for each in self.resting(name).values()]
            await self._impacts.look(
                name,
                self.settings.environments[name].impact.stakes,
                broken=broken(self.journal.standing(name), watched.probes),
                unusable=not self._paused(name) and unusable(resting, self.journal.latest(name).values()),
            )
            await turns.give()

    async def _sweep_all(self) -> None:
        """Begin one after the other, spread over as much time as a first round takes; none waits for another's end."""
        gap = self._schedule.round.total_seconds() / max(1, len(self._live))
        await asyncio.gather(*(self._sweep(name, after=turn * gap) for turn, name in enumerate(list(self._live))))

    async def _sweep(self, name: str, *, after: float) -> None:
        """Remove what killed runs left, each store by itself, so that a sick one does not keep the other dirty."""
        await asyncio.sleep(after)
        environment = self._live.get(name)
        if environment is None or self._paused(name):
            return
        for store in environment.stores:
            try:
                # A server that stops answering in the midst of it must not hold the probes' connections for ever.
                async with asyncio.timeout(_SWEEP_TIMEOUT.total_seconds()), environment.slots({store: 1}):
                    gone = await self._swept(environment, store)
            except (StoreError, TimeoutError) as error:
                log.debug("sweep.failed", environment=environment.name, store=store, message=str(error))
            else:
                log.info("sweep.finished", environment=environment.name, store=store, removed=gone)

    async def _swept(self, environment: LiveEnvironment, store: Store) -> int:
        """Sweep, and count what is there then: all the more where it was refused, for then it piles up."""
        refused, gone = None, 0
        try:
            gone = await environment.sweep(store)
        except StoreError as error:
            refused = error
        self.metrics.items(environment.name, {store: await environment.census(store)})
        if refused is not None:
            raise refused
        return gone

    async def _prune(self) -> None:
        keep = self.settings.retention
        await self.journal.prune(runs=keep.runs, failures=keep.failures, violations=keep.violations)
        await self._books.prune(keep=keep.runs)
        with suppress(StateError):  # the journal says what is wrong
            await self._trends.prune(hourly=keep.hourly, daily=keep.daily)

    async def _follow_trends(self) -> None:
        """Roll up what has ended, once nothing that began in it is under way or waits to be kept."""
        with suppress(StateError):  # the journal says what is wrong
            await self._budgets.refresh(self.settings.environments)
            await self._trends.flush()
            if not self.journal.trouble:
                probes = [probe for each in self._watched.values() for probe in each.probes.values()]
                longest = max((probe.timeout for probe in probes), default=timedelta())
                await self._trends.roll(settled=longest + _SAVED, kept=self.settings.retention.runs)
                await self._budgets.refresh(self.settings.environments)

    def _missed(self, turn: NotRun) -> None:
        self._trends.not_run(turn)
        self._budgets.not_run(turn)

    def _step_budget(self, environment: str, probe: str, step: str) -> timedelta | None:
        watched = self._watched.get(environment)
        known = watched.probes.get(probe) if watched else None
        return known.budget_of(step) if known else None

    async def _recall_pauses(self) -> None:
        for environment in self._live:
            try:
                until = await self._state.recall(f"paused:{environment}")
            except StateError as error:
                log.error("state.failed", message=str(error))
                return
            if until and datetime.fromisoformat(until) > self.clock.now():
                self._schedule.pause(environment, datetime.fromisoformat(until))

    async def _remember_pause(self, environment: str, until: datetime | None) -> None:
        try:
            await self._state.remember(f"paused:{environment}", until.isoformat() if until else None)
        except StateError as error:
            log.error("state.failed", message=str(error))

    # What a configuration changes.

    def request_reload(self) -> None:
        """Read the configuration anew soon; SIGHUP calls this."""
        self._hup.set()

    async def _reload_on_change(self) -> None:
        while True:
            await self._changed()
            try:
                await self._apply(await asyncio.to_thread(self._reload))
            except ConfigError as error:
                self.metrics.rejected()
                self._rejected = tuple(map(str, error.problems))
                log.error("config.rejected", problems=list(self._rejected))
                continue
            self._rejected = ()
            self.metrics.reloaded(self.clock.now())

    async def _changed(self) -> None:
        """Wait for a request or until what a file of the configuration holds changes, whatever did it: once for both.

        They are read every second, since notices of changes are lost where a folder above is swapped or a file system
        is shared, and there are only so many of them to be had on one machine.
        """
        changed = False
        while not changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hup.wait(), _LOOK.total_seconds())
            changed = self._hup.is_set()
            self._hup.clear()
            before, self._seen = self._seen, await asyncio.to_thread(_contents, self._loaded.files)
            changed = changed or any(before.get(file, now) != now for file, now in self._seen.items())

    async def _apply(self, loaded: Loaded) -> None:
        """Put a configuration in force: nothing changes for an environment where nothing changed in it.

        Raises ConfigError, and leaves everything as it was, where an address cannot be used. Runs go on meanwhile.
        """
        turns, settings = Turns(), loaded.settings
        live = await self._made_anew(settings, turns)
        for key in _AT_START:
            if attrgetter(key)(settings) != attrgetter(key)(self.settings):
                log.warning("config.doubtful", message=f"{key} has changed; that takes effect at the next start")
        self._loaded = loaded
        self._scrubbing.scrub = Scrubber(secrets_in(settings))
        self._token.renew(settings.http.token.get_secret_value() if settings.http.token else None)
        reshaped = shape_metrics(self.metrics, settings)
        self._unwatch(set(self._live) - set(settings.environments))
        self._watched = {name: _watched(name, environment) for name, environment in settings.environments.items()}
        self._schedule.expect(sum(len(each.probes) for each in self._watched.values()))
        for name, environment in settings.environments.items():
            if name in live or reshaped:
                self._expect(live.get(name) or self._live[name], environment)
            if name in live:
                self._watch(live[name], environment)
            else:
                self._schedule.look_again(name)
            await turns.give()
        for name in {kept.environment for kept in self.journal.standing()}:  # the series may be new
            self.metrics.standing(name, self.journal.standing(name))
        for problem in self._loaded.warnings:
            log.warning("config.doubtful", message=str(problem))
        log.info("config.loaded", environments=len(self._live), files=[str(file) for file in self._loaded.files])

    async def _made_anew(self, settings: Settings, turns: Turns) -> dict[str, LiveEnvironment]:
        """The environments that are new or have changed, none of them in force yet. Raises ConfigError."""
        before = self.settings.environments if self._live else {}
        live: dict[str, LiveEnvironment] = {}
        for name, environment in settings.environments.items():
            if before.get(name) != environment:
                live[name] = live_environment(
                    name,
                    environment,
                    instance=self._instance,
                    metrics=self.metrics,
                    ledger=self._books.of(name),
                    turns=self._books.turns(name),
                )
            await turns.give()
        return live

    def _unwatch(self, gone: set[str]) -> None:
        for name in gone:
            self._schedule.unwatch(name)
            self._books.unwatch(name)
            self._impacts.forget(name)
            self.metrics.forget(name)
            del self._live[name]
        self.journal.forget(gone)

    def _expect(self, live: LiveEnvironment, environment: EnvironmentSettings) -> None:
        """Every series of an environment exists before its first run."""
        probes = environment.active()
        self.journal.expect(live.name, probes)
        self.metrics.forget_probes(live.name, keep=probes)
        self.metrics.expect(
            live.name,
            labels=environment.labels,
            probes=list(probes.values()),
            stores=environment.stores,
            around=live.surroundings,
            stakes=environment.impact.stakes,
        )
        self.metrics.paused(live.name, paused=self._paused(live.name))

    def _watch(self, live: LiveEnvironment, environment: EnvironmentSettings) -> None:
        """Run its probes from now on, in the place of whatever ran against it before."""
        self._live[live.name] = live
        probes = environment.active()
        self._schedule.watch(live, probes.values())
        self._books.watch(
            live,
            probes.get("durability"),
            audit=partial(self._schedule.run_now, live.name, "durability"),
            paused=partial(self._paused, live.name),
            within=self._schedule.round - FIRST_ROUND,
        )

    def _paused(self, environment: str) -> bool:
        return self._schedule.paused_until(environment) is not None


def _watched(name: str, settings: EnvironmentSettings) -> Watched:
    return Watched(
        name=name,
        labels=settings.labels,
        around=settings.surroundings(),
        probes=settings.active(),
        left_out=left_out(settings),
    )


def _contents(files: Sequence[Path]) -> dict[Path, bytes | None]:
    found: dict[Path, bytes | None] = dict.fromkeys(files)
    for file in files:
        with suppress(OSError):
            found[file] = file.read_bytes()
    return found
