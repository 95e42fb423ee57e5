"""Whatever befalls PostgreSQL that breaks no promise: the run is unknown, for the right reason, in words that help."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from structlog.testing import capture_logs

from monitor.core.record import RunRecord
from monitor.core.verdict import Reason, Verdict
from monitor.embedded.folder import NOBODY
from monitor.embedded.server import free_port
from monitor.ports import Store
from monitor.probes.thread import ThreadProbe
from tests.conftest import MakeProxy, MakeSite, Site, in_database
from tests.probes.breaking import Edit, Wire, cutting, nobody_works_for_it, run_ok, run_unknown, unchanged, wired

PROBE = ThreadProbe()
SHORT = timedelta(milliseconds=400)


def moved(site: Site, *, host: str = "127.0.0.1", port: int | None = None) -> str:
    """The DSN of this test's database at another address."""
    return site.dsn.replace(f"127.0.0.1:{site.servers.postgres.port}", f"{host}:{port or site.servers.postgres.port}")


async def told(site: Site, reason: Reason, *words: str) -> RunRecord:
    """One run is unknown for this reason; message and log hold these words, no password and no traceback."""
    with capture_logs() as lines:
        record = await run_unknown(site, PROBE, reason)
    for word in words:
        assert word in record.finding.message
    everything = record.finding.message + repr(lines)
    for secret in (urlsplit(site.dsn).password, "planted"):
        assert str(secret) not in everything
    assert "Traceback" not in everything
    assert not any("exc_info" in line for line in lines)
    return record


async def test_a_host_that_does_not_exist_is_unreachable(make_site: MakeSite, site: Site) -> None:
    """A wrong host is named, with what to check."""
    here = await make_site(postgres_dsn=moved(site, host="no-such-host.invalid"))
    await told(here, Reason.UNREACHABLE, "no-such-host.invalid:", "host and port in the DSN")


async def test_a_port_where_nobody_listens_is_unreachable(make_site: MakeSite, site: Site) -> None:
    """A wrong port, or a server that is down at the start, is named, with what to check."""
    port = free_port()
    here = await make_site(postgres_dsn=moved(site, port=port))
    await told(here, Reason.UNREACHABLE, f"127.0.0.1:{port}", "check that the server runs")


async def test_a_wrong_password_is_refused(make_site: MakeSite, site: Site) -> None:
    """A wrong password is refused, and neither the right one nor the wrong one is shown."""
    password = urlsplit(site.dsn).password or ""
    here = await make_site(postgres_dsn=site.dsn.replace(password, "planted%2Dsecret"))
    await told(here, Reason.REFUSED, "password authentication failed", "check user and password in the DSN")


async def test_a_database_that_does_not_exist_is_misconfigured(make_site: MakeSite, site: Site) -> None:
    """A wrong name of the database is named."""
    here = await make_site(postgres_dsn=in_database(site.dsn, "nowhere"))
    await told(here, Reason.MISCONFIGURED, '"nowhere"', "check the name of the database")


async def test_without_the_right_to_create_the_sql_for_a_dba_is_named(make_site: MakeSite) -> None:
    """Where the role may not create the schema, the message says which command prints what a DBA has to run."""
    here = await make_site("strict")
    await here.sql(f"REVOKE CREATE ON DATABASE {here.database} FROM holdfast;")
    await told(here, Reason.MISCONFIGURED, "permission denied", "`holdfast setup strict --print`")


async def test_with_provision_off_nothing_is_created(make_site: MakeSite) -> None:
    """Where the schema is missing and provision is off, the same is said, and nothing is made."""
    here = await make_site("strict", provision=False)
    await told(here, Reason.MISCONFIGURED, "schema holdfast is missing", "`holdfast setup strict --print`")
    assert await here.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'holdfast'") == "0\n"


