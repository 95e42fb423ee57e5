"""Row 1: the latency of each step of `thread`, as exported, beside the same statements sent by pgbench.

pgbench tells means, and so both sides are means of the runs of one turn; the figure is the median of the turns. pgbench
sends each statement as text in one go on a connection that stays; a run has new connections, on which asyncpg prepares
each statement before it is sent for the first time, and that is in its steps. What pgbench sends was written down in
runs before.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter
from urllib.parse import urlsplit

from bench.frame import Effort, Goal, Row, in_turn
from bench.programs import needed, program
from bench.stage import stage
from bench.transcript import transcript
from monitor.probes.thread import ThreadProbe

RUNS, SECONDS = 11, 1.5
_LATENCY = re.compile(r"^\s+(\d+\.\d+)\s+\d+\s", re.MULTILINE)
_CONNECTING = re.compile(r"average connection time = (\d+\.\d+) ms")


async def measure(effort: Effort) -> Sequence[Row]:
    """A row for each step."""
    what = "latency of the step `{}` of `thread`, as exported"
    if not (pgbench := program("pgbench")):
        return [Row(number="1", what=what.format("…"), unit="ms", beside="pgbench", note=needed("pgbench"))]
    async with stage() as here:
        probe = ThreadProbe()
        environment = here.environment(probe)
        await here.right(probe, environment)
        scripts = [(await transcript(here, probe, environment)).script() for _ in range(RUNS)]
        steps = [step for _, these in scripts for step in these]
        dsn = here.servers.postgres.dsn
        whole, connecting = here.servers.folder / "run.sql", here.servers.folder / "connect.sql"
        whole.write_text("".join(script for script, _ in scripts), encoding="utf-8")
        connecting.write_text("SELECT 1;\n", encoding="utf-8")

        async def own() -> Mapping[str, float]:
            took: defaultdict[str, list[float]] = defaultdict(list)
            until = perf_counter() + SECONDS
            while perf_counter() < until:
                for step in (await here.right(probe, environment)).steps:
                    took[step.name].append(step.took.total_seconds() * 1000)
            return {name: fmean(values) for name, values in took.items()}

        async def anchor() -> Mapping[str, float]:
            said = await _pgbench(pgbench, dsn, "-r", "-t", 2, "-f", whole)
            took: defaultdict[str, float] = defaultdict(float)
            for step, latency in zip(steps, _LATENCY.findall(said), strict=True):
                took[step or ""] += float(latency)
            found = {step: took[step] / times / RUNS for step, times in _times(probe).items()}
            said = await _pgbench(pgbench, dsn, "-C", "-t", 2 * RUNS, "-f", connecting)
            connected = _CONNECTING.search(said)
            if connected is None:
                raise RuntimeError(f"pgbench said no connection time: {said}")
            return {**found, **dict.fromkeys(("connect", "reconnect"), float(connected[1]))}

        ours, theirs = await in_turn(effort.rounds, own, anchor)
    return [
        Row(
            number="1",
            what=what.format(step),
            unit="ms",
            own=ours[step],
            anchor=theirs[step],
            beside="pgbench -C" if "connect" in step else "pgbench",
            goal=Goal(most=1.5),
        )
        for step in probe.steps
    ]


def _times(probe: ThreadProbe) -> Mapping[str, int]:
    """How often a run takes each step that sends statements."""
    return {"create_thread": 2, "append_message": probe.messages, "reload": 2, "edit": 1, "delete": 2}


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
