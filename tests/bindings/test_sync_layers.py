"""`sync` across the layers of an application: what is written through one arrives in all others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from monitor.bindings import Binding
from monitor.core.verdict import Kind, Reason
from monitor.embedded.servers import Servers
from monitor.ports import Store
from monitor.probes.sync import SyncProbe
from tests.bindings.layers import API, SQL, WAYS, MakeLayered, Running, layered, profiles, running
from tests.conftest import MakeSite, in_database
from tests.probes.breaking import HEAL, heals, kinds, run_ok, run_unknown
from tests.probes.replicated import (
    POOLER,
    POSTGRES,
    POSTGRES_REPLICA,
    REDIS,
    REDIS_REPLICA,
    caught_up,
    spread,
)

ALL = frozenset({"postgres", "redis", "api"})
OTHERS = (POSTGRES, POSTGRES_REPLICA, POOLER, REDIS, REDIS_REPLICA)
KEEPS_PERMISSIONS = """
    CREATE SCHEMA broken;
    CREATE FUNCTION broken.act() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN NEW.permissions := OLD.permissions; RETURN NEW; END $$;
    CREATE TRIGGER zz_broken BEFORE UPDATE ON user_profiles
    FOR EACH ROW WHEN (NEW.permissions <> OLD.permissions AND NEW.auth_data #>> '{holdfast,version}' = '2')
    EXECUTE FUNCTION broken.act();
"""

HASTY = SyncProbe(deadline=timedelta(seconds=2), patience=timedelta(milliseconds=200))


@pytest.fixture(scope="module")
async def servers() -> AsyncIterator[Servers]:
    """PostgreSQL and Valkey, each with a replica, and a pooler."""
    async with Servers(fsync=False, replicas=True, pooler=True) as started:
        yield started


@pytest.fixture(scope="module")
async def application(servers: Servers) -> AsyncIterator[Running]:
    """The platform; a test that breaks it mends it."""
    async with running(servers) as application:
        yield application


@pytest.fixture
def database(application: Running) -> str:
    """The platform's own."""
    return application.database


@pytest.fixture
def make_layered(servers: Servers, database: str, make_site: MakeSite, application: Running) -> MakeLayered:
    """Make an environment that is bound to the platform, and knows every server."""
    return layered(spread(servers, database, make_site), application.platform)


LOOKED_AT: dict[str, set[tuple[str, str]]] = {
    "sql": {("postgres", "redis")},
    "sql and its cache": {("postgres", "redis")},
    "api": {("api", "api")},
    "api, rows and cache": {("api", "api"), ("api", "postgres"), ("api", "redis")},
    "rows, then api": {("postgres", "api"), ("postgres", "redis")},
    "api, all layers": {("api", "api"), ("api", "postgres"), ("api", "redis")},
}
"""The ways across layers, by how profiles are written and read."""


@pytest.mark.parametrize("way", WAYS)
async def test_is_ok_again_and_again_and_times_every_link(make_layered: MakeLayered, way: str) -> None:
    """Five runs in a row are ok by whatever layers; each times every link that was declared, and says what is not."""
    write, _, sections = WAYS[way]
    site = await make_layered(profiles(*WAYS[way]))
    declared = set(HASTY.links(site.environment.surroundings))
    behind_rows = {(write, "postgres pooler"), (write, "postgres replica replica")} if "postgres" in sections else set()
    log_in = {("login", "postgres" if "postgres" in sections else "api")}
    in_redis = {("permission", "redis"), ("redis", "redis replica replica")}
    assert declared == LOOKED_AT[way] | behind_rows | log_in | in_redis
    for _ in range(5):
        record = await run_ok(site, HASTY)
        assert {(each.source, each.target) for each in record.propagations} == declared
        assert record.finding.left_out == HASTY.left_out(site.environment.surroundings)
    assert any("no API is bound" in sentence for sentence in record.finding.left_out) == ("api" not in sections)
    assert any("rows" in sentence for sentence in record.finding.left_out) == ("postgres" not in sections)
    assert any("application caches" in sentence for sentence in record.finding.left_out) == ("redis" not in sections)
    assert await site.environment.census(Store.REDIS) == 0


async def test_the_api_alone_is_followed(make_layered: MakeLayered) -> None:
    """Where neither rows nor keys can be reached, what the API acknowledges has to be what it says."""
    site = await make_layered(profiles(API, API, frozenset({"api"})), dict.fromkeys(OTHERS))
    record = await run_ok(site, HASTY)
    assert [(each.source, each.target) for each in record.propagations] == [("api", "api")]


@pytest.mark.parametrize("way", ["api", "api, rows and cache", "api, all layers"])
async def test_a_cache_that_is_never_told_is_found_by_every_way(
    make_layered: MakeLayered, application: Running, way: str
) -> None:
    """What the API goes on to answer from an old copy is stale, or diverges from the rows where these are bound."""
    site = await make_layered(profiles(*WAYS[way]))
    await run_ok(site, HASTY)
    async with application.platform.broken("never-invalidates"):
        record = await site.run(HASTY)
        assert kinds(record) == {Kind.STALE if way == "api" else Kind.DIVERGED}, record.finding.message
        targets = {violation.evidence["target"] for violation in record.finding.violations}
        assert targets == ({"api"} if way == "api" else {"api", "redis"})
    await heals(site, HASTY)


async def test_a_copy_of_another_shape_is_not_followed(make_layered: MakeLayered) -> None:
    """Where an API caches in another shape than the binding says, that is inconclusive, and said."""
    given = profiles(API, API, ALL).model_dump(mode="json", exclude_unset=True)
    given["redis"]["profile"]["value"] = {"profile": "{payload}"}
    record = await run_unknown(await make_layered(Binding.model_validate(given)), HASTY, Reason.INCONCLUSIVE)
    assert "not as the binding says" in record.finding.message


async def test_rows_that_are_written_past_a_cache_diverge_from_the_api(make_layered: MakeLayered) -> None:
    """Who writes rows and does not bind the key of the cached copy leaves the API with the old one, and is told."""
    site = await make_layered(profiles(SQL, API, frozenset({"postgres", "api"})))
    record = await site.run(HASTY)
    assert kinds(record) == {Kind.DIVERGED}
    assert [violation.evidence["target"] for violation in record.finding.violations] == ["api"]


async def test_a_permission_that_is_revoked_and_stands_is_old(make_layered: MakeLayered) -> None:
    """A row whose number is new and whose permissions are not is not the new version."""
    site = await make_layered(profiles(API, API, ALL))
    await site.sql(KEEPS_PERMISSIONS)
    record = await site.run(HASTY)
    assert kinds(record) == {Kind.DIVERGED}
    await site.sql(HEAL)
    await heals(site, HASTY)


async def test_a_replica_that_stands_still_diverges_whoever_writes(servers: Servers, make_layered: MakeLayered) -> None:
    """A change that was made through the API is missed there as one that was made by SQL."""
    assert servers.postgres_replica is not None
    for layer in (API, SQL):
        site = await make_layered(profiles(layer, layer, ALL))
        await run_ok(site, HASTY)
        await servers.postgres_replica.sql("SELECT pg_wal_replay_pause()")
        try:
            record = await site.run(HASTY)
        finally:
            await servers.postgres_replica.sql("SELECT pg_wal_replay_resume()")
        assert kinds(record) == {Kind.DIVERGED}
        assert [violation.evidence["target"] for violation in record.finding.violations] == [str(POSTGRES_REPLICA)]
        await caught_up(servers)
        await heals(site, HASTY)


@pytest.mark.parametrize(("write", "read"), [(API, API), (SQL, API)])
async def test_an_api_that_is_down_is_unknown(
    make_layered: MakeLayered, application: Running, write: str, read: str
) -> None:
    """As source and as target alike; it names the API, and a binding of the rows alone goes on."""
    through = await make_layered(profiles(write, read, ALL))
    beside = await make_layered(profiles(SQL, SQL, frozenset({"postgres", "redis"})))
    async with application.platform.broken("down"):
        record = await run_unknown(through, HASTY, Reason.CAPACITY)
        assert record.finding.place == "api"
        await run_ok(beside, HASTY)
    await run_ok(through, HASTY)


async def test_an_address_of_another_application_is_no_divergence(servers: Servers, make_layered: MakeLayered) -> None:
    """Rows that never showed a document of ours are not known to be those behind the API."""
    async with running(servers) as other:
        dsn = in_database(servers.postgres.dsn, other.database)
        site = await make_layered(
            profiles(API, API, frozenset({"postgres", "api"})),
            {**dict.fromkeys(OTHERS), REDIS: servers.valkey.url, POSTGRES: dsn},
        )
        record = await run_unknown(site, HASTY, Reason.INCONCLUSIVE)
        assert "nothing tells whether the two belong together" in record.finding.message
