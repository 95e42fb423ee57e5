"""Canaries and ballast in Redis under Holdfast's own prefix, and what the server says of its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from monitor.core.eviction import EACH, Canary, Look, Memory, Policy
from monitor.core.residue import key_of
from monitor.core.verdict import Reason
from monitor.stores.encodings import acknowledged
from monitor.stores.keys import REMEMBER_SHOWN, KeyConnection
from monitor.stores.redis import Command, Reply, fields
from monitor.stores.ways import Ways

_LONGEST = 600.0  # seconds after which no run needs a canary any more
_BALLAST_LIFE = 60.0
_SECTIONS: tuple[Command, ...] = (("INFO", "server"), ("INFO", "memory"), ("INFO", "stats"))
_SECTIONS_SHOWN = tuple(" ".join(map(str, section)) for section in _SECTIONS)

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "memory": ("ECHO NONCE", *_SECTIONS_SHOWN),
    "plant_canaries": ("ECHO NONCE", *REMEMBER_SHOWN, *("SET {key} VALUE",) * EACH, *("SET {key} VALUE PX …",) * EACH),
    "press": ("ECHO NONCE", *REMEMBER_SHOWN, "SET {key} BALLAST PX …"),
    "look_at_canaries": ("ECHO NONCE", "MGET {key} …", *_SECTIONS_SHOWN),
    "remove_canaries": ("ECHO NONCE", "DEL {key} …", "ZREM {index} {key} …"),
}
"""What a probe may ask for, and the commands that are then sent."""


class OwnEvictions:
    """Holdfast's own keys in the memory that everybody shares."""

    def __init__(self, ways: Ways, *, policy: Policy | None) -> None:
        self._ways = ways
        self.policy: Policy | None = policy

    def canaries(self, run_id: str, *, life: float) -> tuple[Canary, ...]:
        """Some that never expire, and as many that live for so many seconds."""
        return tuple(
            Canary(key=self._key(run_id, f"{sort}-{letter}", kind="canary"), ttl=ttl)
            for sort, ttl in (("staying", None), ("expiring", life))
            for letter in ascii_lowercase[:EACH]
        )

    def ballast(self, run_id: str, number: int) -> str:
        """The key of one piece; names in keys have letters only."""
        high, low = divmod(number, len(ascii_lowercase))
        return self._key(run_id, f"piece-{ascii_lowercase[high]}{ascii_lowercase[low]}", kind="ballast")

    async def connect(self, label: str) -> OwnEvictionConnection:
        """A new connection to the primary."""
        return await OwnEvictionConnection.open(self._ways, label)

    def _key(self, run_id: str, name: str, *, kind: str) -> str:
        return key_of(self._ways.environment, self._ways.instance, run_id, name, kind=kind)


class OwnEvictionConnection(KeyConnection):
    """One connection; every pipeline carries a nonce."""

    async def memory(self) -> Memory:
        """What the server says of its memory."""
        return self._memory(await self.ask(*_SECTIONS))

    async def plant(self, canaries: Sequence[Canary]) -> None:
        """Write them in one pipeline, each with its expiry."""
        replies = await self.ask(
            *self.remember(*(canary.key for canary in canaries), ttl=_LONGEST),
            *(("SET", canary.key, canary.value, *_expiry(canary.ttl)) for canary in canaries),
            writing=True,
        )
        for reply in replies[-len(canaries) :]:
            acknowledged(reply, "a canary")

    async def press(self, key: str, amount: int) -> None:
        """Write ballast of so many bytes under a key, with an expiry."""
        *_, reply = await self.ask(
            *self.remember(key, ttl=_BALLAST_LIFE), ("SET", key, b"x" * amount, *_expiry(_BALLAST_LIFE)), writing=True
        )
        acknowledged(reply, "ballast")

    async def look(self, canaries: Sequence[Canary]) -> Look:
        """Read the canaries back, and then the server's memory."""
        values, *sections = await self.ask(("MGET", *(canary.key for canary in canaries)), *_SECTIONS)
        found = values if isinstance(values, list) else []
        return Look(
            values=tuple(value if isinstance(value, bytes) else None for value in found), memory=self._memory(sections)
        )

    async def ping(self) -> None:
        """Ask whether the server answers at all."""
        await self.ask(("PING",))

    def _memory(self, replies: list[Reply]) -> Memory:
        info = fields(replies)
        try:
            return Memory(
                address=self.connection.address,
                run_id=info["run_id"],
                maximum=int(info["maxmemory"]),
                used=int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict", 0)),
                policy=info["maxmemory_policy"],
                evicted=int(info["evicted_keys"]),
                expired=int(info["expired_keys"]),
            )
        except (KeyError, ValueError) as missing:
            raise self.connection.redis.error(
                Reason.MISCONFIGURED, f"INFO does not tell what is needed ({missing})"
            ) from None


def _expiry(ttl: float | None) -> Command:
    return () if ttl is None else ("PX", round(ttl * 1000))