async def test_a_schema_that_lacks_a_column_is_misconfigured_until_it_is_mended(site: Site) -> None:
    """A schema that does not fit is misconfigured; once it fits the next run is right, without a restart."""
    await run_ok(site, PROBE)
    await site.sql("ALTER TABLE holdfast.messages RENAME COLUMN content TO text")
    await told(site, Reason.MISCONFIGURED, '"content"', "holdfast setup")
    await site.sql("ALTER TABLE holdfast.messages RENAME COLUMN text TO content")
    await run_ok(site, PROBE)


async def test_a_schema_that_was_dropped_is_made_again(site: Site) -> None:
    """A run that meets no schema cannot tell; the next one makes it anew and is right."""
    await run_ok(site, PROBE)
    await site.sql("SET client_min_messages = warning; DROP SCHEMA holdfast CASCADE")
    await told(site, Reason.MISCONFIGURED, "holdfast.threads", "holdfast setup")
    await run_ok(site, PROBE)


async def test_a_right_that_was_revoked_is_refused(site: Site) -> None:
    """A missing grant is refused, and the message says how to see which are needed."""
    await run_ok(site, PROBE)
    await site.sql("ALTER TABLE holdfast.messages OWNER TO postgres; REVOKE ALL ON holdfast.messages FROM holdfast")
    await told(site, Reason.REFUSED, "permission denied for table messages", "`holdfast setup ENV --print`")


async def test_a_server_that_wants_tls_refuses_plain_connections(site: Site) -> None:
    """Where pg_hba.conf rejects what is not encrypted, sslmode is pointed at."""
    rules = site.servers.postgres.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"hostnossl {site.database} holdfast all reject\n{before}")
    try:
        await site.sql("SELECT pg_reload_conf()")
        assert await rejected(site, wanted=True)
        await told(site, Reason.REFUSED, "no encryption", "sslmode")
    finally:
        rules.write_text(before)
        await site.sql("SELECT pg_reload_conf()")
    assert await rejected(site, wanted=False)
    await run_ok(site, PROBE)


async def rejected(site: Site, *, wanted: bool) -> bool:
    """Wait until the server has read its rules; -> whether it then rejects, or no longer rejects, a connection."""
    async with asyncio.timeout(10):
        while True:
            try:
                await (await asyncpg.connect(site.dsn)).close()
                found = False
            except asyncpg.InvalidAuthorizationSpecificationError:
                found = True
            if found is wanted:
                return True


async def test_a_server_without_tls_is_refused_where_tls_is_wanted(make_site: MakeSite, site: Site) -> None:
    """Where the DSN wants TLS and the server has none, nothing is sent, and sslmode is pointed at."""
    here = await make_site(postgres_dsn=f"{site.dsn}?sslmode=require")
    await told(here, Reason.REFUSED, "SSL", "sslmode")


async def test_a_certificate_that_is_not_there_is_misconfigured(make_site: MakeSite, site: Site) -> None:
    """verify-full without its root certificate is a fault of the DSN, not of the server."""
    here = await make_site(postgres_dsn=f"{site.dsn}?sslmode=verify-full&sslrootcert=/nowhere/root.crt")
    await told(here, Reason.MISCONFIGURED, "No such file", "a certificate")


async def test_a_dsn_that_makes_no_sense_is_misconfigured(make_site: MakeSite, site: Site) -> None:
    """An option that no driver knows is misconfigured, without a traceback."""
    here = await make_site(postgres_dsn=f"{site.dsn}?sslmode=planted")
    await told(here, Reason.MISCONFIGURED, "sslmode", "check the DSN")


async def test_a_server_that_crashes_is_unreachable_and_comes_back(site: Site) -> None:
    """A server that is killed is unreachable; after its recovery the next run is right."""
    await run_ok(site, PROBE)
    await site.servers.postgres.kill()
    try:
        await told(site, Reason.UNREACHABLE, f"127.0.0.1:{site.servers.postgres.port}", "check that the server runs")
    finally:
        await site.servers.postgres.start()
    await run_ok(site, PROBE)


