"""Faults that keep a change from arriving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults.fault import POSTGRES_REPLICA, Fault, Site, by_rewriting, stop_rewriting
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.valkey import EmbeddedValkey

_POLL = 0.02  # seconds
_APPLIED = """
DO $$ BEGIN
    WHILE pg_last_wal_replay_lsn() < '{position}' LOOP PERFORM pg_sleep({poll}); END LOOP;
END $$;
"""


def _rows(site: Site) -> EmbeddedPostgres:
    if site.servers.postgres_replica is None:
        raise LookupError("this fault needs a replica of PostgreSQL")
    return site.servers.postgres_replica


def _keys(site: Site) -> EmbeddedValkey:
    if site.servers.valkey_replica is None:
        raise LookupError("this fault needs a replica of Valkey")
    return site.servers.valkey_replica


async def _rows_caught_up(site: Site) -> None:
    position = (await site.servers.postgres.sql("SELECT pg_current_wal_lsn()")).strip()
    await _rows(site).sql(_APPLIED.format(position=position, poll=_POLL))


async def _pause(site: Site) -> None:
    await _rows(site).sql("SELECT pg_wal_replay_pause()")


async def _resume(site: Site) -> None:
    await _rows(site).sql("SELECT pg_wal_replay_resume()")
    await _rows_caught_up(site)


async def _hold_back(site: Site) -> None:
    await _rows(site).sql("ALTER SYSTEM SET recovery_min_apply_delay = '2500ms'; SELECT pg_reload_conf();")


async def _let_go(site: Site) -> None:
    await _rows(site).sql("ALTER SYSTEM RESET recovery_min_apply_delay; SELECT pg_reload_conf();")
    await _rows_caught_up(site)


async def _spread_readers(site: Site) -> None:
    await _pause(site)
    site.proxies[POSTGRES_REPLICA].lead_to(site.servers.postgres.port, _rows(site).port)


async def _gather_readers(site: Site) -> None:
    site.proxies[POSTGRES_REPLICA].lead_to(_rows(site).port)
    await _resume(site)


async def _cut_off(site: Site) -> None:
    await _keys(site).command("REPLICAOF", "NO", "ONE")


async def _join_again(site: Site) -> None:
    await _keys(site).command("REPLICAOF", "127.0.0.1", site.servers.valkey.port)
    while not await _in_step(site):  # noqa: ASYNC110  another process tells, and only when it is asked
        await asyncio.sleep(_POLL)


async def _in_step(site: Site) -> bool:
    primary, replica = [
        dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
        for server in (site.servers.valkey, _keys(site))
        if isinstance(reply := await server.command("INFO", "replication"), bytes)
    ]
    if replica.get("master_link_status") != "up":
        return False
    return int(replica["slave_repl_offset"]) >= int(primary["master_repl_offset"])


def _elsewhere(key: bytes) -> bytes:
    return key + b"-elsewhere"


def _without_invalidation(command: list[bytes]) -> list[bytes]:
    """DEL of other keys, as an application that composes their names wrongly would send it."""
    if command and command[0].upper() == b"DEL":
        return [command[0], *(_elsewhere(key) if b":copy:" in key else key for key in command[1:])]
    return command


def _only_first_permissions() -> Callable[[list[bytes]], list[bytes]]:
    seen: set[bytes] = set()

    def rewrite(command: list[bytes]) -> list[bytes]:
        if not (command and command[0].upper() == b"SET" and b":copy:" in command[1]):
            return command
        key = command[1]
        if key not in seen or not key.endswith(b":permissions"):
            seen.add(key)
            return command
        return [command[0], _elsewhere(key), *command[2:]]

    return rewrite


async def _divert_permissions(site: Site) -> None:
    await by_rewriting(_only_first_permissions())(site)


FAULTS = (
    Fault(
        name="replication-paused",
        breaks="the replica of PostgreSQL receives changes and does not apply them (pg_wal_replay_pause)",
        probe="sync",
        report=Kind.DIVERGED,
        inject=_pause,
        heal=_resume,
        settings={"sync": {"deadline": "1500ms", "patience": "500ms"}},
    ),
    Fault(
        name="replica-lags",
        breaks="the replica of PostgreSQL applies changes 2.5 s after they were committed (recovery_min_apply_delay)",
        probe="sync",
        report=Kind.LATE,
        inject=_hold_back,
        heal=_let_go,
        settings={"sync": {"deadline": "1500ms", "patience": "3s"}},
    ),
    Fault(
        name="reader-endpoint-spreads-over-a-stale-replica",
        breaks="the address of the replica leads to a fresh server and to one that stands still, in turn",
        probe="sync",
        report=Kind.STALE,
        # Which server's turn it is depends on who else comes; and it may be the primary's every time.
        also={"sync": frozenset({Reason.INCONCLUSIVE, Reason.MISCONFIGURED})},
        rounds=4,
        inject=_spread_readers,
        heal=_gather_readers,
        settings={"sync": {"deadline": "1500ms", "patience": "500ms"}},
    ),
    Fault(
        name="redis-replica-cut-off",
        breaks="the replica of Valkey goes its own way (REPLICAOF NO ONE)",
        probe="sync",
        report=Kind.DIVERGED,
        also={"durability": frozenset({Kind.DIVERGED})},  # two take writes
        inject=_cut_off,
        heal=_join_again,
        settings={"sync": {"deadline": "1500ms", "patience": "500ms"}},
    ),
    Fault(
        name="cache-never-invalidated",
        breaks="whoever changes a row deletes another key of the cache than readers use (a proxy that rewrites DEL)",
        probe="sync",
        report=Kind.STALE,
        inject=by_rewriting(_without_invalidation),
        heal=stop_rewriting,
    ),
    Fault(
        name="permission-change-not-propagated",
        breaks="revoked permissions are written into the cache under another key than readers use (a proxy)",
        probe="sync",
        report=Kind.STALE,
        inject=_divert_permissions,
        heal=stop_rewriting,
    ),
)
