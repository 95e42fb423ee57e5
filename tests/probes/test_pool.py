"""Many users before a real PgBouncer: what others leave behind, what breaks, what is only weather, and what is sent."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from monitor.core.verdict import Kind, Reason
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.pgbouncer import EmbeddedPgBouncer
from monitor.ports import Place, Store, StoreError, Way
from monitor.probes.pool import PoolProbe
from monitor.stores import crowd
from tests.conftest import MakeSite, Site, in_database
from tests.probes.breaking import heals, run_ok, run_unknown, run_violated

PROBE = PoolProbe()
POOLER = Place(Store.POSTGRES, Way.POOLER)


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """An environment behind a pooler of its own."""

    site: Site
    pooler: EmbeddedPgBouncer

    async def by_another(self, script: str) -> None:
        """What another client of the pooler does."""
        await self.pooler.sql(script, database=self.site.database)


MakePooled = Callable[..., Awaitable[Pooled]]


@pytest.fixture
async def make_pooled(site: Site, make_site: MakeSite) -> AsyncIterator[MakePooled]:
    """Put a PgBouncer with these settings before this test's database."""
    async with AsyncExitStack() as stack:

        async def make(**settings: str) -> Pooled:
            folder = PrivateFolder()
            stack.callback(folder.close)
            pooler = EmbeddedPgBouncer(folder, site.servers.postgres, settings=settings)
            stack.push_async_callback(pooler.stop)
            await pooler.start()
            others = {POOLER: in_database(pooler.dsn, site.database)}
            return Pooled(site=await make_site(redis_url=None, others=others), pooler=pooler)

        yield make


LEFT = {
    "the user": ("SET holdfast.user_id = 'holdfast-user-7'", "setting holdfast.user_id"),
    "a search path": ("SET search_path = pg_catalog", "setting search_path"),
    "a time zone": ("SET TimeZone = 'Pacific/Apia'; DISCARD PLANS", None),
    "read only": ("SET default_transaction_read_only = on", "setting default_transaction_read_only"),
    "a timeout": ("SET statement_timeout = '1h'", "setting statement_timeout"),
    "row security off": ("SET row_security = off", "setting row_security"),
    "a temporary table": ("CREATE TEMPORARY TABLE mine (secret text)", "temporary table"),
    "a prepared statement": ("PREPARE mine AS SELECT 1", "prepared statement"),
    "a cursor": ("BEGIN; DECLARE mine CURSOR WITH HOLD FOR SELECT 1; COMMIT", "cursor"),
    "an advisory lock": ("SELECT pg_advisory_lock(1)", "advisory lock"),
    "a subscription": ("LISTEN mine", "LISTEN"),
}


@pytest.mark.parametrize("name", LEFT)
async def test_what_another_client_leaves_in_a_server_connection_is_leaked(make_pooled: MakePooled, name: str) -> None:
    """In transaction mode whatever a client does to its session, the next one finds, except what the pooler keeps."""
    script, found = LEFT[name]
    here = await make_pooled(default_pool_size="1")
    await run_ok(here.site, PROBE)
    await here.by_another(script)
    if found is None:
        await run_ok(here.site, PROBE)
        return
    record = await run_violated(here.site, PROBE, {Kind.LEAKED})
    assert all(violation.evidence["left"] == [found] for violation in record.finding.violations)
    assert "holdfast-user-7" not in record.finding.message
    await here.pooler.stop()
    await here.pooler.start()
    await heals(here.site, PROBE)


async def test_one_dirty_connection_among_several_is_found(make_pooled: MakePooled) -> None:
    """Users who are there at once see each server connection, and not only the one that comes first."""
    here = await make_pooled(default_pool_size="4")
    await run_ok(here.site, PROBE)
    await here.by_another("SET search_path = pg_catalog")
    await run_violated(here.site, PROBE, {Kind.LEAKED})


