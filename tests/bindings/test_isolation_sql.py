"""What an application's own statements show one user of another's: whatever keeps users apart, or no longer does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from monitor.bindings import Binding
from monitor.core.payload import USERS, synthetic_user
from monitor.core.record import RunRecord
from monitor.core.tenancy import tenants_of
from monitor.core.verdict import Kind, Reason
from monitor.embedded.pgbouncer import SMALL, EmbeddedPgBouncer
from monitor.embedded.servers import Servers
from monitor.ports import Place, Store, Way
from monitor.probe import Run
from monitor.probes.isolation import IsolationProbe
from monitor.stores.bound.sql_rehearsal import FORBIDDEN, block, literal
from tests.bindings.conftest import Application, MakeApplication
from tests.bindings.layers import SHIPPED
from tests.bindings.schemas import OPEN, PLATFORM
from tests.conftest import MakeSite, Site, in_database
from tests.probes.breaking import RIGHT, heals, run_ok, run_unknown, run_violated

RUN = "01a203df-6d7d-74c0-b2d2-881acb5edeb3"
PROBE = IsolationProbe()
POOLER = Place(Store.POSTGRES, Way.POOLER)
FORGED = " for another's :user_id"
PREPARED = " by a prepared statement"
UNTOLD = "whoever knows an id may"


def reached(record: RunRecord) -> set[str]:
    """The paths that led to somebody else's."""
    return {violation.subject.removesuffix(" on the primary") for violation in record.finding.violations}


def asked(*tasks: str) -> set[str]:
    """Reads of conversations, plain and prepared."""
    return {f"threads.{task}{suffix}" for task in tasks for suffix in ("", PREPARED)}


async def test_each_reaches_its_own_only(application: Application) -> None:
    """Again and again; nothing is left, and what the statements themselves cannot keep apart is said."""
    site, name = application.site, application.binding.name or "tickets"
    for _ in range(3):
        record = await run_ok(site, PROBE)
    assert await site.sql(f"TABLE {application.messages}") == ""
    untold = [sentence.partition(":")[0] for sentence in record.finding.left_out if UNTOLD in sentence]
    assert untold == ALONE[name]


