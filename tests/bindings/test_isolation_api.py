"""What an application's API shows one user of another's, with each bug of the sample platform switched on in turn."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import yaml

from monitor.bindings import Auth, Binding
from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Reason
from monitor.embedded.servers import Servers
from monitor.probes.isolation import IsolationProbe
from monitor.stores.api import ApiAddress
from tests.bindings.layers import SHIPPED, MakeLayered, Running, layered, running
from tests.bindings.schemas import ROOT
from tests.conftest import MakeSite
from tests.probes.breaking import RIGHT, heals, run_ok, run_unknown, run_violated

PROBE = IsolationProbe()
OPENAI = yaml.safe_load((ROOT / "config/bindings/openai-threads.yaml").read_text(encoding="utf-8"))
READS = {"threads.load", "threads.messages", "threads.newest"}
CHANGES = {
    "threads.append",
    "threads.append_many",
    "threads.edit",
    "threads.rename",
    "threads.delete_message",
    "threads.delete",
}


def bound(*sections: str, **changes: Any) -> Binding:
    """Some sections of the binding that ships."""
    given = {key: SHIPPED[key] for key in ("ids", "messages", *sections)}
    return Binding.model_validate({**given, **changes})


API = bound("api")


def reached(record: RunRecord) -> set[str]:
    """The requests that led to somebody else's."""
    return {violation.subject.partition(" (")[0] for violation in record.finding.violations}


@pytest.fixture(scope="module")
async def platform(servers: Servers) -> AsyncIterator[Running]:
    """The platform."""
    async with running(servers) as started:
        yield started


@pytest.fixture
def database(platform: Running) -> str:
    """The platform's own."""
    return platform.database


@pytest.fixture
def make_layered(platform: Running, make_site: MakeSite) -> MakeLayered:
    """Make an environment that is bound to it."""
    return layered(make_site, platform.platform)


BROKEN: Mapping[str, set[str]] = {
    "forgets-where": {*READS, "threads.list"},
    "trusts-the-path": {*READS, *CHANGES, "profile.write"},
    "cache-without-user": {"profile.read"},
    "anothers-reply": {"profile.read", "threads.list"},
}


@pytest.mark.parametrize("switch", BROKEN)
async def test_each_bug_is_a_leak_by_the_requests_that_have_it(
    make_layered: MakeLayered, platform: Running, switch: str
) -> None:
    """Exactly those are violations, and none of them when the bug is gone."""
    site = await make_layered(API, postgres_dsn=None, redis_url=None)
    async with platform.platform.broken(switch):
        record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == BROKEN[switch]
    assert "holdfast-secret" not in repr(record)
    await heals(site, PROBE)


@pytest.mark.parametrize("switch", ["never-invalidates", "loses-newest-page", "doubles-on-retry"])
async def test_the_bugs_of_others_are_no_leak(make_layered: MakeLayered, platform: Running, switch: str) -> None:
    """What belongs to one user may be old, lost or doubled: nobody else sees it."""
    site = await make_layered(API, postgres_dsn=None, redis_url=None)
    async with platform.platform.broken(switch):
        record = await site.run(PROBE)
    assert record.finding.violations == ()


async def test_threads_as_openai_has_them(make_layered: MakeLayered, platform: Running) -> None:
    """A binding without lists, names and profiles: the ids that the server has made, and what it caches by path."""
    site = await make_layered(Binding.model_validate(OPENAI), postgres_dsn=None, redis_url=None)
    for switch in ("trusts-the-path", "anothers-reply"):
        async with platform.platform.broken(switch):
            record = await run_violated(site, PROBE, {Kind.LEAKED})
        assert "threads.load" in reached(record)
        await heals(site, PROBE)


VIEW = """
CREATE OR REPLACE VIEW public.visible AS SELECT t.id, t.name, t.metadata, u.user_id AS viewer, t.user_id AS owner
FROM public.threads AS t JOIN public.user_profiles AS u ON {condition};
GRANT SELECT ON public.visible TO holdfast;
"""
OWN, EVERYBODYS = VIEW.format(condition="u.user_id = t.user_id"), VIEW.format(condition="true")
LOAD = (
    "SELECT id AS thread_id, owner AS user_id, name, metadata"
    " FROM public.visible WHERE id = :thread_id AND viewer = :user_id"
)
TABLES = {**SHIPPED["postgres"], "threads": {**SHIPPED["postgres"]["threads"], "load": LOAD}}
ALL = bound("api", "redis", postgres=TABLES)


