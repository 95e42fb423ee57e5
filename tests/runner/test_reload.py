"""A reload of a thousand environments: whoever did not change keeps the turns that were given out."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs

import monitor.probes
from monitor.app import App
from monitor.cli.common import read
from monitor.core.secrets import Scrubber
from monitor.embedded.servers import Servers
from monitor.logs import Scrubbing
from monitor.probe import discover
from tests.system import until

MANY, CHANGED = 1000, 10
GONE, NEW = "env-0999", "oak"


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """What a daemon sets for its whole process is as it was afterwards."""
    thresholds, switching = gc.get_threshold(), sys.getswitchinterval()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(switching)


def written(file: Path, values: dict[str, Any]) -> Path:
    """The configuration in its file."""
    file.write_text(yaml.dump(values, Dumper=yaml.CSafeDumper))
    return file


@asynccontextmanager
async def daemon(file: Path) -> AsyncIterator[App]:
    """A daemon in this process, from when its page can be read."""
    app = App(read(file), reload=lambda: read(file), scrubbing=Scrubbing(Scrubber(())))
    stop, started = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(app.run(stop, started=started.set))
    try:
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        assert started.is_set(), running.exception()
        yield app
    finally:
        stop.set()
        await running


def turns(app: App) -> dict[tuple[str, str], datetime]:
    """When each environment runs next, in the first round and on the grid of its interval."""
    found = {}
    for job in app._schedule._scheduler.get_jobs():
        *first, environment, _ = job.id.split("/")
        found[environment, "first" if first else "grid"] = job.next_run_time
    return found


async def test_a_reload_moves_nobodys_turn(servers: Servers, tmp_path: Path) -> None:
    """Of a thousand environments ten change, one goes and one comes; all others run when they would have."""
    names = [f"env-{number:04d}" for number in range(MANY)]
    values: dict[str, Any] = {
        "state": f"sqlite:///{tmp_path}/state.db",
        "http": {"listen": "127.0.0.1:0"},
        "metrics": {"detail": "low"},
        "probes": {name: {"enabled": False} for name in discover(monitor.probes)} | {"session": {"every": "1h"}},
        "environments": {name: {"redis": {"url": servers.valkey.url}} for name in names},
    }
    file = written(tmp_path / "holdfast.yaml", values)
    with capture_logs() as lines:
        async with daemon(file) as app:
            before = turns(app)
            del values["environments"][GONE]
            for name in names[:CHANGED]:
                values["environments"][name]["labels"] = {"tier": "other"}
            values["environments"][NEW] = {"redis": {"url": servers.valkey.url}}
            written(file, values)
            app.request_reload()
            await until(lambda: [line["event"] for line in lines].count("config.loaded") == 2, what="the reload")
            after, now = turns(app), app.clock.now()
    assert {environment for environment, _ in after} == {*names, NEW} - {GONE}
    kept = {turn: at for turn, at in before.items() if turn[0] in names[CHANGED:-1] and at > now}
    assert len(kept) > MANY / 2
    assert {turn: after.get(turn) for turn in kept} == kept
    assert [line for line in lines if line["event"] in {"run.missed", "config.rejected"}] == []
