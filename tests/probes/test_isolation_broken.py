"""Each path by which one user may reach what is another's is found, named, and forgiven once it is closed."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Reason
from monitor.embedded.pgbouncer import SMALL, EmbeddedPgBouncer
from monitor.ports import Place, Store, Way
from monitor.probes.isolation import IsolationProbe
from monitor.probes.pool import PoolProbe
from monitor.stores.provision import redis_acl, roles_sql
from tests.conftest import MakeSite, Site, in_database
from tests.probes.breaking import heals, run_ok, run_unknown, run_violated

PROBE = IsolationProbe()
READS = {"the table messages", "the function read_messages", "the view visible_messages"}
CHANGES = {"UPDATE messages", "DELETE FROM messages"}
GIFTS = {"INSERT for another", "UPDATE that gives away", "INSERT ON CONFLICT"}
OWNER = "user_id = current_setting('holdfast.user_id', true)"


def prepared(paths: set[str]) -> set[str]:
    """The same paths, and each by a prepared statement."""
    return paths | {f"{path} by a prepared statement" for path in paths}


def reached(record: RunRecord) -> set[str]:
    """The paths that led to somebody else's."""
    return {violation.subject.removesuffix(" on the primary") for violation in record.finding.violations}


def of_table(table: str) -> set[str]:
    """All paths to a table without row-level security of which no other path makes use."""
    return prepared({f"the table {table}"}) | {f"{verb} {table}" for verb in ("UPDATE", "DELETE FROM")}


