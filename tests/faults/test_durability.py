"""What takes acknowledged writes away is caught with its cause, and its extent is what really happened."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Self

import pytest

from monitor.core.ledger.entries import Fate, Mark
from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.desk import Desk
from monitor.embedded.faults import AREAS, Fault, Site
from monitor.embedded.servers import Servers
from monitor.ports import StateError, Store, StoreError, SystemClock
from monitor.probes.durability import DurabilityProbe
from monitor.pulse import Pulses
from monitor.runner import run_once
from monitor.stores.ledger import Ledgers
from tests.faults.conftest import versions
from tests.faults.detection import Detection, Measured, Recovery, Span
from tests.faults.truth import Client, RecordedEnvironment, Write, emptied, records

NAME = "durability"
FAULTS = {fault.name: fault for fault in AREAS["durability"]}
EVERY = 0.3  # seconds between two runs
LADDER = tuple(timedelta(seconds=EVERY * rung) for rung in range(1, 2000))  # each record is looked for in each run
PATIENCE = 30.0  # seconds
AWAY = frozenset({Reason.UNREACHABLE, Reason.TIMEOUT, Reason.READ_ONLY, Reason.INCONCLUSIVE, Reason.CAPACITY})
TWICE, MOST = 2, 7  # strikes
AUTHOR = 0.2  # seconds between two records, so that some are lost
ROUNDS = 20  # until what was seen by the pulse must be told


@dataclass(kw_only=True)
class Bench:
    """One environment with a ledger on disk, its pulse, its probe, and a client beside them that knows the truth."""

    fault: Fault
    store: Store
    site: Site
    environment: RecordedEnvironment
    daemon: str
    probe: DurabilityProbe
    desk: Desk
    client: Client
    measured: Measured
    ran: list[tuple[RunRecord, float]]
    turn: asyncio.Lock

    async def run(self) -> RunRecord:
        """One run, whoever asks for it, one at a time."""
        async with self.turn:
            record = await run_once(self.probe, self.environment, self.desk)
            self.ran.append((record, monotonic()))
            self.measured.runs += 1
            return record

    async def author(self) -> None:
        """Leave a record now and then, by the scribe that everybody uses."""
        while True:
            with suppress(StoreError, StateError):
                await self.environment.scribe(self.store).write(identified=True, after=LADDER[0])
            await asyncio.sleep(AUTHOR)

    async def rounds(self, number: int) -> list[str]:
        """Runs at their interval; -> what they said."""
        said = []
        for _ in range(number):
            record = await self.run()
            said.append(f"{record.verdict} {record.finding.message}".strip())
            await asyncio.sleep(EVERY)
        return said

    async def caught(self, *, since: int, injected: float) -> Detection:
        """Runs until one reports the fault, by the pulse or by their turn."""
        for _ in range(ROUNDS):
            for rounds, (record, at) in enumerate(self.ran[since:], start=1):
                if Kind.LOST in _kinds(record):
                    return Detection(rounds=rounds, seconds=max(0.0, at - injected))
            await self.rounds(1)
        raise AssertionError(f"{self.fault.name} was not caught in {ROUNDS} rounds: {self.ran[-1][0].finding}")

    async def longest_outage(self, *, since: int) -> Span | None:
        """What the ledger says of the longest time without a write, of the outages after the first so many."""
        outages = list(await self.environment.ledger.outages(self.store))[: -since or None]
        told = [Span(o.least.total_seconds(), o.most.total_seconds()) for o in outages if o.operation == "write"]
        return max(told, key=lambda span: span.most, default=None)

    async def truth(self, before: Before) -> Truth:
        """What really is gone since then, asked of the server itself, and of the answers that came over the wire."""
        recorded, acked = self.environment.recorded[self.store], self.client.acked
        ours, theirs = len(recorded.acked), len(acked)
        async with asyncio.timeout(PATIENCE):
            while len(recorded.acked) < ours + 2 or len(acked) < theirs + 2:  # noqa: ASYNC110  who writes tells nobody
                await asyncio.sleep(0.01)
        identified = {entry.mark for entry, _ in recorded.acked if entry.identified}
        held = await records(self.site, self.store, environment=NAME, daemon=self.daemon)
        missing = identified - held - before.gone
        lost = await self.client.lost(since=before.client)
        return Truth(
            records=missing,
            writes=len(recorded.lost_since(before.breaks) | missing),
            lost=lost,
            kept=not lost or lost[0].n > acked[before.client].n,
            grain=recorded.longest_gap(since=before.acked),
        )


@dataclass(frozen=True, kw_only=True)
class Before:
    """How much there was of everything before a fault was injected."""

    runs: int
    breaks: int
    acked: int
    client: int
    losses: int
    outages: int
    gone: set[Mark]

    @classmethod
    async def at(cls, bench: Bench) -> Self:
        """As it is now."""
        ledger, store = bench.environment.ledger, bench.store
        recorded = bench.environment.recorded[store]
        return cls(
            runs=len(bench.ran),
            breaks=len(recorded.broken),
            acked=len(recorded.acked),
            client=len(bench.client.acked),
            losses=len(await ledger.losses(store)),
            outages=len(await ledger.outages(store)),
            gone={entry.mark for entry in await ledger.entries(store) if entry.fate is Fate.LOST},
        )


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a fault really took: identified records, writes of ours in all, and writes of the client.

    `kept` says whether the client has something left; `grain` is the longest time between two writes of ours before.
    """

    records: set[Mark]
    writes: int
    lost: list[Write]
    kept: bool
    grain: float


