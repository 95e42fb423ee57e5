"""What the page and the API take while 1,000 environments are watched (`make bench-web`); no servers are needed.

A daemon is made whose journal holds 60 runs of every probe of every environment, and it goes on: runs end at the rate
at which so many would. The real web server answers on the same loop, as it does in a daemon; who asks is a process of
its own. The loop is watched all the while: a stall is by how much a turn came later than it was due, and work is what
of that was the daemon's own; the first row is the loop without anybody who asks. `own` is the
work of one answer, before anybody else is on the loop. The goal is p95 under 200 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count, cycle
from pathlib import Path
from random import Random
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import monotonic, thread_time
from typing import Any

from starlette.types import ASGIApp, Message

import monitor.probes
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
from monitor.web import create_app, serve
from monitor.web.daemon import Notice, Resting, Watched

RUNS = 60
TICK = 0.001
GOAL = 200.0
PATHS = (
    "/",
    "/?q=env-07",
    "/?verdict=violated",
    "/api/v1/environments?size=50",
    "/api/v1/environments",
    "/api/v1/environments/env-0500",
    "/health/env-0500",
    "/api/v1/runs?limit=1000",
    "/api/v1/violations",
    "/metrics",
)
LOST = Violation(kind=Kind.LOST, subject="message 3 of 7", expected="sha256 ab12", actual="absent", evidence={"n": 3})


class BenchDaemon:
    """The daemon, whose probes are played."""

    version, location = "bench", "here"

    def __init__(self, environments: int, home: Path) -> None:
        self.clock, self.random, self._ids = SystemClock(), Random(1), count(1)  # noqa: S311  plays
        self.started = self.clock.now()
        self.state = KeptState(home)
        self.metrics = Metrics(location=self.location, version=self.version)
        self.journal = Journal(self.state, clock=self.clock, new_id=self.new_id)
        around = Surroundings(places=(Place(Store.POSTGRES), Place(Store.REDIS)))
        made = {name: probe() for name, probe in discover(monitor.probes).items()}
        probes: Mapping[str, Probe[Any]] = {name: probe for name, probe in made.items() if probe.enabled}
        self._watched = {}
        for number in range(environments):
            name = f"env-{number:04d}"
            labels = {"tier": ("critical", "standard")[number % 2], "region": f"r{number % 7}"}
            self._watched[name] = Watched(name=name, labels=labels, around=around, probes=probes, left_out={})
            self.journal.expect(name, probes)
            self.metrics.expect(
                name, labels={}, probes=list(probes.values()), stores=(Store.POSTGRES, Store.REDIS), around=around
            )
        self._paused = {name: self.started + timedelta(hours=1) for name in list(self._watched)[::97]}
        self._broken = {(name, "thread") for name in list(self._watched)[::20]}
        self._sick = {(name, "session") for name in list(self._watched)[5::33]}

    def new_id(self) -> str:
        """As long as a real one."""
        return f"01900000-0000-7000-8000-{next(self._ids):012d}"

    async def ran(self, environment: str, probe: Probe[Any], started: datetime, *, counted: bool = True) -> None:
        """A run of a probe ended."""
        steps, after = [], timedelta()
        for step in probe.steps:
            took = min(0.9, self.random.lognormvariate(-2, 0.8)) * probe.budget_of(step)
            steps.append(StepTiming(name=step, after=after, took=took))
            after += took
        finding = Finding.of((), checks=3)
        if (environment, probe.name) in self._broken:
            finding = Finding.of((LOST,), checks=3)
        elif (environment, probe.name) in self._sick:
            finding = Finding.unknown(Reason.UNREACHABLE, "connection refused at 10.0.0.1:6379")
        record = RunRecord(
            run_id=self.new_id(),
            environment=environment,
            probe=probe.name,
            started=started,
            took=after,
            finding=finding,
            steps=tuple(steps),
            server={"address": "10.0.0.1", "role": "primary", "version": "18.0"},
        )
        await self.journal.add(record)
        if counted:
            self.metrics.record(record)

    async def fill(self) -> None:
        """What ran before."""
        await self.state.open()
        now = self.clock.now()
        for number in range(RUNS, 0, -1):
            for watched in self._watched.values():
                for probe in watched.probes.values():
                    await self.ran(watched.name, probe, now - number * probe.every, counted=number == 1)
            await asyncio.sleep(0)
        await self.journal.flush()
        for name in self.journal.heard() | {name for name, _ in self._broken}:
            self.metrics.standing(name, self.journal.standing(name))

    async def go_on(self) -> None:
        """Runs end as often as they would, one by one; the journal is flushed each second."""
        places = [(name, probe) for name, watched in self._watched.items() for probe in watched.probes.values()]
        self.random.shuffle(places)
        rate = sum(1 / probe.every.total_seconds() for _, probe in places)
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


@dataclass
class Loop:
    """How late the loop turned, and how much it worked from one turn to the next, in milliseconds.

    Work is time of the processor: a machine that others use, too, makes turns late and no work longer.
    """

    late: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        """Look each millisecond."""
        while True:
            due, spent = monotonic() + TICK, thread_time()
            await asyncio.sleep(TICK)
            self.late.append((monotonic() - due) * 1000)
            self.work.append((thread_time() - spent) * 1000)

    def taken(self) -> tuple[float, float]:
        """The longest stall since this was last asked: how late, and how much of it was work."""
        late, work, self.late, self.work = self.late, self.work, [], []
        return max(late), max(work)


async def own_work(app: ASGIApp, path: str, times: int = 3) -> float:
    """What the daemon itself works for an answer, in milliseconds of the processor: the least of a few."""
    name, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": name,
        "raw_path": name.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [],
    }

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        """Nobody reads it."""

    took, gone = [], asyncio.Event()
    for _ in range(times):
        before = thread_time()
        await app(dict(scope), receive, send)
        took.append((thread_time() - before) * 1000)
    return min(took)


CLIENT = """
import http.client, json, sys, time
host, port, paths, times = json.loads(sys.argv[1])
connection = http.client.HTTPConnection(host, port)
for path in paths:
    took = []
    for turn in range((times if path != "/metrics" else 5) + 1):
        began = time.monotonic()
        connection.request("GET", path)
        answer = connection.getresponse()
        size = len(answer.read())
        if turn:  # the first warms caches
            took.append((time.monotonic() - began) * 1000)
        assert answer.status == (503 if path.startswith("/health") else 200), (path, answer.status)
    print(json.dumps([path, size, took]), flush=True)
    sys.stdin.readline()
