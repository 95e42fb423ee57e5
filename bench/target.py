"""Row 10: what a `thread` run costs PostgreSQL, beside the very same statements sent once more by asyncpg alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import psutil

import monitor.probes
from bench.frame import Effort, Figure, Goal, Row, in_turn
from bench.stage import Stage, stage
from bench.transcript import Transcript, transcript
from monitor.probe import discover
from monitor.probes.thread import ThreadProbe

RUNS = 25


async def measure(effort: Effort) -> Sequence[Row]:
    """WAL, transactions, processor; and how many connections any run holds at once."""
    async with stage() as here:
        probe = ThreadProbe()
        environment = here.environment(probe)
        await here.right(probe, environment)
        sent: list[Transcript] = []

        async def run() -> None:
            sent.append(await transcript(here, probe, environment))

        async def again() -> None:
            await sent.pop().replay(here.servers.postgres.dsn)

        async def own() -> Mapping[str, float]:
            return await _cost(here, run)

        async def bare() -> Mapping[str, float]:
            return await _cost(here, again)

        ours, theirs = await in_turn(effort.rounds, own, bare)
        wanted = {name: max(made().wants().values()) for name, made in discover(monitor.probes).items()}
    figures = {"wal": ("WAL", "bytes"), "transactions": ("transactions", ""), "cpu": ("processor of the server", "ms")}
    rows = [
        Row(
            number="10",
            what=f"{title} per `thread` run",
            unit=unit,
            own=ours[name],
            anchor=theirs[name],
            beside="the statements alone",
            goal=Goal(most=1.1),
        )
        for name, (title, unit) in figures.items()
    ]
    most = max((probe for probe in wanted if probe != "load"), key=lambda name: wanted[name])
    several = sorted(name for name, count in wanted.items() if count > 4)  # noqa: PLR2004  the goal
    note = f"more than 4 by what they promise about: {', '.join(several)} (most: {most})" if several else ""
    connections = Figure.of([wanted["thread"]])
    what = "connections to one store that a `thread` run holds at once, at most"
    return [*rows, Row(number="10", what=what, own=connections, goal=Goal(most=4), note=note)]


async def _cost(here: Stage, work: Callable[[], Awaitable[object]]) -> Mapping[str, float]:
    """Per run."""
    before, cpu = await _counted(here), _spent(here)
    for _ in range(RUNS):
        await work()
    after = await _counted(here)
    found = {name: (after[name] - before[name]) / RUNS for name in before}
    return {**found, "cpu": (_spent(here) - cpu) / RUNS}


async def _counted(here: Stage) -> Mapping[str, float]:
    said = await here.servers.postgres.sql(
        "SELECT pg_current_wal_insert_lsn() - '0/0', xact_commit + xact_rollback FROM pg_stat_database"
        " WHERE datname = 'app'"
    )
    wal, transactions = said.strip().split("|")
    return {"wal": float(wal), "transactions": float(transactions)}


def _spent(here: Stage) -> float:
    """Milliseconds of the processor of all server processes that have ended: each run has connections of its own."""
    spent = psutil.Process(here.servers.postgres.pid).cpu_times()
    return float(spent.children_user + spent.children_system) * 1000
