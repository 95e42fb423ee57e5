"""What rolling up costs, and how much room runs and rollups take (`make bench-trends ARGS=ENVIRONMENTS`).

An hour of runs at the default intervals is made for each environment and rolled up, then the day that ends with it,
as a daemon does it beside its probes; meanwhile another task of the same loop tells how late its turns come.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import monitor.probes
from monitor.budgets import Budgets
from monitor.core.record import RunRecord, StepTiming
from monitor.core.rollup import DAY, HOUR
from monitor.core.verdict import Finding
from monitor.ports import SystemClock
from monitor.probe import Probe, discover
from monitor.stores.state import KeptState
from monitor.trends import Trends

TIMINGS = {"pool": 56, "profile": 29, "notify": 29, "history": 22, "sync": 17, "session": 17, "isolation": 12}
"""How many steps one run times, as the demo does; of the others MOST."""
MOST = 15
END = datetime(2026, 3, 2, tzinfo=UTC)
START = END - HOUR


class LaterClock(SystemClock):
    """The machine's clock, a while after the end of the hour."""

    def now(self) -> datetime:
        """The moment."""
        return END + timedelta(minutes=3)


def runs(environment: str, probes: list[Probe[object]]) -> Iterator[RunRecord]:
    """An hour of one environment."""
    rng = random.Random(environment)  # noqa: S311  not for secrets
    for probe in probes:
        for number in range(int(HOUR / probe.every)):
            started = START + number * probe.every
            yield RunRecord(
                run_id=f"0197c7f0-{rng.getrandbits(112):028x}",
                environment=environment,
                probe=probe.name,
                started=started,
                took=timedelta(seconds=0.2),
                finding=Finding.of((), checks=12),
                steps=tuple(
                    StepTiming(
                        name=name,
                        after=timedelta(milliseconds=rng.uniform(0, 200)),
                        took=timedelta(seconds=rng.lognormvariate(-6.5, 0.7)),
                    )
                    for name in islice(cycle(probe.steps), TIMINGS.get(probe.name, MOST))
                ),
            )


async def lateness(late: list[float]) -> None:
    """How late the loop turns, in milliseconds."""
    while True:
        due = perf_counter() + 0.001
        await asyncio.sleep(0.001)
        late.append((perf_counter() - due) * 1000)


def size(file: Path) -> int:
    """Bytes, once what waits in the log of SQLite is in the file."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file.stat().st_size


async def measure(folder: Path, environments: int) -> None:
    """Make, roll up, print."""
    clock, state = LaterClock(), KeptState(folder / "state.db")
    await state.open()
    probes = [probe() for name, probe in discover(monitor.probes).items() if name != "load"]
    names = [f"environment-{number:04d}" for number in range(environments)]
    empty = size(folder / "state.db")
    made = 0
    for name in names:
        records = list(runs(name, probes))
        made += len(records)
        await state.save(records, [])
    full = size(folder / "state.db")
    a_run = (full - empty) / made
    by_name = {probe.name: probe for probe in probes}
    trends = Trends(state, clock=clock, budgets=lambda _, probe, step: by_name[probe].budget_of(step))
    budgets = Budgets(state, clock=clock)
    late: list[float] = []
    watching = asyncio.create_task(lateness(late))
    gc.collect()
    gc.freeze()  # as the daemon does once it is up
    await asyncio.sleep(0.5)
    idle, late[:] = list(late), []
    wall, cpu = perf_counter(), process_time()
    await trends.roll(settled=timedelta(minutes=2), kept=DAY)
    wall, cpu = perf_counter() - wall, process_time() - cpu
    rolling, late[:] = list(late), []
    asked, asked_cpu = perf_counter(), process_time()
    await budgets.refresh(names)
    asked, asked_cpu = perf_counter() - asked, process_time() - asked_cpu
    watching.cancel()
    rows = 2 * environments * len(probes)  # an hour and a day
    a_rollup = (size(folder / "state.db") - full) / rows
    a_day = sum(DAY / probe.every for probe in probes)
    print(f"{made:,} runs of {environments} environments")
    print(f"a run {a_run:,.0f} B: {a_run * a_day / 1e6:.1f} MB a day and environment ({a_day:,.0f} runs)")
    hourly, daily = a_rollup * len(probes) * 24, a_rollup * len(probes)
    print(f"a rollup {a_rollup:,.0f} B: {hourly / 1e3:,.0f} KB of hours and {daily / 1e3:,.0f} KB of days, likewise")
    print(
        f"rolled up an hour and its day in {wall:.1f} s, of CPU {cpu:.1f} s; budgets in {asked:.2f} s, {asked_cpu:.2f}"
    )
    for title, found in (("idle", idle), ("rolling up", rolling), ("budgets", late)):
        parts = quantiles(found, n=1000) if len(found) > 1 else [0.0] * 999
        shown = f"p50 {parts[499]:.1f} ms, p99 {parts[989]:.1f}, p99.9 {parts[998]:.1f}, max {max(found):.1f}"
        print(f"loop late, {title}: {shown}")
    await state.close()


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), int(sys.argv[1]) if len(sys.argv) > 1 else 200))
