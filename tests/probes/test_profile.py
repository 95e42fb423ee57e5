"""`profile` on real servers: silent where all is well, with its plan and its weather."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from monitor.core.document import profile, tool_result
from monitor.core.payload import Author
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.ports import Place, Store
from monitor.probes.profile import ProfileProbe
from monitor.stores.operations import CATALOGUE
from monitor.stores.provision import redis_acl, roles_sql
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import HEAL, heals, run_ok, run_unknown, run_violated, trigger
from tests.probes.replicated import POOLER, behind
from tests.stores.test_guards import counted

PROBE = ProfileProbe()


async def test_is_ok_again_and_again_and_leaves_nothing(site: Site) -> None:
    """Ten runs in a row are ok; neither a row nor a key is left behind; what is not looked at is said."""
    for _ in range(10):
        record = await run_ok(site, PROBE)
        assert record.finding.left_out == PROBE.left_out(site.environment.surroundings)
        assert len(record.finding.left_out) == 2
    for store in Store:
        assert await site.environment.census(store) == 0


async def test_the_plan_is_what_the_server_logs(site: Site) -> None:
    """Every statement of a run, as PostgreSQL itself logs it, is in the plan; without a pooler one row is read less."""
    await run_ok(site, PROBE)
    await site.sql(f"ALTER DATABASE {site.database} SET log_statement = 'all'")
    log = site.servers.postgres.log
    before = log.stat().st_size
    await run_ok(site, PROBE)
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", log.read_bytes()[before:].decode())
    sent = Counter(re.sub(r"'holdfast-user-\d'", "'holdfast-user-N'", each) for each in statements)
    sent = Counter({re.sub(r"timeout = \d+", "timeout = …", each): times for each, times in sent.items()})
    planned: Counter[str] = Counter()
    for use in PROBE.plan():
        if use.store is Store.POSTGRES:
            for statement in CATALOGUE[use.store][use.operation]:
                planned[statement] += use.times - (use.operation == "load_document")
    assert sent == planned


async def test_the_plan_is_what_goes_over_the_wire(site: Site, make_site: MakeSite, make_proxy: MakeProxy) -> None:
    """Every command of a run is in the plan as often as it was sent."""
    valkey = site.servers.valkey
    proxy = await make_proxy(valkey.port)
    here = await make_site(redis_url=behind(proxy, valkey.url, valkey.port))
    await run_ok(here, PROBE)
    sent: Counter[str] = Counter()

    def count(command: list[bytes]) -> list[bytes]:
        sent[command[0].decode()] += 1
        return command

    proxy.rewrite = count
    await run_ok(here, PROBE)
    planned: Counter[str] = Counter()
    for use in PROBE.plan():
        if use.store is Store.REDIS:
            for command in CATALOGUE[use.store][use.operation]:
                planned[command.split()[0]] += use.times
    for setup in ("AUTH", "CLIENT"):  # once for each connection
        assert sent.pop(setup) == 2
    assert sent == planned


def test_the_bytes_of_the_plan_are_what_documents_weigh() -> None:
    """Rows and copies weigh what the plan reckons with, give or take a tenth."""
    author = Author(environment="production", probe="profile", run_id="01a203df-6d7d-74c0-b2d2-881acb5edeb3")
    whose = {"user": "holdfast-user-0", "version": 1}
    one, other = profile(author, **whose), tool_result(author, **whose)  # type: ignore[arg-type]
    planned = {use.operation: use.payload for use in PROBE.plan()}
    rows = len(one.body.encode()) + len(other.body.encode())
    assert planned["create_document"] == planned["change_document"] == pytest.approx(rows, rel=0.1)
    assert planned["put_copy"] == pytest.approx(len(one.encode()) + 4 * len(other.encode()), rel=0.1)


@pytest.mark.parametrize("store", [Store.POSTGRES, Store.REDIS])
async def test_a_store_that_is_down_is_the_reason(
    site: Site, make_site: MakeSite, make_proxy: MakeProxy, store: Store
) -> None:
    """The run is unknown and says which store could not be asked; nothing is a violation."""
    servers = site.servers
    port = servers.postgres.port if store is Store.POSTGRES else servers.valkey.port
    proxy = await make_proxy(port)
    here = await make_site(
        site.environment.name,
        postgres_dsn=behind(proxy, site.dsn, port),
        redis_url=behind(proxy, servers.valkey.url, port),
    )
    await run_ok(here, PROBE)
    proxy.refuse = True
    record = await run_unknown(here, PROBE, Reason.UNREACHABLE)
    assert record.finding.place == str(Place(store))
    proxy.refuse = False
    await run_ok(here, PROBE)


async def test_the_least_rights_suffice(site: Site, make_site: MakeSite) -> None:
    """The printed role and ACL can do all that `profile` needs."""
    await site.sql(f"{roles_sql('least', role='holdfast')} REVOKE CREATE ON DATABASE {site.database} FROM holdfast")
    valkey = site.servers.valkey
    await valkey.command(*redis_acl(user="fenced").replace("CHOOSE-A-PASSWORD", "planted-secret").split())
    url = f"redis://fenced:planted-secret@127.0.0.1:{valkey.port}/0"
    await run_ok(await make_site("least", provision=False, redis_url=url), PROBE)
    await valkey.command("ACL", "DELUSER", "fenced")


async def test_a_forbidden_command_is_refused(site: Site, make_site: MakeSite) -> None:
    """Where the ACL forbids a command, the run is unknown, and says what to extend."""
    valkey = site.servers.valkey
    await valkey.command("ACL", "SETUSER", "narrow", "on", ">planted-secret", "~holdfast:*", "+@all", "-setrange")
    url = f"redis://narrow:planted-secret@127.0.0.1:{valkey.port}/0"
    record = await run_unknown(await make_site(redis_url=url), PROBE, Reason.REFUSED)
    await valkey.command("ACL", "DELUSER", "narrow")
    assert "extend the ACL" in record.finding.message
    assert record.finding.place == "redis"


async def test_a_cache_that_takes_no_damage_proves_nothing(
    site: Site, make_site: MakeSite, make_proxy: MakeProxy
) -> None:
    """Where the damage that is done on purpose does not arrive, its repair was not seen: inconclusive."""
    valkey = site.servers.valkey
    proxy = await make_proxy(valkey.port)
    here = await make_site(redis_url=behind(proxy, valkey.url, valkey.port))
    await run_ok(here, PROBE)
    proxy.rewrite = lambda command: [b"STRLEN", command[1]] if command[0] == b"SETRANGE" else command
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert "damage" in record.finding.message
    proxy.rewrite = None
    await run_ok(here, PROBE)


async def test_a_run_has_no_more_connections_than_it_declares(site: Site, make_site: MakeSite) -> None:
    """With a pooler, whatever is wrong, the second looks stay within what the probe declares for each store."""
    here = await make_site("crowd", others={POOLER: site.dsn})
    await run_ok(here, PROBE)
    ways = here.environment.ways
    for broken in (False, True):
        async with (
            counted(ways.primary_postgres) as primary,
            counted(ways.postgres[POOLER]) as pooler,
            counted(ways.primary_redis) as redis,
        ):
            assert (await here.run(PROBE)).verdict is (Verdict.VIOLATED if broken else Verdict.OK)
            assert primary() + pooler() <= PROBE.needs[Store.POSTGRES]
            assert redis() <= PROBE.needs[Store.REDIS]
        await site.sql(
            trigger("BEFORE UPDATE", "NEW.body := OLD.body; RETURN NEW;", table="profiles") if not broken else HEAL
        )
    await heals(here, PROBE)


async def test_a_pooler_that_leads_to_another_database_is_no_violation(site: Site, make_site: MakeSite) -> None:
    """What only the pooler does not see is a doubt: the primary, asked on a new connection, has it."""
    other = f"{site.database}_other"
    await site.servers.postgres.sql(f"CREATE DATABASE {other}; GRANT CREATE ON DATABASE {other} TO holdfast")
    try:
        elsewhere = site.dsn.replace(f"/{site.database}", f"/{other}")
        await run_ok(await make_site("here", postgres_dsn=elsewhere), PROBE)
        here = await make_site(others={POOLER: elsewhere})
        record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
        assert "through the pooler" in record.finding.message
    finally:
        await site.servers.postgres.sql(f"DROP DATABASE {other} WITH (FORCE)")


async def test_an_eviction_meanwhile_is_no_loss(site: Site) -> None:
    """A cache so full that it evicts what was just cached makes a run inconclusive, not violated."""
    valkey = site.servers.valkey
    await run_ok(site, PROBE)
    before: Any = await valkey.command("CONFIG", "GET", "maxmemory*")
    await valkey.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", 1)
    try:
        record = await site.run(PROBE)
    finally:
        asked = dict(zip(before[::2], before[1::2], strict=True))
        for name in (b"maxmemory", b"maxmemory-policy"):
            await valkey.command("CONFIG", "SET", name, asked[name])
    assert record.verdict is Verdict.UNKNOWN
    assert record.finding.reason in {Reason.INCONCLUSIVE, Reason.CAPACITY}
    await run_ok(site, PROBE)


async def test_what_is_not_right_ends_the_scenario(site: Site) -> None:
    """Where the first reading is wrong nothing is cached any more, and nothing is left behind."""
    await run_ok(site, PROBE)
    await site.sql(
        """
        CREATE SCHEMA broken;
        CREATE FUNCTION broken.act() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.body := NEW.body - 'profile'; RETURN NEW; END $$;
        CREATE TRIGGER zz BEFORE INSERT ON holdfast.profiles FOR EACH ROW EXECUTE FUNCTION broken.act();
        """
    )
    record = await run_violated(site, PROBE, {Kind.CORRUPT})
    assert "rebuild" not in {step.name for step in record.steps}
    await site.sql("DROP SCHEMA broken CASCADE")
    await heals(site, PROBE)
    for store in Store:
        assert await site.environment.census(store) == 0
