"""When runs take place: the only importer of APScheduler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog
from apscheduler.events import (
    EVENT_JOB_MAX_INSTANCES,
    EVENT_JOB_MISSED,
    EVENT_JOB_SUBMITTED,
    JobExecutionEvent,
    JobSubmissionEvent,
)
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from monitor.core.backoff import SICK, Backoff
from monitor.core.record import RunRecord
from monitor.core.spread import evenly, share
from monitor.core.verdict import Finding, Reason
from monitor.desk import Desk
from monitor.ports import Environment, Store
from monitor.probe import Probe
from monitor.runner import run_once

log = structlog.get_logger("holdfast")

FIRST_ROUND = timedelta(seconds=3)
"""Every probe runs once within this time of the start, however rare it is, so that nobody waits for a first verdict."""
_FIRST_RUNS = 20
"""Probes that a first round takes in a second, where there are so many that they would crowd: it then takes longer.

With all that goes on beside them these are as many runs as half a core does.
"""

Place = tuple[str, str]
Late = tuple[timedelta, float]
"""How late a turn was taken up, and when that was by the monotonic clock."""


class Schedule:
    """Runs every probe of every environment at its interval.

    Starts are spread over the interval by a hash of environment and probe, so that they are the same after each
    restart and never fall together. A probe never overlaps itself. What was due and did not run is counted.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._scheduler = AsyncIOScheduler(timezone=UTC, logger=logging.getLogger("apscheduler"))
        self._scheduler.add_listener(self._heard, EVENT_JOB_SUBMITTED | EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self._jobs: dict[Place, tuple[Probe[Any], Environment]] = {}
        self._probes_of: dict[str, set[str]] = {}
        self._due: dict[Place, datetime] = {}
        self._late: dict[Place, Late] = {}
        self._running: dict[Place, asyncio.Task[RunRecord]] = {}
        self._health: dict[tuple[str, Store], Backoff] = {}
        self._why: dict[tuple[str, Store], Finding] = {}
        self._met: set[tuple[str, Store]] = set()
        self._paused: dict[str, datetime] = {}
        self._first_round: set[Place] = set()
        self._round = FIRST_ROUND
        self._firsts = 0
        self._draining = False

    def start(self) -> None:
        """Begin. Needs a running event loop."""
        self._scheduler.start()

    def expect(self, probes: int) -> None:
        """So many probes will be watched in all."""
        self._round = max(FIRST_ROUND, timedelta(seconds=probes / _FIRST_RUNS))

    @property
    def round(self) -> timedelta:
        """How long the first round takes: what else is to be done once for each environment is spread over it, too."""
        return self._round

    def watch(self, environment: Environment, probes: Iterable[Probe[Any]]) -> None:
        """Run these probes against this environment from now on, instead of whatever ran against it before.

        A probe whose interval is unchanged keeps its rhythm.
        """
        wanted = {(environment.name, probe.name): probe for probe in probes}
        self.look_again(environment.name)
        for place in self._places_of(environment.name) - wanted.keys():
            self._drop(place)
        for place, probe in wanted.items():
            known = self._jobs.get(place)
            self._jobs[place] = (probe, environment)
            self._probes_of.setdefault(environment.name, set()).add(probe.name)
            if known is None or known[0].every != probe.every:
                self._add(place, probe, first=known is None)
        paused = self.paused_until(environment.name) is not None
        self._desk.metrics.paused(environment.name, paused=paused)  # a new shape of the metrics forgets it

    def look_again(self, name: str) -> None:
        """Forget that stores of this environment are left alone: somebody who mended one wants to see it at once."""
        for store in Store:
            self._health.pop((name, store), None)

    def unwatch(self, name: str) -> None:
        """Run nothing against this environment any more."""
        for place in self._places_of(name):
            self._drop(place)
        self._paused.pop(name, None)

    def realign(self) -> None:
        """The wall clock jumped: put every job onto the grid of its interval again, and count nothing as missed."""
        self._due.clear()
        for place, (probe, _) in self._jobs.items():
            self._add(place, probe, first=False)

    async def run_now(self, environment: str, probe: str) -> RunRecord:
        """Run a probe at once, or join the run that is under way. Raises KeyError if it is not watched."""
        place = (environment, probe)
        running = self._running.get(place) or self._begin(place, *self._jobs[place])
        return await asyncio.shield(running)

    def pause(self, environment: str, until: datetime) -> None:
        """Run nothing against an environment before this moment; what is due meanwhile counts as unknown/paused."""
        self._paused[environment] = until
        self._desk.metrics.paused(environment, paused=True)

    def resume(self, environment: str) -> None:
        """End a pause, if there is one."""
        self._paused.pop(environment, None)
        self._desk.metrics.paused(environment, paused=False)

    def paused_until(self, environment: str) -> datetime | None:
        """When a pause ends, or None if there is none."""
        until = self._paused.get(environment)
        if until is not None and until <= self._desk.clock.now():
            self.resume(environment)
            return None
        return until

    def sick(self, environment: str) -> dict[Store, Backoff]:
        """The stores of an environment that are left alone for a while."""
        found = {store: self._backoff(environment, store) for store in Store}
        return {store: state for store, state in found.items() if state.sick}

    def why_sick(self, environment: str, store: Store) -> Finding:
        """What the latest run said that failed because of a store. Raises KeyError if none has."""
        return self._why[environment, store]

    @property
    def first_round_done(self) -> bool:
        """Whether every probe has had its first turn, whatever came of it."""
        return self._scheduler.running and self._first_round >= set(self._jobs)

    @property
    def in_flight(self) -> int:
        """How many runs are under way."""
        return len(self._running)

    async def drain(self, within: timedelta) -> int:
        """Start nothing more, wait for what is under way, then cut off the rest. Returns how many were cut off.

        APScheduler's own shutdown would cancel everything at once, whatever it was told.
        """
        self._draining = True
        if self._scheduler.running:
            self._scheduler.pause()
        end = self._desk.clock.monotonic() + within.total_seconds()
        late: set[asyncio.Task[RunRecord]] = set()
        while self._running and not late:  # somebody may still ask for a run now
            left = max(0.0, end - self._desk.clock.monotonic())
            _, late = await asyncio.wait(set(self._running.values()), timeout=left)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=2)
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        return len(late)

    def _add(self, place: Place, probe: Probe[Any], *, first: bool) -> None:
        now = self._desk.clock.now()
        start = _first_start(place, probe.every, now)
        self._due.pop(place, None)
        self._scheduler.add_job(
            self._tick,
            IntervalTrigger(seconds=probe.every.total_seconds(), start_date=start, timezone=UTC),
            args=(place,),
            id="/".join(place),
            next_run_time=start,  # also if that has passed once the scheduler starts, which would else leave it out
            replace_existing=True,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=max(1, int(probe.every.total_seconds())),
        )
        if first and start - now > self._round:  # else its grid has it run in the first round
            self._firsts += 1
            self._scheduler.add_job(
                self._tick,
                "date",
                run_date=now + self._round * evenly(self._firsts - 1),
                args=(place,),
                id="/".join(("first", *place)),
                replace_existing=True,
                misfire_grace_time=None,
            )

    def _places_of(self, environment: str) -> set[Place]:
        return {(environment, probe) for probe in self._probes_of.get(environment, ())}

    def _drop(self, place: Place) -> None:
        self._jobs.pop(place, None)
        self._probes_of[place[0]].discard(place[1])
        self._due.pop(place, None)
        self._late.pop(place, None)
        self._first_round.discard(place)
        for id_ in ("/".join(place), "/".join(("first", *place))):
            if self._scheduler.get_job(id_):
                self._scheduler.remove_job(id_)

    async def _tick(self, place: Place) -> None:
        """One turn of one probe: APScheduler calls this, and nothing else does."""
        late = self._late.pop(place, None)
        if place not in self._jobs or place in self._running or self._draining:
            return
        probe, environment = self._jobs[place]
        reason = self._hindrance(probe, environment)
        if reason is None:
            with suppress(asyncio.CancelledError):
                await self._begin(place, probe, environment, late)
        else:
            self._desk.not_run(*place, reason)
        self._first_round.add(place)

    def _hindrance(self, probe: Probe[Any], environment: Environment) -> Reason | None:
        """Why a run may not take place now."""
        if self.paused_until(environment.name) is not None:
            return Reason.PAUSED
        now = self._desk.clock.monotonic()
        stores = environment.stores & probe.needs_in(environment.surroundings).keys()
        if not all(self._backoff(environment.name, store).admits(now) for store in stores):
            return Reason.MISSED
        return None

    def _begin(
        self, place: Place, probe: Probe[Any], environment: Environment, late: Late | None = None
    ) -> asyncio.Task[RunRecord]:
        stores = [
            (place[0], store) for store in probe.needs_in(environment.surroundings) if store in environment.stores
        ]
        for key in stores:  # here and not in the task, so that of two ticks in one turn of the loop one is the trial
            self._health[key] = self._backoff(*key).started()
        run = self._run(probe, environment, stores, begun=partial(self._begun, late))
        task = asyncio.create_task(run, name=f"run {'/'.join(place)}")
        self._running[place] = task
        task.add_done_callback(lambda _: self._running.pop(place, None))
        return task

    async def _run(
        self,
        probe: Probe[Any],
        environment: Environment,
        stores: Sequence[tuple[str, Store]],
        *,
        begun: Callable[[], None],
    ) -> RunRecord:
        record: RunRecord | None = None
        try:
            record = await run_once(probe, environment, self._desk, begun=begun)
        finally:
            for key in stores:
                self._learn(key, record if _says_something(record, key[1], stores) else None)
            self._first_round.add((environment.name, probe.name))
        self._desk.metrics.up(environment.name, up=not self.sick(environment.name))
        return record

    def _learn(self, key: tuple[str, Store], record: RunRecord | None) -> None:
        """Note how a store is after a run, and tell people when that changes."""
        environment, store = key
        before = self._backoff(*key)
        after = self._health[key] = self._learned(before, record)
        if record is None:
            return
        if after is not before and after.sick and record.finding.reason in SICK:
            self._why[key] = record.finding
        if after.sick and not before.sick:
            finding = record.finding
            self._met.discard(key)
            log.warning(
                "environment.unreachable",
                environment=environment,
                store=store,
                run_id=record.run_id,
                reason=finding.reason,
                message=finding.message,
            )
        elif record.finding.reason is None and key not in self._met:
            self._met.add(key)
            log.info("environment.ready", environment=environment, store=store, run_id=record.run_id)

    def _learned(self, state: Backoff, record: RunRecord | None) -> Backoff:
        if record is None:
            return state.abandoned()
        if record.finding.reason in SICK:
            return state.failed(self._desk.clock.monotonic())
        return state.passed() if record.finding.reason is None else state.abandoned()

    def _backoff(self, environment: str, store: Store) -> Backoff:
        return self._health.get((environment, store), Backoff())

    def _heard(self, event: JobSubmissionEvent | JobExecutionEvent) -> None:
        """Learn from APScheduler what was started, what came too late, and what would have overlapped."""
        place = tuple(event.job_id.split("/"))
        if len(place) != 2 or place not in self._jobs:  # noqa: PLR2004  the first round has ids of three parts
            return
        scheduled = event.scheduled_run_times if isinstance(event, JobSubmissionEvent) else [event.scheduled_run_time]
        every = self._jobs[place][0].every
        ran = event.code == EVENT_JOB_SUBMITTED
        for moment in scheduled:
            last = self._due.get(place, moment - every)
            self._due[place] = moment
            turns = max(1, round((moment - last) / every))
            missed = turns - 1 if ran else turns
            if missed:
                self._desk.not_run(*place, Reason.MISSED, times=missed)
                log.warning("run.missed", environment=place[0], probe=place[1], times=missed)
        if ran:  # it may have to wait yet
            self._late[place] = self._desk.clock.now() - scheduled[-1], self._desk.clock.monotonic()

    def _begun(self, late: Late | None) -> None:
        """A run has all that it waited for; one that somebody asked for was not due at any moment."""
        if late is not None:
            lag, since = late
            self._desk.metrics.started_late(lag + timedelta(seconds=self._desk.clock.monotonic() - since))


def _says_something(record: RunRecord | None, store: Store, asked: Sequence[tuple[str, Store]]) -> bool:
    """Whether a run tells how a store is: a failure does so only of the store that failed, and never by its replica.

    A run that was merely too long does not say which of two stores it waited for.
    """
    if record is None or record.finding.reason not in SICK:
        return True
    return record.finding.place == store if record.finding.place else len(asked) == 1


def _first_start(place: Place, every: timedelta, now: datetime) -> datetime:
    """The next moment on this place's own grid: the epoch, plus its share of the interval, plus whole intervals."""
    seconds = every.total_seconds()
    offset = share(*place) * seconds
    turns = (now.timestamp() - offset) // seconds + 1
    return datetime.fromtimestamp(offset + turns * seconds, UTC)
