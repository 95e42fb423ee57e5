"""What the roles may do: everything that a probe needs, and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from monitor.core import collation
from monitor.core.ledger.entries import Entry, Mark, State
from monitor.core.residue import Instance
from monitor.ports import Store
from monitor.probe import Probe
from monitor.probes.durability import DurabilityProbe
from monitor.probes.eviction import EvictionProbe
from monitor.probes.notify import NotifyProbe
from monitor.probes.pool import PoolProbe
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe
from monitor.stores.postgres import Postgres
from monitor.stores.provision import redis_acl, roles_sql
from monitor.stores.redis import Redis
from tests.conftest import MakeSite, Site
from tests.probes.breaking import run_ok


@pytest.fixture
async def least(make_site: MakeSite) -> AsyncIterator[Site]:
    """An environment that a DBA has set up by the printed SQL, as its least role sees it."""
    role, password = f"least_{secrets.token_hex(4)}", secrets.token_hex(8)
    site = await make_site("production", provision=False)
    script = f"SET client_min_messages = warning; {roles_sql('production', role=role)}"
    await site.sql(script)
    await site.sql(script)  # a DBA who runs it again changes nothing
    await site.sql(f"ALTER ROLE {role} PASSWORD '{password}'; REVOKE CREATE ON DATABASE {site.database} FROM holdfast;")
    own = site.dsn.split("://")[1].split("@")[0]
    yield await make_site("production", provision=False, postgres_dsn=site.dsn.replace(own, f"{role}:{password}"))
    await site.sql(f"DROP OWNED BY {role}; DROP ROLE {role};")


async def test_the_least_role_can_run_the_probe_and_sweep(least: Site) -> None:
    """With what the printed SQL grants the probe is ok, and so are sweep and census."""
    await run_ok(least, ThreadProbe())
    assert await least.environment.sweep(Store.POSTGRES) == 0
    assert await least.environment.census(Store.POSTGRES) == 0


@pytest.mark.parametrize("probe", [NotifyProbe(), PoolProbe(), DurabilityProbe()], ids=["notify", "pool", "durability"])
async def test_the_least_role_suffices_for_what_is_pushed_and_for_a_crowd(least: Site, probe: Probe[object]) -> None:
    """Nothing more is to be granted for LISTEN and NOTIFY, for many users at once, nor for the ledger."""
    await run_ok(least, probe)


async def test_the_least_role_can_keep_a_ledger_and_compare_indexes(least: Site) -> None:
    """It moves its register, leaves, reads and deletes records, and asks every index on text and the table under it."""
    durables = least.environment.durables(Store.POSTGRES)
    writer = await durables.writer("test")
    entries = [
        Entry(
            environment="production",
            store=Store.POSTGRES,
            mark=Mark("a1b2c3d4", n),
            identified=n == 2,
            state=State.INTENDED,
            intended=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for n in (1, 2)
    ]
    for entry, expected in zip(entries, (None, entries[0].mark), strict=True):
        assert (await writer.write(entry, expected=(expected,))).moved
    reader = await durables.reader("test")
    found = await reader.look(None)
    assert (found.register, set(found.digests)) == (entries[1].mark, {entries[1].mark})
    assert found.evidence.system
    assert await reader.happened(writer.xid)
    assert await least.environment.sweep(Store.POSTGRES, everybody=True) == 0
    assert await least.environment.remembered(Store.POSTGRES) == 1
    await writer.delete([entries[1].mark])
    await writer.leave()
    await writer.close()
    await reader.close()
    words = await least.environment.words.connect("test")
    look = await words.look()
    await words.close()
    assert (collation.right(look), list(collation.left_out(look))) == (True, [])


FORBIDDEN = [
    "CREATE SCHEMA mine",
    "CREATE TABLE holdfast.mine (x int)",
    "CREATE TABLE public.mine (x int)",
    "SELECT * FROM public.customers",
    "SELECT * FROM pg_authid",
    "TRUNCATE holdfast.messages",
    "ALTER TABLE holdfast.threads DISABLE ROW LEVEL SECURITY",
    "DROP TABLE holdfast.messages",
    "DROP POLICY owner ON holdfast.threads",
    "CREATE POLICY all_of_it ON holdfast.threads USING (true)",
    "CREATE FUNCTION holdfast.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "INSERT INTO holdfast.environment (name) VALUES ('mine')",
    "UPDATE holdfast.environment SET name = 'mine'",
    "DELETE FROM holdfast.environment",
    "INSERT INTO holdfast.words VALUES (999, 'mine')",
    "DELETE FROM holdfast.words",
    "REINDEX INDEX holdfast.words_default",
    "TRUNCATE holdfast.ledger_records",
    "DROP TABLE holdfast.ledger_registers",
    "SET ROLE postgres",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_the_least_role_can_do_nothing_else(least: Site, statement: str) -> None:
    """Whatever no probe needs is refused by the server."""
    await least.sql("CREATE TABLE public.customers (secret text); INSERT INTO customers VALUES ('s')")
    postgres = least.environment.ways.primary_postgres
    assert postgres is not None
    connection = await postgres.connect("test")
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await postgres.close(connection, broken=False)


async def opened(site: Site) -> tuple[Postgres, asyncpg.Connection]:
    """A connection as this site's role."""
    postgres = site.environment.ways.primary_postgres
    assert postgres is not None
    return postgres, await postgres.connect("test")


