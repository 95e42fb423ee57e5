"""The pulse: steady, patient, silent in a pause; what it measures is what was."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from monitor.core.ledger.found import Outage
from monitor.core.verdict import Kind
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers
from monitor.ports import Store, SystemClock
from monitor.probes.durability import DurabilityProbe
from monitor.pulse import Pulse, Pulses
from monitor.stores.ledger import Ledgers
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import kinds, run_ok

RATE = 20
TICK = 1 / RATE
PROBE = DurabilityProbe(rate=RATE)
STORES = [Store.POSTGRES, Store.REDIS]


@dataclass(kw_only=True)
class Heart:
    """An environment behind proxies, and the pulses that a test starts there."""

    site: Site
    proxies: dict[Store, TcpProxy]
    audits: int = 0
    paused: bool = False
    audited: Callable[[], Awaitable[object]] | None = None
    pulses: dict[Store, Pulse] = field(default_factory=dict)

    async def audit(self) -> None:
        """Somebody asked for a run of `durability`."""
        self.audits += 1
        if self.audited is not None:
            await self.audited()

    @asynccontextmanager
    async def beating(
        self, *stores: Store, patience: timedelta = timedelta(seconds=1), rate: float = RATE
    ) -> AsyncIterator[None]:
        """The pulses of some stores beat."""
        environment = self.site.environment
        tasks = []
        for store in stores or STORES:
            self.pulses[store] = Pulse(
                environment=environment,
                store=store,
                scribe=environment.scribe(store),
                rate=rate,
                patience=patience,
                clock=SystemClock(),
                audit=self.audit,
                paused=lambda: self.paused,
            )
            tasks.append(asyncio.create_task(self.pulses[store].run()))
        try:
            yield
        finally:
            for pulse in self.pulses.values():
                pulse.stop()
            await asyncio.gather(*tasks)

    async def ticks(self, store: Store, more: int = 3) -> None:
        """Wait for acknowledged moves."""
        wanted = self.pulses[store].ticks + more
        await until(lambda: self.pulses[store].ticks >= wanted)

    async def outages(self, store: Store, operation: str = "write") -> list[Outage]:
        """What the ledger has of them, the latest first."""
        return [each for each in await self.site.environment.ledger.outages(store) if each.operation == operation]


async def until(right: Callable[[], bool]) -> None:
    """Wait until it is so, which is looked at a hundred times a second."""
    async with asyncio.timeout(30):
        while not right():  # noqa: ASYNC110  a pulse tells nobody of its ticks
            await asyncio.sleep(0.01)


@pytest.fixture
async def heart(make_site: MakeSite, make_proxy: MakeProxy, tmp_path: Path, servers: Servers) -> AsyncIterator[Heart]:
    """An environment with a ledger that lasts, behind a proxy for each store."""
    ledgers = Ledgers(tmp_path / "state.db", clock=SystemClock())
    name = f"env-{secrets.token_hex(4)}"
    postgres, redis = await make_proxy(servers.postgres.port), await make_proxy(servers.valkey.port)
    direct = await make_site()
    site = await make_site(
        name,
        ledger=ledgers.of(name),
        postgres_dsn=direct.dsn.replace(f":{servers.postgres.port}/", f":{postgres.port}/"),
        redis_url=servers.valkey.url.replace(f":{servers.valkey.port}/", f":{redis.port}/"),
    )
    yield Heart(site=site, proxies={Store.POSTGRES: postgres, Store.REDIS: redis})
    await ledgers.close()


async def test_it_moves_the_register_of_each_store(heart: Heart) -> None:
    """Each tick is an acknowledged write, on one connection that is kept; where nothing happens, nothing is told."""
    async with heart.beating():
        for store in STORES:
            await heart.ticks(store, 10)
    for store in STORES:
        moves = await heart.site.environment.ledger.entries(store, identified=False)
        assert [entry.state for entry in moves] == ["acked"] * len(moves)
        assert len(moves) == heart.pulses[store].ticks
        assert await heart.outages(store) == []
        assert await heart.site.environment.ledger.breaks(store) == []


@pytest.mark.parametrize(
    ("now", "wait", "expected"),
    [(0.0, 0.0, 1.0), (0.25, 0.0, 0.75), (3.5, 0.0, 0.5), (3.5, 0.4, 0.5), (3.5, 1.0, 0.5), (3.5, 2.0, 1.5)],
)
async def test_ticks_stay_on_their_grid(heart: Heart, now: float, wait: float, expected: float) -> None:
    """Whoever is late waits for the next moment of the grid, and makes up for none; a back-off is on the grid, too."""

    class Still(SystemClock):
        def monotonic(self) -> float:
            return now

    environment = heart.site.environment
    pulse = Pulse(
        environment=environment,
        store=Store.REDIS,
        scribe=environment.scribe(Store.REDIS),
        rate=1,
        patience=timedelta(seconds=1),
        clock=Still(),
        audit=heart.audit,
        paused=lambda: False,
    )
    assert pulse._until_next(0.0, wait) == expected


@pytest.mark.parametrize("store", STORES)
async def test_an_outage_is_measured(heart: Heart, store: Store) -> None:
    """While connections are refused nothing works; the bounds contain how long that was, and are near each other."""
    clock, proxy = SystemClock(), heart.proxies[store]
    async with heart.beating(store):
        await heart.ticks(store)
        down = clock.monotonic()
        proxy.refuse = True
        proxy.cut()
        await asyncio.sleep(2)  # how long it lasts is what is measured
        proxy.refuse = False
        up = clock.monotonic()
        await heart.ticks(store)
    for operation in ("connect", "read", "write"):
        (outage,) = await heart.outages(store, operation)
        assert outage.ended is not None
        truth = up - down
        assert outage.least.total_seconds() <= truth <= outage.most.total_seconds()


@pytest.mark.parametrize("store", STORES)
async def test_a_black_hole_is_an_outage_as_long_as_it_lasts(heart: Heart, store: Store) -> None:
    """Where nothing is answered, an attempt ends after its patience; what was sent is `perhaps`, and no loss."""
    clock, proxy = SystemClock(), heart.proxies[store]
    async with heart.beating(store, patience=timedelta(milliseconds=300)):
        await heart.ticks(store)
        down = clock.monotonic()
        proxy.blackhole = True
        await until(lambda: "write" in heart.pulses[store].failing)
        lasting = await heart.outages(store)
        proxy.blackhole = False
        up = clock.monotonic()
        await heart.ticks(store)
    assert all(each.ended is None for each in lasting)
    (outage,) = await heart.outages(store)
    assert outage.least.total_seconds() <= up - down <= outage.most.total_seconds()
    await run_ok(heart.site, PROBE)


async def test_where_writes_are_refused_reads_go_on(heart: Heart) -> None:
    """A server that turns read-only is an outage of writes, and of nothing else."""
    store = Store.POSTGRES
    async with heart.beating(store):
        await heart.ticks(store)
        await heart.site.sql(f"ALTER DATABASE {heart.site.database} SET default_transaction_read_only = on")
        heart.proxies[store].cut()
        await until(lambda: heart.pulses[store].failing == {"write"})
        await heart.site.sql(
            "SET default_transaction_read_only = off;"
            f"ALTER DATABASE {heart.site.database} RESET default_transaction_read_only"
        )
        heart.proxies[store].cut()
        await heart.ticks(store)
    assert (await heart.outages(store))[0].ended is not None


async def test_a_pause_is_no_outage(heart: Heart) -> None:
    """While an environment is paused no connection is open, and what is not asked does not fail."""
    async with heart.beating():
        await heart.ticks(Store.POSTGRES)
        heart.paused = True
        async with asyncio.timeout(10):
            alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast/durability'"
            while await heart.site.sql(alive) != "0\n":
                pass
        before = heart.pulses[Store.POSTGRES].ticks
        for proxy in heart.proxies.values():
            proxy.refuse = True
        for proxy in heart.proxies.values():
            proxy.refuse = False
        assert heart.pulses[Store.POSTGRES].ticks == before
        heart.paused = False
        await heart.ticks(Store.POSTGRES)
        await heart.ticks(Store.REDIS)
    for store in STORES:
        assert await heart.outages(store) == []


async def test_a_break_asks_for_an_audit_which_tells_the_loss(heart: Heart) -> None:
    """The tick after a flush finds it; the run that is asked for names it."""
    found: list[set[Kind]] = []

    async def look() -> None:
        found.append(kinds(await heart.site.run(PROBE)))

    await run_ok(heart.site, PROBE)
    async with heart.beating():
        await heart.ticks(Store.REDIS)
        await until(lambda: heart.audits == 0 or heart.pulses[Store.REDIS]._auditing is None)
        heart.audited = look
        await heart.site.servers.valkey.command("FLUSHALL")
        await until(lambda: bool(found))
        await heart.ticks(Store.REDIS, 10)
    assert found[0] == {Kind.LOST}
    (loss,) = await heart.site.environment.ledger.losses()
    assert (loss.cause, loss.records) == ("flush", 1)
    assert loss.suffix


async def test_a_new_epoch_is_logged(heart: Heart) -> None:
    """A server that is another one than before is an event, with what it was and what it is."""
    with capture_logs() as logs:
        async with heart.beating(Store.REDIS):
            await heart.ticks(Store.REDIS)
            await heart.site.servers.valkey.command("FLUSHALL")  # what a pulse sees of a new epoch without a new server
            await heart.ticks(Store.REDIS)
            await until(lambda: any(each["event"] == "failover.observed" for each in logs))
    (event,) = [each for each in logs if each["event"] == "failover.observed"]
    assert event["environment"] == heart.site.environment.name
    assert event["before"]["flushes"] + 1 == event["after"]["flushes"]


async def test_a_new_epoch_that_a_run_found_first_is_logged(heart: Heart) -> None:
    """Also where that run has looked at everything before the next tick, so that no alarm is left."""
    with capture_logs() as logs:
        async with heart.beating(Store.REDIS, rate=1):
            await heart.ticks(Store.REDIS, 1)
            await run_ok(heart.site, PROBE)
            await heart.site.servers.valkey.command("FLUSHALL")
            await heart.site.run(PROBE)
            await heart.ticks(Store.REDIS, 1)
    assert [each["event"] for each in logs].count("failover.observed") == 1


async def test_no_false_alarm_in_a_storm(heart: Heart) -> None:
    """Connections that are cut again and again, in the midst of writes, are never a violation."""

    async def storm() -> None:
        while True:
            for proxy in heart.proxies.values():
                await asyncio.sleep(0.05 + secrets.randbelow(100) / 500)
                proxy.cut()

    async with heart.beating():
        weather = asyncio.create_task(storm())
        verdicts = [await heart.site.run(PROBE) for _ in range(20)]
        weather.cancel()
    assert [kinds(record) for record in verdicts] == [set()] * 20
    await run_ok(heart.site, PROBE)


async def test_pulses_are_replaced_and_end(heart: Heart) -> None:
    """A new configuration ends the old pulses; at the end none is left, and no connection either."""
    pulses, environment = Pulses(SystemClock()), heart.site.environment
    scribes = {store: environment.scribe(store) for store in STORES}

    def watch(rate: float) -> None:
        pulses.watch(
            environment, scribes, rate=rate, patience=timedelta(seconds=1), audit=heart.audit, paused=lambda: False
        )

    watch(RATE)
    watch(RATE)
    await until(lambda: all(scribe.kept for scribe in scribes.values()))
    watch(0)
    await pulses.end(timedelta(seconds=5))
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("pulse")]
