"""Every fault of the catalogue is caught: by the probe and as the kind that it names, and as nothing else."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

import monitor.probes
from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.core.verdict import Kind, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.embedded.faults import FAULTS, Fault, Site
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers
from monitor.ports import Store
from monitor.probe import Probe, discover
from monitor.runner import Desk, run_once
from monitor.stores.environment import LiveEnvironment

NAME = "faults"
PATIENT = timedelta(seconds=9)  # a busy machine is no fault


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One environment on real servers, all probes, and what is to be broken."""

    fault: Fault
    site: Site
    environment: LiveEnvironment
    desk: Desk
    probes: Mapping[str, Probe[Any]]

    async def round(self) -> dict[str, RunRecord]:
        """Run every probe once; -> its run, by the name of the probe."""
        return {name: await run_once(probe, self.environment, self.desk) for name, probe in self.probes.items()}

    async def rounds_until_caught(self) -> int:
        """Run rounds until the violation is found; -> how many it took. Nothing else may be found meanwhile."""
        for number in range(1, self.fault.rounds + 1):
            found = _found(await self.round())
            assert set(found) <= {self.fault.probe}, f"{self.fault.name} was taken for something else: {found}"
            if found:
                assert found == {self.fault.probe: {self.fault.kind}}
                return number
        raise AssertionError(f"{self.fault.name} was not caught in {self.fault.rounds} rounds")

    async def kept(self, *stages: Stage) -> list[KeptViolation]:
        """The violations that the journal knows in these stages."""
        await self.desk.journal.flush()
        return await self.desk.journal.violations(stages=stages)


def _found(records: Mapping[str, RunRecord]) -> dict[str, set[Kind]]:
    return {
        name: {violation.kind for violation in record.finding.violations}
        for name, record in records.items()
        if record.verdict is Verdict.VIOLATED
    }


def _verdicts(records: Mapping[str, RunRecord]) -> dict[str, str]:
    return {name: f"{record.verdict} {record.finding.message}".strip() for name, record in records.items()}


@pytest.fixture(params=FAULTS.values(), ids=FAULTS)
async def bench(request: pytest.FixtureRequest, servers: Servers, desk: Desk) -> AsyncIterator[Bench]:
    """An environment on the shared servers' own database, which faults break; behind a proxy where one asks for it."""
    fault: Fault = request.param
    async with AsyncExitStack() as stack:
        proxy = None
        url = servers.valkey.url
        if fault.valkey_proxy:
            proxy = TcpProxy(servers.valkey.port)
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            url = url.replace(f":{servers.valkey.port}/", f":{proxy.port}/")
        site = Site(servers=servers, valkey_proxy=proxy)
        stack.push_async_callback(fault.heal, site)
        probes = {name: made(budget=PATIENT) for name, made in discover(monitor.probes).items()}
        most = {store: max(each.needs.get(store, 0) for each in probes.values()) for store in Store}
        environment = LiveEnvironment(
            NAME,
            instance=Instance(secrets.token_hex(4), 1),
            tally=desk.metrics.tally(NAME),
            postgres_dsn=servers.postgres.dsn,
            redis_url=url,
            connections=most,
            provision=True,
        )
        desk.metrics.expect(NAME, labels={}, probes=list(probes.values()), stores=environment.stores)
        yield Bench(fault=fault, site=site, environment=environment, desk=desk, probes=probes)


async def test_is_caught_as_what_it_is_and_forgiven_once_healed(bench: Bench) -> None:
    """Healthy rounds are ok; broken, exactly its kind is found by its probe in time; healed, all is ok: twice."""
    healthy = dict.fromkeys(bench.probes, "ok")
    for time in (1, 2):
        assert _verdicts(await bench.round()) == healthy
        await bench.fault.inject(bench.site)
        await bench.rounds_until_caught()
        standing = await bench.kept(Stage.OPEN)
        assert [(kept.probe, kept.kind) for kept in standing] == [(bench.fault.probe, bench.fault.kind)]
        assert standing[0].evidence["run_id"] == standing[0].run_id
        await bench.fault.heal(bench.site)
        assert _verdicts(await bench.round()) == healthy
        assert await bench.kept(Stage.OPEN) == []
        assert len(await bench.kept(Stage.CLOSED)) == time


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_names_what_a_probe_declares(fault: Fault) -> None:
    """The probe of a fault exists and declares its kind, so that its counter is there at zero."""
    assert fault.kind in discover(monitor.probes)[fault.probe].kinds
    assert fault.rounds >= 1


def test_each_has_a_name_in_words() -> None:
    """The catalogue's keys are the names of its faults, each of at least two words."""
    assert all(name == fault.name and "-" in name and fault.breaks for name, fault in FAULTS.items())
