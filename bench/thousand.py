"""Rows 5 and 6: what a thousand environments would take, told in proportion from fewer.

Three daemons (`holdfast run`) share an embedded PostgreSQL, with a database for each environment, and a Valkey: one
watches many environments by all probes at their intervals, one few, and the third one none, for its only environment
has no probe. They are measured from outside, over some windows, each ended by a scrape. Beside them stand the same
requests by asyncpg and redis-py alone: what some runs of each probe were seen to send, sent again on as many new
connections, counted as often as the daemon ran that probe; and the moves of the pulse, which come at their rate on
connections that stay open.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import fmean, median
from typing import Any

import monitor.probes
from bench.frame import Effort, Figure, Goal, Row
from bench.many import Came, Daemon, Plan, Samples, databases, quantile, room, simulate, watched
from bench.progress import failed
from bench.stage import Cpu, Stage, stage
from bench.transcript import Transcript, transcript, written_down
from monitor.core import duration
from monitor.core.verdict import Verdict
from monitor.embedded.servers import Servers
from monitor.ports import Store
from monitor.probe import discover
from monitor.probes.durability import DurabilityProbe
from monitor.stores.environment import LiveEnvironment

GOAL = 1000
"""So many environments are spoken of."""
ENOUGH = 0.85
"""Of the runs that are due, where fewer go to their end, what they cost says nothing of a machine that has room."""
BESIDE = "asyncpg and redis-py alone"
PULSE = "pulse"
_STORES = ("PostgreSQL", "Redis")  # each has a pulse
_MOVES, _TIMES = 50, 3
_LOOKS = 4  # at the open connections, in a window
_STRETCH, _WITH_DATABASE, _LONG = 20, 100, 300.0
_IMPORTS = """
import asyncpg, pydantic, sqlalchemy.ext.asyncio, redis.asyncio
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS")))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many environments two of the daemons watch, and over how many windows of how many seconds."""

    many: int
    few: int
    windows: int
    seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a daemon did a second: runs of each probe to their end, moves of the pulse, seconds of the processor."""

    runs: Mapping[str, float]
    moves: float
    cpu: float

    def alone(self, costs: Mapping[str, float]) -> float:
        """Seconds a second that the drivers alone take for it. `costs` are in milliseconds, a run or move."""
        spent = sum(rate * costs[probe] for probe, rate in self.runs.items()) + self.moves * costs[PULSE]
        return spent / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of the daemons. Bytes of memory; connections to both stores; lag in seconds."""

    windows: Sequence[Window]
    lag: float
    missed: int
    memory: tuple[float, float, float]
    """Of the daemon that watches many, few, none."""
    held: Mapping[str, float]


async def measure(effort: Effort) -> Sequence[Row]:
    """Both rows; a long bench watches more, and a thousand that are probed less often."""
    size = Size(many=200, few=40, windows=12) if effort.full else Size(many=44, few=20, windows=3)
    seen = await _seen(size, effort)
    effort.tell("the same requests by the drivers alone")
    async with stage() as here:
        costs = await _alone(here, sorted({probe for window in seen.windows for probe in window.runs}))
    rows = [*_of_processor(size, seen, costs), *_of_memory(size, seen, await _imports())]
    if effort.full:
        try:
            rows += _of_all(await _all(effort))
        except (TimeoutError, RuntimeError) as error:  # what was measured before is told all the same
            traceback.print_exc()
            rows.append(failed("thousand", error))
    return rows


async def _seen(size: Size, effort: Effort) -> Seen:
    many = Plan(environments=size.many, databases=size.many, seconds=0, probes={})
    few = Plan(environments=size.few, databases=size.few, seconds=0, probes={}, first=size.many)
    off = {name: {"enabled": False} for name in discover(monitor.probes)}
    none = Plan(environments=1, databases=0, seconds=0, probes=off, first=size.many + size.few)
    settings = room(size.many + size.few)
    effort.tell(f"servers with {size.many + size.few} databases")
    async with (
        Servers(fsync=False, postgres_settings=settings, valkey_appendonly=False) as servers,
        AsyncExitStack() as stack,
    ):
        await databases(servers, size.many + size.few)
        daemons = list[Daemon]()
        for plan in (many, few, none):
            _, (daemon,) = await stack.enter_async_context(watched(servers, plan))
            daemons.append(daemon)
        effort.tell(f"{size.many} and {size.few} environments: the first round")
        await asyncio.gather(*(daemon.ready(size.many) for daemon in daemons))
        await asyncio.sleep(2)  # what the first round left to be kept and swept
        effort.tell(f"measured for {size.windows * size.seconds:.0f} s")
        return await _watch(size, daemons, servers)


