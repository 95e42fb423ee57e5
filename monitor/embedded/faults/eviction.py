"""Faults of a Redis whose memory is short, or of which something else was declared than is the case."""

from __future__ import annotations

from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.fault import REDIS, Change, Fault, Site, stop_rewriting
from monitor.ports import Store

_LAST_CANARY = b":expiring-d"
NEIGHBOUR = "neighbour"
MARGIN, _PRESSURE = 2_000_000, 6_000_000  # bytes
_OUTLIVES_CANARIES = 45_000  # milliseconds: what expires sooner than the neighbour goes before it, and nothing else
FILL = f"redis.call('SET', '{NEIGHBOUR}', string.rep('x', {_PRESSURE}))"
_SAVE_AND_FILL = f"""
local saved = redis.call('SET', KEYS[1], unpack(ARGV))
{FILL}
redis.call('PEXPIRE', '{NEIGHBOUR}', {_OUTLIVES_CANARIES})
return saved
"""


def _before_a_neighbour(command: list[bytes]) -> list[bytes]:
    """As soon as the last canary is written, somebody else fills the memory that they share."""
    if command[0].upper() != b"SET" or _LAST_CANARY not in command[1]:
        return command
    return [b"EVAL", _SAVE_AND_FILL.encode(), b"1", *command[1:]]


async def leave_room(site: Site, amount: int) -> None:
    """So many bytes may still be written, and no more."""
    valkey = site.servers.valkey
    info = await valkey.command("INFO", "memory")
    used = next(line for line in bytes(info).splitlines() if line.startswith(b"used_memory:"))  # type: ignore[arg-type]
    await valkey.command("CONFIG", "SET", "maxmemory", int(used.split(b":")[1]) + amount)


async def _press(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.command("CONFIG", "SET", "maxmemory-samples", 64)
    await valkey.command("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
    await leave_room(site, MARGIN)
    site.proxies[REDIS].rewrite = _before_a_neighbour


async def _fill(site: Site) -> None:
    await leave_room(site, MARGIN)
    await site.servers.valkey.command("EVAL", FILL, 0)


async def relieve(site: Site) -> None:
    """The neighbour is gone, and memory and policy are as they were."""
    await stop_rewriting(site)
    valkey = site.servers.valkey
    await valkey.command("DEL", NEIGHBOUR)
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
        inject=_press,
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