async def test_a_server_that_shuts_down_is_unreachable(site: Site) -> None:
    """A backend that an administrator ends is a broken connection, not a verdict."""
    await run_ok(site, PROBE)
    await site.sql(
        """
        CREATE FUNCTION public.ends_me() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(0); RETURN NEW; END $$;
        CREATE TRIGGER zz BEFORE INSERT ON holdfast.messages FOR EACH ROW EXECUTE FUNCTION public.ends_me();
        """
    )
    await told(site, Reason.UNREACHABLE, "terminat", "in step append_message")


@pytest.fixture
async def wire(site: Site) -> AsyncIterator[Wire]:
    """A proxy before PostgreSQL that edits bytes."""
    async with wired(site.servers.postgres.port) as opened:
        yield opened


async def test_a_paused_server_is_a_timeout_at_the_start_and_in_mid_run(
    make_site: MakeSite, site: Site, wire: Wire
) -> None:
    """A frozen server ends the run within its deadline, and the message names the address and what to check."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port), timeout=SHORT)
    await run_ok(here, PROBE)
    server = site.servers.postgres
    try:
        server.pause()
        record = await told(here, Reason.TIMEOUT, f"127.0.0.1:{wire.port}", "firewall")
        assert record.took < timedelta(seconds=2)
        server.resume()

        def freeze(data: bytes) -> bytes:
            if b"ROLLBACK\0" in data:
                server.pause()
            return data

        wire.edit(lambda _: (freeze, unchanged))
        record = await told(here, Reason.TIMEOUT, f"127.0.0.1:{wire.port}", "firewall")
        assert record.took < timedelta(seconds=3)
    finally:
        server.resume()
    wire.heal()
    await run_ok(here, PROBE)


async def test_a_black_hole_is_a_timeout_at_the_start_and_in_mid_run(
    make_site: MakeSite, site: Site, make_proxy: MakeProxy, wire: Wire
) -> None:
    """Where packets vanish, the run ends within its deadline, and the message names the address and what to check."""
    hole = await make_proxy(site.servers.postgres.port)
    here = await make_site(postgres_dsn=moved(site, port=hole.port), timeout=SHORT)
    await run_ok(here, PROBE)
    hole.blackhole = True
    await told(here, Reason.TIMEOUT, f"127.0.0.1:{hole.port}", "firewall")

    there = await make_site(here.environment.name, postgres_dsn=moved(site, port=wire.port), timeout=SHORT)
    await run_ok(there, PROBE)
    wire.edit(lambda _: (vanishing(wire, b"ROLLBACK\0"), unchanged))
    record = await told(there, Reason.TIMEOUT, f"127.0.0.1:{wire.port}", "firewall")
    assert record.took < timedelta(seconds=3)
    wire.heal()
    wire.edit(lambda _: (lambda data: b"" if b"ROLLBACK\0" in data else data, unchanged))
    await told(there, Reason.TIMEOUT, f"127.0.0.1:{wire.port}", "cut in one direction")


def vanishing(wire: Wire, mark: bytes) -> Edit:
    """From some bytes of the client on, nothing goes through any more."""

    def edit(data: bytes) -> bytes:
        wire.hole = wire.hole or mark in data
        return data

    return edit


async def test_a_hanging_run_ends_at_its_own_deadline(make_site: MakeSite, site: Site, wire: Wire) -> None:
    """Where the probe's timeout is shorter than the store's, the run ends there, and says in which step it was."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port), timeout=timedelta(seconds=30))
    await run_ok(here, PROBE)
    wire.edit(lambda _: (vanishing(wire, b"INSERT INTO holdfast.messages"), unchanged))
    record = await here.run(PROBE.model_copy(update={"timeout": timedelta(seconds=1)}))
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.TIMEOUT)
    assert record.finding.message.startswith("not done after 1s, in step append_message; the store answers too slowly")
    assert record.took < timedelta(seconds=2)


