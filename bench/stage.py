"""Servers of the bench's own, and environments on them that are probed as a daemon does it, to the last line."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any, Self

from uuid_utils import uuid7

from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.core.secrets import Scrubber
from monitor.core.verdict import Verdict
from monitor.desk import Desk
from monitor.embedded.servers import Servers
from monitor.journal import Journal
from monitor.logs import Scrubbing, set_up
from monitor.looplag import LoopWatch
from monitor.metrics import Metrics
from monitor.ports import Place, Store, SystemClock
from monitor.probe import Probe
from monitor.runner import run_once
from monitor.stores.environment import LiveEnvironment
from monitor.stores.state import KeptState

POSTGRES, REDIS = Place(Store.POSTGRES), Place(Store.REDIS)
# No checkpoint within a measurement: the first change of a page after one logs the whole page.
QUIET = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "2GB", "max_connections": "128"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What stands: the servers, and the desk to which runs report. `lines` is where the log goes."""

    servers: Servers
    desk: Desk
    lines: Path

    @property
    def addresses(self) -> Mapping[Place, str]:
        """The two primaries."""
        return {POSTGRES: self.servers.postgres.dsn, REDIS: self.servers.valkey.url}

    def environment(self, *probes: Probe[Any], addresses: Mapping[Place, str] | None = None) -> LiveEnvironment:
        """One more environment on these servers; all have one name, for a database belongs to one environment.

        `addresses` may lead to the servers by other ways.
        """
        name = "bench"
        made = LiveEnvironment(
            name,
            instance=Instance("0000be0c", 1),
            tally=self.desk.metrics.tally(name),
            addresses=addresses or self.addresses,
            connections=dict.fromkeys(Store, 8),
            provision=True,
        )
        self.desk.journal.expect(name, {probe.name: probe for probe in probes})
        self.desk.metrics.expect(
            name, labels={}, probes=probes, stores=(Store.POSTGRES, Store.REDIS), around=made.surroundings
        )
        return made

    async def right(self, probe: Probe[Any], environment: LiveEnvironment) -> RunRecord:
        """One run of a probe. Raises RuntimeError where it was not right, so that its figures would say nothing."""
        record = await run_once(probe, environment, self.desk)
        if record.verdict not in {Verdict.OK, Verdict.SLOW}:
            raise RuntimeError(f"{probe.name}: {record.verdict}: {record.finding.message}")
        return record

    async def saving(self) -> None:
        """Runs go to the state database each second, as in a daemon."""
        while True:
            await asyncio.sleep(1)
            await self.desk.journal.flush()


@asynccontextmanager
async def stage(settings: Mapping[str, str] = QUIET, *, redis: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    """Start the servers, without fsync: a disk's waiting would hide what is compared. The log goes to a file."""
    async with Servers(fsync=False, postgres_settings=settings, valkey_settings=redis) as servers:
        lines = servers.folder / "log.json"
        state, clock, lag = KeptState(servers.folder / "state.db"), SystemClock(), LoopWatch()
        with lines.open("w", encoding="utf-8") as stream:
            set_up(form="json", level="info", scrubbing=Scrubbing(Scrubber(())), stream=stream)
            await state.open()
            journal = Journal(state, clock=clock, new_id=lambda: str(uuid7()))
            metrics = Metrics(location="bench", version="0")
            lag.start()
            made = Stage(
                servers=servers,
                desk=Desk(journal=journal, metrics=metrics, clock=clock, lag=lag.since),
                lines=lines,
            )
            saving = asyncio.create_task(made.saving())
            gc.collect()
            gc.freeze()  # as the daemon does once it is up
            try:
                yield made
            finally:
                saving.cancel()
                await asyncio.wait({saving})
                lag.stop()
                await journal.flush()
                await state.close()
                set_up(form="console", level="error", scrubbing=Scrubbing(Scrubber(())))


class Cpu:
    """Milliseconds of the processor that this process spent within the block."""

    def __enter__(self) -> Self:
        self._before = process_time()
        self.spent = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self.spent = (process_time() - self._before) * 1000
