"""Profiles in the schema `holdfast`, and a cache of them under our prefix."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.residue import key_of
from monitor.core.verdict import Reason
from monitor.ports import Place, Store, StoreError
from monitor.stores import documents
from monitor.stores.documents import CopyConnection, DocumentConnection
from monitor.stores.redis import fields
from monitor.stores.ways import Ways

ROWS: Mapping[str, tuple[str, ...]] = documents.ROWS
"""What a probe may ask of PostgreSQL, and all that is then sent."""
KEYS: Mapping[str, tuple[str, ...]] = {
    **documents.KEYS,
    "damage_copy": ("ECHO NONCE", "SETRANGE {key} 8 RUBBISH"),
    "evictions": ("ECHO NONCE", "INFO stats"),
}
"""The same of Redis."""


class CacheConnection(CopyConnection):
    """One connection to the cache of profiles and tool results."""

    async def damage(self, key: str) -> None:
        """Overwrite part of a copy of our own with rubbish, keeping its expiry."""
        await self.ask(("SETRANGE", key, 8, "\x00rubbish\xff"), writing=True)

    async def evictions(self) -> int:
        """How many keys the server has evicted since its start."""
        try:
            return int(fields(await self.ask(("INFO", "stats")))["evicted_keys"])
        except (KeyError, ValueError):
            message = f"Redis at {self.connection.address} does not tell evicted_keys in INFO stats"
            raise StoreError(Reason.MISCONFIGURED, message, store=Store.REDIS) from None


class OwnProfiles:
    """Profiles in the schema `holdfast`, and a cache of them under our prefix."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    def key(self, run_id: str, name: str) -> str:
        """The key of a copy of one run."""
        return key_of(self._ways.environment, self._ways.instance, run_id, name, kind="cache")

    async def connect(self, label: str, *, place: Place | None = None) -> DocumentConnection:
        """A new connection to the rows, to the primary unless another place is named."""
        return await DocumentConnection.open(self._ways, label, place=place)

    async def cache(self, label: str) -> CacheConnection:
        """A new connection to the cache."""
        return await CacheConnection.open(self._ways, label)
