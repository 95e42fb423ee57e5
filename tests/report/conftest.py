"""A state database that holds a month."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from monitor.core.impact import Stakes
from monitor.core.rollup import HOUR, floor
from monitor.core.verdict import Kind
from monitor.impacts import keep
from monitor.ports import Clock, Ledger, Store, SystemClock
from monitor.probes.session import SessionProbe
from monitor.probes.sync import SyncProbe
from monitor.probes.thread import ThreadProbe
from monitor.report import Judged, Period, Subject, gather, judged
from monitor.stores.ledger import Ledgers
from monitor.stores.state import KeptState
from tests.report import DOWN, UNTIL, days, hours, loss, outage, violation

MONTH = timedelta(days=30)
PROBES = {"thread": ThreadProbe(), "session": SessionProbe(), "sync": SyncProbe()}


def subject(name: str, *, stakes: Stakes | None = None) -> Subject:
    """What a configuration with three probes says."""
    return Subject(
        name=name,
        objective=0.999,
        stakes=stakes or Stakes(users=120_000, revenue_per_hour=57),
        keepers=[Store.POSTGRES],
        budgets={name: {step: probe.budget_of(step) for step in probe.steps} for name, probe in PROBES.items()},
        uses={name: probe.plan() for name, probe in PROBES.items()},
    )


@dataclass(frozen=True)
class Month:
    """A state database and its ledgers, and when now is."""

    home: Path
    state: KeptState
    ledgers: Ledgers

    async def judged(self, name: str, length: timedelta = MONTH, until: datetime = UNTIL) -> Judged:
        """An environment's part of the report."""
        found = await gather(
            subject(name),
            Period.latest(length, until),
            state=self.state,
            ledger=self.ledgers.of(name),
            violations=await self.state.violations(),
        )
        return judged(found)


async def fill(state: KeptState, ledger: Ledger, name: str, *, until: datetime = UNTIL) -> None:
    """A month with trouble in it."""
    made = hours(name, until=until)
    await state.keep_rollups([*made, *days(made)], until=floor(until, HOUR))
    await state.save(
        (),
        [
            violation(
                name, Kind.LOST, DOWN[0] + timedelta(minutes=30), DOWN[1] + timedelta(hours=1), id_="aaaaaaaaaaaa"
            ),
            violation(name, Kind.TTL_MISSING, until - timedelta(hours=5), None, id_="bbbbbbbbbbbb"),
        ],
    )
    await keep(state, name, [DOWN])
    await ledger.lost(loss(name))
    await ledger.outage(outage())


@pytest.fixture(scope="module")
async def month(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Month]:
    """One environment with trouble, one that nobody watched."""
    home = tmp_path_factory.mktemp("report") / "state.db"
    clock: Clock = SystemClock()
    state, ledgers = KeptState(home), Ledgers(home, clock=clock)
    await state.open()
    await fill(state, ledgers.of("production"), "production")
    yield Month(home, state, ledgers)
    await ledgers.close()
    await state.close()
