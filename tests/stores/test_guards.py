"""What a server sees of Holdfast: named, bounded connections that leave nothing behind and repeat nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from monitor.core.payload import Author
from monitor.core.residue import Instance
from monitor.core.verdict import Reason
from monitor.ports import Store
from monitor.probe import Probe
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe
from tests.conftest import MakeSite, Site
from tests.probes.breaking import RIGHT, run_ok, run_unknown, unchanged, wired

RUN = "01a203df-6d7d-74c0-b2d2-881acb5edeb3"
SESSION = SessionProbe(brief_ttl=timedelta(milliseconds=100), budget=timedelta(seconds=1))


async def test_every_connection_to_postgresql_is_named_and_guarded_by_the_server_itself(make_site: MakeSite) -> None:
    """A daemon that is killed leaves no statement, lock or transaction that lasts: the server ends them."""
    site = await make_site(timeout=timedelta(milliseconds=1234))
    await run_ok(site, ThreadProbe())
    connection = await site.environment.threads.connect("thread")
    try:
        raw: Any = connection.connection
        pid = raw.get_server_pid()
        name = await site.sql(f"SELECT application_name FROM pg_stat_activity WHERE pid = {pid}")  # noqa: S608
        assert name == "holdfast/thread\n"
        for guard in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            assert await raw.fetchval("SELECT setting FROM pg_settings WHERE name = $1", guard) == "1234"
    finally:
        await connection.close()


async def test_a_connection_is_left_as_it_was_found(site: Site) -> None:
    """The user is set for a transaction only: the next client of a pooled connection inherits nobody."""
    await run_ok(site, ThreadProbe())
    connection = await site.environment.threads.connect("thread")
    raw: Any = connection.connection
    author = Author(environment=site.environment.name, probe="thread", run_id=RUN)
    thread, message = author.thread(0, user="holdfast-user-5"), author.message(0, 1)
    try:

        async def clean() -> None:
            assert not raw.is_in_transaction()
            assert await raw.fetchval("SELECT current_setting('holdfast.user_id', true)") in {"", None}

        await clean()
        await connection.create(thread)
        await clean()
        await connection.append(thread, message)
        await connection.append_and_roll_back(thread, author.message(0, 2))
        await clean()
        async with connection.watch(thread, [message]) as count:
            assert await count() == 1
        await clean()
        assert [found.digest for found in (await connection.load(thread)).messages] == [message.digest]
        await connection.delete_thread(thread)
        await clean()
        assert await raw.fetchval("SELECT count(*) FROM holdfast.threads") == 0
    finally:
        await connection.close()


async def test_what_is_sent_holds_no_set_that_outlives_its_transaction(site: Site, make_site: MakeSite) -> None:
    """On the wire there is SET LOCAL after BEGIN, and never another SET."""
    sent = bytearray()

    def keep(data: bytes) -> bytes:
        sent.extend(data)
        return data

    async with wired(site.servers.postgres.port) as wire:
        dsn = site.dsn.replace(f":{site.servers.postgres.port}/", f":{wire.port}/")
        here = await make_site(postgres_dsn=dsn)
        wire.edit(lambda _: (keep, unchanged))
        await run_ok(here, ThreadProbe())
    begun = len(re.findall(rb"BEGIN[A-Z ]*; SET LOCAL holdfast\.user_id", sent))
    assert sent.count(b"SET LOCAL holdfast.user_id") == begun > 10
    assert b"set_config" not in sent
    for update in (b"holdfast.threads SET message_count", b"holdfast.messages SET role", b"DO UPDATE SET version"):
        sent = sent.replace(update, b"")
    assert sent.count(b" SET ") == sent.count(b" SET LOCAL ")


@asynccontextmanager
async def counted(client: Any) -> AsyncIterator[Callable[[], int]]:
    """Count the connections of a store's client that are open at once; -> the greatest number so far."""
    present = most = 0
    connect = client.connect

    def more(by: int) -> None:
        nonlocal present, most
        present += by
        most = max(most, present)

    async def counting(label: str) -> Any:
        more(1)
        try:
            connection = await connect(label)
        except BaseException:
            more(-1)
            raise
        if hasattr(client, "close"):
            return connection
        close = connection.close

        async def closing() -> None:
            more(-1)
            await close()

        connection.close = closing
        return connection

    client.connect = counting
    if hasattr(client, "close"):
        close_client = client.close

        async def closing(connection: Any, *, broken: bool) -> None:
            more(-1)
            await close_client(connection, broken=broken)

        client.close = closing
    yield lambda: most
    assert present == 0


@pytest.mark.parametrize("limit", [2, 5])
@pytest.mark.parametrize("probe", [ThreadProbe(), SESSION], ids=["thread", "session"])
async def test_there_are_never_more_connections_than_allowed(
    make_site: MakeSite, probe: Probe[object], limit: int
) -> None:
    """However many runs want to start at once, the store bears max_connections at most, and all runs are right."""
    site = await make_site(connections={Store.POSTGRES: limit, Store.REDIS: limit})
    (store,) = probe.needs
    client = site.environment.ways.primary_postgres if store is Store.POSTGRES else site.environment.ways.primary_redis
    async with counted(client) as most:
        records = await asyncio.gather(*(site.run(probe) for _ in range(8)))
        assert {record.verdict for record in records} <= RIGHT
        assert 1 < most() <= limit


async def test_a_run_needs_no_more_connections_than_it_declares(site: Site) -> None:
    """Where everything has to be looked at twice, the second look too stays within what the probe declares."""
    await run_ok(site, ThreadProbe())
    await site.sql(
        """
        CREATE FUNCTION public.cut() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.content := 'x'; RETURN NEW; END $$;
        CREATE TRIGGER zz BEFORE INSERT ON holdfast.messages FOR EACH ROW EXECUTE FUNCTION public.cut();
        """
    )
    async with counted(site.environment.ways.primary_postgres) as most:
        assert (await site.run(ThreadProbe())).finding.violations
        assert most() <= ThreadProbe.needs[Store.POSTGRES]


async def test_every_connection_to_redis_is_named(site: Site) -> None:
    """CLIENT LIST tells whoever looks at the server which probe it is."""
    connection = await site.environment.sessions.connect("session")
    try:
        clients = await site.servers.valkey.command("CLIENT", "LIST")
        assert isinstance(clients, bytes)
        assert b" name=holdfast/session " in clients
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("mark", "times"), [(b"\r\nPX\r\n", 1), (b"EXEC", 1), (b"SETRANGE", 1)], ids=["save", "update", "damage"]
)
async def test_a_command_whose_answer_is_lost_is_not_sent_again(
    make_site: MakeSite, site: Site, mark: bytes, times: int
) -> None:
    """Retries are off: a command that may have been executed is never repeated behind the probe's back."""
    sent = 0
    async with wired(site.servers.valkey.port) as wire:
        url = site.servers.valkey.url.replace(f":{site.servers.valkey.port}/", f":{wire.port}/")
        here = await make_site(postgres_dsn=None, redis_url=url, instance=Instance("0123abcd", 1))
        doomed = False

        def there(data: bytes) -> bytes:
            nonlocal sent, doomed
            sent += data.count(mark)
            doomed = doomed or mark in data
            return data

        def back(data: bytes) -> bytes:
            if doomed:
                wire.cut()
            return data

        wire.edit(lambda _: (there, back))
        probe = SESSION.model_copy(update={"updates": 1})
        await run_unknown(here, probe, Reason.UNREACHABLE)
    assert sent <= (2 if mark == b"EXEC" else times)  # two clients update, each sends its own once