async def test_both_layers_and_the_keys_are_looked_at(make_layered: MakeLayered, platform: Running) -> None:
    """What leaks by the one is told of that one only; sessions lie under the application's keys."""
    site = await make_layered(ALL)
    await site.sql(OWN)
    record = await run_ok(site, PROBE)
    steps = {step.name for step in record.steps}
    assert steps >= {"look", "tamper", "look_through_api", "tamper_through_api", "look_at_keys"}
    assert {sentence.partition(":")[0] for sentence in record.finding.left_out} == {
        "what leaks through a pooler",
        "whether Redis keeps Holdfast from other keys",
    }
    await site.sql(EVERYBODYS)
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == {"threads.load on the primary", "threads.load by a prepared statement on the primary"}
    await site.sql(OWN)
    await heals(site, PROBE)
    async with platform.platform.broken("cache-without-user"):
        record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == {"profile.read"}
    await heals(site, PROBE)


async def test_an_api_that_is_down_leaves_the_database(make_layered: MakeLayered, platform: Running) -> None:
    """The run is unknown, and says which part; what leaks in the database is found all the same."""
    site = await make_layered(ALL)
    await site.sql(OWN)
    async with platform.platform.broken("down"):
        record = await run_unknown(site, PROBE, Reason.CAPACITY)
        assert record.finding.place == "api"
        assert record.finding.checks > 0
        await site.sql(EVERYBODYS)
        await run_violated(site, PROBE, {Kind.LEAKED})
    await site.sql(OWN)
    await heals(site, PROBE)


async def test_a_database_that_is_down_leaves_the_api(make_layered: MakeLayered, platform: Running) -> None:
    """The same the other way round: here a view that the binding names is gone in the middle of the daemon's life."""
    site = await make_layered(ALL)
    await site.sql(OWN)
    await run_ok(site, PROBE)
    await site.sql("DROP VIEW public.visible")
    record = await run_unknown(site, PROBE, Reason.MISCONFIGURED)
    assert (record.finding.place, record.finding.checks > 0) == ("postgres", True)
    async with platform.platform.broken("forgets-where"):
        await run_violated(site, PROBE, {Kind.LEAKED})
    await site.sql(OWN)
    await heals(site, PROBE)


async def test_what_the_api_has_written_is_looked_at_in_the_tables(make_layered: MakeLayered) -> None:
    """Written through the one layer, it is kept apart in the other, or it is not."""
    ways = {"write": "api", "read": "postgres"}
    site = await make_layered(bound("api", postgres=TABLES, threads=ways), redis_url=None)
    await site.sql(OWN)
    await run_ok(site, PROBE)
    await site.sql(EVERYBODYS)
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == {"threads.load on the primary", "threads.load by a prepared statement on the primary"}
    await site.sql(OWN)
    await heals(site, PROBE)


async def test_few_accounts_are_few_users(make_layered: MakeLayered, platform: Running) -> None:
    """With four accounts two are kept apart, and none is taken for another."""
    accounts = [{"id": f"account-{number}-{secrets.token_hex(4)}"} for number in range(4)]
    auth = Auth.model_validate({"kind": "jwt", "key": platform.platform.secret, "accounts": accounts})
    address = ApiAddress(base_url=platform.platform.url, auth=auth)
    site = await make_layered(API, postgres_dsn=None, redis_url=None, api=address)
    assert site.environment.tenants.users == 2
    await run_ok(site, PROBE)
    async with platform.platform.broken("forgets-where"):
        await run_violated(site, PROBE, {Kind.LEAKED})
    await heals(site, PROBE)


async def test_without_a_log_in_nothing_is_told_apart(make_layered: MakeLayered, platform: Running) -> None:
    """Where nobody logs in and no request says who asks, each path is left out, and none is ok."""
    api = {"threads": {name: each for name, each in SHIPPED["api"]["threads"].items() if name != "newest"}}
    site = await make_layered(bound(api=api), postgres_dsn=None, redis_url=None)
    token = site.environment.ways.primary_api
    header = await token.logins.login(site.environment.bound.who("holdfast-user-0"))
    assert header is not None
    address = ApiAddress(base_url=platform.platform.url)
    binding = bound(api={**api, "headers": header.headers})
    here = await make_layered(binding, postgres_dsn=None, redis_url=None, api=address)
    record = await here.run(PROBE)
    assert (record.finding.checks, record.finding.violations) == (0, ()), record.finding.message
    assert any("nobody logs in" in sentence for sentence in record.finding.left_out)


async def test_daemons_at_the_same_time_do_not_see_each_other(make_layered: MakeLayered) -> None:
    """Runs of two daemons at once are right; tests of SQL have more of them."""
    sites = [await make_layered(API, postgres_dsn=None, redis_url=None) for _ in range(2)]
    for _ in range(4):
        records = await asyncio.gather(*(site.run(PROBE) for site in sites))
        assert {record.verdict for record in records} <= RIGHT, [record.finding.message for record in records]
    for site in sites:
        mine = f"user_id LIKE 'holdfast-{site.environment.instance.partition('-')[0]}-%'"
        assert await site.sql(f"SELECT id FROM threads WHERE {mine}") == ""  # noqa: S608  our own id
