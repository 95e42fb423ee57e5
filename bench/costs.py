"""What a healthy run of each probe costs the servers, measured on real ones; writes docs/probes.md (`make costs`).

Round trips are counted where they can be seen: in a proxy before each server, as turns from asking to answering.
Rows and WAL are PostgreSQL's own counts. Each figure is the median of some runs after a first one.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

from uuid_utils import uuid7

import monitor.probes
from monitor.core.residue import Instance
from monitor.core.secrets import Scrubber
from monitor.core.verdict import Verdict
from monitor.desk import Desk
from monitor.embedded.faults import Site
from monitor.embedded.pgbouncer import installed
from monitor.embedded.servers import Servers
from monitor.journal import Journal
from monitor.logs import Scrubbing, set_up
from monitor.metrics import Metrics
from monitor.ports import Ledger, Place, Store, SystemClock
from monitor.probe import Probe, discover
from monitor.runner import run_once
from monitor.stores.environment import LiveEnvironment
from monitor.stores.ledger import Ledgers
from monitor.stores.state import KeptState

RUNS = 7
ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "probes.md"
HEADING = "## What a run costs"
FIGURES = ("PostgreSQL round trips", "Redis round trips", "rows", "bytes of WAL", "bytes sent", "ms")
# No checkpoint within the measurement: the first change of a page after one logs the whole page.
QUIET = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "2GB"}


class Meter:
    """Counts the turns and the bytes of every connection through the proxies."""

    def __init__(self) -> None:
        self.turns: Counter[Store] = Counter()
        self.sent = 0

    def edits(self, store: Store) -> Callable[[], tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]:
        """What a proxy calls for a new connection: it changes nothing."""

        def connection() -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
            asking = False

            def there(data: bytes) -> bytes:
                nonlocal asking
                asking = True
                self.sent += len(data)
                return data

            def back(data: bytes) -> bytes:
                nonlocal asking
                self.turns[store] += asking
                asking = False
                return data

            return there, back

        return connection


async def costs() -> dict[str, tuple[float, ...]]:
    """Measure every probe on servers of its own; -> the figures, by its name."""
    found: dict[str, tuple[float, ...]] = {}
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(
            Servers(fsync=False, replicas=True, pooler=installed() is not None, postgres_settings=QUIET)
        )
        site = await Site.before(servers, stack)
        meter = Meter()
        for place, proxy in site.proxies.items():
            proxy.edits = meter.edits(place.store)
        state, clock = KeptState(None), SystemClock()
        await state.open()
        stack.push_async_callback(state.close)
        journal = Journal(state, clock=clock, new_id=lambda: str(uuid7()))
        desk = Desk(journal=journal, metrics=Metrics(location="bench", version="0"), clock=clock)
        ledgers = Ledgers(servers.folder / "ledger.db", clock=clock)
        stack.push_async_callback(ledgers.close)
        environment = _environment(desk, site.addresses(), ledgers.of("bench"))
        for name, made in discover(monitor.probes).items():
            found[name] = await _cost(made(), environment, desk, meter, servers)
    return found


def _environment(desk: Desk, addresses: dict[Place, str], ledger: Ledger) -> LiveEnvironment:
    return LiveEnvironment(
        "bench",
        instance=Instance("0000be0c", 1),
        tally=desk.metrics.tally("bench"),
        addresses=addresses,
        connections=dict.fromkeys(Store, 40),
        provision=True,
        ledger=ledger,
    )


async def _cost(
    probe: Probe[Any], environment: LiveEnvironment, desk: Desk, meter: Meter, servers: Servers
) -> tuple[float, ...]:
    figures: dict[str, list[float]] = defaultdict(list)
    for number in range(RUNS + 1):
        rows, wal = await _counted(servers)
        meter.turns.clear()
        meter.sent = 0
        record = await run_once(probe, environment, desk)
        if record.verdict not in {Verdict.OK, Verdict.SLOW}:
            sys.exit(f"{probe.name} was not right, so its cost says nothing: {record.finding.message}")
        turns, sent = dict(meter.turns), meter.sent
        rows_after, wal_after = await _counted(servers)
        if number:  # the first fills caches, and makes the schema
            values = (
                *(turns.get(store, 0) for store in (Store.POSTGRES, Store.REDIS)),
                rows_after - rows,
                wal_after - wal,
                sent,
                record.took.total_seconds() * 1000,
            )
            for title, value in zip(FIGURES, values, strict=True):
                figures[title].append(value)
    return tuple(median(figures[title]) for title in FIGURES)


async def _counted(servers: Servers) -> tuple[int, int]:
    """Rows written since ever, and the position in the WAL; statistics are there once their session has ended."""
    answer = await servers.postgres.sql(
        "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0), pg_current_wal_insert_lsn() - '0/0'"
        " FROM pg_stat_user_tables WHERE schemaname = 'holdfast'"
    )
    rows, position = answer.strip().split("|")
    return int(rows), int(position)


def page(measured: dict[str, tuple[float, ...]]) -> str:
    """The whole document."""
    command = [str(Path(sys.executable).with_name("holdfast")), "probes", "--format", "markdown"]
    promises = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  our own command
    lines = [f"| {' | '.join(('probe', *FIGURES))} |", f"|---{'|---:' * len(FIGURES)}|"]
    lines += [f"| {name} | {' | '.join(f'{value:,.0f}' for value in values)} |" for name, values in measured.items()]
    return "\n".join(
        (
            promises,
            HEADING,
            "",
            f"Medians of {RUNS} healthy runs with default settings on the embedded servers, with replicas and a pooler",
            "(`make costs`). New connections are in it; the milliseconds are those of one machine with two cores, and",
            "include the proxies that count. Rows are those of PostgreSQL that were inserted, changed or deleted.",
            "",
            *lines,
            "",
        )
    )


if __name__ == "__main__":
    set_up(form="console", level="error", scrubbing=Scrubbing(Scrubber(())))
    PAGE.write_text(page(asyncio.run(costs())), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8").partition(HEADING)[2])
