"""Every fault of the catalogue is caught: by the probe and as the kind that it names, and as nothing else."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import monitor.probes
from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.core.verdict import Kind, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.desk import Desk
from monitor.embedded.faults import FAULTS, Fault, Report, Site
from monitor.embedded.pgbouncer import installed
from monitor.embedded.postgres import system_bindir
from monitor.embedded.process import NotInstalledError
from monitor.embedded.servers import Servers
from monitor.ports import Store
from monitor.probe import Probe, discover
from monitor.runner import run_once
from monitor.stores.environment import LiveEnvironment
from tests.bound import application
from tests.faults.conftest import versions
from tests.faults.detection import PAGE, Detection, Measured, shown

NAME = "faults"
PATIENT = timedelta(seconds=9)  # a busy machine is no fault
AGAIN = 4  # rounds that may be slow on a busy machine
FASTER: Mapping[str, Mapping[str, object]] = {
    "history": {"sizes": (210,)},
    "isolation": {"timeout": "30s"},
    "notify": {"deadline": "2s", "patience": "500ms"},
    "session": {"brief_ttl": "150ms"},
}
"""Settings by which probes are quicker, have time on a busy machine, or do in every run what they seldom do."""
RUN_BY_RUN = {name: fault for name, fault in FAULTS.items() if not fault.ledger}
"""The faults that runs see by themselves; test_durability.py has those that take a ledger to be seen."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One environment on real servers, all probes, and what is to be broken.

    `hasty` is the same environment under the fault's own patience: no machine is so busy that a healthy store must
    answer within it, and no test has to wait longer for a broken one.
    """

    fault: Fault
    site: Site
    environment: LiveEnvironment
    hasty: LiveEnvironment
    desk: Desk
    probes: Mapping[str, Probe[Any]]
    measured: Measured

    async def healthy(self) -> dict[str, str]:
        """Run every probe once, all at the same time, where nothing is broken; -> what each said.

        `slow` speaks of the machine as well: then it is asked again, and counted all the same.
        """
        for _ in range(AGAIN):
            ended = await self._round(self.environment)
            said = _verdicts(record for record, _ in ended.values())
            self.measured.alarms += sum(verdict != "ok" for verdict in said.values())
            verdicts = {record.verdict for record, _ in ended.values()}
            if Verdict.SLOW not in verdicts or verdicts - {Verdict.OK, Verdict.SLOW}:
                break
        return said

    async def caught(self) -> Detection:
        """Run rounds until all that must report the fault did. Nothing else may be reported meanwhile."""
        fault, began = self.fault, self.desk.clock.monotonic()
        silent = {
            name
            for name, probe in self.probes.items()
            if fault.required_of(name, probe.needs_in(self.environment.surroundings))
        }
        detection: Detection | None = None
        for number in range(1, fault.rounds + 1):
            ended = await self._round(self.hasty)
            found = _reports(record for record, _ in ended.values())
            said = _verdicts(record for record, _ in ended.values())
            others = {name: said[name] for name, reports in found.items() if reports - self._permitted(name)}
            self.measured.alarms += len(others)
            assert not others, f"{fault.name} was taken for something else: {others}"
            if detection is None and fault.report in found.get(fault.probe, ()):
                detection = Detection(rounds=number, seconds=ended[fault.probe][1] - began)
            silent -= {name for name, reports in found.items() if fault.report in reports}
            if detection is not None and not silent:
                self.measured.detections[fault.name].append(detection)
                return detection
        raise AssertionError(
            f"{fault.name} was not caught in {fault.rounds} rounds: { {name: said[name] for name in sorted(silent)} };"
            f" Redis says {await self.site.servers.valkey.command('INFO', 'everything')!r}"
        )

    async def _round(self, environment: LiveEnvironment) -> dict[str, tuple[RunRecord, float]]:
        """Every probe once, all at the same time; -> its run and when that was counted, by the name of the probe."""

        async def run(probe: Probe[Any]) -> tuple[RunRecord, float]:
            record = await run_once(probe, environment, self.desk)
            return record, self.desk.clock.monotonic()

        ended = await asyncio.gather(*map(run, self.probes.values()))
        self.measured.runs += len(ended)
        return dict(zip(self.probes, ended, strict=True))

    def _permitted(self, probe: str) -> frozenset[Report]:
        return self.fault.permitted(probe, self.probes[probe].wants_in(self.environment.surroundings))

    async def kept(self, *stages: Stage) -> list[KeptViolation]:
        """The violations that the journal knows in these stages."""
        await self.desk.journal.flush()
        return await self.desk.journal.violations(stages=stages)


def _reports(records: Iterable[RunRecord]) -> dict[str, set[Report]]:
    """What each probe that was not ok said."""
    found: dict[str, set[Report]] = {}
    for record in records:
        if record.verdict is Verdict.VIOLATED:
            found[record.probe] = {violation.kind for violation in record.finding.violations}
        elif record.verdict is not Verdict.OK:
            found[record.probe] = {record.finding.reason or record.verdict}
    return found


def _verdicts(records: Iterable[RunRecord]) -> dict[str, str]:
    return {record.probe: f"{record.verdict} {record.finding.message}".strip() for record in records}


StartServers = Callable[[Fault], Awaitable[Servers]]


@pytest.fixture(scope="module")
async def servers_for(measured: Measured) -> AsyncIterator[StartServers]:
    """Servers with replicas and a pooler, for faults alone: the wheels', or Debian's where a fault needs contrib."""
    started: dict[tuple[bool, bool], Servers] = {}
    async with AsyncExitStack() as stack:

        async def start(fault: Fault) -> Servers:
            sort = fault.contrib, fault.platform
            if sort not in started:
                bindir = system_bindir() if fault.contrib else None
                if fault.contrib and bindir is None:
                    raise NotInstalledError("contrib modules are missing; on Debian, apt-get install postgresql")
                servers = Servers(
                    fsync=False,
                    replicas=True,
                    pooler=installed() is not None,
                    platform=fault.platform,
                    postgres_bindir=bindir,
                )
                started[sort] = await stack.enter_async_context(servers)
                measured.versions |= await versions(servers)
            return started[sort]

        yield start


@pytest.fixture(params=RUN_BY_RUN.values(), ids=RUN_BY_RUN)
async def bench(
    request: pytest.FixtureRequest, servers_for: StartServers, desk: Desk, measured: Measured
) -> AsyncIterator[Bench]:
    """An environment on a database that faults break, behind proxies."""
    fault: Fault = request.param
    if fault.pooler and not installed():
        raise NotInstalledError("there is no PgBouncer; on Debian, apt-get install pgbouncer")
    servers = await servers_for(fault)
    async with AsyncExitStack() as stack:
        site = await Site.before(servers, stack, fenced=fault.fenced, isolation=fault.isolation)
        stack.push_async_callback(fault.heal, site)
        await servers.valkey.command("FLUSHALL", "SYNC")  # what earlier faults left would evict ours
        probes = {
            name: made(**{"budget": PATIENT, **FASTER.get(name, {}), **fault.settings.get(name, {})})
            for name, made in discover(monitor.probes).items()
            if name == fault.probe or (made().enabled and not fault.alone)
        }
        make = partial(
            LiveEnvironment,
            NAME,
            instance=Instance(secrets.token_hex(4), 1),
            tally=desk.metrics.tally(NAME),
            addresses=site.addresses(),
            connections=dict.fromkeys(Store, 40),
            provision=True,
            isolation=fault.isolation,
            policy=fault.policy,
            **application(site),
        )
        environment, hasty = make(), make(timeout=timedelta(seconds=fault.patience))
        around = environment.surroundings
        desk.metrics.expect(NAME, labels={}, probes=list(probes.values()), stores=environment.stores, around=around)
        for each in (environment, hasty):
            await each.prepare(dict.fromkeys(Store, 1))
        measured.detections[fault.name] = []
        measured.probes = max(measured.probes, len(probes))
        yield Bench(
            fault=fault,
            site=site,
            environment=environment,
            hasty=hasty,
            desk=desk,
            probes=probes,
            measured=measured,
        )


async def test_is_caught_as_what_it_is_and_forgiven_once_healed(bench: Bench) -> None:
    """Healthy rounds are ok; broken, exactly its report is made by its probe in time; healed, all is ok: twice."""
    fault, healthy = bench.fault, dict.fromkeys(bench.probes, "ok")
    assert await bench.healthy() == healthy
    for time in (1, 2):
        await fault.inject(bench.site)
        await bench.caught()
        standing = {(kept.probe, kept.kind): kept for kept in await bench.kept(Stage.OPEN)}
        if isinstance(fault.report, Kind):
            kept = standing[fault.probe, fault.report]
            assert kept.evidence["run_id"] == kept.run_id
        else:
            assert fault.probe not in {probe for probe, _ in standing}
        await fault.heal(bench.site)
        assert await bench.healthy() == healthy
        assert await bench.kept(Stage.OPEN) == []
        if isinstance(fault.report, Kind):
            closed = [(kept.probe, kept.kind) for kept in await bench.kept(Stage.CLOSED)]
            assert closed.count((fault.probe, fault.report)) == time


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_names_what_a_probe_declares(fault: Fault) -> None:
    """The probes of a fault exist and declare its kind, so that its counter is there at zero."""
    probes = discover(monitor.probes)
    for name, reports in {**fault.also, fault.probe: frozenset({fault.report})}.items():
        assert {report for report in reports if isinstance(report, Kind)} <= probes[name].kinds
    assert fault.rounds >= 1


def test_stands_in_the_table_of_detection() -> None:
    """docs/detection.md lists every fault of the catalogue, in its order, and no other: `make detection` renews it."""
    assert shown(PAGE.read_text("utf-8")) == list(FAULTS)


def test_each_has_a_name_in_words() -> None:
    """The catalogue's keys are the names of its faults, each of at least two words."""
    assert all(name == fault.name and "-" in name and fault.breaks for name, fault in FAULTS.items())
