"""What failovers, copies and crashes really do to servers, by what these hold afterwards, and that it is undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count

import pytest

from monitor.embedded.faults import durability_postgres, durability_redis
from monitor.embedded.faults.fault import POSTGRES, POSTGRES_REPLICA, REDIS, Fault, Site
from monitor.embedded.faults.topology import postgres_as_before, redis_as_before
from monitor.embedded.process import EmbeddedError
from monitor.embedded.servers import Servers
from monitor.embedded.valkey import EmbeddedValkey, Reply

FAULTS: dict[str, Fault] = {fault.name: fault for fault in (*durability_postgres.FAULTS, *durability_redis.FAULTS)}
_SYSTEM = "SELECT system_identifier FROM pg_control_system()"
_INSERT = "INSERT INTO holdfast.ledger_records VALUES ('daemon', 'series', {n})"
_LEDGER = """
CREATE SCHEMA holdfast;
CREATE TABLE holdfast.ledger_records (
    daemon text, series text, n bigint, created_at timestamptz DEFAULT clock_timestamp()
);
"""


@pytest.fixture(scope="module")
async def site() -> AsyncIterator[Site]:
    """Servers with replicas, each behind a proxy, and one record of a ledger in each store."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(Servers(fsync=False, replicas=True))
        await servers.postgres.sql(_LEDGER)
        yield await Site.before(servers, stack)


async def _timeline(site: Site) -> int:
    await site.servers.postgres.sql("CHECKPOINT")
    return int(await site.servers.postgres.sql("SELECT timeline_id FROM pg_control_checkpoint()"))


async def _rows(site: Site) -> list[str]:
    return (await site.servers.postgres.sql("SELECT n FROM holdfast.ledger_records ORDER BY n")).split()


async def _insert(site: Site, n: int) -> None:
    await site.servers.postgres.sql(_INSERT.format(n=n))


@pytest.mark.parametrize("time", [1, 2])
async def test_a_failover_keeps_what_was_replicated_and_is_undone(site: Site, time: int) -> None:
    """The way leads to the promoted replica; healed, the first server has its data on its timeline, with a replica."""
    fault, servers = FAULTS["postgres-failover-50ms"], site.servers
    await _insert(site, time)
    before, system, rows = await _timeline(site), await servers.postgres.sql(_SYSTEM), await _rows(site)
    assert servers.postgres_replica is not None
    await fault.inject(site)
    assert (servers.postgres.alive, servers.postgres_replica.alive) == (False, True)
    assert await servers.postgres.reachable_at(site.proxies[POSTGRES].port)
    assert (await servers.postgres_replica.sql("SELECT pg_is_in_recovery()")).strip() == "f"
    await fault.heal(site)
    assert await servers.postgres.reachable_at(site.proxies[POSTGRES].port)
    assert await servers.postgres.reachable_at(site.proxies[POSTGRES_REPLICA].port)
    assert (await servers.postgres_replica.sql("SELECT pg_is_in_recovery()")).strip() == "t"
    assert (await _timeline(site), await servers.postgres.sql(_SYSTEM)) == (before + 1, system)
    assert await _rows(site) == rows


async def test_to_undo_what_was_not_done_changes_nothing(site: Site) -> None:
    """Healing servers that are as they were made leaves timeline, data and process of the primaries alone."""
    servers = site.servers
    await servers.valkey.command("SET", "kept", "yes")
    before = (servers.postgres.pid, servers.valkey.pid, await _timeline(site), await _rows(site))
    await postgres_as_before(site)
    await redis_as_before(site)
    assert (servers.postgres.pid, servers.valkey.pid, await _timeline(site), await _rows(site)) == before
    assert await servers.valkey.command("GET", "kept") == b"yes"


async def test_two_primaries_take_writes_in_a_split_brain(site: Site) -> None:
    """Both servers take writes, each at the place of the other; healed, what the old one took since is gone."""
    fault, servers = FAULTS["postgres-split-brain"], site.servers
    assert servers.postgres_replica is not None
    await fault.inject(site)
    rows = await _rows(site)
    await _insert(site, 1000)  # at the old primary, which nobody has told
    assert await servers.postgres.reachable_at(site.proxies[POSTGRES_REPLICA].port)
    await servers.postgres_replica.sql(_INSERT.format(n=2000))
    await fault.heal(site)
    assert await _rows(site) == [*rows, "2000"]


