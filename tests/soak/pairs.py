"""A primary and its replica, of either store, that change places again and again while clients come by one address."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Any, ClassVar

from monitor.core.ledger.entries import Mark
from monitor.embedded.faults.fault import POSTGRES_REPLICA, REDIS_REPLICA, Site
from monitor.embedded.faults.recovery import as_bytes, until_true
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.process import read
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.server import Server
from monitor.embedded.valkey import EmbeddedValkey
from monitor.ports import Place, Store
from tests.soak import wire

LOG = """\
CREATE TABLE public.moves (mark text);
CREATE FUNCTION public.note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    'BEGIN INSERT INTO public.moves VALUES (NEW.mark); RETURN NEW; END';
CREATE TRIGGER note_move AFTER INSERT OR UPDATE ON holdfast.ledger_registers
    FOR EACH ROW EXECUTE FUNCTION public.note_move();
"""


class Pair(ABC):
    """The two servers of one store. The replica always receives by `link`, which can be late and can be parted."""

    store: ClassVar[Store]
    language: ClassVar[wire.Language]

    def __init__(self, site: Site, primary: Any, standby: Any, dice: random.Random) -> None:
        replica = POSTGRES_REPLICA if self.store is Store.POSTGRES else REDIS_REPLICA
        self.primary, self.standby = primary, standby
        self.way: TcpProxy = site.proxies[Place(self.store)]
        self.replica_way: TcpProxy = site.proxies[replica]
        self.link: TcpProxy = site.links[replica]
        self.wire = wire.Wire(language=self.language)
        self.wire.listen(self.way)
        self.site = site
        self.dice = dice

    async def fail_over(self, *, lag: float) -> None:
        """The primary dies, and the replica, which is so many seconds behind, takes over with what it has."""
        self.link.delay = lag
        if self.dice.random() < 0.7:  # else perhaps while no daemon lives
            await self._answered()
        await asyncio.sleep(lag + self.dice.uniform(0, 0.3))
        if self.dice.random() < 0.3:
            self.way.refuse = True  # nobody reaches it any more before it dies
            self.way.cut()
        self.link.refuse = True
        self.link.cut()
        await asyncio.sleep(self.dice.choice((0.0, lag)))  # what is acknowledged now is lost
        await self.primary.kill()
        await self.promote()
        self.lead()

    async def _answered(self) -> None:
        """Wait until some more writes are answered, if there is who writes."""
        before = len(self.wire.answered)
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                while len(self.wire.answered) < before + 3:  # noqa: ASYNC110  who writes tells nobody
                    await asyncio.sleep(0.01)

    async def crash(self) -> None:
        """The primary dies, and comes back with all that it acknowledged."""
        await self.primary.kill()
        await asyncio.sleep(self.dice.uniform(0, 0.3))
        await self.primary.start()

    def lead(self) -> None:
        """Lead clients to the replica, which is the primary from now on."""
        self.way.lead_to(self.standby.port)
        self.way.refuse = False
        self.way.cut()
        self.primary, self.standby = self.standby, self.primary

    async def rebuild(self) -> None:
        """Make a replica, anew, of what had been the primary."""
        self.link.lead_to(self.primary.port)
        self.link.cut()
        self.link.refuse, self.link.delay = False, 0.0
        await self.standby.stop()
        await self.follow()
        await self.calm()
        self.replica_way.lead_to(self.standby.port)
        self.replica_way.cut()

    @abstractmethod
    async def promote(self) -> None:
        """Make a primary of the replica."""

    @abstractmethod
    async def switch_over(self) -> None:
        """The replica takes over without any loss, if the servers are right."""

    @abstractmethod
    async def follow(self) -> None:
        """Start the stopped server as a replica, with a copy of all that the primary has."""

    @abstractmethod
    async def calm(self) -> None:
        """Wait until the replica receives."""

    @abstractmethod
    async def moves(self) -> set[Mark]:
        """The marks of all moves of registers that the primary has, noted in the same step as each."""

    @abstractmethod
    async def records(self) -> set[Mark]:
        """The marks of all records that the primary has."""


class PostgresPair(Pair):
    """PostgreSQL, with streaming replication."""

    store = Store.POSTGRES
    language = wire.POSTGRES
    primary: EmbeddedPostgres
    standby: EmbeddedPostgres

    async def promote(self) -> None:
        """Make a primary of the replica."""
        await self.standby.promote()

    async def switch_over(self) -> None:
        """The primary waits for its standby with each commit, and dies: all that it acknowledged is there as well."""
        await self.calm()
        await self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await self.primary.reload()
        self.way.cut()  # new sessions wait; old ones might not yet
        await self.fail_over(lag=0.02)

    async def follow(self) -> None:
        """A copy of the primary, which receives by the link."""
        await self.standby.put_data(await self.primary.back_up("copy"))
        direct = f"{self.primary.superuser_dsn('')}?application_name=line"
        line = direct.replace(f":{self.primary.port}/", f":{self.link.port}/")
        settings = self.standby.data / "postgresql.auto.conf"
        private = self.site.servers.private
        private.write(settings, f"{read(settings)}\nprimary_conninfo = '{line}'\n")
        private.write(self.standby.data / "standby.signal", "")
        await self.standby.start()

    async def calm(self) -> None:
        """Wait until it streams."""

        async def streams() -> bool:
            found = await self.primary.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'")
            return found.strip() == "1"

        await until_true(streams, what="PostgreSQL's replica to stream")

    async def moves(self) -> set[Mark]:
        """What the trigger noted."""
        return _marks((await self.primary.sql("SELECT mark FROM public.moves")).split())

    async def records(self) -> set[Mark]:
        """By the superuser."""
        found = await self.primary.sql("SELECT series || '/' || n FROM holdfast.ledger_records")
        return _marks(found.split())


class RedisPair(Pair):
    """Redis, with its asynchronous replication."""

    store = Store.REDIS
    language = wire.REDIS
    primary: EmbeddedValkey
    standby: EmbeddedValkey

    async def promote(self) -> None:
        """Make a primary of the replica."""
        await self.standby.command("REPLICAOF", "NO", "ONE")
        await self.standby.command("CONFIG", "REWRITE")  # so that it stays one when it is restarted

    async def switch_over(self) -> None:
        """A coordinated FAILOVER: the replica is waited for, and takes over."""
        await self.calm()
        await self.primary.command("FAILOVER", "TO", "127.0.0.1", self.standby.port)

        async def leads() -> bool:
            role = await self.standby.command("ROLE")
            return isinstance(role, list) and role[0] == b"master"

        await until_true(leads, what="Redis' replica to take over")
        await self.standby.command("CONFIG", "REWRITE")
        self.lead()

    async def follow(self) -> None:
        """A server with nothing, which then receives all by the link."""
        self.standby.take_data(None)
        await self.standby.start()
        await self.standby.command("REPLICAOF", "127.0.0.1", self.link.port)
        await self.standby.command("CONFIG", "REWRITE")

    async def calm(self) -> None:
        """Wait until both know of each other."""

        async def follows() -> bool:
            up = b"master_link_status:up" in as_bytes(await self.standby.command("INFO", "replication"))
            return up and b"state=online" in as_bytes(await self.primary.command("INFO", "replication"))

        await until_true(follows, what="Redis' replica to follow")

    async def moves(self) -> set[Mark]:
        """What the script was made to note."""
        found = await self.primary.command("LRANGE", wire.REDIS_LOG, 0, -1)
        assert isinstance(found, list)
        return _marks([each.decode() for each in found if isinstance(each, bytes)])

    async def records(self) -> set[Mark]:
        """By all keys."""
        found = await self.primary.command("KEYS", "holdfast:*:record:*")
        assert isinstance(found, list)
        return _marks(["/".join(key.decode().split(":")[-2:]) for key in found if isinstance(key, bytes)])


def _marks(texts: list[str]) -> set[Mark]:
    return {mark for text in texts if (mark := Mark.parse(text)) is not None}


def pairs(site: Site, dice: random.Random) -> tuple[Pair, ...]:
    """Both stores' servers."""
    servers = site.servers
    found: tuple[tuple[type[Pair], Server, Server | None], ...] = (
        (PostgresPair, servers.postgres, servers.postgres_replica),
        (RedisPair, servers.valkey, servers.valkey_replica),
    )
    return tuple(made(site, primary, standby, dice) for made, primary, standby in found)
