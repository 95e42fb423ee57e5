"""Waiting until servers have done what they were told, and until those behind them follow again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from monitor.embedded.faults.fault import Site
from monitor.embedded.process import POLL_SECONDS, EmbeddedError

PATIENCE_SECONDS = 30.0


async def until_true(condition: Callable[[], Awaitable[bool]], *, what: str) -> None:
    """Wait until a server is in some state; EmbeddedError, naming it, where that takes too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await condition():  # noqa: ASYNC110  what is waited for happens in another process
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise EmbeddedError(f"waited {PATIENCE_SECONDS:g} s in vain for {what}") from None


async def postgres_recovered(site: Site) -> None:
    """PostgreSQL runs and takes writes, its replica streams, and the pooler reaches it."""
    servers = site.servers
    primary = servers.postgres

    async def streams() -> bool:
        found = await primary.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
        return found.strip() == "1"

    if servers.postgres_replica is not None:
        await until_true(streams, what="PostgreSQL's replica to stream")
    if (pooler := servers.pgbouncer) is not None:
        await until_true(lambda: primary.reachable_at(pooler.port), what="PgBouncer to reach PostgreSQL")


async def redis_recovered(site: Site) -> None:
    """Valkey runs and takes writes, and its replica follows it."""
    replica = site.servers.valkey_replica
    if replica is None:
        return

    async def follows() -> bool:
        return b"master_link_status:up" in as_bytes(await replica.command("INFO", "replication"))

    await until_true(follows, what="Valkey's replica to follow")


def as_bytes(reply: object) -> bytes:
    """A reply of Redis that is a text."""
    return reply if isinstance(reply, bytes) else b""
