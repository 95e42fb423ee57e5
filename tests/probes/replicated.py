"""Servers with replicas and a pooler, and environments that know all of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from monitor.embedded.faults import addresses
from monitor.embedded.faults.fault import POOLER, POSTGRES, POSTGRES_REPLICA, REDIS, REDIS_REPLICA
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers
from monitor.ports import Place, Store
from tests.conftest import MakeSite, Site, in_database

__all__ = ["POOLER", "POSTGRES", "POSTGRES_REPLICA", "REDIS", "REDIS_REPLICA", "MakeSpread", "behind", "spread"]

MakeSpread = Callable[..., Awaitable[Site]]


def behind(proxy: TcpProxy, address: str, port: int) -> str:
    """The same address, through a proxy."""
    return address.replace(f":{port}/", f":{proxy.port}/")


async def caught_up(servers: Servers) -> None:
    """Wait until the replica of PostgreSQL has applied all that was written by now."""
    assert servers.postgres_replica is not None
    # What a SELECT has tidied up is written with the next commit, which may never come.
    position = (await servers.postgres.sql("SELECT pg_current_wal_flush_lsn()")).strip()
    await servers.postgres_replica.sql(
        f"DO $$ BEGIN WHILE pg_last_wal_replay_lsn() < '{position}' LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
    )


def spread(servers: Servers, database: str, make_site: MakeSite) -> MakeSpread:
    """Make an environment that knows every replica and the pooler, once the new database is everywhere.

    `changes` replace addresses by their places; None leaves a place out. Keywords go to `make_site`.
    """

    async def make(changes: Mapping[Place, str | None] | None = None, **more: Any) -> Site:
        await caught_up(servers)
        found: dict[Place, str | None] = {
            place: in_database(address, database) if place.store is Store.POSTGRES else address
            for place, address in addresses(servers).items()
        }
        found |= changes or {}
        own = {"postgres_dsn": found.pop(POSTGRES), "redis_url": found.pop(REDIS)}
        return await make_site(**{**own, "others": found, **more})

    return make