"""


async def main(environments: int, times: int) -> bool:
    """Print the table. Returns whether every goal was met."""
    folder = TemporaryDirectory()
    daemon, loop, stop = BenchDaemon(environments, Path(folder.name) / "state.db"), Loop(), asyncio.Event()
    await daemon.fill()
    gc.collect()
    gc.freeze()
    app = create_app(daemon, token=None, stop=stop)
    own = {path: await own_work(app, path) for path in PATHS}
    serving = await serve(app, host="127.0.0.1", port=0, stop=stop)
    tasks = [asyncio.create_task(daemon.go_on()), asyncio.create_task(loop.watch())]
    row = "{:32} {:>9} {:>8} {:>8} {:>8} {:>9} {:>8}  {}"
    print(row.format("what", "bytes", "own ms", "p50 ms", "p95 ms", "stall ms", "work ms", ""), flush=True)
    await asyncio.sleep(3)
    quiet, usual = loop.taken()
    print(row.format("nobody asks", "", "", "", "", f"{quiet:.1f}", f"{usual:.1f}", ""), flush=True)
    asked = json.dumps([serving.host, serving.port, PATHS, times])
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, asked, stdin=pipe, stdout=pipe)
    if client.stdin is None or client.stdout is None:
        raise TypeError("a pipe is missing")
    met = True
    for _ in PATHS:
        path, size, took = json.loads(await client.stdout.readline())
        stall, most = loop.taken()
        cuts = quantiles(took, n=20)
        good = cuts[18] < GOAL
        met = met and good
        said = "" if good else f"over {GOAL:.0f} ms"
        figures = (own[path], cuts[9], cuts[18], stall, most)
        print(row.format(path, size, *(f"{figure:.1f}" for figure in figures), said), flush=True)
        client.stdin.write(b"\n")
    await client.wait()
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    stop.set()
    await serving.task
    await daemon.state.close()
    folder.cleanup()
    return met


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--environments", type=int, default=1000)
    parser.add_argument("--times", type=int, default=40, help="requests of each path")
    options = parser.parse_args()
    sys.exit(0 if asyncio.run(main(options.environments, options.times)) else 1)
