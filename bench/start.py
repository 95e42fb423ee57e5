"""Row 9: from the start of the process to the first verdict, on servers that run; and what CI takes.

Beside it stands the start of Python alone with the driver, which nothing that speaks to PostgreSQL in Python can avoid.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import perf_counter

import yaml

from bench.frame import Effort, Figure, Goal, Row, in_turn
from bench.stage import Stage, stage
from monitor.probes.thread import ThreadProbe

CHECKED = Path(__file__).parent.parent / ".venv" / "holdfast-checked"
"""Where dev.py writes down how many seconds its last `check` took."""


async def measure(effort: Effort) -> Sequence[Row]:
    """Both."""
    async with stage() as here:
        await here.right(ThreadProbe(), here.environment(ThreadProbe()))  # the schema is there
        daemon = partial(_daemon, here)
        ours, theirs = await in_turn(max(3, effort.rounds - 2), daemon, _python)
    checked = float(CHECKED.read_text()) / 60 if CHECKED.exists() else None
    return [
        Row(
            number="9",
            what="process start to first verdict",
            unit="s",
            own=ours["verdict"],
            goal=Goal(most=1),
            note="the daemon with all probes, until the first line `run.finished` stands in its log; "
            f"importing asyncpg, pydantic, SQLAlchemy and redis-py alone takes {theirs['import'].text('s')}",
        ),
        Row(number="9", what="process start to the page that can be read", unit="s", own=ours["page"]),
        Row(
            number="CI",
            what="`python3 dev.py check`, when it was last run here",
            unit="min",
            own=None if checked is None else Figure.of([checked]),
            goal=Goal(most=25),
            note="" if checked is not None else "not measured: it has not been run to its end in this clone",
        ),
    ]


async def _daemon(here: Stage) -> Mapping[str, float]:
    """Seconds until the page, and until the first verdict."""
    folder = here.servers.folder / "daemon"
    folder.mkdir(exist_ok=True)
    file = folder / "holdfast.yaml"
    stores = {"postgres": {"dsn": here.servers.postgres.dsn}, "redis": {"url": here.servers.valkey.url}}
    content = {
        "http": {"listen": "127.0.0.1:0"},
        "state": f"sqlite:///{folder}/state.db",
        "logging": {"format": "json"},
        "environments": {"bench": stores},
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    began, found = perf_counter(), dict[str, float]()
    command = [str(Path(sys.executable).with_name("holdfast")), "run", "--config", str(file)]
    running = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    if running.stderr is None:
        raise TypeError("a pipe is missing")
    lines = b""
    async for line in running.stderr:
        lines += line
        said = json.loads(line) if line.startswith(b"{") else {}
        if said.get("event") == "daemon.started":
            found["page"] = perf_counter() - began
        if said.get("event") == "run.finished":
            found["verdict"] = perf_counter() - began
            break
    with suppress(ProcessLookupError):  # it has ended, and its last words say why
        running.send_signal(signal.SIGTERM)
    await running.communicate()
    if len(found) < 2:  # noqa: PLR2004  both
        raise RuntimeError(f"the daemon did not start: {lines.decode()}")
    return found


async def _python() -> Mapping[str, float]:
    began = perf_counter()
    program = "import asyncpg, pydantic, sqlalchemy.ext.asyncio, redis.asyncio"
    running = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    await running.wait()
    return {"import": perf_counter() - began}
