"""What servers and networks do in production, done to real ones: each spell ends with everything up again.

None of it loses acknowledged data, so none of it may end in a violation.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from monitor.embedded.faults.fault import POSTGRES, POSTGRES_REPLICA, REDIS, REDIS_REPLICA
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.process import EmbeddedError
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.server import Server
from monitor.embedded.servers import Servers
from monitor.embedded.valkey import EmbeddedValkey
from monitor.ports import Place
from tests.system import until

BRIEF = 1.0
"""Seconds of an outage: beyond the patience of a step, within the deadline of five seconds that `sync` promises."""


@dataclass
class Sky:
    """The servers in their present roles, and the proxies by which the daemon reaches them."""

    servers: Servers
    proxies: Mapping[Place, TcpProxy]
    dice: random.Random
    primary: EmbeddedPostgres
    standby: EmbeddedPostgres
    cache: EmbeddedValkey
    cache_replica: EmbeddedValkey

    async def calm(self) -> None:
        """Wait until both replicas follow."""
        await until(self._streams, what="a standby that streams")
        await until(self._linked, what="a Redis replica that is linked")

    async def _streams(self) -> bool:
        with suppress(EmbeddedError):
            found = await self.primary.sql(
                "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
                " AND pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) < 65536"
            )
            return found.strip() == "1"
        return False

    async def _linked(self) -> bool:
        with suppress(EmbeddedError, OSError):
            role = await self.cache_replica.command("ROLE")
            return isinstance(role, list) and role[0] == b"slave" and role[3] == b"connected"
        return False


Spell = Callable[[Sky], Awaitable[None]]


async def _again(*servers: Server) -> None:
    await asyncio.gather(*(server.restart() for server in servers))


async def _crash(server: Server) -> None:
    await server.kill()
    await server.start()


async def _freeze(server: Server) -> None:
    server.pause()
    await asyncio.sleep(BRIEF)
    server.resume()


async def postgres_restarts(sky: Sky) -> None:
    """An orderly restart of the primary, as for an update."""
    await _again(sky.primary)


async def postgres_crashes(sky: Sky) -> None:
    """SIGKILL to the primary and all its backends; it recovers from its log."""
    await _crash(sky.primary)


async def postgres_freezes(sky: Sky) -> None:
    """The primary stands still, as a virtual machine that is moved."""
    await _freeze(sky.primary)


async def postgres_switches_over(sky: Sky) -> None:
    """The primary stops in order, its standby takes over, and it comes back as the standby."""
    await sky.calm()
    await sky.primary.stop()
    await sky.standby.promote()
    sky.proxies[POSTGRES].lead_to(sky.standby.port)
    sky.proxies[POSTGRES_REPLICA].lead_to(sky.primary.port)
    if sky.servers.pgbouncer is not None:
        sky.servers.pgbouncer.lead_to(sky.standby.port)
    await sky.primary.follow(sky.standby)
    sky.primary, sky.standby = sky.standby, sky.primary


async def redis_restarts(sky: Sky) -> None:
    """An orderly restart; the append-only file brings everything back."""
    await _again(sky.cache)


async def redis_crashes(sky: Sky) -> None:
    """SIGKILL; the append-only file brings everything back."""
    await _crash(sky.cache)


async def redis_freezes(sky: Sky) -> None:
    """Redis stands still, as behind a slow command."""
    await _freeze(sky.cache)


async def redis_switches_over(sky: Sky) -> None:
    """A coordinated FAILOVER: the replica is waited for, and takes over."""
    await sky.calm()
    await sky.cache.command("FAILOVER", "TO", "127.0.0.1", sky.cache_replica.port)
    await until(lambda: _is_primary(sky.cache_replica), what="a Redis replica that has taken over")
    sky.proxies[REDIS].lead_to(sky.cache_replica.port)
    sky.proxies[REDIS_REPLICA].lead_to(sky.cache.port)
    sky.proxies[REDIS].cut()
    sky.cache, sky.cache_replica = sky.cache_replica, sky.cache
    for server in (sky.cache, sky.cache_replica):
        await server.command("CONFIG", "REWRITE")  # so that a restart keeps the roles


async def _is_primary(server: EmbeddedValkey) -> bool:
    role = await server.command("ROLE")
    return isinstance(role, list) and role[0] == b"master"


async def replicas_restart(sky: Sky) -> None:
    """Both replicas are away for a moment."""
    await _again(sky.standby, sky.cache_replica)


async def replica_lags(sky: Sky) -> None:
    """The standby stops applying what it receives, for less than it may be late."""
    await sky.standby.sql("SELECT pg_wal_replay_pause()")
    await asyncio.sleep(BRIEF)
    await sky.standby.sql("SELECT pg_wal_replay_resume()")


async def pooler_restarts(sky: Sky) -> None:
    """PgBouncer is restarted: its clients are cut off."""
    if sky.servers.pgbouncer is not None:
        await _again(sky.servers.pgbouncer)


async def connections_are_cut(sky: Sky) -> None:
    """Every connection breaks, five times in a row, wherever a run is just then."""
    for _ in range(5):
        for proxy in sky.proxies.values():
            proxy.cut()
        await asyncio.sleep(sky.dice.uniform(0, 2 * BRIEF / 5))


async def connections_are_refused(sky: Sky) -> None:
    """A firewall refuses whoever comes."""
    for proxy in sky.proxies.values():
        proxy.refuse = True
    await asyncio.sleep(BRIEF)
    for proxy in sky.proxies.values():
        proxy.refuse = False


async def network_swallows(sky: Sky) -> None:
    """A black hole; afterwards the connections that were in it are gone."""
    for proxy in sky.proxies.values():
        proxy.blackhole = True
    await asyncio.sleep(BRIEF)
    for proxy in sky.proxies.values():
        proxy.blackhole = False
        proxy.cut()


async def network_is_slow(sky: Sky) -> None:
    """A line to another continent."""
    for proxy in sky.proxies.values():
        proxy.delay = 0.05
    await asyncio.sleep(3 * BRIEF)
    for proxy in sky.proxies.values():
        proxy.delay = 0.0


async def sessions_are_terminated(sky: Sky) -> None:
    """An administrator ends every session, again and again."""
    for _ in range(5):
        await sky.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'holdfast'")
        await sky.cache.command("CLIENT", "KILL", "TYPE", "normal")
        await asyncio.sleep(sky.dice.uniform(0, 2 * BRIEF / 5))


async def connections_run_out(sky: Sky) -> None:
    """The role may not log in any more, as where somebody else has taken all connections."""
    await sky.primary.sql("ALTER ROLE holdfast CONNECTION LIMIT 0")
    await asyncio.sleep(BRIEF)
    await sky.primary.sql("ALTER ROLE holdfast CONNECTION LIMIT -1")


async def redis_is_full(sky: Sky) -> None:
    """Memory is used up, and nothing may be evicted."""
    await sky.cache.command("CONFIG", "SET", "maxmemory", "1")
    await asyncio.sleep(BRIEF)
    await sky.cache.command("CONFIG", "SET", "maxmemory", "64mb")


async def transactions_fail(sky: Sky) -> None:
    """A fifth of all inserts ends in a serialization failure or a deadlock's error, as on a busy server."""
    await sky.primary.sql(
        """
        CREATE SCHEMA soak;
        CREATE FUNCTION soak.fails() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF random() < 0.1 THEN RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001'; END IF;
            IF random() < 0.1 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF;
            RETURN NEW;
        END
        $$;
        GRANT USAGE ON SCHEMA soak TO PUBLIC;
        CREATE TRIGGER soak BEFORE INSERT ON holdfast.threads FOR EACH ROW EXECUTE FUNCTION soak.fails();
        CREATE TRIGGER soak BEFORE INSERT ON holdfast.messages FOR EACH ROW EXECUTE FUNCTION soak.fails();
        CREATE TRIGGER soak BEFORE INSERT ON holdfast.registers FOR EACH ROW EXECUTE FUNCTION soak.fails();
        CREATE TRIGGER soak BEFORE INSERT ON holdfast.profiles FOR EACH ROW EXECUTE FUNCTION soak.fails();
        """
    )
    await asyncio.sleep(3 * BRIEF)
    await sky.primary.sql("SET client_min_messages = warning; DROP SCHEMA soak CASCADE")


