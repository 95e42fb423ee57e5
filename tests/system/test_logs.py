"""The log of a daemon: lines of JSON off a terminal, one for each run, and nothing beside them."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.system import COMMAND, ENVIRONMENT, OFTEN, Daemon, until, variables
from tests.system.conftest import Place

FAST = {
    "thread": {"every": "500ms", "timeout": "490ms"},
    "session": {"every": "1s", "timeout": "990ms", "brief_ttl": "200ms"},
}
NOISY = """
import asyncio, logging, warnings
from monitor import app, cli

async def prune(self):
    warnings.warn("a warning of a library")
    logging.getLogger("apscheduler").warning("from the scheduler: %s", "late")
    logging.getLogger("uvicorn.error").error("from the server", exc_info=ValueError("odd"))
    asyncio.get_running_loop().call_exception_handler({"message": "from the loop"})

app.App._prune = prune
cli.main()
"""


async def test_every_line_is_json(place: Place) -> None:
    """Off a terminal every line is an object with event, level and timestamp, from whichever library it came."""
    config = place.configured(probes=FAST)
    async with Daemon(config, place.folder, script=NOISY, arguments=("--verbose",)) as noisy:
        await noisy.event("run.finished", times=3)
        place.file.write_text("environments: [")
        await noisy.event("config.rejected")
        assert await noisy.stop() == 0
        lines = noisy.events()
    for line in lines:
        assert {"event", "level", "timestamp"} <= set(line), line
        assert datetime.fromisoformat(line["timestamp"]).tzinfo is not None
    told = {line["event"]: line for line in lines}
    assert told["from the scheduler: late"]["logger"] == "apscheduler"
    assert "ValueError: odd" in told["from the server"]["exception"]
    assert told["from the loop"]["logger"] == "asyncio"
    assert any("a warning of a library" in event for event in told)
    assert any(line.get("logger", "").startswith("uvicorn") for line in lines)


async def test_one_line_for_each_run(place: Place) -> None:
    """Each run has exactly one run.finished with its id, environment, probe, verdict, length and checks."""
    async with Daemon(place.configured(probes=FAST), place.folder) as watching:
        await watching.event("run.finished", times=6)
        assert await watching.stop() == 0
        finished = watching.events("run.finished")
    ids = Counter(line["run_id"] for line in finished)
    assert set(ids.values()) == {1}
    for line in finished:
        assert {"run_id", "environment", "probe", "verdict", "ms", "checks"} <= set(line)
        assert (line["environment"], line["level"]) == (ENVIRONMENT, "info")
    others = [line for line in watching.events() if line["event"] != "run.finished" and line.get("run_id") in ids]
    assert {line["event"] for line in others} == {"environment.ready"}


async def test_quiet_says_only_what_is_wrong(place: Place) -> None:
    """With --quiet a healthy daemon logs nothing at all."""
    place.configured(probes=OFTEN, url=None)
    quiet = Daemon(place.file, place.folder, arguments=("--quiet",))
    quiet.start()
    try:
        await until(place.state.exists)
        await until(lambda: _runs(place) > 0, what="a run")
        assert await quiet.stop() == 0
        assert quiet.events() == []
    finally:
        quiet.kill()


def _runs(place: Place) -> int:
    with closing(sqlite3.connect(place.state)) as connection, suppress(sqlite3.OperationalError):
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
    return 0


@pytest.mark.parametrize("reader", ["full", "gone"])
async def test_a_log_that_takes_nothing_stops_no_probe(place: Place, reader: str) -> None:
    """A full disk below the log, or a reader that went away, ends neither the probing nor the daemon."""
    port = _free_port()
    file = place.configured(probes=FAST, url=None, http={"listen": f"127.0.0.1:{port}"})
    process = _logging_to(reader, file)
    try:
        await until(lambda: _ok_runs(port) >= 3, what="three runs")
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None, what="its end")
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


def _logging_to(reader: str, file: Path) -> subprocess.Popen[bytes]:
    out, into = os.pipe()
    os.close(out)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        return subprocess.Popen(
            [COMMAND, "run", "--config", str(file)],
            env=variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=full if reader == "full" else into,
        )
    finally:
        os.close(into)
        os.close(full)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _ok_runs(port: int) -> int:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/api/v1/runs", params={"verdict": "ok"}, trust_env=False)
    except httpx.HTTPError:
        return 0
    return len(answer.json()["runs"])