async def test_row_level_security_is_armed_for_the_owner_too(site: Site) -> None:
    """Who asks to see past row-level security is refused: so it filters, although this role owns the tables."""
    await run_ok(site, ThreadProbe())
    await proves_armed(site)


async def test_row_level_security_is_armed_for_the_least_role(least: Site) -> None:
    """The same for the role of the printed SQL."""
    await proves_armed(least)


async def proves_armed(site: Site) -> None:
    """42501 is what PostgreSQL answers exactly where a policy would have filtered."""
    postgres, connection = await opened(site)
    try:
        for table in ("threads", "messages"):
            look = f"SET LOCAL row_security = off; SELECT 1 FROM holdfast.{table} LIMIT 0"  # noqa: S608
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await connection.execute(look)
        await one_user_at_a_time(connection)
    finally:
        await postgres.close(connection, broken=False)


async def one_user_at_a_time(connection: asyncpg.Connection) -> None:
    """Each synthetic user sees its own rows only, nobody sees none, and none writes for another."""
    insert = "INSERT INTO holdfast.threads (id, instance, user_id, name, metadata) VALUES (gen_random_uuid(), 'x-1', $1, 'n', '{}')"  # noqa: E501
    count = "SELECT count(*) FROM holdfast.threads"
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SET LOCAL holdfast.user_id = 'holdfast-user-0'")
    await connection.execute(insert, "holdfast-user-0")
    assert await connection.fetchval(count) == 1
    await connection.execute("SET LOCAL holdfast.user_id = 'holdfast-user-1'")
    assert await connection.fetchval(count) == 0
    assert await connection.execute("UPDATE holdfast.threads SET name = 'x'") == "UPDATE 0"
    assert await connection.execute("DELETE FROM holdfast.threads") == "DELETE 0"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        await connection.execute(insert, "holdfast-user-0")
    await transaction.rollback()
    assert await connection.fetchval(count) == 0


@pytest.fixture
async def fenced(make_site: MakeSite, site: Site) -> AsyncIterator[Site]:
    """An environment whose Redis user has exactly the printed ACL."""
    valkey = site.servers.valkey
    words = redis_acl(user="fenced").replace("CHOOSE-A-PASSWORD", "planted-secret").split()
    await valkey.command(*words)
    await valkey.command("SET", "customer:1", "secret")
    yield await make_site(
        postgres_dsn=None,
        redis_url=f"redis://fenced:planted-secret@127.0.0.1:{valkey.port}/0",
        instance=Instance("0123abcd", 2),
    )
    await valkey.command("ACL", "DELUSER", "fenced")
    await valkey.command("DEL", "customer:1")