def _kinds(record: RunRecord) -> set[Kind]:
    return {violation.kind for violation in record.finding.violations}


@pytest.fixture(scope="module")
async def servers(measured: Measured) -> AsyncIterator[Servers]:
    """Servers with replicas, to be destroyed."""
    async with Servers(fsync=False, replicas=True) as started:
        measured.versions |= await versions(started)
        yield started


@pytest.fixture(params=FAULTS.values(), ids=FAULTS)
async def bench(
    request: pytest.FixtureRequest, servers: Servers, desk: Desk, measured: Measured, tmp_path: Path
) -> AsyncIterator[Bench]:
    """Everything runs: pulse, author and client."""
    fault: Fault = request.param
    store, clock = Store(fault.name.partition("-")[0]), SystemClock()
    async with AsyncExitStack() as stack:
        site = await Site.before(servers, stack)
        stack.push_async_callback(fault.heal, site)
        ledgers = Ledgers(tmp_path / "state.db", clock=clock)
        stack.push_async_callback(ledgers.close)
        daemon = secrets.token_hex(4)
        environment = RecordedEnvironment(
            NAME,
            instance=Instance(daemon, 1),
            tally=desk.metrics.tally(NAME),
            addresses=site.addresses(),
            connections=dict.fromkeys(Store, 8),
            provision=True,
            timeout=timedelta(seconds=2),
            ledger=ledgers.of(NAME),
        )
        probe = DurabilityProbe(
            every=timedelta(seconds=30), timeout=timedelta(seconds=20), budget=timedelta(seconds=9), ladder=LADDER
        )
        desk.metrics.expect(NAME, labels={}, probes=[probe], stores=environment.stores, around=environment.surroundings)
        await environment.prepare(dict.fromkeys(Store, 1))
        client = Client(site=site, store=store)
        await client.prepare()
        await emptied(site)
        measured.detections[fault.name] = []
        made = Bench(
            fault=fault,
            store=store,
            site=site,
            environment=environment,
            daemon=daemon,
            probe=probe,
            desk=desk,
            client=client,
            measured=measured,
            ran=[],
            turn=asyncio.Lock(),
        )
        for work in (made.author(), client.run()):
            stack.push_async_callback(_end, asyncio.create_task(work))
        yield made


async def _end(task: asyncio.Task[None]) -> None:
    while not task.done():  # a driver that is being connected may take a cancellation for its own
        task.cancel()
        await asyncio.wait([task], timeout=1)
    with suppress(asyncio.CancelledError):
        task.result()


def _watch(bench: Bench, stack: AsyncExitStack, rate: float) -> None:
    pulses = Pulses(SystemClock())
    pulses.watch(
        bench.environment,
        {store: bench.environment.scribe(store) for store in bench.environment.stores},
        rate=rate,
        patience=timedelta(seconds=1),
        audit=bench.run,
        paused=lambda: False,
    )
    stack.push_async_callback(pulses.end, timedelta(seconds=5))


