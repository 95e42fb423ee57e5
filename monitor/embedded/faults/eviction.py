"""Faults of a Redis whose memory is short, or of which something else was declared than is the case."""

from __future__ import annotations

from collections.abc import Callable

from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.fault import REDIS, Change, Fault, Site, stop_rewriting
from monitor.embedded.faults.recovery import as_bytes, until_true
from monitor.ports import Store

_LAST_CANARY = b":expiring-d"
NEIGHBOUR = "neighbour"
MARGIN, _PRESSURE, _MOST_OF_A_DEMO = 4_000_000, 24_000_000, 16_000_000  # bytes
_OUTLIVES_CANARIES = 45_000  # milliseconds: what expires sooner than the neighbour goes before it, and nothing else
# Not SET: so many bytes on their way to the replica would take memory for as long as that takes, and not count.
FILL = f"redis.call('SETRANGE', '{NEIGHBOUR}', {_PRESSURE - 1}, 'x')"
_NEIGHBOURS = 24  # what goes is the first to expire of a sample: a single large key among few could go first by chance
_SAVE_AND_FILL = f"""
local saved = redis.call('SET', KEYS[1], unpack(ARGV))
for n = 1, {_NEIGHBOURS} do
    redis.call('SETRANGE', '{NEIGHBOUR}:' .. n, {_PRESSURE // _NEIGHBOURS - 1}, 'x')
    redis.call('PEXPIRE', '{NEIGHBOUR}:' .. n, {_OUTLIVES_CANARIES})
end
return saved
"""


def _before_a_neighbour(command: list[bytes]) -> list[bytes]:
    """As soon as the last canary is written, somebody else fills the memory that they share."""
    if command[0].upper() != b"SET" or _LAST_CANARY not in command[1]:
        return command
    return [b"EVAL", _SAVE_AND_FILL.encode(), b"1", *command[1:]]


async def leave_room(site: Site, amount: int) -> None:
    """So many bytes that count may still be written, and no more; what was deleted is waited for.

    What many clients took is given back when it pleases the server, and counts until then. A demo's data is small.
    """
    valkey, sizes = site.servers.valkey, dict[bytes, bytes]()

    async def freed() -> bool:
        lines = as_bytes(await valkey.command("INFO", "memory")).splitlines()
        sizes.update((name, size) for name, _, size in (line.partition(b":") for line in lines))
        return sizes[b"lazyfree_pending_objects"] == b"0"

    await until_true(freed, what="Valkey to free the memory of what was deleted")
    counted = int(sizes[b"used_memory"]) - int(sizes[b"mem_not_counted_for_evict"])
    await valkey.command("CONFIG", "SET", "maxmemory", min(counted, _MOST_OF_A_DEMO) + amount)


def pressing(rewrite: Callable[[list[bytes]], list[bytes]]) -> Change:
    """Little room, and of what has an expiry that goes first which expires the soonest; `rewrite` lets somebody in.

    It goes all at once: the default, a share of a millisecond at a time, is none on a busy machine.
    """

    async def press(site: Site) -> None:
        valkey = site.servers.valkey
        await valkey.command("CONFIG", "SET", "maxmemory-samples", 64)
        await valkey.command("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        await valkey.command("CONFIG", "SET", "maxmemory-eviction-tenacity", 100)
        await leave_room(site, MARGIN)
        site.proxies[REDIS].rewrite = rewrite

    return press


async def _fill(site: Site) -> None:
    await leave_room(site, MARGIN)
    await site.servers.valkey.command("EVAL", FILL, 0)


async def relieve(site: Site) -> None:
    """The neighbour is gone, and memory and policy are as they were."""
    await stop_rewriting(site)
    valkey = site.servers.valkey
    await valkey.command("DEL", NEIGHBOUR, *(f"{NEIGHBOUR}:{n + 1}" for n in range(_NEIGHBOURS)))
    await valkey.command("CONFIG", "SET", "maxmemory", valkey.maxmemory)
    await valkey.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await valkey.command("CONFIG", "SET", "maxmemory-samples", 5)
    await valkey.command("CONFIG", "SET", "maxmemory-eviction-tenacity", 10)


def _policy(name: str) -> Change:
    async def change(site: Site) -> None:
        await site.servers.valkey.command("CONFIG", "SET", "maxmemory-policy", name)

    return change


FAULTS = (
    Fault(
        name="canary-evicted-under-pressure",
        breaks="a neighbour fills the memory, and keys are evicted although noeviction is declared",
        probe="eviction",
        report=Kind.EVICTED,
        policy="noeviction",
        also={
            "session": frozenset({Kind.EVICTED, Reason.INCONCLUSIVE}),  # what lives shortest goes as well
            "eviction": frozenset({Reason.MISCONFIGURED}),  # whose canaries may all have survived this time
        },
        rounds=3,
        inject=pressing(_before_a_neighbour),
        heal=relieve,
    ),
    Fault(
        name="policy-changed-behind-the-back",
        breaks="the memory policy is not the declared one any more (CONFIG SET), and nothing has been evicted yet",
        probe="eviction",
        report=Reason.MISCONFIGURED,
        policy="noeviction",
        inject=_policy("allkeys-lru"),
        heal=relieve,
    ),
    Fault(
        name="full-and-still-answering-ping",
        breaks="Redis is filled up to maxmemory and may evict nothing: PING is answered, and writes are refused",
        probe="eviction",
        report=Reason.CAPACITY,
        everywhere=Store.REDIS,
        policy="noeviction",
        inject=_fill,
        heal=relieve,
    ),
)
