"""Sessions in Redis under Holdfast's own prefix: the default binding of the probe `session`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from secrets import token_hex
from time import time

from monitor.core.expiry import Lease, Removals, Sight
from monitor.core.record import Node
from monitor.core.residue import PREFIX, Broom, Instance, index_key, session_key
from monitor.core.session import Session
from monitor.core.sightings import Look
from monitor.core.verdict import Reason
from monitor.ports import Discipline, MisroutedError, Store, StoreError
from monitor.stores.encodings import ENCODINGS, Encoding, acknowledged
from monitor.stores.redis import Command, Redis, RedisConnection, Reply, fields

_INDEX_LIFE_MS = 7 * 24 * 3600 * 1000  # the index of a daemon that never comes back vanishes by itself
_BATCH = 500

_SAVE = ("ECHO NONCE", "TIME", "ZADD {index} EXPIRY {key}", "PEXPIRE {index} …")
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "save": (*_SAVE, "SET {key} VALUE PX …", "TIME"),
    "save_fields": (
        *_SAVE,
        "MULTI",
        "DEL {key}",
        "HSET {key} value VALUE counter:… 0",
        "PEXPIRE {key} …",
        "EXEC",
        "TIME",
    ),
    "look": ("ECHO NONCE", "TIME", "GET {key} …", "PTTL {key} …", "TIME"),
    "look_fields": ("ECHO NONCE", "TIME", "HGETALL {key} …", "PTTL {key} …", "TIME"),
    "touch": ("ECHO NONCE", "TIME", "PEXPIRE {key} …", "TIME"),
    "increment_watch": (
        *("ECHO NONCE", "WATCH {key}", "GET {key}"),
        *("ECHO NONCE", "MULTI", "SET {key} VALUE KEEPTTL", "EXEC"),
    ),
    "increment_lua": ("ECHO NONCE", "EVAL SCRIPT 1 {key} COUNTER"),
    "increment_fields": ("ECHO NONCE", "HEXISTS {key} value", "HINCRBY {key} counter:COUNTER 1"),
    "increment_naive": ("ECHO NONCE", "GET {key}", "ECHO NONCE", "SET {key} VALUE KEEPTTL"),
    "damage": ("ECHO NONCE", "SETRANGE {key} 8 RUBBISH"),
    "damage_fields": ("ECHO NONCE", "HSET {key} value RUBBISH"),
    "delete": ("ECHO NONCE", "DEL {key} …", "ZREM {index} {key} …"),
    "removals": ("ECHO NONCE", "INFO stats"),
}
"""What a probe may ask for, and the commands that are then sent; a WATCH that lost a race is tried again."""


class OwnSessions:
    """Sessions under `holdfast:ENVIRONMENT:INSTANCE:`, each in an index of this daemon until it is deleted.

    The index is written before the key, so that what a killed daemon leaves behind is found without a SCAN.
    """

    def __init__(self, redis: Redis, *, environment: str, instance: Instance, discipline: Discipline = "watch") -> None:
        self._redis = redis
        self._environment = environment
        self._instance = instance
        self._discipline: Discipline = discipline

    def under(self, discipline: Discipline) -> OwnSessions:
        """The same sessions, kept and changed in another way."""
        return OwnSessions(self._redis, environment=self._environment, instance=self._instance, discipline=discipline)

    def key(self, run_id: str, name: str) -> str:
        """The key of a session of one run."""
        return session_key(self._environment, self._instance, run_id, name)

    async def connect(self, label: str) -> OwnSessionConnection:
        """A new connection."""
        index = index_key(self._environment, self._instance.id)
        return OwnSessionConnection(await self._redis.connect(label), index=index, encoding=ENCODINGS[self._discipline])


class OwnSessionConnection:
    """One connection."""

    def __init__(self, connection: RedisConnection, *, index: str, encoding: Encoding) -> None:
        self._connection = connection
        self._index = index
        self._encoding = encoding

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._connection.node()

    async def close(self) -> None:
        """Really close it."""
        await self._connection.close()

    async def _ask(self, *commands: Command, writing: bool = False) -> list[Reply]:
        """One pipeline that carries a nonce. Raises MisroutedError where another one comes back."""
        nonce = token_hex(8)
        echoed, *replies = await self._connection.ask(("ECHO", nonce), *commands, writing=writing)
        if echoed != nonce.encode():
            raise MisroutedError(sent=nonce, received=repr(echoed)[:60], address=self._connection.address)
        return replies

    async def save(self, session: Session, *, ttl: float) -> Lease:
        """Store a session under its key, to expire after `ttl` seconds."""
        before, *_, answer, after = await self._ask(
            ("TIME",),
            ("ZADD", self._index, round(time() + ttl), session.key),
            ("PEXPIRE", self._index, _INDEX_LIFE_MS),
            *self._encoding.write(session, round(ttl * 1000)),
            ("TIME",),
            writing=True,
        )
        acknowledged(answer, "a session")
        return Lease(key=session.key, ttl=ttl, after=_seconds(before), before=_seconds(after))

    async def look(self, *keys: str) -> Look:
        """Read keys and their times to live, with the server's clock before and after."""
        before, *middle, after = await self._ask(
            ("TIME",),
            *(self._encoding.read(key) for key in keys),
            *(("PTTL", key) for key in keys),
            ("TIME",),
        )
        values = tuple(self._encoding.value(reply) for reply in middle[: len(keys)])
        remaining = middle[len(keys) :]
        return Look(
            values=values,
            sights=tuple(_sight(value, left, before, after) for value, left in zip(values, remaining, strict=True)),
        )

    async def touch(self, key: str, *, ttl: float) -> Lease:
        """Extend the life of a key, as sliding expiry does on each use."""
        before, _, after = await self._ask(("TIME",), ("PEXPIRE", key, round(ttl * 1000)), ("TIME",), writing=True)
        return Lease(key=key, ttl=ttl, after=_seconds(before), before=_seconds(after))

    async def increment(self, session: Session, counter: str) -> None:
        """Add one to a counter inside a stored session."""
        await self._encoding.increment(self._ask, session.key, counter)

    async def damage(self, key: str) -> None:
        """Overwrite part of a stored value of our own with rubbish, keeping its expiry."""
        await self._ask(self._encoding.damage(key), writing=True)

    async def delete(self, *keys: str) -> None:
        """Delete keys of our own, and forget them in the index."""
        await self._ask(("DEL", *keys), ("ZREM", self._index, *keys), writing=True)

    async def removals(self) -> Removals:
        """How many keys the server has evicted and expired since its start."""
        info = fields(await self._ask(("INFO", "stats")))
        try:
            return Removals(evicted=int(info["evicted_keys"]), expired=int(info["expired_keys"]))
        except (KeyError, ValueError):
            message = f"Redis at {self._connection.address} does not tell evicted_keys and expired_keys in INFO stats"
            raise StoreError(Reason.MISCONFIGURED, message, store=Store.REDIS) from None