async def test_a_cut_at_any_moment_is_no_violation_and_leaves_nothing_that_is_not_swept(
    make_site: MakeSite, site: Site, wire: Wire
) -> None:
    """The connections are cut at thirty moments of a run: requests lost and answers lost; nobody is accused."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port), longest_run=timedelta(0))
    await run_ok(here, PROBE)  # the first run sends more than those that follow
    counted = [0]
    wire.edit(cutting(wire, -1, counted))
    await run_ok(here, PROBE)
    ends: dict[Verdict, int] = {}
    for moment in sorted(random.Random(1).sample(range(2, counted[0]), 30)):  # noqa: S311  the same moments each time
        wire.edit(cutting(wire, moment, [0]))
        record = await here.run(PROBE)
        ends[record.verdict] = ends.get(record.verdict, 0) + 1
        assert record.finding.reason in {Reason.UNREACHABLE, None}, record.finding.message
    assert set(ends) <= {Verdict.OK, Verdict.SLOW, Verdict.UNKNOWN}
    assert ends[Verdict.UNKNOWN] >= 20
    wire.heal()
    await site.sql("SELECT 1")
    assert await here.environment.census(Store.POSTGRES) > 0
    assert await nobody_works_for_it(site)
    assert await here.environment.sweep(Store.POSTGRES) > 0
    assert await here.environment.census(Store.POSTGRES) == 0
    await run_ok(here, PROBE)


async def test_a_full_house_is_capacity(site: Site) -> None:
    """No connection left is capacity, and the next run after one is free is right."""
    await run_ok(site, PROBE)
    await site.servers.postgres.sql(f"ALTER DATABASE {site.database} CONNECTION LIMIT 0", database="postgres")
    await told(site, Reason.CAPACITY, "too many connections", "out of connections")
    await site.servers.postgres.sql(f"ALTER DATABASE {site.database} CONNECTION LIMIT -1", database="postgres")
    await run_ok(site, PROBE)


async def test_a_house_that_is_full_for_the_second_connection_is_capacity(site: Site) -> None:
    """The same where the run has its first connection already."""
    await run_ok(site, PROBE)
    await site.servers.postgres.sql(f"ALTER DATABASE {site.database} CONNECTION LIMIT 1", database="postgres")
    await told(site, Reason.CAPACITY, "too many connections")


async def test_a_database_that_takes_no_writes_is_read_only(site: Site) -> None:
    """default_transaction_read_only, as after a failover or a full disk in the cloud, is read_only."""
    await run_ok(site, PROBE)
    await site.sql(f"ALTER DATABASE {site.database} SET default_transaction_read_only = on")
    await told(site, Reason.READ_ONLY, "read-only transaction", "standby")


@pytest.fixture
def tiny_disk() -> Iterator[Path]:
    """A file system of 2 MB that the server may write to; only root can make one."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size=2m,mode=0700,uid={NOBODY},gid={NOBODY}", "holdfast", folder]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("this user may not mount a small file system; the SQLSTATE is tested below all the same")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Fill a file system to the last block; -> the file that does so."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


