"""How many intents a second the ledger keeps on disk, beside what the same disk does bare (`make bench-ledger`).

Each writer intends, settles, and begins again; an intent counts once it is on disk. The bare disk appends a page of
4 KiB and waits for it, as one transaction of SQLite does at least, in the same run, before and after each row.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter

import sqlalchemy as sa

from monitor.core.ledger.entries import State
from monitor.ports import Ledger, Store, SystemClock
from monitor.stores.ledger import Ledgers

WRITERS = (1, 10, 100, 1000)
SECONDS = 3.0
PAGE = b"\0" * 4096
TITLES = ("writers", "intents/s", "per transaction", "median ms", "99 % ms", "bare fsync/s", "intents per bare fsync")


def bare(folder: Path) -> float:
    """How often a second the disk keeps a page that was appended."""
    file = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        began, times = perf_counter(), 0
        while perf_counter() - began < SECONDS / 2:
            os.write(file, PAGE)
            os.fdatasync(file)
            times += 1
        return times / (perf_counter() - began)
    finally:
        os.close(file)


async def kept(ledgers: Ledgers, writers: int) -> tuple[float, float, list[float]]:
    """Intents a second, how many of them one transaction took, and how long each took in milliseconds."""
    ledger = ledgers.of(f"bench-{writers}")
    await ledger.expected(Store.POSTGRES)
    engine = ledgers._book._database._engine  # noqa: SLF001  transactions are counted where they are made
    commits: list[None] = []

    def committed(_: sa.Connection) -> None:
        commits.append(None)

    sa.event.listen(engine, "commit", committed)
    took: list[float] = []
    began = perf_counter()
    await asyncio.gather(*(_write(ledger, until=began + SECONDS, took=took) for _ in range(writers)))
    rate = len(took) / (perf_counter() - began)
    sa.event.remove(engine, "commit", committed)
    return rate, len(took) / len(commits), took


async def _write(ledger: Ledger, *, until: float, took: list[float]) -> None:
    while (began := perf_counter()) < until:
        entry = await ledger.intend(Store.POSTGRES, identified=False)
        took.append((perf_counter() - began) * 1000)
        await ledger.settle(entry, State.ACKED, epoch=1)


async def main(folder: Path) -> None:
    """Measure on the disk of this folder, and print the table."""
    print(f"| {' | '.join(TITLES)} |\n|{'---:|' * len(TITLES)}")
    ledgers = Ledgers(folder / "state.db", clock=SystemClock())
    for writers in WRITERS:
        before = bare(folder)
        rate, together, took = await kept(ledgers, writers)
        disk = (before + bare(folder)) / 2
        median, most = quantiles(took, n=100)[49], quantiles(took, n=100)[98]
        row = (f"{writers:,}", f"{rate:,.0f}", f"{together:,.1f}", f"{median:.1f}", f"{most:.1f}", f"{disk:,.0f}")
        print(f"| {' | '.join(row)} | {rate / disk:.2f} |", flush=True)
    await ledgers.close()


if __name__ == "__main__":
    with TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else ".") as made:
        asyncio.run(main(Path(made)))