def _seconds(reply: Reply) -> float:
    if not isinstance(reply, list | tuple) or not all(isinstance(part, int | bytes) for part in reply):
        raise StoreError(Reason.INCONCLUSIVE, f"Redis answered TIME by {reply!r}", store=Store.REDIS)
    seconds, microseconds = (int(part) for part in reply if isinstance(part, int | bytes))
    return seconds + microseconds / 1_000_000


def _sight(value: bytes | None, left: Reply, before: Reply, after: Reply) -> Sight:
    remaining = left / 1000 if isinstance(left, int) and left >= 0 else None
    return Sight(after=_seconds(before), before=_seconds(after), present=value is not None, remaining=remaining)


async def sweep_sessions(redis: Redis, broom: Broom, *, everybody: bool, dry_run: bool) -> int:
    """Remove leftover keys. Returns how many went (or would go).

    This daemon's are found in its index. `everybody` walks through the whole key space for those of all daemons of
    the environment: only people ask for that.
    """
    connection = await redis.connect("sweep")
    gone = 0
    try:
        async for found in _scanned(connection, broom) if everybody else _indexed(connection, broom):
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


async def _scanned(connection: RedisConnection, broom: Broom) -> AsyncIterator[list[str]]:
    pattern, cursor = f"{PREFIX}{broom.environment}:*", b"0"
    while True:
        (reply,) = await connection.ask(("SCAN", cursor, "MATCH", pattern, "COUNT", 1000))
        match reply:
            case [bytes() as cursor, [*keys]]:
                yield _texts(keys)
            case _:
                raise StoreError(Reason.INCONCLUSIVE, f"Redis answered SCAN by {reply!r}", store=Store.REDIS)
        if cursor == b"0":
            return


def _texts(reply: Reply) -> list[str]:
    return (
        [item.decode("utf-8", "replace") for item in reply if isinstance(item, bytes)]
        if isinstance(reply, list)
        else []
    )


async def count_sessions(redis: Redis, *, environment: str, instance: Instance) -> int:
    """How many keys of this daemon are there."""
    connection = await redis.connect("sweep")
    try:
        (count,) = await connection.ask(("ZCARD", index_key(environment, instance.id)))
        return count if isinstance(count, int) else 0
    finally:
        await connection.close()
