"""Sessions in Redis under Holdfast's own prefix: the default binding of the probe `session`."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.expiry import Lease, Removals, Sight
from monitor.core.residue import key_of
from monitor.core.session import Session
from monitor.core.sightings import Look
from monitor.core.verdict import Reason
from monitor.ports import Declared, Discipline, Store, StoreError
from monitor.stores.encodings import ENCODINGS, Encoding, acknowledged
from monitor.stores.keys import REMEMBER_SHOWN, KeyConnection
from monitor.stores.redis import Reply, fields
from monitor.stores.ways import Ways

_SAVE = ("ECHO NONCE", "TIME", *REMEMBER_SHOWN)
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

    def __init__(self, ways: Ways, *, discipline: Discipline = "watch") -> None:
        self._ways = ways
        self._discipline: Discipline = discipline

    def under(self, discipline: Discipline) -> OwnSessions:
        """The same sessions, kept and changed in another way."""
        return OwnSessions(self._ways, discipline=discipline)

    declared: Declared | None = None

    def key(self, run_id: str, name: str, *, user: str) -> str:  # noqa: ARG002  the name says enough
        """The key of a session of one run."""
        return key_of(self._ways.environment, self._ways.instance, run_id, name, kind="session")

    async def connect(self, label: str) -> OwnSessionConnection:
        """A new connection."""
        opened = await OwnSessionConnection.open(self._ways, label)
        opened.encoding = ENCODINGS[self._discipline]
        return opened


class OwnSessionConnection(KeyConnection):
    """One connection; `encoding` says how a session is laid out and changed."""

    encoding: Encoding

    async def save(self, session: Session, *, ttl: float) -> Lease:
        """Store a session under its key, to expire after `ttl` seconds."""
        before, *_, answer, after = await self.ask(
            ("TIME",),
            *self.remember(session.key, ttl=ttl),
            *self.encoding.write(session, round(ttl * 1000)),
            ("TIME",),
            writing=True,
        )
        acknowledged(answer, "a session")
        return Lease(key=session.key, ttl=ttl, after=_seconds(before), before=_seconds(after))

    async def look(self, *keys: str) -> Look:
        """Read keys and their times to live, with the server's clock before and after."""
        before, *middle, after = await self.ask(
            ("TIME",),
            *(self.encoding.read(key) for key in keys),
            *(("PTTL", key) for key in keys),
            ("TIME",),
        )
        values = tuple(self.encoding.value(key, reply) for key, reply in zip(keys, middle, strict=False))
        remaining = middle[len(keys) :]
        return Look(
            values=values,
            sights=tuple(_sight(value, left, before, after) for value, left in zip(values, remaining, strict=True)),
        )

    async def touch(self, key: str, *, ttl: float) -> Lease:
        """Extend the life of a key, as sliding expiry does on each use."""
        before, _, after = await self.ask(("TIME",), ("PEXPIRE", key, round(ttl * 1000)), ("TIME",), writing=True)
        return Lease(key=key, ttl=ttl, after=_seconds(before), before=_seconds(after))

    async def increment(self, session: Session, counter: str) -> None:
        """Add one to a counter inside a stored session."""
        await self.encoding.increment(self.ask, session.key, counter)

    async def damage(self, key: str) -> None:
        """Overwrite part of a stored value of our own with rubbish, keeping its expiry."""
        await self.ask(self.encoding.damage(key), writing=True)

    async def removals(self) -> Removals:
        """How many keys the server has evicted and expired since its start."""
        info = fields(await self.ask(("INFO", "stats")))
        try:
            return Removals(evicted=int(info["evicted_keys"]), expired=int(info["expired_keys"]))
        except (KeyError, ValueError):
            message = f"Redis at {self.connection.address} does not tell evicted_keys and expired_keys in INFO stats"
            raise StoreError(Reason.MISCONFIGURED, message, store=Store.REDIS) from None


def _seconds(reply: Reply) -> float:
    if not isinstance(reply, list | tuple) or not all(isinstance(part, int | bytes) for part in reply):
        raise StoreError(Reason.INCONCLUSIVE, f"Redis answered TIME by {reply!r}", store=Store.REDIS)
    seconds, microseconds = (int(part) for part in reply if isinstance(part, int | bytes))
    return seconds + microseconds / 1_000_000


def _sight(value: bytes | None, left: Reply, before: Reply, after: Reply) -> Sight:
    remaining = left / 1000 if isinstance(left, int) and left >= 0 else None
    return Sight(after=_seconds(before), before=_seconds(after), present=value is not None, remaining=remaining)
