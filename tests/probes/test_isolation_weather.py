"""Whatever keeps `isolation` from telling is said as it is: unknown, or left out, never ok and never a violation."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from monitor.core.residue import Instance
from monitor.core.tenancy import tenants_of
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.pgbouncer import EmbeddedPgBouncer
from monitor.embedded.server import free_port
from monitor.ports import Place, Store, Way
from monitor.probe import Run
from monitor.probes.isolation import IsolationProbe
from monitor.stores.provision import redis_acl, roles_sql
from tests.conftest import MakeSite, Site, in_database
from tests.probes.breaking import RIGHT, Wire, run_ok, run_unknown, run_violated, wired

PROBE = IsolationProbe()
POOLER = Place(Store.POSTGRES, Way.POOLER)


@pytest.fixture
async def least(make_site: MakeSite) -> AsyncIterator[tuple[Site, str]]:
    """An environment that a DBA has set up by the printed SQL, as its least role sees it, and that role."""
    role, password = f"least_{secrets.token_hex(4)}", secrets.token_hex(8)
    site = await make_site("production", provision=False)
    await site.sql(f"SET client_min_messages = warning; {roles_sql('production', role=role)}")
    await site.sql(f"ALTER ROLE {role} PASSWORD '{password}'")
    own = site.dsn.split("://")[1].split("@")[0]
    yield await make_site("production", provision=False, postgres_dsn=site.dsn.replace(own, f"{role}:{password}")), role
    await site.sql(f"DROP OWNED BY {role}; DROP ROLE {role};")


async def test_the_least_role_is_enough(least: tuple[Site, str]) -> None:
    """What the printed SQL grants is all that is needed, and no weakness in itself."""
    site, _ = least
    record = await run_ok(site, PROBE)
    assert not any("PostgreSQL" in sentence for sentence in record.finding.left_out)


@pytest.mark.parametrize(
    ("right", "thing"),
    [
        ("INSERT", "profiles"),
        ("SELECT", "visible_messages"),
        ("SELECT", "activities_asked"),
        ("SELECT", "own_messages"),
    ],
)
async def test_a_right_that_is_missing_is_refused(least: tuple[Site, str], right: str, thing: str) -> None:
    """The message names what may not be done and how to see all that has to be granted."""
    site, role = least
    await site.sql(f"REVOKE {right} ON holdfast.{thing} FROM {role}")
    record = await run_unknown(site, PROBE, Reason.REFUSED)
    assert f"permission denied for {'view' if 'messages' in thing else 'table'} {thing}" in record.finding.message
    assert "`holdfast setup ENV --print`" in record.finding.message


@pytest.mark.parametrize("right", ["UPDATE", "DELETE"])
async def test_who_may_not_change_its_own_does_not_prove_that_others_may_not(
    least: tuple[Site, str], right: str
) -> None:
    """Where an owner is refused as everybody is, the refusal of others proves nothing."""
    site, role = least
    await site.sql(f"REVOKE {right} ON holdfast.profiles FROM {role}")
    record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
    assert "profiles on the primary: holdfast-user-0 and holdfast-user-1" in record.finding.message
    assert "a missing right" in record.finding.message


async def test_a_policy_that_hides_everything_proves_nothing(site: Site) -> None:
    """Where nobody sees anything, that nobody sees anything of others is no comfort."""
    await run_ok(site, PROBE)
    await site.sql("CREATE POLICY p ON holdfast.profiles AS RESTRICTIVE FOR SELECT USING (false)")
    record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
    assert "the table profiles on the primary: holdfast-user-0" in record.finding.message


async def test_without_redis_and_pooler_they_are_left_out(make_site: MakeSite) -> None:
    """An environment that has neither is told what is not checked."""
    here = await make_site(redis_url=None)
    record = await run_ok(here, PROBE)
    assert {sentence.split(":")[0] for sentence in record.finding.left_out} == {
        "paths through the application's API",
        "what leaks through a pooler",
        "keys in Redis",
    }


@pytest.mark.parametrize("down", ["redis", "pooler"])
async def test_what_could_be_asked_is_asked_where_a_redis_or_a_pooler_is_down(
    make_site: MakeSite, site: Site, down: str
) -> None:
    """A part that cannot be reached makes a run unknown; what leaks on the primary is found all the same."""
    nowhere = f"127.0.0.1:{free_port()}"
    ways: dict[str, dict[str, Any]] = {
        "redis": {"redis_url": f"redis://{nowhere}/0"},
        "pooler": {"others": {POOLER: f"postgresql://holdfast@{nowhere}/{site.database}"}},
    }
    here = await make_site(site.environment.name, **ways[down])
    record = await run_unknown(here, PROBE, Reason.UNREACHABLE)
    assert nowhere in record.finding.message
    assert record.finding.place == {"redis": "redis", "pooler": "postgres pooler"}[down]
    await site.sql("ALTER TABLE holdfast.messages DISABLE ROW LEVEL SECURITY")
    await run_violated(here, PROBE, {Kind.LEAKED})


async def test_a_default_redis_user_is_told_how_to_get_a_fence(site: Site) -> None:
    """The default user may touch every key: that is no leak, but nothing keeps Holdfast to its own either."""
    record = await run_ok(site, PROBE)
    assert any("the ACL that `holdfast setup ENV --print` shows" in sentence for sentence in record.finding.left_out)


@pytest.mark.parametrize("command", ["mget", "eval", "set"])
async def test_a_redis_command_that_is_forbidden_is_refused(site: Site, make_site: MakeSite, command: str) -> None:
    """The message says that the ACL has to be extended."""
    user, valkey = f"strict-{secrets.token_hex(4)}", site.servers.valkey
    await valkey.command(*redis_acl(user=user).replace("CHOOSE-A-PASSWORD", "planted").split(), f"-{command}")
    here = await make_site(redis_url=f"redis://{user}:planted@127.0.0.1:{valkey.port}/0")
    record = await run_unknown(here, PROBE, Reason.REFUSED)
    assert f"'{command}'" in record.finding.message
    assert "extend the ACL" in record.finding.message
    await valkey.command("ACL", "DELUSER", user)


async def test_a_pooler_in_statement_mode_is_named(site: Site, make_site: MakeSite) -> None:
    """A pooler that permits no transactions cannot be asked as a user; its own words are shown."""
    async with AsyncExitStack() as stack:
        name = f"pgbouncer-{secrets.token_hex(4)}"
        settings = {"pool_mode": "statement"}
        pooler = EmbeddedPgBouncer(site.servers.private, site.servers.postgres, settings=settings, name=name)
        stack.push_async_callback(pooler.stop)
        await pooler.start()
        here = await make_site(others={POOLER: in_database(pooler.dsn, site.database)})
        record = await here.run(PROBE)
    assert (record.verdict, record.finding.place) == (Verdict.UNKNOWN, "postgres pooler")
    assert "transaction blocks not allowed in statement pooling mode" in record.finding.message


async def test_a_leak_whose_second_look_fails_is_unknown(site: Site, make_site: MakeSite) -> None:
    """What was seen once, before the server was gone, opens no violation and is not ok."""
    await run_ok(site, PROBE)
    await site.sql("ALTER TABLE holdfast.messages DISABLE ROW LEVEL SECURITY")
    async with wired(site.servers.postgres.port) as wire:
        here = await through(wire, site, make_site)

        async def only_two(number: int) -> None:
            if number > 2:  # the setup, the writer and the reader; the second look is one too many
                raise ConnectionRefusedError

        wire.before = only_two
        record = await here.run(PROBE)
    assert (record.verdict, record.finding.violations) == (Verdict.UNKNOWN, ())
    assert record.finding.reason in {Reason.UNREACHABLE, Reason.INCONCLUSIVE}


async def through(wire: Wire, site: Site, make_site: MakeSite) -> Site:
    """The same environment by another way."""
    dsn = site.dsn.replace(f":{site.servers.postgres.port}/", f":{wire.port}/")
    return await make_site(site.environment.name, postgres_dsn=dsn, redis_url=None)


async def test_what_a_killed_daemon_left_is_swept(site: Site, make_site: MakeSite) -> None:
    """Rows of every table and keys of a run that never ended are gone with the next sweep."""
    daemon = Instance(secrets.token_hex(4), 1)
    here = await make_site(site.environment.name, instance=daemon)
    await run_ok(here, PROBE)
    run = Run(
        run_id="01a203df-6d7d-74c0-b2d2-881acb5edeb3",
        probe="isolation",
        environment=here.environment,
        clock=here.desk.clock,
    )
    tenants = tenants_of(run.author, 3)
    async with run.connection(here.environment.tenants.connect) as rows:
        for tenant in tenants:
            await rows.settle(tenant)
    async with run.connection(here.environment.tenants.connect_keys) as keys:
        await keys.settle(run.run_id, tenants)
    again = await make_site(site.environment.name, instance=Instance(daemon.id, 2))
    assert await again.environment.sweep(Store.POSTGRES) == 3 * 6
    assert await again.environment.sweep(Store.REDIS) == 3
    for store in Store:
        assert await again.environment.census(store) == 0


async def test_runs_at_the_same_time_do_not_see_each_other(site: Site) -> None:
    """Ten runs at once act as the same synthetic users, and each looks for its own things only."""
    await run_ok(site, PROBE)
    records = await asyncio.gather(*(site.run(IsolationProbe(users=8)) for _ in range(10)))
    assert {record.verdict for record in records} <= RIGHT
    for store in Store:
        assert await site.environment.census(store) == 0
