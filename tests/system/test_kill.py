"""SIGKILL at any moment: a restarted daemon takes nothing of its own for a broken promise, and tidies up."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from contextlib import closing

from tests.system import RARELY, Daemon
from tests.system.conftest import Place

TIMES = 50
SEED = 20_251
LOAD = {
    "thread": {"every": "200ms", "timeout": "199ms", "budget": "9s", "messages": 12, "batch": 12},
    "session": {"every": "200ms", "timeout": "199ms", "budget": "9s", "brief_ttl": "60ms"},
}


def kept(place: Place, query: str) -> list[tuple[object, ...]]:
    """What the state database answers, as another process sees it."""
    with closing(sqlite3.connect(place.state)) as connection:
        return connection.execute(query).fetchall()


async def test_fifty_times(place: Place) -> None:
    """Killed fifty times under load, also while it starts, it reports no violation, and leaves nothing for good."""
    moments = random.Random(SEED)  # noqa: S311  moments, not secrets
    place.configured(probes=LOAD)
    killed: list[Daemon] = []
    for number in range(TIMES):
        victim = Daemon(place.file, place.folder)
        victim.start()
        if number % 5:  # the others die before they have begun
            await victim.event("daemon.started")
        await asyncio.sleep(moments.uniform(0, 1.2))
        victim.kill()
        killed.append(victim)
        if number:
            assert kept(place, "SELECT * FROM violations") == []

    left = (await place.rows(), len(await place.keys()))
    place.configured(probes=RARELY)  # a run that is cut off by so short a timeout leaves something as well
    async with Daemon(place.file, place.folder) as last:
        for store in ("postgres", "redis"):
            await last.event("sweep.finished", store=store)
        for probe in RARELY:
            await last.event("run.finished", probe=probe)
        assert (await last.get("/api/v1/violations")).json() == {"violations": []}
        assert await last.stop() == 0
    everyone = [*killed, last]
    swept = sum(line["removed"] for each in everyone for line in each.events("sweep.finished"))
    runs = [line for each in everyone for line in each.events("run.finished")]
    assert [line for each in everyone for line in each.events("violation.opened")] == []
    assert {line["verdict"] for line in runs} <= {"ok", "slow", "unknown"}
    assert {line["reason"] for line in runs if line["verdict"] == "unknown"} <= {"timeout", "inconclusive"}
    assert sum(line["verdict"] == "ok" for line in runs) > TIMES, "hardly a run came to its end: there was no load"
    assert swept > 0, f"nothing was ever left ({left}): there was no load"
    assert kept(place, "SELECT * FROM violations") == []
    assert kept(place, "PRAGMA integrity_check") == [("ok",)]
    assert (await place.rows(), await place.keys()) == (0, [])
    print(f"{len(runs)} runs, {swept} rows and keys swept, {left} before the last start")  # noqa: T201
