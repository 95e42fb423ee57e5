"""Row 7: a scrape of 100,000 series, beside `generate_latest` of prometheus_client for the same registry."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from time import monotonic, thread_time

from prometheus_client import generate_latest

import monitor.probes
from bench.frame import Effort, Goal, Row, in_turn
from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Finding
from monitor.exposition import Exposition
from monitor.metrics import Metrics
from monitor.ports import Place, Store, Surroundings, SystemClock
from monitor.probe import discover

SERIES = 100_000


async def measure(effort: Effort) -> Sequence[Row]:
    """How long, and how long the loop stands at most."""
    metrics = Metrics(location="bench", version="0")
    around = Surroundings(places=(Place(Store.POSTGRES), Place(Store.REDIS)))
    probes = [made for probe in discover(monitor.probes).values() if (made := probe()).enabled]
    series = number = 0
    while series < SERIES:
        name = f"environment-{number:04d}"
        stores = (Store.POSTGRES, Store.REDIS)
        metrics.expect(name, labels={}, probes=probes, stores=stores, around=around)
        for probe in probes:
            steps = [StepTiming(name=step, after=timedelta(), took=timedelta(milliseconds=7)) for step in probe.steps]
            metrics.record(
                RunRecord(
                    run_id=f"0197c7f0-0000-7000-8000-{number:012d}",
                    environment=name,
                    probe=probe.name,
                    started=SystemClock().now(),
                    took=timedelta(milliseconds=80),
                    finding=Finding.of((), checks=12),
                    steps=tuple(steps),
                )
            )
        number += 1
        series = number * _lines(generate_latest(metrics.registry)) if number == 1 else series + series // (number - 1)
    exposition = Exposition(metrics.registry)
    gc.collect()
    gc.freeze()

    async def own() -> Mapping[str, float]:
        late, work = list[float](), list[float]()
        watching = asyncio.create_task(_watch(late, work))
        await asyncio.sleep(0)
        began, spent = monotonic(), thread_time()
        async for _ in exposition.parts(openmetrics=False):
            pass
        took, spent = monotonic() - began, thread_time() - spent
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        return {"wall": took * 1000, "cpu": spent * 1000, "late": max(late), "work": max(work)}

    async def anchor() -> Mapping[str, float]:
        spent = thread_time()
        generate_latest(metrics.registry)
        return {"cpu": (thread_time() - spent) * 1000}

    ours, theirs = await in_turn(effort.rounds, own, anchor)
    gc.unfreeze()
    what = f"scrape of {series:,} series, {number} environments"
    return [
        Row(
            number="7",
            what=f"{what}: processor",
            unit="ms",
            own=ours["cpu"],
            anchor=theirs["cpu"],
            beside="generate_latest",
            goal=Goal(most=0.1),
        ),
        Row(
            number="7",
            what=f"{what}: longest work between two turns of the loop",
            unit="ms",
            own=ours["work"],
            goal=Goal(most=10),
            note="time of the processor; what other processes of a busy machine take from this one is not in it",
        ),
    ]


def _lines(page: bytes) -> int:
    return sum(1 for line in page.splitlines() if not line.startswith(b"#"))


async def _watch(late: list[float], work: list[float]) -> None:
    """How late the loop turns, and how much it works from one turn to the next, in milliseconds."""
    while True:
        due, spent = monotonic(), thread_time()
        await asyncio.sleep(0)
        late.append((monotonic() - due) * 1000)
        work.append((thread_time() - spent) * 1000)
