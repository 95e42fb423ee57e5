"""A daemon of many environments whose probes are played: the journal, the metrics and the rates are real."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import count, cycle
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import monitor.probes
from monitor.core.detail import Detail
from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord, StepTiming
from monitor.core.rollup import Rollup
from monitor.core.slo import WINDOW, ErrorBudget
from monitor.core.verdict import Finding, Kind, Reason, Violation
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import Place, Store, Surroundings, SystemClock
from monitor.probe import Probe, discover
from monitor.stores.state import KeptState
from monitor.web.daemon import Notice, Resting, Watched

RUNS = 60
"""Runs of each probe that have ended before; as many as a sparkline shows."""
_SAMPLES = 64  # different runs of each probe: to make up every one of 660,000 would take a minute
_LOST = Violation(kind=Kind.LOST, subject="message 3 of 7", expected="sha256 ab12", actual="absent", evidence={"n": 3})
_AROUND = Surroundings(places=(Place(Store.POSTGRES), Place(Store.REDIS)))
_SERVER = {"address": "10.0.0.1", "role": "primary", "version": "18.0"}


class PlayedDaemon:
    """The daemon, whose probes are played."""

    version, location = "bench", "here"

    def __init__(self, environments: int, home: Path) -> None:
        self.clock, self.random, self._ids = SystemClock(), Random(1), count(1)  # noqa: S311  plays
        self.started = self.clock.now()
        self.state = KeptState(home)
        self.journal = Journal(self.state, clock=self.clock, new_id=self.new_id)
        made = {name: probe() for name, probe in discover(monitor.probes).items()}
        probes: Mapping[str, Probe[Any]] = {name: probe for name, probe in made.items() if probe.enabled}
        self._samples = {name: [self._steps(probe) for _ in range(_SAMPLES)] for name, probe in probes.items()}
        self._watched = {}
        for number in range(environments):
            name = f"env-{number:04d}"
            labels = {"tier": ("critical", "standard")[number % 2], "region": f"r{number % 7}"}
            self._watched[name] = Watched(name=name, labels=labels, around=_AROUND, probes=probes, left_out={})
            self.journal.expect(name, probes)
        self._paused = {name: self.started + timedelta(hours=1) for name in list(self._watched)[::97]}
        self._broken = {(name, "thread") for name in list(self._watched)[::20]}
        self._sick = {(name, "session") for name in list(self._watched)[5::33]}
        self.detail = Detail.NORMAL
        self.metrics = Metrics(location=self.location, version=self.version)  # counts once `export` says how finely

    def export(self, detail: Detail) -> None:
        """Begin to count anew, with so many series."""
        self.detail = detail
        self.metrics = Metrics(location=self.location, version=self.version)
        every = [probe for watched in self._watched.values() for probe in watched.probes.values()]
        budgets = {probe.budget_of(step) for probe in every for step in probe.steps}
        self.metrics.shape(location=self.location, labels=(), budgets=budgets, detail=detail)
        for name, watched in self._watched.items():
            probes, stores = list(watched.probes.values()), (Store.POSTGRES, Store.REDIS)
            self.metrics.expect(name, labels={}, probes=probes, stores=stores, around=_AROUND)
            for record in self.journal.latest(name).values():
                self.metrics.record(record)
            self.metrics.standing(name, self.journal.standing(name))

    def new_id(self) -> str:
        """As long as a real one."""
        return f"01900000-0000-7000-8000-{next(self._ids):012d}"

    def _steps(self, probe: Probe[Any]) -> tuple[StepTiming, ...]:
        steps, after = list[StepTiming](), timedelta()
        for step in probe.steps:
            took = min(0.9, self.random.lognormvariate(-2, 0.8)) * probe.budget_of(step)
            steps.append(StepTiming(name=step, after=after, took=took))
            after += took
        return tuple(steps)

    async def ran(self, environment: str, probe: Probe[Any], started: datetime) -> None:
        """A run of a probe ended."""
        steps, finding = self.random.choice(self._samples[probe.name]), Finding.of((), checks=3)
        if (environment, probe.name) in self._broken:
            finding = Finding.of((_LOST,), checks=3)
        elif (environment, probe.name) in self._sick:
            finding = Finding.unknown(Reason.UNREACHABLE, "connection refused at 10.0.0.1:6379")
        record = RunRecord(
            run_id=self.new_id(),
            environment=environment,
            probe=probe.name,
            started=started,
            took=steps[-1].after + steps[-1].took,
            finding=finding,
            steps=steps,
            server=_SERVER,
        )
        await self.journal.add(record)
        self.metrics.record(record)

    async def fill(self) -> None:
        """What ran before."""
        await self.state.open()
        now = self.clock.now()
        for number in range(RUNS, 0, -1):
            for watched in self._watched.values():
                for probe in watched.probes.values():
                    await self.ran(watched.name, probe, now - (number - self.random.random()) * probe.every)
            await asyncio.sleep(0)
        await self.journal.flush()
        self.export(Detail.NORMAL)

    @property
    def rate(self) -> float:
        """How many runs end in a second."""
        return sum(1 / each.every.total_seconds() for of in self._watched.values() for each in of.probes.values())

    async def go_on(self) -> None:
        """Runs end as often as they would, one by one; the journal is flushed each second."""
        places = [(name, probe) for name, watched in self._watched.items() for probe in watched.probes.values()]
        self.random.shuffle(places)
        rate = self.rate
        began, flushed = monotonic(), monotonic()
        for done, (name, probe) in enumerate(cycle(places)):
            await asyncio.sleep(max(0.0, began + done / rate - monotonic()))
            await self.ran(name, probe, self.clock.now())
            if monotonic() - flushed > 1:
                flushed = monotonic()
                await self.journal.flush()

    def environments(self) -> Mapping[str, Watched]:
        """All."""
        return self._watched

    async def run_now(self, environment: str, probe: str) -> RunRecord:
        """Nobody asks."""
        raise KeyError(environment, probe)

    async def pause(self, environment: str, until: datetime) -> None:
        """Nobody asks."""

    async def resume(self, environment: str) -> None:
        """Nobody asks."""

    def paused_until(self, environment: str) -> datetime | None:
        """Of one in 97."""
        return self._paused.get(environment)

    def resting(self, environment: str) -> Mapping[Store, Resting]:  # noqa: ARG002  none rests
        """None."""
        return {}

    def ledgers(self, environment: str) -> Mapping[Store, Standing]:  # noqa: ARG002  none is kept
        """None."""
        return {}

    def budget(self, environment: str) -> ErrorBudget | None:
        """The same for all."""
        return ErrorBudget(objective=0.999, window=WINDOW, good=100_000, bad=len(environment))

    async def rollups(
        self,
        environment: str,  # noqa: ARG002  nothing is rolled up
        probe: str | None,  # noqa: ARG002
        *,
        length: timedelta,  # noqa: ARG002
        since: datetime,  # noqa: ARG002
        until: datetime,  # noqa: ARG002
    ) -> list[Rollup]:
        """None."""
        return []

    def notices(self) -> Sequence[Notice]:
        """None."""
        return ()

    def not_ready(self) -> Sequence[str]:
        """Nothing."""
        return ()

    def stalled(self) -> float:
        """Never."""
        return 0.0