async def _watch(size: Size, daemons: Sequence[Daemon], servers: Servers) -> Seen:
    watched_many = daemons[0]
    clock = asyncio.get_running_loop().time
    first = last = Samples((await watched_many.page())[0])
    began, spent = clock(), watched_many.cpu()
    windows, held = list[Window](), list[Mapping[str, int]]()
    for _ in range(size.windows):
        for _ in range(_LOOKS):
            await asyncio.sleep(size.seconds / _LOOKS)
            held.append(await _held(servers))
        now = Samples((await watched_many.page())[0])
        length, cpu = clock() - began, watched_many.cpu() - spent
        began, spent = began + length, spent + cpu
        windows.append(
            Window(
                runs={probe: _right(probe, last, now) / length for probe in now.labels("holdfast_runs_total", "probe")},
                moves=DurabilityProbe().rate * len(_STORES) * size.many,
                cpu=cpu / length,
            )
        )
        last = now
    many, few, none = (float(daemon.resident()) for daemon in daemons)
    return Seen(
        windows=windows,
        lag=quantile(first, last, "holdfast_schedule_lag_seconds", 0.99),
        missed=int(last.total("holdfast_unknown_total", reason="missed")),
        memory=(many, few, none),
        held={store: fmean(one[store] for one in held) / (size.many + size.few) for store in _STORES},
    )


def _right(probe: str, before: Samples, now: Samples) -> float:
    """How many runs of a probe went through all that it asks."""
    return sum(
        page.total("holdfast_runs_total", probe=probe, verdict=verdict) * sign
        for page, sign in ((now, 1), (before, -1))
        for verdict in (Verdict.OK, Verdict.SLOW)
    )


async def _held(servers: Servers) -> Mapping[str, int]:
    """How many connections the daemons have open now, as the servers count them."""
    counted = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'holdfast/%'"
    clients: Any = await servers.valkey.command("CLIENT", "LIST")
    said = (await servers.postgres.sql(counted), clients.count(b"name=holdfast/"))
    return {store: int(count) for store, count in zip(_STORES, said, strict=True)}


async def _alone(here: Stage, names: Sequence[str]) -> Mapping[str, float]:
    """Milliseconds of the processor that the drivers alone take: for a run of each probe, for a move of the pulse."""
    known = discover(monitor.probes)
    probes = [known[name]() for name in names]
    environment = here.environment(*probes)
    costs = {}
    for probe in probes:
        await here.right(probe, environment)  # the first run looks at the schema
        costs[probe.name] = await _replayed(here, [await transcript(here, probe, environment) for _ in range(_TIMES)])
    moves = [await _pulse(environment, store) for store in (Store.POSTGRES, Store.REDIS)]
    costs[PULSE] = sum([await _replayed(here, [each] * _TIMES) for each in moves]) / len(moves) / _MOVES
    return costs


async def _pulse(environment: LiveEnvironment, store: Store) -> Transcript:
    """Many moves of a store's register on one connection."""
    with written_down() as found:
        scribe = environment.scribe(store)
        scribe.kept = True
        for _ in range(_MOVES):
            await scribe.write(identified=False)
        await scribe.close()
    return found


async def _replayed(here: Stage, sent: Sequence[Transcript]) -> float:
    dsn, url = here.servers.postgres.dsn, here.servers.valkey.url
    spent = []
    for each in sent:
        with Cpu() as cpu:
            await each.replay(dsn, url)
        spent.append(cpu.spent)
    return median(spent)


def in_proportion(share: float, *, environments: int) -> float:
    """Percent of a core for a thousand environments, if so many take a share of one."""
    return share / environments * GOAL * 100


def due(environments: int, every: Iterable[timedelta]) -> float:
    """Runs a second of so many environments by probes with these intervals."""
    return environments * sum(1 / each.total_seconds() for each in every)


