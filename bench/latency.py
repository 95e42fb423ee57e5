"""Row 1: the latency of each step of `thread`, as exported, beside the same statements sent by pgbench.

pgbench sends, each on a new connection, what the connections of some runs have sent: simple queries, the values in
their text. A run has new connections, too, on which asyncpg prepares each statement before it is sent first.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

from bench.frame import Effort, Goal, Row, in_turn
from bench.programs import needed, program
from bench.stage import stage
from bench.transcript import transcript
from monitor.probes.thread import ThreadProbe

RUNS, SECONDS = 11, 1.5
_LATENCY = re.compile(r"^\s+(\d+\.\d+)\s+\d+\s", re.MULTILINE)
_CONNECTING = re.compile(r"initial connection time = (\d+\.\d+) ms")


async def measure(effort: Effort) -> Sequence[Row]:
    """A row for each step."""
    what = "latency of the step `{}` of `thread`, as exported"
    if not (pgbench := program("pgbench")):
        return [Row(number="1", what=what.format("…"), unit="ms", beside="pgbench", note=needed("pgbench"))]
    async with stage() as here:
        probe = ThreadProbe()
        environment = here.environment(probe)
        await here.right(probe, environment)
        sent = [await transcript(here, probe, environment) for _ in range(RUNS)]
        scripts = [script for run in sent for script in run.scripts()]
        file = here.servers.folder / "connection.sql"

        async def own() -> Mapping[str, float]:
            took: defaultdict[str, list[float]] = defaultdict(list)
            until = perf_counter() + SECONDS
            while perf_counter() < until:
                for step in (await here.right(probe, environment)).steps:
                    took[step.name].append(step.took.total_seconds() * 1000)
            return {name: median(values) for name, values in took.items()}

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

        ours, theirs = await in_turn(effort.rounds, own, anchor)
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
    command = [*map(str, options), "-n", "-h", parts.hostname or "", "-p", str(parts.port), "-U", parts.username or ""]
    running = await asyncio.create_subprocess_exec(
        pgbench,
        *command,
        parts.path.removeprefix("/"),
        env={**os.environ, "PGPASSWORD": parts.password or ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, wrong = await running.communicate()
    if running.returncode:
        raise RuntimeError(f"pgbench: {wrong.decode()}")
    return said.decode()
