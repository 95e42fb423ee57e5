"""What takes acknowledged writes from Redis, one way for each cause that Holdfast tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from monitor.core.ledger.causes import Cause
from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.eviction import FILL, MARGIN, NEIGHBOUR, leave_room, relieve
from monitor.embedded.faults.fault import REDIS, REDIS_REPLICA, Change, Fault, Report, Site
from monitor.embedded.faults.recovery import as_bytes, redis_recovered, until_true
from monitor.embedded.faults.topology import follower, lead, part, redis_as_before, redis_by_line

_WHILE = 1.6  # seconds in which clients go on to write: what they write then is lost
_RECORDS = "holdfast:*:record:*"
_DELETE_OLDEST = f"""
local oldest, number = nil, nil
for _, key in ipairs(redis.call('KEYS', '{_RECORDS}')) do
    local n = tonumber(string.match(key, ':(%d+)$'))
    if not number or n < number then oldest, number = key, n end
end
if not oldest then return 0 end
return redis.call('DEL', oldest)
"""


async def _fail_over(site: Site, *, delay: float) -> None:
    await redis_by_line(site, delay=delay)
    part(site, REDIS_REPLICA)
    await site.servers.valkey.kill()
    await follower(site).command("REPLICAOF", "NO", "ONE")
    lead(site, REDIS, follower(site))


async def _split(site: Site) -> None:
    await redis_by_line(site, delay=0.0)
    part(site, REDIS_REPLICA)
    await follower(site).command("REPLICAOF", "NO", "ONE")
    await asyncio.sleep(_WHILE)  # the old primary does not know, and takes its clients' writes
    lead(site, REDIS, follower(site))
    lead(site, REDIS_REPLICA, site.servers.valkey)


async def _restart_empty(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.kill()
    valkey.take_data(None)
    await valkey.start()
    await redis_recovered(site)


async def _restart_from_snapshot(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.command("CONFIG", "SET", "appendonly", "no")
    await valkey.save()
    site.proxies[REDIS].cut()  # who comes again learns that nothing is appended any more
    await asyncio.sleep(_WHILE)
    await valkey.kill()
    await valkey.start_from_snapshot()
    await redis_recovered(site)


async def _load_older_copy(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.save()
    await asyncio.sleep(_WHILE)
    await valkey.kill()
    await valkey.start_from_snapshot()
    await redis_recovered(site)


async def _append_again(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.command("CONFIG", "SET", "appendonly", "yes")

    async def rewritten() -> bool:
        info = as_bytes(await valkey.command("INFO", "persistence"))
        return b"aof_rewrite_in_progress:0" in info and b"aof_rewrite_scheduled:0" in info

    await until_true(rewritten, what="Valkey to begin its append-only file anew")


async def _flush(site: Site) -> None:
    await site.servers.valkey.command("FLUSHALL")


async def _evict(site: Site) -> None:
    """Whatever has an expiry goes, all at once: the neighbour has none."""
    valkey = site.servers.valkey
    await valkey.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    await valkey.command("CONFIG", "SET", "maxmemory-eviction-tenacity", 100)
    await leave_room(site, MARGIN)
    await valkey.command("EVAL", FILL, 0)

    async def evicted() -> bool:
        return await valkey.command("EVAL", f"return #redis.call('KEYS', '{_RECORDS}')", 0) == 0

    await until_true(evicted, what="Valkey to evict")
    await valkey.command("DEL", NEIGHBOUR)


async def _delete_oldest(site: Site) -> None:
    async def deleted() -> bool:
        return await site.servers.valkey.command("EVAL", _DELETE_OLDEST, 0) == 1

    await until_true(deleted, what="a record that can be deleted")


async def _nothing(site: Site) -> None:
    """What was lost is lost; the servers are as they were."""


def _fault(
    name: str,
    breaks: str,
    cause: Cause,
    inject: Change,
    heal: Change = _nothing,
    *,
    also: Mapping[str, frozenset[Report]] | None = None,
) -> Fault:
    return Fault(
        name=f"redis-{name}",
        breaks=breaks,
        probe="durability",
        report=Kind.LOST,
        ledger=True,
        cause=cause,
        inject=inject,
        heal=heal,
        also=also or {},
    )


_NO_REPLICA: Mapping[str, frozenset[Report]] = {
    "sync": frozenset({Reason.UNREACHABLE, Reason.INCONCLUSIVE, Reason.MISCONFIGURED, Kind.DIVERGED})
}

FAULTS = (
    _fault(
        "failover-50ms",
        "the primary dies, and its replica, which is 50 ms behind, is promoted",
        Cause.FAILOVER,
        partial(_fail_over, delay=0.05),
        redis_as_before,
        also=_NO_REPLICA,
    ),
    _fault(
        "failover-200ms",
        "the primary dies, and its replica, which is 200 ms behind, is promoted",
        Cause.FAILOVER,
        partial(_fail_over, delay=0.2),
        redis_as_before,
        also=_NO_REPLICA,
    ),
    _fault(
        "split-brain",
        "the replica is promoted while the old primary goes on to take writes; then clients are led to the new one",
        Cause.SPLIT_BRAIN,
        _split,
        redis_as_before,
        also={**_NO_REPLICA, "durability": frozenset({Kind.DIVERGED})},  # as long as both take writes
    ),
    _fault(
        "restarted-empty",
        "Redis comes back without its data, and so does the replica that copies it",
        Cause.EMPTY_RESTART,
        _restart_empty,
    ),
    _fault(
        "restarted-from-snapshot",
        "Redis is killed, and comes back with what it saved last (RDB, no append-only file)",
        Cause.CRASH_RESTART,
        _restart_from_snapshot,
        _append_again,
    ),
    _fault(
        "older-copy-loaded",
        "Redis, which appends every write to its file, is started with an older snapshot instead",
        Cause.RESTORE,
        _load_older_copy,
        _append_again,
    ),
    _fault("flushed", "somebody calls FLUSHALL", Cause.FLUSH, _flush),
    _fault(
        "records-evicted",
        "a neighbour fills the memory, and the policy, which nobody declared, takes whatever has an expiry",
        Cause.EVICTION,
        _evict,
        relieve,
    ),
    _fault("record-deleted", "somebody deletes the oldest record by hand", Cause.UNEXPLAINED, _delete_oldest),
)
