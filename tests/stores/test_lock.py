"""Whose a state is: a lock beside a file, or within a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers
from monitor.ports import StateError, StateTakenError
from monitor.stores.home import Schema
from monitor.stores.lock import SchemaLock, StateLock, lock_of
from tests.conftest import in_database


@pytest.fixture
async def lock(home: Path | Schema) -> AsyncIterator[Callable[[], StateLock]]:
    """Makes locks of one and the same state, and lets go of them all in the end."""
    made: list[StateLock] = []

    def make() -> StateLock:
        made.append(lock_of(home))
        return made[-1]

    yield make
    for each in made:
        await each.release()


async def test_a_second_daemon_is_refused(lock: Callable[[], StateLock]) -> None:
    """While one holds it nobody else takes it, or finds it free; afterwards both."""
    one, two = lock(), lock()
    await one.take()
    assert not await two.free()
    with pytest.raises(StateTakenError, match="belongs to another daemon, which is running"):
        await two.take()
    await one.release()
    assert await two.free()
    await two.take()
    with pytest.raises(StateTakenError):
        await one.take()


async def test_who_only_asks_keeps_nothing(lock: Callable[[], StateLock]) -> None:
    """Whoever asked whether it is free does not hold it."""
    one, two = lock(), lock()
    await one.take()
    await one.release()
    assert await two.free()
    await one.take()


def test_memory_has_no_lock() -> None:
    """A state that nobody shares cannot be taken."""
    with pytest.raises(ValueError, match="in memory"):
        lock_of(None)


async def test_locations_have_schemas_and_locks_of_their_own(servers: Servers, database: str) -> None:
    """Daemons that share a database differ by their location, however alike two are."""
    dsn = in_database(servers.postgres.dsn, database)
    locations = ("local", "eu-1", "eu_1", "EU-1", "日本", "x" * 128, "x" * 127)
    homes = [Schema(dsn, location) for location in locations]
    assert homes[0].name == "holdfast_state_local"
    assert len({home.name for home in homes}) == len(homes)
    assert all(len(home.name) <= 63 and home.name.isascii() for home in homes)
    locks = [lock_of(home) for home in homes]
    for each in locks:
        await each.take()
    for each in locks:
        await each.release()


async def test_a_lock_whose_connection_broke_is_taken_again(
    servers: Servers, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back by itself where nobody else took it; where somebody did, that is an error."""
    monkeypatch.setattr("monitor.stores.lock._AGAIN", 0.02)
    dsn = in_database(servers.postgres.dsn, database)
    proxy = TcpProxy(servers.postgres.port)
    await proxy.start()
    through = dsn.replace(f":{servers.postgres.port}/", f":{proxy.port}/")
    one, two = SchemaLock(Schema(through, "test")), SchemaLock(Schema(dsn, "test"))
    await one.take()
    first = one._connection
    keeping = asyncio.create_task(one.keep())
    proxy.cut()
    while one._connection in {None, first}:
        await servers.postgres.sql("SELECT 1")
    with pytest.raises(StateTakenError):
        await two.take()
    await proxy.stop()
    while two._connection is None:  # the server notices a moment later that the other is gone
        with suppress(StateTakenError):
            await two.take()
    await proxy.start()
    with pytest.raises(StateTakenError):
        await keeping
    await two.release()
    await proxy.stop()


async def test_a_database_that_cannot_be_asked_is_no_other_daemon(servers: Servers) -> None:
    """Where it cannot be reached, that is said, without the password, and it is not taken for free."""
    dsn = servers.postgres.dsn.rpartition("/")[0] + "/nowhere"
    home = Schema(dsn, "test")
    with pytest.raises(StateError, match=r"^the state database .*: .*does not exist.* check user") as told:
        await lock_of(home).take()
    assert not isinstance(told.value, StateTakenError)
    assert not await lock_of(home).free()
    assert home.dsn not in repr(home)
