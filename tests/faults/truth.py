"""What really happened to a store, found out beside Holdfast: by a client of its own, and by asking as superuser."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, pairwise
from time import monotonic
from typing import Any

import asyncpg
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitor.core.ledger.entries import Entry, Mark
from monitor.core.ledger.found import Written
from monitor.embedded.faults import Site
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.valkey import EmbeddedValkey
from monitor.ports import Durables, Place, Store, Writer
from monitor.stores.environment import LiveEnvironment
from tests.faults.detection import Span

_PERIOD = 0.005  # seconds between two writes of the client
_PATIENCE = 0.5  # seconds
_TABLE = "CREATE TABLE IF NOT EXISTS public.truth (n bigint)"
_INSERT = "INSERT INTO public.truth VALUES ($1)"
_LEDGER = "SELECT series || '/' || n FROM holdfast.ledger_records WHERE daemon = '{daemon}'"
_LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a server that went in the midst of a reset
    RedisError,
)


@dataclass(kw_only=True)
class Recorded:
    """What a store answered to the scribe, as it came over the wire.

    `acked` are the writes that the store said are written, and when that was heard; `broken` what it held instead each
    time when it said that it held something else, and how many writes it had acknowledged by then.
    """

    acked: list[tuple[Entry, float]] = field(default_factory=list)
    broken: list[tuple[Mark | None, int]] = field(default_factory=list)

    def lost_since(self, breaks: int) -> set[Mark]:
        """The acknowledged writes beyond what the store held, of which none of the first so many breaks had told."""
        lost = [self._beyond(held, until) for held, until in self.broken]
        return set().union(*lost[breaks:]) - set().union(*lost[:breaks])

    def _beyond(self, held: Mark | None, until: int) -> set[Mark]:
        return {entry.mark for entry, _ in self.acked[:until] if held is None or entry.mark.n > held.n}

    def longest_gap(self, *, since: int) -> float:
        """The longest time between two acknowledgements after the first so many, up to the first break or pause."""
        heard = [at for _, at in self.acked[max(0, since - 1) :]]
        gaps = sorted(later - earlier for earlier, later in pairwise(heard))
        return gaps[-2] if len(gaps) > 1 else 0.0  # the longest is the outage itself


class RecordingWriter:
    """A writer whose answers are recorded."""

    def __init__(self, writer: Writer, recorded: Recorded) -> None:
        self._writer = writer
        self._recorded = recorded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    async def write(self, entry: Entry, *, expected: Collection[Mark | None]) -> Written:
        """Write, and remember what was answered."""
        written = await self._writer.write(entry, expected=expected)
        if written.moved:
            self._recorded.acked.append((entry, monotonic()))
        else:
            self._recorded.broken.append((written.before, len(self._recorded.acked)))
        return written


class RecordingDurables:
    """A store whose writers record."""

    def __init__(self, durables: Durables, recorded: Recorded) -> None:
        self._durables = durables
        self._recorded = recorded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._durables, name)

    async def writer(self, label: str) -> RecordingWriter:
        """A new connection that records."""
        return RecordingWriter(await self._durables.writer(label), self._recorded)


class RecordedEnvironment(LiveEnvironment):
    """A live environment of which is known what its stores answered."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.recorded = {store: Recorded() for store in Store}

    def durables(self, store: Store) -> Any:
        """One of its stores, recorded."""
        return RecordingDurables(super().durables(store), self.recorded[store])


@dataclass(frozen=True, slots=True)
class Write:
    """One write of the client, in monotonic seconds."""

    n: int
    began: float
    ended: float


