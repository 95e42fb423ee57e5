"""Servers whose clocks are an hour wrong, each in another direction: nothing is lost, late or expired by that."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

import monitor.probes
from monitor.core.residue import Instance
from monitor.core.verdict import Verdict
from monitor.desk import Desk
from monitor.embedded.faults import addresses
from monitor.embedded.servers import Servers
from monitor.ports import Store
from monitor.probe import discover
from monitor.runner import run_once
from monitor.stores.environment import LiveEnvironment

ROUNDS = 3
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


def wrong_by(hours: int) -> dict[str, str]:
    """Variables by which a server's wall clock is so many hours ahead, and its monotonic clock is right."""
    return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{hours:+}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@pytest.fixture
async def disagreeing() -> AsyncIterator[Servers]:
    """PostgreSQL an hour ahead of this machine, Redis an hour behind it, and so their replicas."""
    servers = Servers(fsync=False, replicas=True, pooler=True)
    for server in servers.all:
        server.variables = wrong_by(-1 if "Valkey" in server.title else 1)
    async with servers:
        yield servers


@pytest.mark.debian
@pytest.mark.skipif(FAKETIME is None, reason="faketime is not installed; on Debian: apt-get install faketime")
async def test_clocks_that_differ_by_two_hours_disturb_nothing(disagreeing: Servers, desk: Desk) -> None:
    """Every probe is ok again and again, and neither of two sweeps takes what a run may still need."""
    hours = await disagreeing.postgres.sql("SELECT round(extract(epoch FROM clock_timestamp()) / 3600)")
    redis_time = await disagreeing.valkey.command("TIME")
    assert isinstance(redis_time, list)
    assert isinstance(redis_time[0], bytes)
    assert abs(int(hours) - int(redis_time[0]) / 3600 - 2) < 0.9, "the clocks agree: nothing is tested"

    environment = LiveEnvironment(
        "clocks",
        instance=Instance(secrets.token_hex(4), 1),
        tally=desk.metrics.tally("clocks"),
        addresses=addresses(disagreeing),
        connections=dict.fromkeys((Store.POSTGRES, Store.REDIS), 40),
        provision=True,
        longest_run=timedelta(minutes=1),
    )
    probes = [made(budget=timedelta(seconds=9)) for made in discover(monitor.probes).values() if made().enabled]
    for _ in range(ROUNDS):
        runs = asyncio.gather(*(run_once(probe, environment, desk) for probe in probes))
        swept = [await environment.sweep(store, everybody=True) for store in (Store.POSTGRES, Store.REDIS)]
        verdicts = {record.probe: f"{record.verdict} {record.finding.message}".strip() for record in await runs}
        assert verdicts == {probe.name: str(Verdict.OK) for probe in probes}
        assert swept == [0, 0]
    assert [await environment.census(store) for store in (Store.POSTGRES, Store.REDIS)] == [0, 0]