ALONE = {
    "supabase": [],
    "platform": [],
    "tickets": ["threads.load, threads.messages, threads.page, threads.newest, threads.edit, threads.delete_message"],
}
"""Statements that would find whatever id they are given: there the application has to look before."""
MESSAGES = asked("messages", "page", "newest", "count")
BROKEN: dict[str, tuple[str, str, set[str]]] = {
    "row-level security is disabled": (
        "ALTER TABLE public.messages DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE public.messages ENABLE ROW LEVEL SECURITY",
        MESSAGES | {"threads.edit", "threads.delete_message", "threads.append", f"threads.append{FORGED}"},
    ),
    "a second policy lets everybody read": (
        "CREATE POLICY p ON public.messages FOR SELECT USING (true)",
        "DROP POLICY p ON public.messages",
        MESSAGES | {"threads.append"},  # what one writes with one's own name into another's thread is seen there now
    ),
    "a second policy lets everybody do everything": (
        "CREATE POLICY p ON public.threads USING (true)",
        "DROP POLICY p ON public.threads",
        asked("load")
        | {
            f"threads.{task}{suffix}" for task in ("list", "create") for suffix in ("", FORGED)
        }  # by nobody, and by users
        | {"threads.rename", "threads.delete"},
    ),
    "nobody is admitted": (
        "CREATE POLICY p ON public.threads FOR SELECT USING (auth.uid() IS NULL)",
        "DROP POLICY p ON public.threads",
        {"threads.load", "threads.list"},
    ),
    "a policy that checks nothing": (
        "ALTER POLICY own ON public.threads WITH CHECK (true)",
        "ALTER POLICY own ON public.threads WITH CHECK ((SELECT auth.uid()) = user_id)",
        {"threads.create", f"threads.create{FORGED}"},
    ),
    "profiles are open": (
        "CREATE POLICY p ON public.profiles USING (true)",
        "DROP POLICY p ON public.profiles",
        {f"profile.{task}{suffix}" for task in ("read", "write", "delete") for suffix in ("", FORGED)},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_policies_leave_open_is_named_and_nothing_else(make_application: MakeApplication, name: str) -> None:
    """Exactly the statements that lead to somebody else's are violations, until they are closed."""
    site = (await make_application("supabase")).site
    breaking, healing, paths = BROKEN[name]
    await run_ok(site, PROBE)
    await site.sql(breaking)
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == paths
    await site.sql(healing)
    await heals(site, PROBE)


async def test_what_policies_refuse_is_no_error_in_the_servers_log(make_application: MakeApplication) -> None:
    """Each run is refused many times, as it should be; whoever watches the log is not called."""
    site = (await make_application("supabase")).site
    await run_ok(site, PROBE)
    log = site.servers.postgres.log
    before = log.stat().st_size
    await run_ok(site, PROBE)
    assert "ERROR" not in log.read_bytes()[before:].decode()


async def test_a_plan_that_remembers_its_first_user_is_a_leak(make_application: MakeApplication) -> None:
    """A policy asks an IMMUTABLE function who the user is: a prepared statement takes everybody for the first."""
    site = (await make_application("supabase")).site
    await run_ok(site, PROBE)
    await site.sql(
        "CREATE FUNCTION public.me() RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT auth.uid() $$;"
        " ALTER POLICY own ON public.messages USING (user_id = public.me())"
    )
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert {path for path in MESSAGES if path.endswith(PREPARED)} <= reached(record)
    await site.sql("ALTER POLICY own ON public.messages USING ((SELECT auth.uid()) = user_id)")
    await heals(site, PROBE)


async def test_a_role_that_bypasses_policies_is_named(make_application: MakeApplication) -> None:
    """The role of `begin`, and not that of the DSN, is the one that policies have to bind."""
    site = (await make_application("supabase")).site
    await run_ok(site, PROBE)
    await site.sql("ALTER ROLE authenticated BYPASSRLS")
    try:
        record = await run_violated(site, PROBE, {Kind.LEAKED})
    finally:
        await site.sql("ALTER ROLE authenticated NOBYPASSRLS")
    assert {f"threads.list{FORGED}", "threads.load", "threads.edit"} <= reached(record)
    assert "the role authenticated has BYPASSRLS" in str(record.finding.violations[0].evidence["weaknesses"])
    await heals(site, PROBE)


async def test_a_table_that_is_closed_proves_nothing(make_application: MakeApplication) -> None:
    """Without a policy nobody sees anything: the owner does not find its own, which is no leak, and not ok."""
    site = (await make_application("supabase")).site
    await run_ok(site, PROBE)
    await site.sql("CREATE POLICY p ON public.messages AS RESTRICTIVE FOR SELECT USING (false)")
    record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
    assert "threads.messages on the primary: holdfast-user-0 and holdfast-user-1" in record.finding.message


def platform(*, begin: tuple[str, ...] = (), **threads: str) -> Binding:
    """The tables of the platform, with another beginning or other statements on conversations."""
    postgres = {**SHIPPED["postgres"], "begin": begin, "threads": {**SHIPPED["postgres"]["threads"], **threads}}
    return Binding.model_validate({**{key: SHIPPED[key] for key in ("ids", "messages")}, "postgres": postgres})


SHARED = """
CREATE VIEW public.visible AS SELECT t.id, t.name, t.metadata, u.user_id AS viewer, t.user_id AS owner
FROM public.threads AS t JOIN public.user_profiles AS u ON {condition};
GRANT SELECT ON public.visible TO holdfast;
"""


async def test_a_view_that_forgets_its_where_is_a_leak(make_site: MakeSite) -> None:
    """The statement says who asks, as ever; the view says that everybody may see everything."""
    load = "SELECT id AS thread_id, owner AS user_id, name, metadata FROM public.visible WHERE id = :thread_id"
    site = await make_site(redis_url=None, provision=False, binding=platform(load=f"{load} AND viewer = :user_id"))
    await site.sql(PLATFORM + OPEN + SHARED.format(condition="u.user_id = t.user_id"))
    await run_ok(site, PROBE)
    await site.sql("DROP VIEW public.visible;" + SHARED.format(condition="true"))
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == asked("load")
    await site.sql("DROP VIEW public.visible;" + SHARED.format(condition="u.user_id = t.user_id"))
    await heals(site, PROBE)


BY_SETTING = "SELECT set_config('app.user_id', :user_id, true)"
BY_ROLE = "SELECT set_config('role', :user_id, true)"
POLICIES = """
ALTER TABLE threads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, OWNER TO {owner};
ALTER TABLE messages ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, OWNER TO {owner};
ALTER TABLE user_profiles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY, OWNER TO {owner};
CREATE POLICY own ON threads USING (user_id = {who});
CREATE POLICY own ON messages USING (EXISTS (SELECT FROM threads AS t WHERE t.id = thread_id AND t.user_id = {who}));
CREATE POLICY own ON user_profiles USING (user_id = {who});
"""


async def test_policies_that_do_not_bind_the_owner_are_seen_behind_the_where(make_site: MakeSite) -> None:
    """The statements say whose rows they mean, so that nobody notices; whoever forgets it once reads everything."""
    site = await make_site(redis_url=None, provision=False, binding=platform(begin=(BY_SETTING,)))
    await site.sql(PLATFORM + OPEN + POLICIES.format(owner="holdfast", who="current_setting('app.user_id', true)"))
    await run_ok(site, PROBE)
    await site.sql("ALTER TABLE user_profiles NO FORCE ROW LEVEL SECURITY")
    record = await run_violated(site, PROBE, {Kind.LEAKED})
    assert reached(record) == {
        f"profile.{task}{suffix}" for task in ("read", "write", "delete") for suffix in ("", FORGED)
    }
    assert "it is not forced on the owner" in record.finding.violations[0].actual
    await site.sql("ALTER TABLE user_profiles FORCE ROW LEVEL SECURITY")
    await heals(site, PROBE)


@pytest.fixture
async def by_role(make_site: MakeSite) -> AsyncIterator[Site]:
    """The platform where each user is a role of the server's, and policies ask for that."""
    site = await make_site(redis_url=None, provision=False, binding=platform(begin=(BY_ROLE,)))
    users = [str(site.environment.bound.identities.user(synthetic_user(number))) for number in range(USERS)]
    group = f"users_{secrets.token_hex(4)}"
    made = [f'CREATE ROLE "{user}" IN ROLE {group}; GRANT "{user}" TO holdfast;' for user in users]
    await site.sql(
        f"CREATE ROLE {group};" + "".join(made) + PLATFORM + POLICIES.format(owner="postgres", who="current_user")
    )
    await site.sql(OPEN.replace("TO holdfast", f"TO {group}"))
    yield site
    dropped = "".join(f'DROP ROLE "{user}";' for user in users)
    await site.sql(f"DROP OWNED BY {group}; {dropped} DROP ROLE {group};")


async def test_users_that_are_roles_of_the_server(by_role: Site) -> None:
    """Each acts as its role; a policy for everybody is a leak."""
    await run_ok(by_role, PROBE)
    await by_role.sql("CREATE POLICY p ON user_profiles FOR SELECT USING (true)")
    record = await run_violated(by_role, PROBE, {Kind.LEAKED})
    assert reached(record) == {"profile.read", f"profile.read{FORGED}"}  # by nobody, and by users
    await by_role.sql("DROP POLICY p ON user_profiles")
    await heals(by_role, PROBE)


async def test_a_session_that_stays_somebody_is_a_leak_through_the_pooler(
    site: Site, make_site: MakeSite, servers: Servers
) -> None:
    """Who asks first on a connection that somebody else has used, and has said nothing, reaches nothing."""
    async with AsyncExitStack() as stack:
        pooler = EmbeddedPgBouncer(servers.private, servers.postgres, settings=SMALL, name=f"p-{secrets.token_hex(4)}")
        stack.push_async_callback(pooler.stop)
        await pooler.start()
        dsn = in_database(pooler.dsn, site.database)
        here = await make_site(
            redis_url=None, provision=False, binding=platform(begin=(BY_SETTING,)), others={POOLER: dsn}
        )
        await here.sql(PLATFORM + OPEN + POLICIES.format(owner="holdfast", who="current_setting('app.user_id', true)"))
        record = await run_ok(here, PROBE)
        assert not any("pooler" in sentence for sentence in record.finding.left_out)
        user = here.environment.bound.identities.user(synthetic_user(0))
        client = await asyncpg.connect(dsn, statement_cache_size=0)
        await client.execute(f"SET app.user_id = '{user}'")
        await client.close()
        record = await run_violated(here, PROBE, {Kind.LEAKED})
        assert {violation.subject for violation in record.finding.violations} >= {"threads.load through the pooler"}


async def test_daemons_at_the_same_time_do_not_see_each_other(make_site: MakeSite) -> None:
    """Thirty runs of two daemons, whose users are others, are right."""
    one, other = [await make_site(redis_url=None, provision=False, binding=platform()) for _ in range(2)]
    await one.sql(PLATFORM + OPEN)
    for _ in range(15):
        records = await asyncio.gather(*(site.run(PROBE) for site in (one, other)))
        assert {record.verdict for record in records} <= RIGHT
    for table in ("threads", "messages", "user_profiles"):
        assert await one.sql(f"TABLE {table}") == ""


async def test_what_a_killed_daemon_left_is_swept(make_site: MakeSite) -> None:
    """Threads, messages and profiles of a run that never ended are gone with the first sweep after it."""
    site = await make_site(redis_url=None, provision=False, binding=platform(), longest_run=timedelta())
    await site.sql(PLATFORM + OPEN)
    run = Run(run_id=RUN, probe="isolation", environment=site.environment, clock=site.desk.clock)
    async with run.connection(site.environment.tenants.connect) as rows:
        for tenant in tenants_of(run.author, 3):
            await rows.settle(tenant)
    assert await site.sql("SELECT count(*) FROM threads JOIN user_profiles USING (user_id)") == "3\n"
    assert await site.environment.sweep(Store.POSTGRES) > 0
    assert await site.sql("TABLE threads") == await site.sql("TABLE user_profiles") == ""


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("it's a \\ and $1 and $$ and {} 🦊", "text"),
        ('{"quoted": "\\"\\\\"}', "jsonb"),
        (UUID(RUN), "uuid"),
        (-(2**63), "int8"),
        (["a,b", "c'd", '"'], "text[]"),
        ([], "text[]"),
        (datetime(2026, 11, 23, 1, 2, 3, 4, tzinfo=UTC), "timestamptz"),
        (None, "text"),
    ],
)
async def test_what_is_rehearsed_is_what_would_be_sent(site: Site, value: object, kind: str) -> None:
    """A value that is written as a literal, in a block, is the value itself."""
    connection = await asyncpg.connect(site.dsn)
    written = literal(value, schema="pg_catalog", name=kind)
    async with connection.transaction():
        await connection.execute(block([f"SELECT set_config('holdfast.said', CAST({written} AS text), true)"]))
        assert await connection.fetchval(FORBIDDEN) == "no"
        assert await connection.fetchval(f"SELECT {written}") == value
    await connection.close()
