"""Impact counted while a daemon runs, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.impact import Stakes
from monitor.impacts import EVERY, Impacts, recalled
from monitor.metrics import Metrics
from monitor.stores.state import KeptState

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STAKES = Stakes(users=100, revenue_per_hour=3600)


class Turned:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.passed = timedelta()

    def now(self) -> datetime:
        """The moment."""
        return NOON + self.passed

    def monotonic(self) -> float:
        """Seconds."""
        return self.passed.total_seconds()

    async def sleep(self, length: timedelta) -> None:
        """Turn it."""
        self.passed += length


@pytest.fixture
async def state() -> AsyncIterator[KeptState]:
    """A state database in memory."""
    kept = KeptState(None)
    await kept.open()
    yield kept
    await kept.close()


class Watching:
    """One environment with stakes, looked at by a daemon."""

    def __init__(self, state: KeptState, clock: Turned) -> None:
        self.clock = clock
        self.metrics = Metrics(location="test", version="0")
        self.metrics.expect("production", labels={}, probes=(), stores=(), stakes=STAKES)
        self.impacts = Impacts(state, clock=clock, metrics=self.metrics)

    async def look(self, after: timedelta = EVERY, *, broken: bool = False, unusable: bool = False) -> None:
        """Look at it a while later."""
        self.clock.passed += after
        await self.impacts.look("production", STAKES, broken=broken, unusable=unusable)

    def value(self, name: str) -> float | None:
        """A sample of the environment."""
        return self.metrics.registry.get_sample_value(name, {"location": "test", "environment": "production"})


async def test_time_counts_from_the_look_that_found_it(state: KeptState) -> None:
    """Revenue grows by the seconds between looks while it lasts, and users are all or none."""
    daemon = Watching(state, Turned())
    await daemon.look(broken=True)
    assert daemon.value("holdfast_impact_users") == 100
    assert daemon.value("holdfast_impact_revenue_total") == 0
    await daemon.look(broken=True, unusable=True)  # two troubles at once are the same users
    assert daemon.value("holdfast_impact_revenue_total") == 5
    await daemon.look()
    assert daemon.value("holdfast_impact_users") == 0
    assert daemon.value("holdfast_impact_revenue_total") == 10
    await daemon.look()
    assert daemon.value("holdfast_impact_revenue_total") == 10


async def test_a_suspended_machine_does_not_make_it_jump(state: KeptState) -> None:
    """Of a night in which nothing was looked at only three intervals count."""
    daemon = Watching(state, Turned())
    await daemon.look(broken=True)
    await daemon.look(timedelta(hours=8), broken=True)
    assert daemon.value("holdfast_impact_revenue_total") == 15


async def test_when_it_could_not_be_used_is_remembered(state: KeptState) -> None:
    """Each time is kept from its first look to the one that ended it, also over a restart; violations are not."""
    clock = Turned()
    daemon = Watching(state, clock)
    await daemon.look(unusable=True)
    for _ in range(20):
        await daemon.look(unusable=True)
    first = (NOON + EVERY, NOON + 21 * EVERY)
    assert (await recalled(state, "production"))[0][0] == first[0]
    assert first[1] - (await recalled(state, "production"))[0][1] <= timedelta(minutes=1)
    await daemon.look(broken=True)
    await daemon.look(unusable=True)
    clock.passed += timedelta(seconds=2)
    await daemon.impacts.end()
    again = Watching(state, clock)
    await again.look(timedelta(hours=1))
    await again.look(unusable=True)
    await again.look()
    spans = await recalled(state, "production")
    assert [ended - began for began, ended in spans] == [21 * EVERY, timedelta(seconds=2), EVERY]
