"""Row 1: the latency of each step of `thread`, as exported, beside the same statements sent by pgbench.

pgbench sends, each on a new connection, what the connections of some runs have sent: simple queries, the values in
their text. A run has new connections, too, on which asyncpg prepares each statement before it is sent first.

For Redis there is no such program. redis-benchmark sends one command again and again on one connection, where a step of
`session` sends a pipeline of five to seven that is packed and checked in Python: that is told, and has no goal.
"""

from __future__ import annotations

import asyncio
import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from bench.frame import Effort, Goal, Row, in_turn
from bench.programs import needed, program
from bench.stage import Stage, stage
from bench.transcript import transcript
from monitor.probe import Probe
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe

RUNS, SECONDS = 11, 1.5
ASKED, BYTES = 10_000, 800  # requests of redis-benchmark; as long as a session
COMMANDS = {"save": "SET", "recover": "GET"}
"""What redis-benchmark sends beside which step of `session`."""
_LATENCY = re.compile(r"^\s+(\d+\.\d+)\s+\d+\s", re.MULTILINE)
_CONNECTING = re.compile(r"initial connection time = (\d+\.\d+) ms")


async def measure(effort: Effort) -> Sequence[Row]:
    """A row for each step of `thread`, and for some of `session`."""
    async with stage() as here:
        return [*await _of_threads(here, effort), *await _of_sessions(here, effort)]


async def _of_threads(here: Stage, effort: Effort) -> Sequence[Row]:
    what = "latency of the step `{}` of `thread`, as exported"
    if not (pgbench := program("pgbench")):
        return [Row(number="1", what=what.format("…"), unit="ms", beside="pgbench", note=needed("pgbench"))]
    probe = ThreadProbe()
    environment = here.environment(probe)
    await here.right(probe, environment)
    sent = [await transcript(here, probe, environment) for _ in range(RUNS)]
    scripts = [script for run in sent for script in run.scripts()]
    file = here.servers.folder / "connection.sql"

    async def anchor() -> Mapping[str, float]:
        took: defaultdict[str, list[float]] = defaultdict(list)
        for script, steps in scripts:
            file.write_text(script, encoding="utf-8")
            said = await _pgbench(pgbench, here.servers.postgres.dsn, "-r", "-t", 1, "-f", file)
            for step, times in _summed(steps, map(float, _LATENCY.findall(said))).items():
                took[step] += times
            connected = _CONNECTING.search(said)
            if connected is None:
                raise RuntimeError(f"pgbench said no time of its connection: {said}")
            took["connect"].append(float(connected[1]))
        return {name: median(values) for name, values in {**took, "reconnect": took["connect"]}.items()}

    ours, theirs = await in_turn(effort.rounds, partial(_own, here, probe), anchor)
    return [
        Row(
            number="1",
            what=what.format(step),
            unit="ms",
            own=ours[step],
            anchor=theirs[step],
            beside="pgbench",
            goal=Goal(most=1.5),
        )
        for step in probe.steps
    ]


async def _of_sessions(here: Stage, effort: Effort) -> Sequence[Row]:
    rows = {
        step: Row(
            number="1",
            what=f"latency of the step `{step}` of `session`, as exported",
            unit="ms",
            beside=f"redis-benchmark {command}",
            note=f"a step is a pipeline of several commands; redis-benchmark sends {command} alone, again and again",
        )
        for step, command in COMMANDS.items()
    }
    if not (benchmark := program("redis-benchmark")):
        return [replace(row, note=needed("redis-benchmark")) for row in rows.values()]
    probe = SessionProbe(brief_ttl=timedelta(milliseconds=100))  # so long a run waits for what has to expire
    ours, theirs = await in_turn(effort.rounds, partial(_own, here, probe), partial(_redis_benchmark, here, benchmark))
    return [replace(row, own=ours[step], anchor=theirs[COMMANDS[step]]) for step, row in rows.items()]


async def _own(here: Stage, probe: Probe[Any]) -> Mapping[str, float]:
    """The median latency of each step, of runs one after the other."""
    environment, took = here.environment(probe), defaultdict[str, list[float]](list)
    await here.right(probe, environment)  # the first run looks at the schema
    until = perf_counter() + SECONDS
    while perf_counter() < until:
        for step in (await here.right(probe, environment)).steps:
            took[step.name].append(step.took.total_seconds() * 1000)
    return {name: median(values) for name, values in took.items()}


def _summed(steps: Sequence[tuple[str | None, bool]], latencies: Iterable[float]) -> Mapping[str, Sequence[float]]:
    """The latencies of the transactions of each step: a transaction begins where BEGIN was sent."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    for (step, begins), latency in zip(steps, latencies, strict=True):
        if step is not None:
            took[step] += [0.0] if begins else []
            took[step][-1] += latency
    return took


async def _pgbench(pgbench: Path, dsn: str, *options: object) -> str:
    parts = urlsplit(dsn)
    at = ["-n", "-h", parts.hostname or "", "-p", str(parts.port), "-U", parts.username or ""]
    return await _said(pgbench, *options, *at, parts.path.removeprefix("/"), PGPASSWORD=parts.password or "")


async def _redis_benchmark(here: Stage, benchmark: Path) -> Mapping[str, float]:
    valkey = here.servers.valkey
    options = ("-c", 1, "-n", ASKED, "-d", BYTES, "-t", ",".join(COMMANDS.values()), "--csv")
    return medians(await _said(benchmark, "-h", "127.0.0.1", "-p", valkey.port, "-a", valkey.password, *options))


def medians(said: str) -> Mapping[str, float]:
    """Milliseconds by command, of what redis-benchmark says with --csv. Raises RuntimeError where it says no such."""
    try:
        return {row["test"]: float(row["p50_latency_ms"]) for row in csv.DictReader(said.splitlines())}
    except KeyError:
        raise RuntimeError(f"redis-benchmark of Redis 6.2 or newer is needed; it said: {said}") from None


async def _said(command: Path, *options: object, **environment: str) -> str:
    running = await asyncio.create_subprocess_exec(
        command,
        *map(str, options),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, wrong = await running.communicate()
    if running.returncode:
        raise RuntimeError(f"{command.name}: {wrong.decode()}")
    return said.decode()