@dataclass(kw_only=True)
class Client:
    """Writes a number every few milliseconds by the same way as everybody, and remembers which were acknowledged."""

    site: Site
    store: Store
    acked: list[Write] = field(default_factory=list)
    failed: list[Write] = field(default_factory=list)

    async def prepare(self) -> None:
        """Make the table that it writes to."""
        await self.site.servers.postgres.sql(_TABLE)

    async def run(self) -> None:
        """Write until cancelled."""
        connection: Any = None
        try:
            for n in count(1):
                began = monotonic()
                try:
                    async with asyncio.timeout(_PATIENCE):
                        connection = connection or await self._connect()
                        await self._write(connection, n)
                    self.acked.append(Write(n, began, monotonic()))
                except _LOST:
                    self.failed.append(Write(n, began, monotonic()))
                    await self._drop(connection)
                    connection = None
                await asyncio.sleep(_PERIOD)
        finally:
            await self._drop(connection)

    async def _connect(self) -> Any:
        port = self.site.proxies[Place(self.store)].port
        if self.store is Store.REDIS:
            password = self.site.servers.valkey.password
            return Redis(port=port, password=password, retry=Retry(NoBackoff(), 0), single_connection_client=True)
        postgres = self.site.servers.postgres
        return await asyncpg.connect(postgres.superuser_dsn().replace(f":{postgres.port}/", f":{port}/"))

    async def _write(self, connection: Any, n: int) -> None:
        if self.store is Store.REDIS:
            await connection.rpush("truth", n)
        else:
            await connection.execute(_INSERT, n)

    async def _drop(self, connection: Any) -> None:
        if isinstance(connection, Redis):
            with suppress(*_LOST):
                await connection.aclose()
        elif connection is not None:
            connection.terminate()

    async def lost(self, *, since: int) -> list[Write]:
        """Its acknowledged writes, of those after the first so many, that the store does not have."""
        acked = self.acked[since:]
        held = await self._held()
        return [write for write in acked if write.n not in held]

    async def _held(self) -> set[int]:
        server = survivor(self.site, self.store)
        if isinstance(server, EmbeddedPostgres):
            return {int(n) for n in (await server.sql("SELECT n FROM public.truth")).split()}
        found = await server.command("LRANGE", "truth", 0, -1)
        assert isinstance(found, list)
        return {int(n) for n in found if isinstance(n, bytes)}

    def recovery_point(self, lost: list[Write]) -> Span:
        """From the last write before these to the last of these, as what they were sent and answered allows."""
        before = [write for write in self.acked if write.n < lost[0].n]
        after = [write.ended for write in (*self.acked, *self.failed) if write.n > lost[-1].n]
        kept = before[-1].began if before else lost[0].began
        return Span(max(0.0, lost[-1].began - lost[0].ended), min(after) - kept)

    def longest_outage(self, *, since: int) -> Span | None:
        """The longest time without an acknowledged write after the first so many in which one failed, if one did."""
        acked = self.acked[max(0, since - 1) :]
        failed = {write.n for write in self.failed}
        broken = [pair for pair in pairwise(acked) if not failed.isdisjoint(range(pair[0].n, pair[1].n))]
        if not broken:
            return None
        first, second = max(broken, key=lambda pair: pair[1].ended - pair[0].ended)
        return Span(max(0.0, second.began - first.ended), second.ended - first.began)


def survivor(site: Site, store: Store) -> EmbeddedPostgres | EmbeddedValkey:
    """The server to which clients are led now."""
    port = next(site.proxies[Place(store)]._ports)
    servers = site.servers
    (found,) = [
        server
        for server in (servers.postgres, servers.valkey, servers.postgres_replica, servers.valkey_replica)
        if server is not None and server.alive and server.port == port
    ]
    return found


async def records(site: Site, store: Store, *, environment: str, daemon: str) -> set[Mark]:
    """The marks of the records that the surviving server really has of a daemon's ledger."""
    server = survivor(site, store)
    if isinstance(server, EmbeddedPostgres):
        texts = (await server.sql(_LEDGER.format(daemon=daemon))).split()
    else:
        keys = await server.command("KEYS", f"holdfast:{environment}:{daemon}:record:*")
        assert isinstance(keys, list)
        texts = ["/".join(key.decode().split(":")[-2:]) for key in keys if isinstance(key, bytes)]
    return {mark for text in texts if (mark := Mark.parse(text)) is not None}


async def emptied(site: Site) -> None:
    """Nothing is left of what an earlier test wrote."""
    await site.servers.postgres.sql("TRUNCATE public.truth, holdfast.ledger_records, holdfast.ledger_registers")
    await site.servers.valkey.command("FLUSHALL")
