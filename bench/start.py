"""Row 9: from the start of the process to the first verdict, on servers that run; and what CI takes.

Beside it stands Python that imports the libraries alone, which nothing can do without that speaks to both stores here.
Both read compiled modules, as at every start but the first one of users: where an image forbids to write these
(PYTHONDONTWRITEBYTECODE), each start compiles a thousand modules.
"""

from __future__ import annotations

import asyncio
import json
import os
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
        environment = compiled(os.environ, at=here.servers.folder / "bytecode")
        ours, theirs = await in_turn(
            max(3, effort.rounds - 2), partial(_daemon, here, environment), partial(_python, environment)
        )
    checked = float(CHECKED.read_text()) / 60 if CHECKED.exists() else None
    return [
        Row(
            number="9",
            what="process start to first verdict",
            unit="s",
            own=ours["verdict"],
            anchor=theirs["import"],
            beside="importing asyncpg, pydantic, SQLAlchemy and redis-py alone",
            goal=Goal(most=1),
            absolute=True,
            note="the daemon with all probes, until the first line `run.finished` stands in its log; with bytecode",
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


def compiled(environment: Mapping[str, str], *, at: Path) -> Mapping[str, str]:
    """The same environment of a process, in which it keeps compiled modules: there, if nothing says where."""
    kept = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {"PYTHONPYCACHEPREFIX": str(at), **kept}


async def _daemon(here: Stage, environment: Mapping[str, str]) -> Mapping[str, float]:
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
    running = await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.PIPE)
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


async def _python(environment: Mapping[str, str]) -> Mapping[str, float]:
    began = perf_counter()
    program = "import asyncpg, pydantic, sqlalchemy.ext.asyncio, redis.asyncio"
    running = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environment)
    await running.wait()
    return {"import": perf_counter() - began}
