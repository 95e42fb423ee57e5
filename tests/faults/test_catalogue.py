"""Every fault of the catalogue is caught: by the probe and as the kind that it names, and as nothing else."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
from monitor.embedded.faults import FAULTS, Fault, Report, Site
from monitor.embedded.postgres import system_bindir
from monitor.embedded.servers import Servers
from monitor.ports import Store
from monitor.probe import Probe, discover
from monitor.runner import Desk, run_once
from monitor.stores.environment import LiveEnvironment

NAME = "faults"
PATIENT = timedelta(seconds=9)  # a busy machine is no fault
FASTER: Mapping[str, Mapping[str, object]] = {}
"""Settings by which probes are quicker, or do in every run what they otherwise do now and then."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One environment on real servers, all probes, and what is to be broken."""

    fault: Fault
    site: Site
    environment: LiveEnvironment
    desk: Desk
    probes: Mapping[str, Probe[Any]]

    async def round(self) -> dict[str, RunRecord]:
        """Run every probe once, all at the same time; -> its run, by the name of the probe."""
        runs = (run_once(probe, self.environment, self.desk) for probe in self.probes.values())
        return dict(zip(self.probes, await asyncio.gather(*runs), strict=True))

    async def rounds_until_caught(self) -> int:
        """Run rounds until the fault is reported; -> how many it took. Nothing else may be reported meanwhile."""
        fault = self.fault
        for number in range(1, fault.rounds + 1):
            records = await self.round()
            found = _reports(records)
            said = _verdicts(records)
            others = {name: said[name] for name, reports in found.items() if reports - self._permitted(name)}
            assert not others, f"{fault.name} was taken for something else: {others}"
            if fault.report in found.get(fault.probe, ()):
                return number
        raise AssertionError(f"{fault.name} was not caught in {fault.rounds} rounds: {said[fault.probe]}")

    def _permitted(self, probe: str) -> frozenset[Report]:
        own = frozenset({self.fault.report}) if probe == self.fault.probe else frozenset()
        return own | self.fault.also.get(probe, frozenset())

    async def kept(self, *stages: Stage) -> list[KeptViolation]:
        """The violations that the journal knows in these stages."""
        await self.desk.journal.flush()
        return await self.desk.journal.violations(stages=stages)


def _reports(records: Mapping[str, RunRecord]) -> dict[str, set[Report]]:
    """What each probe that was not ok said."""
    found: dict[str, set[Report]] = {}
    for name, record in records.items():
        if record.verdict is Verdict.VIOLATED:
            found[name] = {violation.kind for violation in record.finding.violations}
        elif record.verdict is not Verdict.OK:
            found[name] = {record.finding.reason or record.verdict}
    return found


def _verdicts(records: Mapping[str, RunRecord]) -> dict[str, str]:
    return {name: f"{record.verdict} {record.finding.message}".strip() for name, record in records.items()}


StartServers = Callable[[Fault], Awaitable[Servers]]


@pytest.fixture(scope="module")
async def servers_for() -> AsyncIterator[StartServers]:
    """Servers with replicas and a pooler, for faults alone: the wheels', or Debian's where a fault needs contrib."""
    started: dict[bool, Servers] = {}
    async with AsyncExitStack() as stack:

        async def start(fault: Fault) -> Servers:
            if fault.contrib not in started:
                bindir = system_bindir() if fault.contrib else None
                servers = Servers(fsync=False, replicas=True, pooler=True, postgres_bindir=bindir)
                started[fault.contrib] = await stack.enter_async_context(servers)
            return started[fault.contrib]

        yield start


@pytest.fixture(params=FAULTS.values(), ids=FAULTS)
async def bench(request: pytest.FixtureRequest, servers_for: StartServers, desk: Desk) -> AsyncIterator[Bench]:
    """An environment on a database that faults break, behind proxies."""
    fault: Fault = request.param
    servers = await servers_for(fault)
    async with AsyncExitStack() as stack:
        site = await Site.before(servers, stack)
        stack.push_async_callback(fault.heal, site)
        probes = {
            name: made(**{"budget": PATIENT, **FASTER.get(name, {}), **fault.settings.get(name, {})})
            for name, made in discover(monitor.probes).items()
        }
        environment = LiveEnvironment(
            NAME,
            instance=Instance(secrets.token_hex(4), 1),
            tally=desk.metrics.tally(NAME),
            addresses=site.addresses(),
            connections=dict.fromkeys(Store, 40),
            provision=True,
        )
        desk.metrics.expect(NAME, labels={}, probes=list(probes.values()), stores=environment.stores)
        yield Bench(fault=fault, site=site, environment=environment, desk=desk, probes=probes)


async def test_is_caught_as_what_it_is_and_forgiven_once_healed(bench: Bench) -> None:
    """Healthy rounds are ok; broken, exactly its report is made by its probe in time; healed, all is ok: twice."""
    fault, healthy = bench.fault, dict.fromkeys(bench.probes, "ok")
    assert _verdicts(await bench.round()) == healthy
    for time in (1, 2):
        await fault.inject(bench.site)
        await bench.rounds_until_caught()
        standing = {(kept.probe, kept.kind): kept for kept in await bench.kept(Stage.OPEN)}
        if isinstance(fault.report, Kind):
            kept = standing[fault.probe, fault.report]
            assert kept.evidence["run_id"] == kept.run_id
        else:
            assert fault.probe not in {probe for probe, _ in standing}
        await fault.heal(bench.site)
        assert _verdicts(await bench.round()) == healthy
        assert await bench.kept(Stage.OPEN) == []
        if isinstance(fault.report, Kind):
            closed = [kept for kept in await bench.kept(Stage.CLOSED) if kept.probe == fault.probe]
            assert len(closed) == time


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_names_what_a_probe_declares(fault: Fault) -> None:
    """The probes of a fault exist and declare its kind, so that its counter is there at zero."""
    probes = discover(monitor.probes)
    for name, reports in {**fault.also, fault.probe: frozenset({fault.report})}.items():
        assert {report for report in reports if isinstance(report, Kind)} <= probes[name].kinds
    assert fault.rounds >= 1


def test_each_has_a_name_in_words() -> None:
    """The catalogue's keys are the names of its faults, each of at least two words."""
    assert all(name == fault.name and "-" in name and fault.breaks for name, fault in FAULTS.items())
