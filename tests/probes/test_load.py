"""Bursts against real servers: what is sent, what a stall looks like, who goes first, and what is left."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable

import asyncpg
import pytest
from pydantic import PrivateAttr

from monitor.bursting import Following
from monitor.core.openloop import Cause
from monitor.core.residue import Instance
from monitor.core.verdict import Reason, Verdict
from monitor.ports import Store
from monitor.probes.load import LoadProbe
from monitor.probes.pool import PoolProbe
from monitor.stores.operations import POSTGRES
from tests.conftest import MakeProxy, MakeSite, Site, in_database
from tests.probes.breaking import RIGHT, run_ok, run_unknown


class Followed(LoadProbe):
    """A burst that a test follows."""

    enabled: bool = True
    _following: Following = PrivateAttr(default_factory=Following)

    def follow(self) -> Following:
        """What a test sees of it."""
        return self._following


def burst(**changes: object) -> Followed:
    """One that is over soon, and whose limits no busy machine reaches."""
    figures = {"rate": 60, "length": "400ms", "ramp": "100ms", "p99": "30s", "in_flight": 1000, "budget": "30s"}
    return Followed.model_validate({**figures, **changes})


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that a burst does."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  a burst is followed by looking at it, as a person does
            await asyncio.sleep(0.001)


async def ready(site: Site) -> None:
    """Make the schema, so that a lock can be taken, and nothing but a burst is measured."""
    await site.environment.prepare({Store.POSTGRES: 1})


async def test_the_plan_is_what_the_server_logs(site: Site) -> None:
    """Every statement of a burst is in the plan as often as it was sent; without replicas nobody asks for their log."""
    await ready(site)
    await site.sql(f"ALTER DATABASE {site.database} SET log_statement = 'all'")
    log = site.servers.postgres.log
    before, probe = log.stat().st_size, burst(length="800ms", users=2)
    await run_ok(site, probe)
    written = log.read_bytes()[before:].decode()
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", written)
    sent = Counter(re.sub(r"'holdfast-user-\d'", "'holdfast-user-N'", each) for each in statements)
    sent = Counter({re.sub(r"timeout = \d+", "timeout = …", each): times for each, times in sent.items()})
    planned: Counter[str] = Counter()
    for use in probe.plan():
        if not use.operation.startswith("log_"):
            planned.update(dict.fromkeys(POSTGRES[use.operation], 0))
            for statement in POSTGRES[use.operation]:
                planned[statement] += use.times
    assert dict(sent) == dict(planned)
    assert {sample.act for sample in probe.follow().samples} == {"create_thread", "append_message", "reload", "look"}
    assert await site.environment.census(Store.POSTGRES) == 0


async def test_what_waits_behind_a_stall_is_in_the_latencies(site: Site) -> None:
    """One operation meets the stall, all that a closed loop would tell; those that were due then tell it too."""
    await ready(site)
    probe = burst(length="1s", connections=1)
    keeper = await asyncpg.connect(in_database(site.servers.postgres.superuser_dsn(), site.database))
    async with keeper.transaction():
        await keeper.execute("LOCK TABLE holdfast.messages IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(site.run(probe))
        await until(lambda: probe.follow().waiting >= 12)
        let_go = probe.follow().now
    await keeper.close()
    assert (await running).verdict in RIGHT
    samples = probe.follow().samples
    queued = [sample for sample in samples if sample.due < let_go < sample.ended]
    assert len(queued) >= 12
    assert sum(sample.began < let_go < sample.ended for sample in samples) == 1
    assert all(sample.latency >= let_go - sample.due for sample in queued)
    assert all(sample.latency >= sample.service for sample in samples)


async def test_a_store_that_does_not_keep_pace_stops_the_burst(site: Site) -> None:
    """Too many wait: nothing more begins, what was acknowledged is right, and that is slow, no violation."""
    await ready(site)
    probe = burst(length="5s", timeout="20s", rate=100, in_flight=10)
    keeper = await asyncpg.connect(in_database(site.servers.postgres.superuser_dsn(), site.database))
    async with keeper.transaction():
        await keeper.execute("LOCK TABLE holdfast.messages IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(site.run(probe))
        await until(lambda: probe.follow().stop is not None)
    await keeper.close()
    record = await running
    assert (record.verdict, probe.follow().stop.cause) == (Verdict.SLOW, Cause.QUEUE)
    assert "11 operations wait for an answer, and 10 may" in record.finding.message
    assert len(probe.follow().samples) < 25
    assert await site.environment.census(Store.POSTGRES) == 0


async def test_it_gives_way_to_whoever_waits_for_its_connections(site: Site) -> None:
    """Others that need all of them have them in the midst of it; the burst goes on, and says that it waited."""
    await ready(site)
    probe = burst(length="2s")
    loading = asyncio.create_task(site.run(probe))
    await until(lambda: probe.follow().waiting > 0)
    pool = await site.run(PoolProbe(budget="30s"))
    assert pool.verdict in RIGHT
    async with site.environment.slots({Store.POSTGRES: 4}):
        assert not loading.done()
        await asyncio.sleep(0.1)  # the pool probe alone may be too quick to be worth a word
    record = await loading
    assert record.verdict in RIGHT
    assert len(probe.follow().samples) == probe.figures.operations
    assert any(re.match(r"the burst waited \d\.\d s for connections", each) for each in record.finding.left_out)


async def test_it_does_not_begin_where_others_hold_all_connections(site: Site) -> None:
    """Its time was spent with waiting: it is missed, and nothing was written."""
    probe = burst(timeout="1s")
    async with site.environment.slots({Store.POSTGRES: 4}):
        record = await run_unknown(site, probe, Reason.MISSED)
    assert "other probes held the connections" in record.finding.message


async def test_connections_that_break_are_no_violation(site: Site, make_site: MakeSite, make_proxy: MakeProxy) -> None:
    """Cut again and again under load: what was perhaps written may be there or not, and nothing is left."""
    postgres = site.servers.postgres
    proxy = await make_proxy(postgres.port)
    dsn = in_database(postgres.dsn, site.database).replace(f":{postgres.port}/", f":{proxy.port}/")
    here = await make_site(postgres_dsn=dsn, redis_url=None)
    await ready(here)
    probe = burst(rate=150, length="700ms", errors=1.0)
    running = asyncio.create_task(here.run(probe))
    for part in range(1, 4):
        await until(lambda: len(probe.follow().samples) >= 12 * part)  # noqa: B023  awaited at once
        proxy.cut()
    record = await running
    assert record.verdict in RIGHT | {Verdict.UNKNOWN}, record.finding.message
    if record.verdict in RIGHT:
        assert any("operations failed and say nothing of data" in each for each in record.finding.left_out)
    await here.environment.sweep(Store.POSTGRES)


async def test_what_a_killed_burst_leaves_the_next_incarnation_sweeps(make_site: MakeSite) -> None:
    """Cut off in the midst of it nothing can tidy up; its rows are known by who wrote them."""
    site = await make_site(redis_url=None, instance=Instance("0badcafe", 1))
    await ready(site)
    probe = burst(length="5s", timeout="20s")
    killed = asyncio.create_task(site.run(probe))
    await until(lambda: len(probe.follow().samples) >= 10)
    killed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killed
    assert await site.environment.census(Store.POSTGRES) > 0
    again = await make_site(site.environment.name, redis_url=None, instance=Instance("0badcafe", 2))
    assert await again.environment.sweep(Store.POSTGRES) > 0
    assert await again.environment.census(Store.POSTGRES) == 0


async def test_a_role_that_nothing_binds_is_told(site: Site, make_site: MakeSite) -> None:
    """What users see of each other is then not checked, and everything else is."""
    dsn = in_database(site.servers.postgres.superuser_dsn(), site.database)
    here = await make_site(postgres_dsn=dsn, redis_url=None)
    record = await run_ok(here, burst())
    assert any("is a superuser, whom row-level security does not bind" in each for each in record.finding.left_out)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"length": "2m", "timeout": "5m"}, "length must be 100ms to 1m"),
        ({"ramp": "1s"}, "ramp must not be longer than length"),
        ({"length": "10s", "timeout": "15s"}, "timeout must be at least twice length"),
        ({"rate": 200, "length": "30s"}, "make 5990 operations in a burst, and 2000 may be"),
    ],
)
def test_figures_that_do_not_fit_are_refused(changes: dict[str, object], said: str) -> None:
    """Before anything is asked of a store; a probe that is off may have any."""
    with pytest.raises(ValueError, match=said):
        burst(**changes)
    assert LoadProbe.model_validate({**changes, "enabled": False}).enabled is False