BROKEN: dict[str, tuple[str, str, set[str]]] = {
    "disabled": (
        "ALTER TABLE holdfast.messages DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE holdfast.messages ENABLE ROW LEVEL SECURITY",
        prepared(READS) | CHANGES | GIFTS,
    ),
    "not forced on the owner": (
        "ALTER TABLE holdfast.messages NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE holdfast.messages FORCE ROW LEVEL SECURITY",
        prepared(READS) | CHANGES | GIFTS,
    ),
    **{
        f"disabled on {table}": (
            f"ALTER TABLE holdfast.{table} DISABLE ROW LEVEL SECURITY",
            f"ALTER TABLE holdfast.{table} ENABLE ROW LEVEL SECURITY",
            of_table(table),
        )
        for table in ("threads", "profiles", "registers", "activities")
    },
    "disabled on a partition": (
        "ALTER TABLE holdfast.activities_asked DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE holdfast.activities_asked ENABLE ROW LEVEL SECURITY",
        prepared({"the partition activities_asked"}),
    ),
    "a second policy": (
        "CREATE POLICY p ON holdfast.messages USING (true)",
        "DROP POLICY p ON holdfast.messages",
        prepared(READS) | CHANGES | GIFTS,
    ),
    "a second policy to read": (
        "CREATE POLICY p ON holdfast.messages FOR SELECT USING (true)",
        "DROP POLICY p ON holdfast.messages",
        prepared(READS),
    ),
    "a second policy to insert": (
        "CREATE POLICY p ON holdfast.messages FOR INSERT WITH CHECK (true)",
        "DROP POLICY p ON holdfast.messages",
        {"INSERT for another"},
    ),
    "a policy that checks nothing": (
        "ALTER POLICY owner ON holdfast.messages WITH CHECK (true)",
        f"ALTER POLICY owner ON holdfast.messages WITH CHECK ({OWNER})",
        {"INSERT for another"},
    ),
    "a policy that admits whoever never was anybody": (
        """
        ALTER POLICY owner ON holdfast.messages
            USING (user_id = coalesce(current_setting('holdfast.user_id', true), user_id))
        """,
        f"ALTER POLICY owner ON holdfast.messages USING ({OWNER})",
        READS,
    ),
    "a policy that admits whoever is nobody any more": (
        f"ALTER POLICY owner ON holdfast.messages USING ({OWNER} OR current_setting('holdfast.user_id', true) = '')",
        f"ALTER POLICY owner ON holdfast.messages USING ({OWNER})",
        READS | {"DELETE FROM messages"},
    ),
    "a policy that a plan remembers": (
        """
        CREATE FUNCTION public.me() RETURNS text LANGUAGE sql IMMUTABLE
            AS $$ SELECT current_setting('holdfast.user_id', true) $$;
        ALTER POLICY owner ON holdfast.messages USING (user_id = public.me())
        """,
        f"ALTER POLICY owner ON holdfast.messages USING ({OWNER}); DROP FUNCTION public.me()",
        prepared(READS) - READS,
    ),
    "a view that asks as its owner": (
        """
        ALTER VIEW holdfast.visible_messages RESET (security_invoker);
        ALTER VIEW holdfast.visible_messages OWNER TO postgres;
        GRANT SELECT ON holdfast.visible_messages TO holdfast
        """,
        """
        ALTER VIEW holdfast.visible_messages SET (security_invoker);
        ALTER VIEW holdfast.visible_messages OWNER TO holdfast
        """,
        prepared({"the view visible_messages"}),
    ),
    "a function that asks as its owner": (
        """
        ALTER FUNCTION holdfast.read_messages SECURITY DEFINER;
        ALTER FUNCTION holdfast.read_messages OWNER TO postgres
        """,
        """
        ALTER FUNCTION holdfast.read_messages SECURITY INVOKER;
        ALTER FUNCTION holdfast.read_messages OWNER TO holdfast
        """,
        prepared({"the function read_messages"}),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_open_is_named_and_nothing_else(site: Site, name: str) -> None:
    """Exactly the paths that lead to somebody else's are violations, until they are closed."""
    breaking, healing, paths = BROKEN[name]
    await run_ok(site, PROBE)
    await site.sql(breaking)
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == paths
    await site.sql(healing)
    await heals(site, PROBE)


async def test_a_default_user_of_a_database_is_a_leak(site: Site) -> None:
    """Where a connection is somebody before it has said who it is, nobody reaches what is that user's."""
    await run_ok(site, PROBE)
    await site.sql(f"ALTER DATABASE {site.database} SET holdfast.user_id = 'holdfast-user-1'")
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert "the setting holdfast.user_id" in reached(record)
    for violation in record.finding.violations:
        assert set(violation.evidence["reached"]) <= {"whoever is no user", "whoever is no user any more"}
        assert violation.actual.startswith("whoever is no user")
    await site.sql(f"ALTER DATABASE {site.database} RESET holdfast.user_id")
    await heals(site, PROBE)


async def test_a_customer_who_left_a_name_behind_is_not_named(site: Site) -> None:
    """A session that somebody else has left as a real user is a leak; whose name it is stays in the database."""
    await run_ok(site, PROBE)
    await site.sql(f"ALTER DATABASE {site.database} SET holdfast.user_id = 'alice@example.org'")
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == {"the setting holdfast.user_id"}
    assert "alice" not in repr(record)


@pytest.fixture
async def privileged(make_site: MakeSite) -> AsyncIterator[Site]:
    """An environment whose DBA has made the role by the printed SQL, and then let it bypass row-level security."""
    role, password = f"privileged_{secrets.token_hex(4)}", secrets.token_hex(8)
    site = await make_site("production", provision=False)
    await site.sql(f"SET client_min_messages = warning; {roles_sql('production', role=role)}")
    await site.sql(f"ALTER ROLE {role} PASSWORD '{password}'")
    own = site.dsn.split("://")[1].split("@")[0]
    here = await make_site("production", provision=False, postgres_dsn=site.dsn.replace(own, f"{role}:{password}"))
    await run_ok(here, PROBE)
    yield here
    await site.sql(f"DROP OWNED BY {role}; DROP ROLE {role};")


@pytest.mark.parametrize(("attribute", "says"), [("BYPASSRLS", "has BYPASSRLS"), ("SUPERUSER", "is a superuser")])
async def test_a_role_that_nothing_binds_is_never_ok(privileged: Site, attribute: str, says: str) -> None:
    """A superuser, and whoever bypasses row-level security, sees everybody's: it says why; `pool` cannot tell."""
    role = privileged.environment.ways.primary_postgres._door._dsn.split("://")[1].split(":")[0]
    await privileged.sql(f"ALTER ROLE {role} {attribute}")
    untold = await run_unknown(privileged, PoolProbe(), Reason.MISCONFIGURED)
    assert f"the role {role} {says}" in untold.finding.message
    record = await run_violated(privileged, PROBE, {Kind.LEAKED})
    assert reached(record) >= prepared(READS) | CHANGES
    weaknesses = record.finding.violations[0].evidence["weaknesses"]
    assert f"the role {role} {says}" in str(weaknesses)
    await privileged.sql(f"ALTER ROLE {role} NO{attribute}")
    await heals(privileged, PROBE)


DOUBTFUL = {
    "a policy through which nothing can be seen": (
        "CREATE POLICY p ON holdfast.messages FOR UPDATE USING (true)",
        "the policy p on holdfast.messages permits UPDATE",
    ),
    "a materialized view": (
        "CREATE MATERIALIZED VIEW public.archive AS SELECT * FROM holdfast.messages; GRANT SELECT ON archive TO PUBLIC",
        "the materialized view archive holds rows",
    ),
    "a view of a superuser's": (
        "CREATE VIEW public.everything AS SELECT * FROM holdfast.messages; GRANT SELECT ON everything TO PUBLIC",
        "the view everything has the rights of its owner postgres",
    ),
    "a function of a superuser's": (
        """
        CREATE FUNCTION holdfast.everything() RETURNS SETOF holdfast.messages LANGUAGE sql SECURITY DEFINER
            AS 'SELECT * FROM holdfast.messages'
        """,
        "has the rights of its owner postgres",
    ),
    "a leakproof function": (
        "CREATE FUNCTION holdfast.tells(text) RETURNS boolean LANGUAGE plpgsql LEAKPROOF AS 'BEGIN RETURN true; END'",
        "is LEAKPROOF",
    ),
}


@pytest.mark.parametrize("name", DOUBTFUL)
async def test_what_might_be_open_is_said_and_is_neither_ok_nor_a_violation(site: Site, name: str) -> None:
    """What only the catalogue knows is a reason not to be sure."""
    breaking, says = DOUBTFUL[name]
    await run_ok(site, PROBE)
    await site.sql(breaking)
    record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
    assert says in record.finding.message


HARMLESS = {
    "for another role": "CREATE POLICY p ON holdfast.messages TO postgres USING (true)",
    "restrictive": f"CREATE POLICY p ON holdfast.messages AS RESTRICTIVE USING ({OWNER})",
    "view of who asks": (
        "CREATE VIEW public.mine WITH (security_invoker) AS SELECT * FROM holdfast.messages;"
        " GRANT SELECT ON mine TO PUBLIC"
    ),
    "view that is not for everybody": "CREATE VIEW public.everything AS SELECT * FROM holdfast.messages",
    "trigger": (
        "CREATE FUNCTION holdfast.does() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END';"
        " CREATE TRIGGER does BEFORE INSERT ON holdfast.messages FOR EACH ROW EXECUTE FUNCTION holdfast.does()"
    ),
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_opens_nothing_is_no_reason_for_doubt(site: Site, name: str) -> None:
    """Policies for others, further restrictions and views for nobody leave everything ok."""
    await run_ok(site, PROBE)
    await site.sql(HARMLESS[name])
    await run_ok(site, PROBE)


@pytest.fixture
async def pooler(site: Site) -> AsyncIterator[EmbeddedPgBouncer]:
    """A PgBouncer in transaction mode before the servers of all tests."""
    async with AsyncExitStack() as stack:
        name = f"pgbouncer-{secrets.token_hex(4)}"
        started = EmbeddedPgBouncer(site.servers.private, site.servers.postgres, name=name)
        stack.push_async_callback(started.stop)
        await started.start()
        yield started


POOLER = Place(Store.POSTGRES, Way.POOLER)


async def in_every_pooled_session(dsn: str, statement: str) -> None:
    """Act as other clients of the pooler, one on each of its connections to the server."""
    size = int(SMALL["default_pool_size"])
    clients = [await asyncpg.connect(dsn, statement_cache_size=0) for _ in range(size)]
    for step in ("BEGIN", statement, "COMMIT"):  # none ends before all have begun, so no two share a connection
        await asyncio.gather(*(client.execute(step) for client in clients))
    for client in clients:
        await client.close()


async def test_a_user_that_somebody_left_in_a_pooled_session_is_a_leak(
    site: Site, make_site: MakeSite, pooler: EmbeddedPgBouncer
) -> None:
    """SET through a transaction pooler makes whoever comes next that user; SET LOCAL, as Holdfast does it, does not."""
    dsn = in_database(pooler.dsn, site.database)
    here = await make_site("production", others={POOLER: dsn})
    await run_ok(here, PROBE)
    await run_ok(here, PROBE)
    await in_every_pooled_session(dsn, "SET holdfast.user_id = 'holdfast-user-2'")
    record = await run_violated(here, PROBE, {Kind.LEAKED})
    paths = READS | {"the setting holdfast.user_id", "the view own_messages"}
    paths |= {f"the table {table}" for table in ("threads", "profiles", "registers", "activities")}
    paths |= {f"the partition activities_{kind}" for kind in ("asked", "answered")}
    assert reached(record) == {f"{path} through the pooler" for path in paths}
    await in_every_pooled_session(dsn, "RESET holdfast.user_id")
    await heals(here, PROBE)


@pytest.fixture
async def fenced(site: Site, make_site: MakeSite) -> AsyncIterator[Site]:
    """An environment whose Redis user has exactly the printed ACL."""
    user, valkey = f"fenced-{secrets.token_hex(4)}", site.servers.valkey
    await valkey.command(*redis_acl(user=user).replace("CHOOSE-A-PASSWORD", "planted").split())
    yield await make_site(redis_url=f"redis://{user}:planted@127.0.0.1:{valkey.port}/0")
    await valkey.command("ACL", "DELUSER", user)


def redis_user(site: Site) -> str:
    """Its name."""
    user = site.environment.ways.primary_redis.user
    assert user is not None
    return user


async def test_a_redis_user_that_may_read_every_key_is_a_leak(fenced: Site) -> None:
    """With ~* in its ACL the user of Holdfast, or whoever has its password, reads everybody's sessions."""
    await run_ok(fenced, PROBE)
    await fenced.servers.valkey.command("ACL", "SETUSER", redis_user(fenced), "~*")
    record = await run_violated(fenced, PROBE, {Kind.LEAKED})
    (violation,) = record.finding.violations
    assert violation.subject == "a key that is not Holdfast's in Redis"
    assert violation.actual == "the Redis user reached what belongs to somebody else"
    assert (await fenced.run(IsolationProbe(fence=False))).finding.violations == ()
    await fenced.servers.valkey.command("ACL", "SETUSER", redis_user(fenced), "resetkeys", "~holdfast:*")
    await heals(fenced, PROBE)
