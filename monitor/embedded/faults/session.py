"""Faults that break sessions. Each touches only keys of sessions, so that no other promise breaks with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.eviction import FILL, NEIGHBOUR, pressing, relieve
from monitor.embedded.faults.fault import REDIS, Fault, by_editing, by_rewriting, stop_rewriting
from monitor.embedded.proxy import Edit, encode

Command = list[bytes]
_SESSION = b":session:"
_EXPIRY = 3  # the place of PX in SET key value PX n


def _without_expiry(command: Command) -> Command:
    """SET key value PX n, as a client with a forgotten argument would send it."""
    return command[:_EXPIRY] if _saves(command) else command


def _living(change: Callable[[int], int], command: Command) -> Command:
    """The same with another number of milliseconds."""
    if not _saves(command):
        return command
    return [*command[: _EXPIRY + 1], b"%d" % change(int(command[_EXPIRY + 1])), *command[_EXPIRY + 2 :]]


def _saves(command: Command) -> bool:
    return command[0].upper() == b"SET" and _SESSION in command[1] and command[_EXPIRY : _EXPIRY + 1] == [b"PX"]


def _forgetting_watch(command: Command) -> Command:
    """WATCH is answered by OK, and nothing is watched: so do proxies that share connections among clients."""
    return [b"UNWATCH"] if command[0].upper() == b"WATCH" and _SESSION in command[1] else command


def _of_another(command: Command) -> Command:
    """A cache that confuses keys with the same beginning."""
    if command[0].upper() != b"GET" or _SESSION not in command[1]:
        return command
    return [command[0], command[1].replace(b"-own", b"-other")]


def _shifted() -> tuple[Edit, Edit]:
    """Somebody else's request goes out first, once for each connection: from then on every reply is one too early."""
    shifted = False

    def there(data: bytes) -> bytes:
        nonlocal shifted
        if shifted or _SESSION not in data:
            return data
        shifted = True
        return encode([b"ECHO", b"the reply to somebody else"]) + data

    return there, bytes


_OUTLIVES_SESSIONS = 150_000  # milliseconds: of what expires the soonest goes first, so this goes last
_FILL_AND_READ = f"""
{FILL}
redis.call('PEXPIRE', '{NEIGHBOUR}', {_OUTLIVES_SESSIONS})
return redis.call('GET', KEYS[1])
"""


def _before_a_neighbour(command: Command) -> Command:
    """While a session is read, somebody else fills the memory that they share."""
    if command[0].upper() != b"GET" or _SESSION not in command[1]:
        return command
    return [b"EVAL", _FILL_AND_READ.encode(), b"1", command[1]]


FAULTS = (
    Fault(
        name="ttl-never-set",
        breaks="the expiry of every session is forgotten on its way (a proxy that rewrites commands)",
        probe="session",
        report=Kind.TTL_MISSING,
        inject=by_rewriting(_without_expiry),
        heal=stop_rewriting,
    ),
    Fault(
        name="session-expires-early",
        breaks="sessions are stored for half of their time to live (a proxy that rewrites commands)",
        probe="session",
        report=Kind.TTL_EARLY,
        inject=by_rewriting(partial(_living, lambda life: life // 2)),
        heal=stop_rewriting,
    ),
    Fault(
        name="session-never-expires",
        breaks="sessions are stored for a thousand times as long, as where milliseconds are taken for seconds",
        probe="session",
        report=Kind.TTL_LATE,
        inject=by_rewriting(partial(_living, lambda life: life * 1000)),
        heal=stop_rewriting,
    ),
    Fault(
        name="session-evicted",
        breaks="a neighbour fills the memory, and what expires soonest is evicted (maxmemory with volatile-ttl)",
        probe="session",
        report=Kind.EVICTED,
        also=dict.fromkeys(
            ("isolation", "notify", "profile", "sync"), frozenset({Reason.INCONCLUSIVE})
        ),  # their own keys go as well
        inject=pressing(_before_a_neighbour),
        heal=relieve,
    ),
    Fault(
        name="session-update-lost",
        breaks="WATCH is acknowledged and forgotten, as by a proxy that shares connections among clients",
        probe="session",
        report=Kind.LOST_UPDATE,
        inject=by_rewriting(_forgetting_watch),
        heal=stop_rewriting,
        settings={"session": {"updates": 25}},
    ),
    Fault(
        name="session-of-another-returned",
        breaks="a read of one session is answered by the session of another user (a proxy that confuses keys)",
        probe="session",
        report=Kind.LEAKED,
        inject=by_rewriting(_of_another),
        heal=stop_rewriting,
    ),
    Fault(
        name="replies-shifted-by-one",
        breaks="each connection of a session begins with the reply to somebody else's request, so that all are shifted",
        probe="session",
        report=Kind.MISROUTED,
        inject=by_editing(_shifted, at=REDIS),
        heal=stop_rewriting,
    ),
)
