"""Row 8: the processor time of one check, beside exporters that look and do not verify, and beside commands from cron.

A `session` and a `thread` run are whole runs of this process, twenty at once as a daemon has them. An exporter is asked
over and over by one client; what it spent is read from the kernel. A command is a process a time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench.frame import Effort, Figure, Goal, Row, in_turn
from bench.programs import needed, program
from bench.stage import Cpu, Stage, stage
from monitor.embedded.server import free_port
from monitor.probe import Probe
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe

TOGETHER, ASKED, COMMANDS = 20, 100, 10
DIALOGUE, SCRAPE, OTHER = "blackbox_exporter: SET, GET, DEL", "postgres_exporter: a scrape", "redis_exporter: a scrape"
EXPORTERS = {
    DIALOGUE: "prometheus-blackbox-exporter",
    SCRAPE: "prometheus-postgres-exporter",
    OTHER: "prometheus-redis-exporter",
}
BLACKBOX = """
modules:
  redis:
    prober: tcp
    timeout: 5s
    tcp:
      preferred_ip_protocol: ip4
      query_response:
        - send: "AUTH {password}"
        - expect: "^.OK"
        - send: "SET bench 1"
        - expect: "^.OK"
        - send: "GET bench"
        - expect: "^.1"
        - expect: "^1"
        - send: "DEL bench"
        - expect: "^:1"
"""
Side = Callable[[], Awaitable[Mapping[str, float]]]


async def measure(effort: Effort) -> Sequence[Row]:
    """Both runs beside all others that are here."""
    async with stage() as here, AsyncExitStack() as stack:
        session, thread = SessionProbe(), ThreadProbe()
        sides: dict[str, Side] = {
            "session": partial(_runs, here, session, [here.environment(session) for _ in range(TOGETHER)]),
            "thread": partial(_runs, here, thread, [here.environment(thread) for _ in range(TOGETHER)]),
        }
        for title, package in EXPORTERS.items():
            if (found := program(package)) is not None:
                sides[title] = await stack.enter_async_context(_exporter(title, found, here))
        for title, command, environment in _commands(here):
            if (found := program(command[0])) is not None:
                sides[title] = partial(_processes, [str(found), *command[1:]], environment)
        found_figures = await in_turn(effort.rounds, *sides.values())
    figures = {title: found["ms"] for title, found in zip(sides, found_figures, strict=True)}
    return _rows(figures)


def _rows(figures: Mapping[str, Figure]) -> Sequence[Row]:
    anchors = {
        DIALOGUE: (1.0, 2.0, EXPORTERS[DIALOGUE]),
        SCRAPE: (None, None, EXPORTERS[SCRAPE]),
        OTHER: (None, None, EXPORTERS[OTHER]),
        "redis-cli": (1.0, None, "redis-cli"),
        "psql": (None, 1.0, "psql"),
        "pgbench -t 1": (None, 1.0, "pgbench"),
    }
    rows = []
    for title, (*goals, package) in anchors.items():
        for probe, goal in zip(("session", "thread"), goals, strict=True):
            if goal is None and (probe == "session") != (title == OTHER):
                continue  # a run is compared with what looks at the same store
            rows.append(
                Row(
                    number="8",
                    what=f"processor per `{probe}` run, beside {title}",
                    unit="ms",
                    own=figures[probe],
                    anchor=figures.get(title),
                    beside=title,
                    goal=Goal(most=goal),
                    note="" if title in figures else needed(package),
                )
            )
    return rows


async def _runs(here: Stage, probe: Probe[Any], environments: Sequence[object]) -> Mapping[str, float]:
    with Cpu() as cpu:
        await asyncio.gather(*(here.right(probe, environment) for environment in environments))  # type: ignore[arg-type]
    return {"ms": cpu.spent / len(environments)}


@asynccontextmanager
async def _exporter(title: str, found: Path, here: Stage) -> AsyncIterator[Side]:
    """One that runs; -> how it is asked."""
    port, valkey, dsn = free_port(), here.servers.valkey, urlsplit(here.servers.postgres.superuser_dsn())
    address, path, environment = f"127.0.0.1:{port}", "/metrics", dict[str, str]()
    options = [f"--web.listen-address={address}"]
    if title == DIALOGUE:
        file = here.servers.folder / "blackbox.yml"
        file.write_text(BLACKBOX.replace("{password}", valkey.password), encoding="utf-8")
        options.append(f"--config.file={file}")
        path = f"/probe?module=redis&target=127.0.0.1:{valkey.port}"
    elif title == SCRAPE:
        environment["DATA_SOURCE_NAME"] = f"{dsn.geturl()}?sslmode=disable"
    else:
        options += [f"-redis.addr=redis://127.0.0.1:{valkey.port}"]
        environment["REDIS_PASSWORD"] = valkey.password
    log = (here.servers.folder / f"{found.name}.log").open("wb")
    running = await asyncio.create_subprocess_exec(
        found, *options, env={**os.environ, **environment}, stdout=log, stderr=log
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as client:
            for _ in range(100):
                try:
                    answer = await client.get(path)
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
            else:
                raise RuntimeError(f"{found.name} does not answer")
            wanted = "probe_success 1" if title == DIALOGUE else "pg_up 1" if title == SCRAPE else "redis_up 1"
            if wanted not in answer.text:
                raise RuntimeError(f"{found.name} says no {wanted}: {answer.text[-500:]}")

            async def ask() -> Mapping[str, float]:
                before = _spent(running.pid)
                for _ in range(ASKED):
                    await client.get(path)
                return {"ms": (_spent(running.pid) - before) / ASKED}

            yield ask
    finally:
        running.terminate()
        await running.wait()
        log.close()


def _spent(pid: int) -> float:
    """Milliseconds of the processor that all threads of a process spent so far, as the scheduler counts them."""
    spent = 0.0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        spent += int((thread / "schedstat").read_text().split()[0]) / 1e6
    return spent


def _commands(here: Stage) -> Sequence[tuple[str, list[str], dict[str, str]]]:
    dsn, valkey = urlsplit(here.servers.postgres.dsn), here.servers.valkey
    at = ["-h", "127.0.0.1", "-p", str(dsn.port), "-U", dsn.username or ""]
    one = here.servers.folder / "one.sql"
    one.write_text("SELECT 1;\n", encoding="utf-8")
    postgres, redis = {"PGPASSWORD": dsn.password or ""}, {"REDISCLI_AUTH": valkey.password}
    return (
        ("redis-cli", ["redis-cli", "-p", str(valkey.port), "GET", "bench"], redis),
        ("psql", ["psql", "-XqAt", *at, "-c", "SELECT 1", "app"], postgres),
        ("pgbench -t 1", ["pgbench", "-n", "-t", "1", "-f", str(one), *at, "app"], postgres),
    )


async def _processes(command: Sequence[str], environment: Mapping[str, str]) -> Mapping[str, float]:
    before = _of_children()
    for _ in range(COMMANDS):
        running = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, wrong = await running.communicate()
        if running.returncode:
            raise RuntimeError(f"{command[0]}: {wrong.decode()}")
    return {"ms": (_of_children() - before) / COMMANDS}


def _of_children() -> float:
    used = getrusage(RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1000
