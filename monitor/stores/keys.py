"""Keys under Holdfast's own prefix: each in an index of this daemon, written before the key, until it is deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from time import time
from typing import Self

from monitor.core.record import Node
from monitor.core.residue import PREFIX, Broom, Instance, index_key, ledgers_key, records_key
from monitor.core.verdict import Reason
from monitor.ports import Place, Store, StoreError
from monitor.stores.redis import Command, Redis, RedisConnection, Reply
from monitor.stores.ways import Ways

_INDEX_LIFE_MS = 7 * 24 * 3600 * 1000  # the index of a daemon that never comes back vanishes by itself
_BATCH = 500

REMEMBER_SHOWN = ("ZADD {index} EXPIRY {key}", "PEXPIRE {index} …")
"""What stands before every write of a key, as `holdfast plan` shows it."""


class KeyConnection:
    """One connection to Redis, by which one kind of key is kept. Every pipeline carries a nonce."""

    def __init__(self, connection: RedisConnection, *, index: str) -> None:
        self.connection = connection
        self._index = index

    @classmethod
    async def open(cls, ways: Ways, label: str, *, place: Place | None = None) -> Self:
        """A new connection, to the primary unless another place is named. Raises StoreError."""
        redis = ways.primary_redis if place is None else ways.redis[place]
        return cls(await redis.connect(label), index=index_key(ways.environment, ways.instance.id))

    async def node(self) -> Node:
        """The server at the other end."""
        return await self.connection.node()

    async def close(self) -> None:
        """Really close it."""
        await self.connection.close()

    async def ask(self, *commands: Command, writing: bool = False) -> list[Reply]:
        """One pipeline; -> one reply for each command. Raises MisroutedError where the nonce is not ours."""
        return await self.connection.ask_with_nonce(*commands, writing=writing)

    def remember(self, *keys: str, ttl: float) -> tuple[Command, ...]:
        """The commands that put keys into the index, to stand before those that write them."""
        until = round(time() + ttl)
        pairs = (word for key in keys for word in (until, key))
        return ("ZADD", self._index, *pairs), ("PEXPIRE", self._index, _INDEX_LIFE_MS)

    async def delete(self, *keys: str) -> None:
        """Delete keys of our own, and forget them in the index."""
        await self.ask(("DEL", *keys), ("ZREM", self._index, *keys), writing=True)


async def sweep_keys(
    redis: Redis, broom: Broom, *, everybody: bool, dry_run: bool, patterns: Sequence[str] = ()
) -> int:
    """Remove leftover keys. Returns how many went (or would go).

    This daemon's are found in its index. `everybody` walks through the whole key space for those of all daemons of
    the environment: only people ask for that. `patterns` are of keys that are not under Holdfast's own prefix.
    """
    connection = await redis.connect("sweep")
    gone = 0
    try:
        everywhere = (f"{PREFIX}{broom.environment}:*", *patterns)
        async for found in _scanned(connection, everywhere) if everybody else _indexed(connection, broom):
            now = datetime.now(UTC)
            leftovers = [key for key in found if broom.takes(key, now)]
            gone += len(leftovers)
            if leftovers and not dry_run:
                forgotten = (("ZREM", index, key) for key in leftovers if (index := broom.index_of(key)))
                await connection.ask(("UNLINK", *leftovers), *forgotten, writing=True)
        return gone
    finally:
        await connection.close()


async def _indexed(connection: RedisConnection, broom: Broom) -> AsyncIterator[list[str]]:
    index = index_key(broom.environment, broom.instance.id)
    (found,) = await connection.ask(("ZRANGE", index, 0, -1))
    keys = _texts(found)
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]


async def _scanned(connection: RedisConnection, patterns: Sequence[str]) -> AsyncIterator[list[str]]:
    for pattern in patterns:
        cursor = b""
        while cursor != b"0":
            (reply,) = await connection.ask(("SCAN", cursor or b"0", "MATCH", pattern, "COUNT", 1000))
            match reply:
                case [bytes() as cursor, [*keys]]:
                    yield _texts(keys)
                case _:
                    raise StoreError(Reason.INCONCLUSIVE, f"Redis answered SCAN by {reply!r}", store=Store.REDIS)


def _texts(reply: Reply) -> list[str]:
    return (
        [item.decode("utf-8", "replace") for item in reply if isinstance(item, bytes)]
        if isinstance(reply, list)
        else []
    )


async def count_keys(redis: Redis, *, environment: str, instance: Instance) -> int:
    """How many keys of this daemon are there."""
    connection = await redis.connect("sweep")
    try:
        (count,) = await connection.ask(("ZCARD", index_key(environment, instance.id)))
        return count if isinstance(count, int) else 0
    finally:
        await connection.close()


async def remembered_keys(redis: Redis, *, environment: str) -> int:
    """How many records the ledgers of all daemons have there, which no sweep takes."""
    connection = await redis.connect("sweep")
    try:
        (ledgers,) = await connection.ask(("HGETALL", ledgers_key(environment)))
        daemons = _texts(ledgers)[::2]
        counts = await connection.ask(*(("ZCARD", records_key(environment, daemon)) for daemon in daemons))
        return sum(count for count in counts if isinstance(count, int))
    finally:
        await connection.close()