async def test_what_every_connection_is_meant_to_have_can_be_declared(make_pooled: MakePooled) -> None:
    """A setting that the operator wants, as by connect_query, is no leak once it is named in the configuration."""
    here = await make_pooled(default_pool_size="1")
    await run_ok(here.site, PROBE)
    await here.by_another("SET work_mem = '8MB'")
    await run_violated(here.site, PROBE, {Kind.LEAKED})
    await run_ok(here.site, PoolProbe(expected_settings=("work_mem",)))


def triggered(timing: str, body: str, *, when: str = "true") -> str:
    """A trigger on registers, with whatever rights it needs."""
    return f"""
    CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body} END $$;
    CREATE {timing} ON holdfast.registers {"DEFERRABLE INITIALLY DEFERRED" if "CONSTRAINT" in timing else ""}
        FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION public.broken();
    """


_BEFORE = "TRIGGER zz BEFORE UPDATE"
_AFTER = "CONSTRAINT TRIGGER zz AFTER INSERT"
_DELETE = "DELETE FROM holdfast.registers WHERE run = NEW.run AND id = NEW.id; RETURN NULL;"
_HEALED = "DROP FUNCTION public.broken CASCADE"
BREAKS = {
    "row-level security off": (
        Kind.LEAKED,
        "ALTER TABLE holdfast.registers DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE holdfast.registers ENABLE ROW LEVEL SECURITY",
    ),
    "updates ignored": (
        Kind.LOST_UPDATE,
        triggered(_BEFORE, "NEW.value := greatest(OLD.value, 1); RETURN NEW;"),
        _HEALED,
    ),
    "updates doubled": (Kind.DUPLICATED, triggered(_BEFORE, "NEW.value := NEW.value + 1; RETURN NEW;"), _HEALED),
    "rows gone after commit": (Kind.LOST, triggered(_AFTER, _DELETE, when="NEW.id = 1"), _HEALED),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_data_that_is_not_one_s_own_or_not_there_is_named(site: Site, name: str) -> None:
    """Without a pooler, too: on direct connections, as an application's own pool opens them."""
    kind, script, back = BREAKS[name]
    record = await run_ok(site, PROBE)
    assert any("there is no pooler" in sentence for sentence in record.finding.left_out)
    await site.sql(script)
    await run_violated(site, PROBE, {kind})
    await site.sql(back)
    await heals(site, PROBE)


@pytest.mark.parametrize(
    "settings",
    [
        {"pool_mode": "session", "default_pool_size": "8"},
        {"pool_mode": "session", "default_pool_size": "8", "server_round_robin": "1"},
        {"default_pool_size": "8", "server_round_robin": "1"},
        {"default_pool_size": "8", "server_lifetime": "1"},
    ],
    ids=lambda settings: " ".join(f"{name}={value}" for name, value in settings.items()),
)
async def test_every_healthy_pooler_is_ok_again_and_again(make_pooled: MakePooled, settings: dict[str, str]) -> None:
    """However it shares its connections, five runs in a row are right and leave nothing."""
    here = await make_pooled(**settings)
    for _ in range(5):
        await run_ok(here.site, PROBE)
    assert await here.site.environment.census(Store.POSTGRES) == 0


async def test_a_pool_that_is_smaller_than_the_crowd_makes_it_wait_and_no_more(make_pooled: MakePooled) -> None:
    """Nobody waits for ever for whom it holds up itself; what could not be seen is said."""
    here = await make_pooled(default_pool_size="1")
    record = await run_ok(here.site, PROBE)
    assert record.finding.left_out == ("the pool gave only 1 of 4 users a connection at the same time",)


async def test_a_pooler_in_statement_mode_is_misconfigured(make_pooled: MakePooled) -> None:
    """It refuses transactions; the message says what to set."""
    here = await make_pooled(pool_mode="statement")
    record = await run_unknown(here.site, PROBE, Reason.MISCONFIGURED)
    assert "set pool_mode to transaction" in record.finding.message
    assert "(postgres pooler)" in record.finding.message


async def test_a_pooler_that_takes_too_few_clients_has_no_capacity(make_pooled: MakePooled) -> None:
    """The message says which limit is reached."""
    here = await make_pooled(max_client_conn="2")
    record = await run_unknown(here.site, PROBE, Reason.CAPACITY)
    assert "max_client_conn" in record.finding.message


async def test_a_pooler_that_gives_nothing_in_time_is_said_to(make_pooled: MakePooled) -> None:
    """Where the pooler keeps its clients waiting longer than they can wait, the advice is to look for who holds all."""
    here = await make_pooled(default_pool_size="1", query_wait_timeout="60")
    await run_ok(here.site, PROBE)
    holder = asyncio.create_task(here.by_another("BEGIN; SELECT pg_sleep(3600); COMMIT"))
    while int(await here.site.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%(3600)%'")) < 2:
        pass
    record = await run_unknown(here.site, PROBE, Reason.TIMEOUT)
    assert "SHOW POOLS" in record.finding.message
    holder.cancel()
    await asyncio.gather(holder, return_exceptions=True)


async def test_a_pooler_that_is_down_is_unreachable_and_named(make_pooled: MakePooled) -> None:
    """The database behind it is well: the message names the way that is cut, and it closes itself."""
    here = await make_pooled()
    await here.pooler.stop()
    record = await run_unknown(here.site, PROBE, Reason.UNREACHABLE)
    assert "(postgres pooler)" in record.finding.message
    assert record.finding.place == "postgres pooler"
    await here.pooler.start()
    await run_ok(here.site, PROBE)


@pytest.mark.parametrize("probe", [PROBE, PoolProbe(users=3, transactions=1, cuts=2)], ids=["default", "smaller"])
async def test_the_plan_is_what_the_server_logs(make_pooled: MakePooled, probe: PoolProbe) -> None:
    """Every statement that comes through the pooler, as PostgreSQL logs it, is in the plan as often as it was sent."""
    here = await make_pooled()
    await run_ok(here.site, probe)
    await here.site.sql(f"ALTER DATABASE {here.site.database} SET log_statement = 'all'")
    await here.pooler.stop()
    await here.pooler.start()
    log = here.site.servers.postgres.log
    before = log.stat().st_size
    await run_ok(here.site, probe)
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", log.read_bytes()[before:].decode())
    sent: Counter[str] = Counter()
    for statement in statements:
        shown = re.sub(r"'holdfast-user-\d'", "'holdfast-user-N'", statement)
        sent[re.sub(r"timeout = \d+", "timeout = …", shown)] += 1
    own = [each for each in sent if each.startswith(("SET application_name", "SET client_encoding"))]
    for each in own:  # the pooler's own, which keeps its server connections in step with its clients
        del sent[each]
    planned: Counter[str] = Counter()
    for use in probe.plan():
        for statement in crowd.OPERATIONS[use.operation]:
            planned[statement] += use.times
    assert dict(sent) == dict(planned)


async def test_more_users_than_names_share_them(make_site: MakeSite) -> None:
    """There are eight synthetic names; ten users are right, too, and see what is under their name only."""
    crowded = await make_site(redis_url=None, connections={Store.POSTGRES: 10})
    await run_ok(crowded, PoolProbe(users=10, transactions=1))


async def test_a_server_connection_that_dies_between_two_questions_is_unreachable(make_pooled: MakePooled) -> None:
    """The pooler says so unasked; whatever the driver makes of that, nothing of it is a fault of Holdfast's own."""
    here = await make_pooled()
    await run_ok(here.site, PROBE)
    connection = await here.site.environment.crowd.connect("test")
    try:
        await connection.enter()
        await here.site.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND state = 'idle in transaction'"
        )
        with pytest.raises(StoreError) as caught:
            await connection.dirt(expected=(), empty=())
    finally:
        await connection.close()
    assert caught.value.reason is Reason.UNREACHABLE
    await run_ok(here.site, PROBE)