async def deadlocks_happen(sky: Sky) -> None:
    """Somebody locks whole tables in the opposite order: real deadlocks, one of whose sides is a probe."""
    script = """
    SET deadlock_timeout = '5s';
    BEGIN; LOCK TABLE holdfast.threads IN SHARE MODE; SELECT pg_sleep(0.2);
    LOCK TABLE holdfast.messages IN SHARE MODE; COMMIT;
    """
    for _ in range(8):
        with suppress(EmbeddedError):  # then the other side was spared
            await sky.primary.sql(script)
        await asyncio.sleep(0.1)


async def pile_up(sky: Sky) -> None:
    """Several things at once, as on a bad day."""
    await asyncio.gather(connections_are_cut(sky), replica_lags(sky), sessions_are_terminated(sky))


SPELLS: tuple[Spell, ...] = (
    postgres_restarts,
    redis_restarts,
    connections_are_cut,
    postgres_switches_over,
    redis_switches_over,
    transactions_fail,
    deadlocks_happen,
    postgres_crashes,
    redis_crashes,
    replica_lags,
    replicas_restart,
    pooler_restarts,
    network_is_slow,
    network_swallows,
    connections_are_refused,
    sessions_are_terminated,
    connections_run_out,
    redis_is_full,
    postgres_freezes,
    redis_freezes,
    pile_up,
)
"""Every kind of weather; what is not here, and loses data, is in the catalogue of faults."""