def _of_processor(size: Size, seen: Seen, costs: Mapping[str, float]) -> Sequence[Row]:
    runs = median(sum(window.runs.values()) for window in seen.windows)
    moves = median(window.moves for window in seen.windows)
    wanted = due(size.many, (made().every for name, made in discover(monitor.probes).items() if name in costs))
    share = Row(
        number="5",
        what=f"{GOAL:,} environments, all probes at their intervals: share of a core",
        unit="%",
        beside=BESIDE,
        goal=Goal(most=70),
        absolute=True,
    )
    if runs < ENOUGH * wanted:
        note = (
            f"not measured: {runs:.1f} runs a second went to their end, of {wanted:.1f}; what else does the machine do?"
        )
        share = replace(share, note=note)
    else:
        alone = [in_proportion(window.alone(costs), environments=size.many) for window in seen.windows]
        share = replace(
            share,
            own=Figure.of(in_proportion(window.cpu, environments=size.many) for window in seen.windows),
            anchor=Figure.of(alone),
            note=f"extrapolated from {size.many}: {runs:.1f} runs and {moves:.0f} moves of the pulse a second",
        )
    return [
        share,
        Row(
            number="5",
            what=f"{size.many} environments: schedule lag p99, at most",
            unit="ms",
            own=Figure.of([seen.lag * 1000]),
            goal=Goal(most=100),
            note="the bound of the bucket that holds it",
        ),
        Row(number="5", what=f"{size.many} environments: missed runs", own=Figure.of([seen.missed]), goal=Goal(most=0)),
    ]


def _of_memory(size: Size, seen: Seen, imports: float) -> Sequence[Row]:
    many, few, none = seen.memory
    held = " and ".join(f"{count:.1f} to {store}" for store, count in seen.held.items())
    return [
        Row(
            number="6",
            what="memory of an idle daemon: one environment, no probe",
            unit="MB",
            own=Figure.of([none / 1e6]),
            anchor=Figure.of([imports / 1e6]),
            beside="asyncpg, pydantic, SQLAlchemy and redis-py imported alone",
            goal=Goal(most=70),
            absolute=True,
        ),
        Row(
            number="6",
            what="memory of a further environment",
            unit="kB",
            own=Figure.of([(many - few) / (size.many - size.few) / 1000]),
            goal=Goal(most=150),
            note=f"from {size.few} to {size.many} that are probed, with all that they keep, at detail low; "
            "the room in which runs work is made by the first twenty or so, and others use it again",
        ),
        Row(
            number="6",
            what="connections that daemons hold open, for each environment",
            own=Figure.of([sum(seen.held.values())]),
            note=f"{held}, on average: those of runs under way among them",
        ),
    ]


async def _imports() -> float:
    """Bytes of memory of a process that has imported what nothing here can do without."""
    running = await asyncio.create_subprocess_exec(sys.executable, "-c", _IMPORTS, stdout=asyncio.subprocess.PIPE)
    said, _ = await running.communicate()
    return float(said) * 1024


async def _all(effort: Effort) -> Came:
    """A thousand that are probed so rarely that a core could do it; a tenth have a PostgreSQL, for want of room."""
    probes: dict[str, dict[str, Any]] = {
        name: {"every": duration.text(made().every * _STRETCH)}
        for name, made in discover(monitor.probes).items()
        if made().enabled
    }
    probes["durability"]["rate"] = DurabilityProbe().rate / _STRETCH
    plan = Plan(environments=GOAL, databases=_WITH_DATABASE, seconds=_LONG, probes=probes)
    (came,) = await simulate(plan, tell=effort.tell)
    return came


def _of_all(came: Came) -> Sequence[Row]:
    what = f"{GOAL:,} environments, {_WITH_DATABASE} with PostgreSQL, {_STRETCH} times as rarely"
    return [
        Row(
            number="5",
            what=f"{what}: share of a core",
            unit="%",
            own=Figure.of([came.cpu * 100]),
            note=f"{came.runs:.1f} runs a second for {_LONG:.0f} s; {came.resident / 1e6:.0f} MB; "
            f"reload in {came.reload:.2f} s, {came.missed_by_reload} turns missed by it",
        ),
        Row(
            number="5",
            what=f"{what}: schedule lag p99, at most",
            unit="ms",
            own=Figure.of([came.lag_p99 * 1000]),
            goal=Goal(most=100),
        ),
        Row(number="5", what=f"{what}: missed runs", own=Figure.of([came.missed]), goal=Goal(most=0)),
    ]