@pytest.mark.timeout(400)
async def test_is_caught_with_its_cause_and_extent(bench: Bench) -> None:
    """Three times: healthy runs are ok; what is lost, why, and for how long is what is true; settled, all is ok.

    Counts and causes are exact each time. What was taken may lie between two writes of ours, and times between two
    turns of a busy machine, for Holdfast and for the client alike: then it is struck again.
    """
    struck = [await _strike(bench, rate) for rate in (20.0, 20.0, 5.0)]
    while len(struck) < MOST and not _enough(bench.fault, struck):
        struck.append(await _strike(bench, 20.0))
    assert _enough(bench.fault, struck), [recovery for _, recovery in struck]
    assert any(lost for lost, _ in struck) == bool(bench.fault.cause)


def _enough(fault: Fault, struck: Sequence[tuple[int, Recovery]]) -> bool:
    """Whether it took something twice, and times agreed twice."""
    lost = sum(bool(lost) for lost, _ in struck)
    return (lost >= TWICE or not fault.cause) and sum(recovery.agrees for _, recovery in struck) >= TWICE


async def _strike(bench: Bench, rate: float) -> tuple[int, Recovery]:
    """Break it once under a pulse of so many writes a second, and settle it; -> how many of ours were really lost."""
    async with AsyncExitStack() as stack:
        _watch(bench, stack, rate)
        assert await bench.rounds(1) == ["ok"]
        before = await Before.at(bench)
        await bench.fault.inject(bench.site)
        injected = monotonic()
        truth = await bench.truth(before)
        if truth.writes:
            detection = await bench.caught(since=before.runs, injected=injected)
            bench.measured.detections[bench.fault.name].append(detection)
        else:
            await bench.rounds(2)
        wrong = [record.finding for record, _ in bench.ran[before.runs :] if not _permitted(bench.fault, record, truth)]
        bench.measured.alarms += len(wrong)
        assert wrong == []
        recovery = await _compared(bench, before, truth, tick=1 / rate)
        bench.measured.recoveries.setdefault(bench.fault.name, []).append(recovery)
        await bench.fault.heal(bench.site)
        for kept in bench.desk.journal.standing(NAME):
            await bench.desk.journal.acknowledge(kept.id)
        assert await bench.rounds(1) == ["ok"]
        assert bench.desk.journal.standing(NAME) == []
        return truth.writes, recovery


async def _compared(bench: Bench, before: Before, truth: Truth, *, tick: float) -> Recovery:
    """What the ledger says of the loss is what happened; whether its times are, too, is for the caller."""
    fault, ledger, store = bench.fault, bench.environment.ledger, bench.store
    losses = list(await ledger.losses(store))[: -before.losses or None]
    entries = await ledger.entries(store)
    told = {entry.mark for entry in entries if entry.fate is Fate.LOST} - before.gone
    assert told == truth.records
    whys = [loss.details["why"] for loss in losses]
    assert [loss.cause for loss in losses] == ([fault.cause] if truth.writes else []), whys
    assert [(loss.records, loss.writes) for loss in losses] == (
        [(len(truth.records), truth.writes)] if truth.writes else []
    )
    grain = max(tick, truth.grain)
    point = told_point = None
    agrees = True
    if losses and losses[0].suffix and truth.lost and truth.kept:
        point = bench.client.recovery_point(truth.lost)
        told_point = Span(losses[0].least.total_seconds(), losses[0].most.total_seconds())
        agrees = _agree(told_point, point, grain=grain)
    outage = bench.client.longest_outage(since=before.client)
    told_outage = await bench.longest_outage(since=before.outages)
    if outage is not None and told_outage is not None:
        agrees = agrees and _agree(told_outage, outage, grain=grain)
    else:  # too short for one of the two
        agrees = agrees and not any(each and each.least > TWICE * grain for each in (outage, told_outage))
    return Recovery(
        cause=str(fault.cause or ""),
        records=len(truth.records),
        point=told_point,
        true_point=point,
        time=told_outage,
        true_time=outage,
        agrees=agrees,
    )


def _agree(told: Span, true: Span, *, grain: float) -> bool:
    """Whether what was told allows what is true, to a tenth of it or to what lies between two writes."""
    slack = max(grain, true.most / 10)
    return told.least - slack <= true.most and true.least <= told.most + slack


def _permitted(fault: Fault, record: RunRecord, truth: Truth) -> bool:
    """A run may say what the fault permits, that a store is away, and nothing of a loss that is none."""
    if record.verdict is not Verdict.VIOLATED:
        return record.verdict in (Verdict.OK, Verdict.SLOW) or record.finding.reason in AWAY
    kinds = _kinds(record)
    return kinds <= fault.permitted("durability", set(Store)) and (truth.writes > 0 or Kind.LOST not in kinds)
