"""Who replicates from whom, by which line, and where clients are led: what a failover changes, and how it is undone."""

from __future__ import annotations

from monitor.embedded.faults.fault import POOLER, POSTGRES, POSTGRES_REPLICA, REDIS, REDIS_REPLICA, Site
from monitor.embedded.faults.recovery import as_bytes, postgres_recovered, redis_recovered, until_true
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.process import EmbeddedError
from monitor.embedded.server import Server
from monitor.embedded.valkey import EmbeddedValkey
from monitor.ports import Place

_NO_REPLICAS = "these servers were started without replicas"


def standby(site: Site) -> EmbeddedPostgres:
    """The server at the place of PostgreSQL's replica."""
    if site.servers.postgres_replica is None:
        raise EmbeddedError(_NO_REPLICAS)
    return site.servers.postgres_replica


def follower(site: Site) -> EmbeddedValkey:
    """The server at the place of Redis' replica."""
    if site.servers.valkey_replica is None:
        raise EmbeddedError(_NO_REPLICAS)
    return site.servers.valkey_replica


def part(site: Site, place: Place) -> None:
    """Cut the line between a primary and this replica: what is on its way is lost, and nothing more gets through."""
    site.links[place].refuse = True
    site.links[place].cut()


def lead(site: Site, place: Place, server: Server) -> None:
    """Lead all who come to this place to another server, and end their connections to the one before."""
    site.proxies[place].lead_to(server.port)
    site.proxies[place].cut()
    if place == POSTGRES and site.servers.pgbouncer is not None:
        site.servers.pgbouncer.lead_to(server.port)


async def postgres_by_line(site: Site, *, delay: float) -> None:
    """PostgreSQL's replica receives changes so many seconds late; returns once it does, with all so far."""
    link, replica = site.links[POSTGRES_REPLICA], standby(site)
    link.delay = delay
    direct = f"{site.servers.postgres.superuser_dsn('')}?application_name=line"
    line = direct.replace(f":{site.servers.postgres.port}/", f":{link.port}/")
    await replica.sql(f"ALTER SYSTEM SET primary_conninfo = '{line}'; SELECT pg_reload_conf();")

    async def streams() -> bool:
        follows = "SELECT 1 FROM pg_stat_replication WHERE application_name = 'line' AND state = 'streaming'"
        return (await site.servers.postgres.sql(follows)).strip() == "1"

    await until_true(streams, what="PostgreSQL's replica to stream by the slow line")
    position = (await site.servers.postgres.sql("SELECT pg_current_wal_lsn()")).strip()

    async def arrived() -> bool:
        return (await replica.sql(f"SELECT pg_last_wal_receive_lsn() >= '{position}'")).strip() == "t"

    await until_true(arrived, what="what had been written before to arrive by the slow line")


async def redis_by_line(site: Site, *, delay: float) -> None:
    """The same of Redis' replica."""
    link = site.links[REDIS_REPLICA]
    link.delay = delay
    await follower(site).command("REPLICAOF", "127.0.0.1", link.port)
    await redis_recovered(site)
    position = await _offset(site.servers.valkey, b"master_repl_offset")

    async def arrived() -> bool:
        return await _offset(follower(site), b"slave_repl_offset") >= position

    await until_true(arrived, what="what had been written before to arrive by the slow line")


async def _offset(server: EmbeddedValkey, name: bytes) -> int:
    lines = as_bytes(await server.command("INFO", "replication")).splitlines()
    return next(int(line.partition(b":")[2]) for line in lines if line.startswith(name + b":"))


async def postgres_as_before(site: Site) -> None:
    """PostgreSQL as it was made: with all that the server has to which clients are led, which then is the primary."""
    servers, link = site.servers, site.links[POSTGRES_REPLICA]
    primary, replica = servers.postgres, standby(site)
    if replica.alive and (await replica.sql("SELECT pg_is_in_recovery()")).strip() == "f":
        await primary.stop()
        await replica.stop()  # in order, so that all is on disk that it has acknowledged
        await primary.put_data(replica.data)
    if not primary.alive:
        await primary.start()
    lead(site, POSTGRES, primary)
    link.refuse, link.delay = False, 0.0
    await renew_standby(site)
    lead(site, POSTGRES_REPLICA, replica)
    if servers.pgbouncer is not None:
        site.proxies[POOLER].lead_to(servers.pgbouncer.port)


async def renew_standby(site: Site) -> None:
    """A replica of PostgreSQL made anew, whatever the one before had become."""
    replica = standby(site)
    await replica.stop()
    await replica.put_data(None)
    await replica.start()
    await postgres_recovered(site)


async def redis_as_before(site: Site) -> None:
    """Redis as it was made: with all that the server has to which clients are led, which then is the primary."""
    servers, link = site.servers, site.links[REDIS_REPLICA]
    primary, replica = servers.valkey, follower(site)
    if b"role:master" in as_bytes(await replica.command("INFO", "replication")):
        await primary.stop()
        await replica.stop()
        primary.take_data(replica)
    for server in (primary, replica):
        if not server.alive:
            await server.start()
    lead(site, REDIS, primary)
    link.refuse, link.delay = False, 0.0
    await replica.command("REPLICAOF", "127.0.0.1", primary.port)
    lead(site, REDIS_REPLICA, replica)
    await redis_recovered(site)
