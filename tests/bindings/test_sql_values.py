"""Values of ours as a server's types want them, for every type that a column may have."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import pytest

from monitor.bindings.statements import PARAMETERS
from monitor.core.payload import Author, canonical, synthetic_user
from monitor.embedded.pgbouncer import EmbeddedPgBouncer
from monitor.embedded.servers import Servers
from monitor.ports import Place, Store, Way
from monitor.stores.bound.sql_threads import SqlThreadConnection
from monitor.stores.bound.values import FITS, UnfitError, json_text, sent
from tests.bindings.conftest import MakeApplication
from tests.bindings.schemas import OPEN, PLATFORM, shipped
from tests.conftest import MakeSite, in_database

MOMENT = datetime(2026, 11, 23, 1, 2, 3, 456789, tzinfo=UTC)
ID = UUID("00000000-0000-4000-8000-0000000000ff")
POOLER = Place(Store.POSTGRES, Way.POOLER)

VALUES: dict[str, object] = {
    "user_id": 255,
    "thread_ids": [1, 2],
    "content": "é🦊",
    "permissions": '["read", "write"]',
    "number": 7,
    "now": MOMENT,
    "now_ms": 1_795_396_523_456,
}
"""A value of each kind that every type which it fits can hold; but for those that are told apart below."""
OTHERWISE: dict[tuple[str, str], object] = {
    ("user_id", "uuid"): ID,
    ("user_id", "int2"): 255,
    ("thread_ids", "uuid[]"): [ID],
}
SHOWN = {
    ("now", "timestamptz"): "2026-11-23 01:02:03.456789+00",
    ("now", "timestamp"): "2026-11-23 01:02:03.456789",
    ("now", "date"): "2026-11-23",
    ("now", "int4"): "1795395723",
    ("now", "int8"): "1795395723",
    ("now", "numeric"): "1795395723.456789",
    ("now", "float8"): "1795395723.456789",
    ("now", "text"): "2026-11-23T01:02:03.456789+00:00",
    ("user_id", "uuid"): str(ID),
    ("user_id", "text"): "255",
    ("user_id", "int8"): "255",
    ("thread_ids", "uuid[]"): f"{{{ID}}}",
    ("thread_ids", "text[]"): "{1,2}",
    ("thread_ids", "int8[]"): "{1,2}",
    ("content", "varchar"): "é🦊",
    ("permissions", "jsonb"): '["read", "write"]',
    ("permissions", "json"): '["read", "write"]',
    ("permissions", "text"): '["read", "write"]',
    ("permissions", "text[]"): "{read,write}",
    ("permissions", "jsonb[]"): r'{"\"read\"","\"write\""}',
    ("number", "int2"): "7",
    ("number", "numeric"): "7",
    ("number", "text"): "7",
    ("now_ms", "int8"): "1795396523456",
}


@pytest.fixture(scope="module")
async def connection(servers: Servers) -> AsyncIterator[asyncpg.Connection]:
    """A connection on which nothing is stored."""
    opened = await asyncpg.connect(servers.postgres.dsn)
    await opened.execute("SET TimeZone = 'UTC'")
    yield opened
    await opened.close()


FITTING = [(name, type_) for name in VALUES for type_ in sorted(FITS[PARAMETERS[name]])]


@pytest.mark.parametrize(("name", "type_"), FITTING)
async def test_sent(connection: asyncpg.Connection, name: str, type_: str) -> None:
    """Each kind of value can be sent as each type that it is said to fit, and is the same there."""
    value = OTHERWISE.get((name, type_), VALUES[name])
    found = await connection.fetchval(f"SELECT $1::{type_}::text", sent(name, value, type_))
    assert isinstance(found, str)
    assert SHOWN.get((name, type_), found) == found


UNFIT = (
    ("thread_id", "thread_00ff", "uuid", ":thread_id is uuid there, and 'thread_00ff' is not"),
    ("user_id", "holdfast-1", "int8", ":user_id is int8 there, and 'holdfast-1' is not"),
    ("metadata", '{"a": 1}', "text[]", ":metadata is text[] there, and '{\"a\": 1}' is not"),
    ("permissions", "[1]", "text[]", ":permissions is text[] there, and '[1]' is not"),
    ("now", "soon", "timestamptz", ":now is timestamptz there, and 'soon' is not"),
    ("number", "x" * 50, "int8", f":number is int8 there, and '{'x' * 40}…' is not"),
)


@pytest.mark.parametrize(("name", "value", "type_", "message"), UNFIT)
def test_unfit(name: str, value: object, type_: str, message: str) -> None:
    """What cannot be sent says which parameter, what is there, and what it is."""
    with pytest.raises(UnfitError) as caught:
        sent(name, value, type_)
    assert str(caught.value) == message


def test_read() -> None:
    """What columns hold is JSON text, whatever their types are."""
    assert json_text('{"a": 1e2}') == '{"a": 1e2}'
    assert canonical(json_text(["a", None, "é"])) == canonical('["a", null, "é"]')
    assert json_text(None) == "null"


async def test_pooler(servers: Servers, database: str, make_site: MakeSite) -> None:
    """Through a pooler that shares its connections nothing outlives a transaction, and the same comes back."""
    pooler = EmbeddedPgBouncer(servers.private, servers.postgres, name=f"pgbouncer-{secrets.token_hex(4)}")
    await pooler.start()
    try:
        address, binding = in_database(pooler.dsn, database), shipped("platform")
        site = await make_site(redis_url=None, provision=False, binding=binding, others={POOLER: address})
        await site.sql(PLATFORM + OPEN)
        author = Author(environment="e", probe="p", run_id="r", speech=binding.speech)
        thread = author.thread(0, user=synthetic_user(1))
        written = [author.message(0, number) for number in range(1, 8)]
        first, second = [await SqlThreadConnection.open(site.environment.bound, "test", place=POOLER) for _ in range(2)]
        await first.create(thread)
        for message in written:  # in turns, on the one connection that the pooler has
            await first.append(thread, message)
            read = await second.load(thread)
            assert [each.digest for each in read.messages][-1] == message.digest
        assert (await second.page(thread, after=written[2], limit=2)).messages[0].id == written[3].id
        await first.close()
        await second.close()
    finally:
        await pooler.stop()


async def test_numbers(make_application: MakeApplication) -> None:
    """Ids that the server made lead back to ours, in every way to read."""
    application = await make_application("tickets")
    author = Author(environment="e", probe="p", run_id="r", speech=application.binding.speech)
    thread = author.thread(0, user=synthetic_user(1))
    written = [author.message(0, number) for number in range(1, 8)]
    connection = await application.site.environment.threads.connect("test")
    await connection.create(thread)
    await connection.append_batch(thread, written)
    ids = [message.id for message in written]
    read = await connection.load(thread)
    assert (read.thread and read.thread.digest, read.count) == (thread.digest, 7)
    assert [message.id for message in read.messages] == ids
    assert [message.id for message in (await connection.page(thread, after=None, limit=3)).messages] == ids[:3]
    assert [message.id for message in (await connection.page(thread, after=written[2], limit=9)).messages] == ids[3:]
    assert [message.id for message in (await connection.newest_page(thread, limit=2)).messages] == [ids[6], ids[5]]
    counts = await connection.count(thread.user, [thread.id])
    assert (counts[thread.id].header, counts[thread.id].messages) == (7, 7)
    await connection.close()
