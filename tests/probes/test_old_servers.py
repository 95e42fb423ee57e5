"""Probes on the oldest servers that this machine has, which are not those of the wheels."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import monitor.probes
from monitor.auditing import FORGETFUL
from monitor.core.residue import Instance
from monitor.core.verdict import Verdict
from monitor.desk import Desk
from monitor.embedded.faults import Site
from monitor.embedded.postgres import system_bindir
from monitor.embedded.servers import Servers
from monitor.ports import Store
from monitor.probe import Probe, discover
from monitor.runner import run_once
from monitor.stores.environment import LiveEnvironment

POSTGRES, REDIS = system_bindir(), shutil.which("redis-server")
_BRIEF = {"load": {"length": "500ms", "ramp": "0s"}}
PROBES = {
    name: made(budget=timedelta(seconds=9), **_BRIEF.get(name, {})) for name, made in discover(monitor.probes).items()
}

pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(POSTGRES is None or REDIS is None, reason="Debian's PostgreSQL or Redis is not installed"),
]


@pytest.fixture(scope="module")
async def old_servers() -> AsyncIterator[Servers]:
    """The system's PostgreSQL and Redis, each with a replica, and a pooler."""
    redis = Path(REDIS or "")
    async with Servers(
        fsync=False, postgres_bindir=POSTGRES, valkey_server=redis, replicas=True, pooler=True
    ) as started:
        yield started


@pytest.fixture
async def environment(old_servers: Servers, desk: Desk) -> AsyncIterator[LiveEnvironment]:
    """Everything that they offer, under Holdfast's own ACL, and what is counted about it."""
    async with AsyncExitStack() as stack:
        site = await Site.before(old_servers, stack, fenced=True)
        made = LiveEnvironment(
            "old",
            instance=Instance(secrets.token_hex(4), 1),
            tally=desk.metrics.tally("old"),
            addresses=site.addresses(),
            connections=dict.fromkeys(Store, 40),
            provision=True,
        )
        desk.metrics.expect("old", labels={}, probes=list(PROBES.values()), stores=made.stores)
        yield made


async def test_they_are_others_than_the_wheels(old_servers: Servers) -> None:
    """PostgreSQL is older than 18, and Redis is no Valkey."""
    assert int(await old_servers.postgres.sql("SHOW server_version_num")) < 180_000
    info = await old_servers.valkey.command("INFO", "server")
    assert isinstance(info, bytes)
    assert b"valkey_version" not in info


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
async def test_every_probe_is_ok_there(environment: LiveEnvironment, desk: Desk, probe: Probe[Any]) -> None:
    """Three runs are ok, nothing is left out that newer servers are asked for, and nothing is left behind."""
    for _ in range(3):
        record = await run_once(probe, environment, desk)
        assert record.verdict is Verdict.OK, record.finding.message
        forgetful = (FORGETFUL,) if probe.name == "durability" else ()  # its ledger is in memory here
        assert record.finding.left_out == (*probe.left_out(environment.surroundings), *forgetful)
    for store in probe.needs:
        assert await environment.census(store) == 0
