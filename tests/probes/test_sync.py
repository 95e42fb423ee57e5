"""`sync` on real replicas and a pooler: silent where all is well, and its weather."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from pydantic import ValidationError

from monitor.core.document import profile
from monitor.core.payload import Author
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.faults import addresses
from monitor.embedded.pgbouncer import EmbeddedPgBouncer
from monitor.embedded.servers import Servers
from monitor.ports import Place, Store, Surroundings
from monitor.probes.sync import SyncProbe
from monitor.stores import copies
from monitor.stores.operations import CATALOGUE
from monitor.stores.provision import redis_acl, roles_sql
from tests.conftest import MakeProxy, MakeSite, Site, in_database
from tests.probes.breaking import heals, run_ok, run_unknown, run_violated, trigger
from tests.probes.replicated import (
    POOLER,
    POSTGRES,
    POSTGRES_REPLICA,
    REDIS,
    REDIS_REPLICA,
    MakeSpread,
    behind,
    caught_up,
    spread,
)
from tests.stores.test_guards import counted

HASTY = SyncProbe(deadline=timedelta(seconds=2), patience=timedelta(milliseconds=200))
REPLICA = str(POSTGRES_REPLICA)


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[Servers]:
    """PostgreSQL and Valkey, each with a replica, and a pooler."""
    async with Servers(fsync=False, replicas=True, pooler=True) as started:
        yield started


@pytest.fixture
def make_spread(servers: Servers, database: str, make_site: MakeSite) -> MakeSpread:
    """Make an environment that knows every server; an address can be replaced by its place."""
    return spread(servers, database, make_site)


@pytest.fixture
async def site(make_spread: MakeSpread) -> Site:
    """An environment that knows every server."""
    return await make_spread()


async def test_is_ok_again_and_again_times_every_link_and_leaves_nothing(site: Site) -> None:
    """Ten runs in a row are ok; each times every link that it declares; neither a row nor a key is left behind."""
    probe = SyncProbe()
    declared = set(probe.links(site.environment.surroundings))
    assert len(declared) == 6
    for _ in range(10):
        record = await run_ok(site, probe)
        assert {(each.source, each.target) for each in record.propagations} == declared
        assert all(timedelta() <= each.resolution <= each.took for each in record.propagations)
        assert record.finding.left_out == probe.left_out(site.environment.surroundings)
        assert len(record.finding.left_out) == 1
    for store in Store:
        assert await site.environment.census(store) == 0


@pytest.mark.parametrize(
    ("absent", "words", "links"),
    [
        ((REDIS, REDIS_REPLICA), "there is no redis", 2),
        ((POSTGRES_REPLICA,), "not checked for postgres", 5),
        ((REDIS_REPLICA,), "not checked for redis", 5),
        ((POOLER,), "pooler is not checked", 5),
    ],
    ids=["redis", "replica", "redis replica", "pooler"],
)
async def test_a_place_that_is_not_there_is_said_to_be_left_out(
    make_spread: MakeSpread, absent: tuple[Place, ...], words: str, links: int
) -> None:
    """Without a place the rest is followed, and what is not is said in words."""
    site = await make_spread(dict.fromkeys(absent))
    record = await run_ok(site, SyncProbe())
    assert len(record.propagations) == links
    assert any(words in sentence for sentence in record.finding.left_out)


def test_where_a_change_has_nowhere_to_arrive_it_does_not_run() -> None:
    """The rows alone are nothing to follow, and no run says ok of them; one more place is."""
    alone = Surroundings(places=(Place(Store.POSTGRES),))
    assert not SyncProbe.runs_in(alone)
    assert SyncProbe.lacks(alone).startswith("has nothing to follow")
    assert SyncProbe.runs_in(Surroundings(places=(*alone.places, POSTGRES_REPLICA)))
    redis = Surroundings(places=(Place(Store.REDIS),))
    assert SyncProbe.lacks(redis) == "needs postgres, which this environment does not have"


async def test_an_asynchronous_commit_is_no_alarm(site: Site) -> None:
    """Where COMMIT is acknowledged before it is written, the position is still one that lies behind it."""
    await site.sql(f"ALTER DATABASE {site.database} SET synchronous_commit = off")
    for _ in range(10):
        await run_ok(site, SyncProbe())


async def test_the_plan_is_what_the_servers_log(site: Site) -> None:
    """Every statement of a run, as both servers log it, is in the plan; only looks may take several tries."""
    await run_ok(site, SyncProbe())
    await site.sql(f"ALTER DATABASE {site.database} SET log_statement = 'all'")
    await site.sql(  # the pooler has connections that do not know it yet
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    assert site.servers.postgres_replica is not None
    await caught_up(site.servers)
    logs = [site.servers.postgres.log, site.servers.postgres_replica.log]
    before = [log.stat().st_size for log in logs]
    await run_ok(site, SyncProbe())
    written = "".join(log.read_bytes()[start:].decode() for log, start in zip(logs, before, strict=True))
    # What begins with SET is what a pooler tells its new connections.
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (?!SET )(.*)", written)
    sent = Counter(re.sub(r"'holdfast-user-\d'", "'holdfast-user-N'", each) for each in statements)
    sent = Counter({re.sub(r"timeout = \d+", "timeout = …", each): times for each, times in sent.items()})
    planned: Counter[str] = Counter()
    for use in SyncProbe().plan():
        if use.store is Store.POSTGRES:
            for statement in CATALOGUE[use.store][use.operation]:
                planned[statement] += use.times
    assert sent.keys() == planned.keys()
    looks = {*copies.ROWS["look_at_replica"]}
    assert all(sent[each] >= planned[each] for each in looks)
    assert {each: sent[each] for each in sent if each not in looks} == {
        each: planned[each] for each in planned if each not in looks
    }


async def test_the_plan_is_what_goes_over_the_wire(
    servers: Servers, make_spread: MakeSpread, make_proxy: MakeProxy
) -> None:
    """Every command of a run, to the primary and the replica of Redis, is in the plan as often as it was sent."""
    assert servers.valkey_replica is not None
    sent: Counter[str] = Counter()

    def count(command: list[bytes]) -> list[bytes]:
        sent[command[0].decode()] += 1
        return command

    changes = {}
    for place, server in ((REDIS, servers.valkey), (REDIS_REPLICA, servers.valkey_replica)):
        proxy = await make_proxy(server.port)
        proxy.rewrite = count
        changes[place] = behind(proxy, server.url, server.port)
    site = await make_spread(changes)
    await run_ok(site, SyncProbe())
    sent.clear()
    await run_ok(site, SyncProbe())
    planned: Counter[str] = Counter()
    for use in SyncProbe().plan():
        if use.store is Store.REDIS:
            for command in CATALOGUE[use.store][use.operation]:
                planned[command.split()[0]] += use.times
    for setup in ("AUTH", "CLIENT"):  # once for each connection
        assert sent.pop(setup) == 5
    tries = sent["INFO"] - planned["INFO"]  # of looks at the replica
    assert tries >= 0
    for command in ("ECHO", "INFO", "GET"):
        planned[command] += tries
    assert +sent == +planned


def test_the_bytes_of_the_plan_are_what_documents_weigh() -> None:
    """A row and its copy weigh what the plan reckons with, give or take a tenth."""
    author = Author(environment="production", probe="sync", run_id="01a203df-6d7d-74c0-b2d2-881acb5edeb3")
    made = profile(author, user="holdfast-user-0", version=1)
    planned = {use.operation: use.payload / use.times for use in SyncProbe().plan() if use.payload}
    assert planned["put_copy"] == pytest.approx(len(made.encode()), rel=0.1)
    assert planned["create_document"] == planned["change_document"] == pytest.approx(len(made.body.encode()), rel=0.1)


def test_waits_fit_into_the_timeout() -> None:
    """A deadline with its patience ends before the run does, and neither is nothing."""
    for waits in ({"deadline": "20s"}, {"patience": "20s"}, {"timeout": "10s"}):
        with pytest.raises(ValidationError, match="must be longer than deadline and patience together"):
            SyncProbe.model_validate(waits)
    for waits in ({"deadline": "0s"}, {"patience": "0s"}):
        with pytest.raises(ValidationError, match="must be longer than nothing"):
            SyncProbe.model_validate(waits)


@pytest.mark.parametrize("place", [POSTGRES_REPLICA, REDIS_REPLICA, POOLER], ids=str)
async def test_a_place_that_is_down_is_named_and_the_others_are_followed(
    servers: Servers, database: str, make_spread: MakeSpread, make_proxy: MakeProxy, place: Place
) -> None:
    """The run is unknown for the reason of that place; what could be followed is timed all the same."""
    address = addresses(servers)[place]
    port = int(address.rpartition("/")[0].rpartition(":")[2])
    proxy = await make_proxy(port)
    site = await make_spread(
        {place: behind(proxy, in_database(address, database) if place.store is Store.POSTGRES else address, port)}
    )
    await run_ok(site, SyncProbe())
    proxy.refuse = True
    record = await run_unknown(site, SyncProbe(), Reason.UNREACHABLE)
    assert record.finding.place == str(place)
    assert f"({place})" in record.finding.message
    assert len(record.propagations) == 5
    proxy.refuse = False
    await run_ok(site, SyncProbe())
    assert await site.environment.census(Store.POSTGRES) == 0


@pytest.mark.parametrize("place", [POSTGRES, REDIS], ids=str)
async def test_a_primary_that_is_down_is_the_reason(
    servers: Servers, database: str, make_spread: MakeSpread, make_proxy: MakeProxy, place: Place
) -> None:
    """Without a source nothing can be followed: the run is unknown, and says which store."""
    server = servers.postgres if place is POSTGRES else servers.valkey
    address = in_database(servers.postgres.dsn, database) if place is POSTGRES else servers.valkey.url
    proxy = await make_proxy(server.port)
    site = await make_spread({place: behind(proxy, address, server.port)})
    await run_ok(site, SyncProbe())
    proxy.refuse = True
    record = await run_unknown(site, SyncProbe(), Reason.UNREACHABLE)
    assert record.finding.place == str(place)
    proxy.refuse = False
    await run_ok(site, SyncProbe())


@pytest.fixture(scope="module")
async def strangers() -> AsyncIterator[Servers]:
    """Servers of another cluster."""
    async with Servers(fsync=False) as started:
        yield started


async def test_a_replica_of_another_cluster_is_misconfigured(
    servers: Servers, strangers: Servers, make_spread: MakeSpread
) -> None:
    """A place that holds other data is named, with what to check, and never called diverged."""
    name = "stranger"
    await strangers.postgres.sql(f"DROP SCHEMA IF EXISTS holdfast CASCADE; {roles_sql(name, role='holdfast')}")
    for place, address in ((POSTGRES_REPLICA, strangers.postgres.dsn), (REDIS_REPLICA, strangers.valkey.url)):
        site = await make_spread({place: address}, name=name)
        record = await run_unknown(site, HASTY, Reason.MISCONFIGURED)
        assert record.finding.place == str(place)
        assert "another cluster" in record.finding.message
    assert servers.postgres.port != strangers.postgres.port


@pytest.mark.parametrize("place", [POSTGRES_REPLICA, REDIS_REPLICA], ids=str)
async def test_a_replica_that_is_the_primary_by_another_name_is_misconfigured(
    servers: Servers, database: str, make_spread: MakeSpread, place: Place
) -> None:
    """A source that is compared with itself is never ok and times nothing; the place and the next step are named."""
    address = in_database(servers.postgres.dsn, database) if place is POSTGRES_REPLICA else servers.valkey.url
    site = await make_spread({place: address.replace("127.0.0.1", "localhost")})
    record = await run_unknown(site, SyncProbe(), Reason.MISCONFIGURED)
    assert record.finding.place == str(place)
    assert f"{place} is no replica" in record.finding.message
    assert "found the primary itself" in record.finding.message
    assert "point its address at a replica" in record.finding.message
    timed = {each.target for each in record.propagations}
    assert len(timed) == 4
    assert str(place) not in timed


async def test_another_database_of_the_same_cluster_is_misconfigured(servers: Servers, make_spread: MakeSpread) -> None:
    """A replica whose DSN names another database says so, although it belongs to the same cluster."""
    assert servers.postgres_replica is not None
    site = await make_spread({POSTGRES_REPLICA: in_database(servers.postgres_replica.dsn, "postgres")})
    record = await run_unknown(site, HASTY, Reason.MISCONFIGURED)
    assert "check the name of the database" in record.finding.message
    assert record.finding.place == REPLICA


@pytest.fixture
async def paused(servers: Servers, site: Site) -> AsyncIterator[Site]:
    """An environment whose replica of PostgreSQL receives changes and applies none, until the test ends."""
    assert servers.postgres_replica is not None
    await servers.postgres_replica.sql("SELECT pg_wal_replay_pause()")
    yield site
    await servers.postgres_replica.sql("SELECT pg_wal_replay_resume()")
    await caught_up(servers)


async def test_a_replica_that_has_not_even_the_schema_lags(paused: Site) -> None:
    """Where the replica stands still before the first run, it has diverged: it is not configured wrongly."""
    record = await run_violated(paused, HASTY, {Kind.DIVERGED})
    assert "has not applied the position of the write" in record.finding.violations[0].actual
    assert record.finding.violations[0].evidence["target"] == REPLICA


async def test_a_replica_that_is_paused_diverges_until_it_goes_on(servers: Servers, site: Site) -> None:
    """Without a hint of the cluster's identifier the schema's own moment tells that both belong together."""
    assert servers.postgres_replica is not None
    await run_ok(site, SyncProbe())
    await site.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    await caught_up(servers)
    await servers.postgres_replica.sql("SELECT pg_wal_replay_pause()")
    try:
        await run_violated(site, HASTY, {Kind.DIVERGED})
    finally:
        await servers.postgres_replica.sql("SELECT pg_wal_replay_resume()")
        await site.sql("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
    await caught_up(servers)
    await heals(site, HASTY)


async def test_a_run_has_no_more_connections_than_it_declares(servers: Servers, site: Site) -> None:
    """Whatever is wrong, primary and pooler bear no more connections than the probe declares, and each replica one."""
    assert servers.postgres_replica is not None
    await run_ok(site, SyncProbe())
    ways = site.environment.ways
    for broken in (False, True):
        async with (
            counted(ways.primary_postgres) as primary,
            counted(ways.postgres[POOLER]) as pooler,
            counted(ways.primary_redis) as redis,
            counted(ways.postgres[POSTGRES_REPLICA]) as replica,
            counted(ways.redis[REDIS_REPLICA]) as redis_replica,
        ):
            assert (await site.run(HASTY)).verdict is (Verdict.VIOLATED if broken else Verdict.OK)
            assert primary() + pooler() <= HASTY.wants()[Store.POSTGRES]
            assert redis() <= HASTY.wants()[Store.REDIS]
            assert (replica(), redis_replica()) == (1, 1)
        await servers.postgres_replica.sql(f"SELECT pg_wal_replay_{'resume' if broken else 'pause'}()")
    await caught_up(servers)
    await heals(site, HASTY)


async def test_what_a_replica_lost_is_known_at_once(
    servers: Servers, make_spread: MakeSpread, make_proxy: MakeProxy
) -> None:
    """A replica that has applied the position of the write, and lacks it, is not waited for."""
    assert servers.valkey_replica is not None
    proxy = await make_proxy(servers.valkey_replica.port)
    site = await make_spread({REDIS_REPLICA: behind(proxy, servers.valkey_replica.url, servers.valkey_replica.port)})
    await run_ok(site, SyncProbe())
    proxy.rewrite = lambda command: [command[0], command[1] + b"-x"] if command[0] == b"GET" else command
    patient = SyncProbe(every=timedelta(hours=2), timeout=timedelta(hours=1), deadline=timedelta(minutes=50))
    record = await run_violated(site, patient, {Kind.DIVERGED})
    assert record.finding.violations[0].actual == "nothing, although it has applied the position of the write"
    proxy.rewrite = None
    await heals(site, SyncProbe())


async def test_a_redis_user_that_may_not_ask_a_replica_is_refused(servers: Servers, make_spread: MakeSpread) -> None:
    """Where the ACL of the replica forbids a command, the run is unknown, and says what to extend."""
    replica = servers.valkey_replica
    assert replica is not None
    await replica.command("ACL", "SETUSER", "narrow", "on", ">planted-secret", "~holdfast:*", "+@all", "-info")
    site = await make_spread({REDIS_REPLICA: f"redis://narrow:planted-secret@127.0.0.1:{replica.port}/0"})
    record = await run_unknown(site, SyncProbe(), Reason.REFUSED)
    await replica.command("ACL", "DELUSER", "narrow")
    assert "extend the ACL" in record.finding.message
    assert record.finding.place == str(REDIS_REPLICA)


async def test_the_least_rights_suffice(servers: Servers, database: str, make_spread: MakeSpread) -> None:
    """The printed role and ACL can do all that `sync` needs, on primaries, replicas and through the pooler."""
    assert servers.valkey_replica is not None
    await servers.postgres.sql(roles_sql("least", role="holdfast"), database=database)
    await servers.postgres.sql(f"REVOKE CREATE ON DATABASE {database} FROM holdfast")
    urls = {}
    for place, server in ((REDIS, servers.valkey), (REDIS_REPLICA, servers.valkey_replica)):
        await server.command(*redis_acl(user="fenced").replace("CHOOSE-A-PASSWORD", "planted-secret").split())
        urls[place] = f"redis://fenced:planted-secret@127.0.0.1:{server.port}/0"
    site = await make_spread(urls, name="least", provision=False)
    await run_ok(site, SyncProbe())
    for server in (servers.valkey, servers.valkey_replica):
        await server.command("ACL", "DELUSER", "fenced")


async def test_a_pooler_in_statement_mode_is_named(servers: Servers, database: str, make_spread: MakeSpread) -> None:
    """A pooler that takes no transactions cannot be looked through: the run is unknown, and names the pooler."""
    pooler = EmbeddedPgBouncer(servers.private, servers.postgres, settings={"pool_mode": "statement"}, name="narrow")
    await pooler.start()
    try:
        site = await make_spread({POOLER: in_database(pooler.dsn, database)})
        record = await site.run(SyncProbe())
    finally:
        await pooler.stop()
    assert (record.finding.reason, record.finding.place) == (Reason.MISCONFIGURED, str(POOLER))
    assert "transaction blocks not allowed in statement pooling mode" in record.finding.message


async def test_a_write_that_vanishes_is_lost_at_its_source(site: Site) -> None:
    """Who has logged in and is not in the database is a loss, confirmed by the primary; nothing else is reported."""
    await run_ok(site, SyncProbe())
    await site.sql(
        trigger("AT COMMIT", "DELETE FROM holdfast.profiles WHERE id = NEW.id; RETURN NULL;", table="profiles")
    )
    record = await run_violated(site, SyncProbe(), {Kind.LOST})
    assert record.finding.violations[0].subject == "a change on its way from login to postgres"
    await site.sql("DROP SCHEMA broken CASCADE")
    await heals(site, SyncProbe())