async def test_a_full_disk_is_capacity(site: Site, tiny_disk: Path) -> None:
    """A disk that is really full is capacity; once there is room the next run is right."""
    await run_ok(site, PROBE)
    space = f"tiny_{site.database}"
    await site.sql(f"CREATE TABLESPACE {space} LOCATION '{tiny_disk}'")
    try:
        await site.sql(f"ALTER TABLE holdfast.messages SET TABLESPACE {space}")
        await run_ok(site, PROBE)
        await site.sql("TRUNCATE holdfast.messages")  # so that no page with room is left
        ballast = fill(tiny_disk)
        await told(site, Reason.CAPACITY, "No space left on device", "in step append_message")
        ballast.unlink()
        await run_ok(site, PROBE)
    finally:
        await site.sql(f"SET client_min_messages = warning; DROP SCHEMA holdfast CASCADE; DROP TABLESPACE {space}")


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("53100", Reason.CAPACITY, "disk"),
        ("53200", Reason.CAPACITY, "memory"),
        ("58030", Reason.CAPACITY, "file system"),
        ("57014", Reason.TIMEOUT, "statement_timeout"),
        ("55P03", Reason.TIMEOUT, "lock"),
        ("P0001", Reason.MISCONFIGURED, "trigger"),
        ("XX001", Reason.UNREACHABLE, "log"),
        ("23514", Reason.MISCONFIGURED, "constraint"),
        ("22001", Reason.MISCONFIGURED, "values"),
    ],
)
async def test_a_refusal_is_sorted_by_its_sqlstate(site: Site, state: str, reason: Reason, words: str) -> None:
    """Whatever SQLSTATE the server refuses a write by, the reason fits, and the server's words are in the message."""
    await run_ok(site, PROBE)
    await site.sql(
        f"""
        CREATE FUNCTION public.refuses() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'so says the server' USING ERRCODE = '{state}'; END $$;
        CREATE TRIGGER zz BEFORE INSERT ON holdfast.messages FOR EACH ROW EXECUTE FUNCTION public.refuses();
        """
    )
    await told(site, reason, "so says the server", words, "in step append_message")


async def test_a_refusal_at_commit_is_no_violation(site: Site) -> None:
    """A COMMIT that the server refuses has acknowledged nothing."""
    await run_ok(site, PROBE)
    await site.sql(
        """
        CREATE FUNCTION public.refuses() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'not today' USING ERRCODE = '40001'; END $$;
        CREATE CONSTRAINT TRIGGER zz AFTER INSERT ON holdfast.messages DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW WHEN (NEW.seq = 3) EXECUTE FUNCTION public.refuses();
        """
    )
    await told(site, Reason.INCONCLUSIVE, "not today", "in step append_message")


async def test_a_lock_that_somebody_holds_is_a_timeout(make_site: MakeSite) -> None:
    """A statement that waits for a lock is given up by the server itself, and nothing stays behind."""
    here = await make_site(timeout=SHORT)
    await run_ok(here, PROBE)
    async with AsyncExitStack() as stack:
        holder = await asyncpg.connect(
            in_database(here.servers.postgres.superuser_dsn(), here.database), server_settings={"application_name": "x"}
        )
        stack.push_async_callback(holder.close)
        async with holder.transaction():
            await holder.execute("LOCK TABLE holdfast.messages IN ACCESS EXCLUSIVE MODE")
            record = await told(here, Reason.TIMEOUT, "in step append_message")
            assert record.took < timedelta(seconds=2)
            assert await nobody_works_for_it(here)
    await run_ok(here, PROBE)


async def test_statements_that_are_too_slow_are_a_timeout(make_site: MakeSite) -> None:
    """statement_timeout ends what takes too long, on the server."""
    here = await make_site(timeout=SHORT)
    await run_ok(here, PROBE)
    await here.sql(
        """
        CREATE FUNCTION public.dawdles() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$;
        CREATE TRIGGER zz BEFORE INSERT ON holdfast.messages FOR EACH ROW EXECUTE FUNCTION public.dawdles();
        """
    )
    await told(here, Reason.TIMEOUT, "statement timeout", "in step append_message")


async def test_slow_and_right_is_slow(make_site: MakeSite, site: Site, make_proxy: MakeProxy) -> None:
    """A step over its budget makes a right run slow, and says which step and by how much."""
    proxy = await make_proxy(site.servers.postgres.port)
    here = await make_site(postgres_dsn=moved(site, port=proxy.port))
    await run_ok(here, PROBE)
    proxy.delay = 0.02
    record = await here.run(ThreadProbe(budget=timedelta(milliseconds=30)))
    assert record.verdict is Verdict.SLOW
    assert "its budget is 30ms" in record.finding.message
