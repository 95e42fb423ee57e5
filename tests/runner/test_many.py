"""A thousand environments in one process, a tenth of them black holes that take every byte and answer nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from monitor.core.verdict import Verdict
from monitor.embedded.servers import Servers
from monitor.gate import Gate
from monitor.probe import Run
from monitor.schedule import Schedule
from tests.runner import Bell, Deed, Doing, Place, desk_with

MANY, DEAD = 1000, 100


@pytest.fixture
async def black_hole() -> AsyncIterator[int]:
    """A port where every connection is taken, and nothing is ever said."""
    gone = asyncio.Event()

    async def swallow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0, backlog=2 * DEAD)
    yield server.sockets[0].getsockname()[1]
    gone.set()
    server.close()


def asking(port: int, bell: Bell) -> Deed:
    """A run that says PING to a port and waits for the answer."""

    async def deed(run: Run) -> bytes:
        bell.ring(f"asked {run.environment.name}")
        async with run.step("reload"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                writer.write(b"PING\r\n")
                return await reader.readline()

    return deed


async def test_black_holes_keep_nobody_waiting(servers: Servers, black_hole: int) -> None:
    """While each run of a hundred dead environments waits for its timeout all others have theirs, and none is missed.

    The gate is narrow: if dead environments kept their places until the timeout, nobody would get past.
    """
    bell, settings = Bell(), {"every": timedelta(minutes=10), "timeout": timedelta(minutes=9)}
    live, dead = [f"live-{number}" for number in range(MANY - DEAD)], [f"dead-{number}" for number in range(DEAD)]
    async with desk_with(bell) as (desk, metrics, _):
        schedule = Schedule(replace(desk, gate=Gate()))
        for name in (*live, *dead):
            probe = Doing(deed=asking(black_hole if name in dead else servers.valkey.port, bell), **settings)
            place = Place(name)
            metrics.expect(name, labels={}, probes=[probe], stores=place.stores)
            schedule.watch(place, [probe])
        with capture_logs():  # a thousand lines on a console take longer than the runs
            schedule.start()
            await bell.until(
                # Some may run twice: in the first round, and on the grid of their interval.
                lambda: (
                    all(bell.counts[f"run {name}/doing"] for name in live)
                    and all(bell.counts[f"asked {name}"] for name in dead)
                )
            )
            told = Counter(record.verdict for name in (*live, *dead) for record in desk.journal.latest(name).values())
            await schedule.drain(timedelta())
    assert told == {Verdict.OK: len(live)}
    assert not [what for what in bell.counts if what.startswith("missed")]