async def test_a_crash_loses_what_was_acknowledged_and_not_flushed(site: Site) -> None:
    """With synchronous_commit off rows are acknowledged, the later ones gone after SIGKILL, the earlier ones there."""
    fault, postgres = FAULTS["postgres-crash-asynchronous-commit"], site.servers.postgres
    acknowledged = await _rows(site)

    async def write() -> None:
        for n in count(3000):
            await _insert(site, n)
            acknowledged.append(str(n))

    writer = asyncio.create_task(write())
    await fault.inject(site)
    with pytest.raises(EmbeddedError):  # the server that it wrote to is gone
        await writer
    kept = await _rows(site)
    assert 0 < len(kept) < len(acknowledged)
    assert kept == acknowledged[: len(kept)]
    await fault.heal(site)
    assert (await postgres.sql("SHOW synchronous_commit")).strip() == "on"


@pytest.mark.parametrize("name", ["postgres-older-copy-started", "postgres-recovered-to-a-point"])
async def test_an_older_copy_lacks_what_came_later(site: Site, name: str) -> None:
    """It is the same cluster; only recovery to a point begins a new timeline; the replica is made anew."""
    fault, postgres = FAULTS[name], site.servers.postgres
    rows, before, system = await _rows(site), await _timeline(site), await postgres.sql(_SYSTEM)
    stop = postgres.stop

    async def insert_and_stop() -> None:
        await _insert(site, 4000)
        await stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres, "stop", insert_and_stop)
        await fault.inject(site)
    assert await _rows(site) == rows
    assert await postgres.sql(_SYSTEM) == system
    assert await _timeline(site) - before == (name == "postgres-recovered-to-a-point")
    await fault.heal(site)


@pytest.mark.parametrize("name", [name for name in FAULTS if name.startswith("redis-")])
async def test_redis_loses_what_it_should_and_comes_back(site: Site, name: str) -> None:
    """After each the way leads to a server that takes writes; healed, primary and replica are in their places."""
    fault, valkey, replica = FAULTS[name], site.servers.valkey, site.servers.valkey_replica
    assert replica is not None
    for n in (9, 10, 11):
        await valkey.command("SET", f"holdfast:e:d:record:s:{n}", "content", "EX", 600)  # as all of a ledger
    await fault.inject(site)
    port = next(site.proxies[REDIS]._ports)
    survivor = valkey if port == valkey.port else replica
    assert await survivor.command("SET", "written", "since") == b"OK"
    left = [n for n in (9, 10, 11) if await survivor.command("EXISTS", f"holdfast:e:d:record:s:{n}")]
    kept = [10, 11] if name == "redis-record-deleted" else [9, 10, 11]
    assert left == ([] if name in {"redis-flushed", "redis-restarted-empty", "redis-records-evicted"} else kept)
    await fault.heal(site)
    assert await valkey.command("GET", "written") == b"since"
    (first, *_), second = await _role(valkey), await _role(replica)
    assert (first, second[:4]) == (b"master", [b"slave", b"127.0.0.1", valkey.port, b"connected"])


async def test_a_replica_that_is_behind_makes_no_room_for_a_neighbour(site: Site) -> None:
    """What waits to be sent takes memory that does not count: the records are evicted all the same."""
    fault, valkey, replica = FAULTS["redis-records-evicted"], site.servers.valkey, site.servers.valkey_replica
    assert replica is not None
    await valkey.command("SET", "holdfast:e:d:record:s:9", "content", "EX", 600)
    replica.pause()
    try:
        await valkey.command("EVAL", "redis.call('SET', 'large', string.rep('x', 40000000))", 0)
        await valkey.command("DEL", "large")
        await fault.inject(site)
    finally:
        replica.resume()
    assert await valkey.command("EXISTS", "holdfast:e:d:record:s:9") == 0
    await fault.heal(site)


async def _role(server: EmbeddedValkey) -> list[Reply]:
    """What a server is; after that come offsets, which go on while the replica follows."""
    found = await server.command("ROLE")
    assert isinstance(found, list)
    return found
