"""Rows 3 and 4: what a `thread` run takes of the processor, and how many a second one process does.

Beside both stands a loop of bare asyncpg that sends the very statements of one run, on as many new connections, and
looks at no answer. A run is whole: gate, stopwatch, judging, journal in its database, metrics, its line of the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from time import perf_counter

from bench.frame import Effort, Goal, Row, in_turn
from bench.stage import Cpu, stage
from bench.transcript import transcript
from monitor.probes.thread import ThreadProbe

SECONDS, TOGETHER = 1.5, 16


async def measure(effort: Effort) -> Sequence[Row]:
    """Both rows."""
    async with stage() as here:
        probe = ThreadProbe()
        environments = [here.environment(probe) for _ in range(TOGETHER)]
        for each in environments:
            await here.right(probe, each)  # the first run of each looks at the schema
        sent = [await transcript(here, probe, each) for each in environments]
        dsn, turn = here.servers.postgres.dsn, count()

        async def own(number: int) -> None:
            await here.right(probe, environments[number])

        async def bare(number: int) -> None:
            await sent[number].replay(dsn)

        async def bare_in_turn(_: int) -> None:  # runs differ by what is said in their messages
            await sent[next(turn) % TOGETHER].replay(dsn)

        one = await in_turn(effort.rounds, lambda: _spent(own), lambda: _spent(bare_in_turn))
        many = await in_turn(effort.rounds, lambda: _rate(own), lambda: _rate(bare))
    beside = "asyncpg alone"
    return [
        Row(
            number="3",
            what="processor per `thread` run",
            unit="ms",
            own=one[0]["ms"],
            anchor=one[1]["ms"],
            beside=beside,
            goal=Goal(most=2),
        ),
        Row(
            number="4",
            what=f"`thread` runs a second of one process, {TOGETHER} at once",
            unit="/s",
            own=many[0]["rate"],
            anchor=many[1]["rate"],
            beside=beside,
            goal=Goal(least=0.6),
        ),
    ]


async def _spent(work: Callable[[int], Awaitable[None]]) -> Mapping[str, float]:
    runs, began = 0, perf_counter()
    with Cpu() as cpu:
        while perf_counter() - began < SECONDS:
            await work(0)
            runs += 1
    return {"ms": cpu.spent / runs}


async def _rate(work: Callable[[int], Awaitable[None]]) -> Mapping[str, float]:
    began = perf_counter()

    async def worker(number: int) -> int:
        done = 0
        while perf_counter() - began < SECONDS:
            await work(number)
            done += 1
        return done

    done = await asyncio.gather(*map(worker, range(TOGETHER)))
    return {"rate": sum(done) / (perf_counter() - began)}