@pytest.mark.parametrize("discipline", ["watch", "lua", "fields"])
@pytest.mark.parametrize("sliding", [True, False], ids=["sliding", "fixed"])
async def test_the_acl_suffices_for_the_probe_and_the_sweep(fenced: Site, discipline: str, *, sliding: bool) -> None:
    """With the printed ACL the probe is ok, and leftovers are found and removed, by index and by SCAN."""
    probe = SessionProbe.model_validate({"brief_ttl": "150ms", "discipline": discipline, "sliding": sliding})
    await run_ok(fenced, probe)
    name = fenced.environment.name
    left = f"holdfast:{name}:0123abcd-1:session:01a203df-6d7d-74c0-b2d2-881acb5edeb3:a-own"
    valkey = fenced.servers.valkey
    for everybody in (False, True):
        await valkey.command("SET", left, "x")
        await valkey.command("ZADD", f"holdfast:{name}:0123abcd:keys", 1, left)
        assert await fenced.environment.census(Store.REDIS) == 1
        assert await fenced.environment.sweep(Store.REDIS, everybody=everybody) == 1
        assert await valkey.command("EXISTS", left) == 0
    assert await valkey.command("GET", "customer:1") == b"secret"


async def test_the_acl_suffices_for_pushed_changes(fenced: Site) -> None:
    """With the printed ACL messages are published and received, by pub/sub and by streams."""
    record = await run_ok(fenced, NotifyProbe())
    assert "LISTEN/NOTIFY is not checked: there is no postgres" in record.finding.left_out


async def test_the_acl_suffices_for_the_ledger(fenced: Site) -> None:
    """With the printed ACL registers are moved, records written, looked at and removed, and the server is known."""
    for _ in range(2):
        await run_ok(fenced, DurabilityProbe())
    scribe = fenced.environment.scribe(Store.REDIS)
    await scribe.write(identified=True)
    await scribe.retire(await fenced.environment.ledger.entries(Store.REDIS), due=None)


async def test_the_acl_suffices_while_memory_is_short(fenced: Site) -> None:
    """With the printed ACL canaries and ballast are written, and the server's memory is known."""
    record = await run_ok(fenced, EvictionProbe())
    assert record.finding.left_out == ()


async def test_the_acl_suffices_to_say_who_confirmed_a_violation(fenced: Site) -> None:
    """The second look needs to know the node: the printed ACL lets it ask."""
    connection = await fenced.environment.sessions.connect("session")
    node = await connection.node()
    await connection.close()
    assert node.primary
    assert node.version.startswith("Valkey ")


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "customer:1"),
        ("SET", "customer:1", "x"),
        ("DEL", "customer:1"),
        ("PTTL", "customer:1"),
        ("GET", "holdfastx"),
        ("EVAL", "return redis.call('GET', 'customer:1')", 0),
        ("EVAL", "return redis.call('GET', KEYS[1])", 1, "customer:1"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("CLIENT", "LIST"),
        ("SUBSCRIBE", "x"),
        ("PUBLISH", "x", "y"),
        ("PSUBSCRIBE", "*"),
        ("XADD", "orders", "*", "a", "b"),
        ("XGROUP", "DESTROY", "holdfast:x", "readers"),
        ("MONITOR",),
        ("SHUTDOWN",),
        ("LPUSH", "holdfast:x", "a"),
    ],
    ids=lambda command: " ".join(map(str, command)),
)
async def test_the_acl_allows_nothing_else(fenced: Site, command: tuple[str | int, ...]) -> None:
    """Other keys and other commands are refused by the server."""
    redis = Redis(
        f"redis://fenced:planted-secret@127.0.0.1:{fenced.servers.valkey.port}/0",
        tally=fenced.desk.metrics.tally(fenced.environment.name),
        timeout=timedelta(seconds=2),
    )
    connection = await redis.connect("test")
    try:
        with pytest.raises(Exception, match=r"(?i)permission|ACL"):
            await connection.ask(command)
    finally:
        await connection.close()
