"""Users' profiles, and what is cached of them."""

from __future__ import annotations

from typing import Protocol

from monitor.core.document import Cached, Document
from monitor.ports.stores import Connection, Place


class ProfileConnection(Connection, Protocol):
    """One service's connection to the rows. Every method returns once that is acknowledged, or raises StoreError."""

    async def insert(self, document: Document) -> None:
        """Store a new document."""

    async def update(self, document: Document) -> None:
        """Put another version in the place of the one with this id."""

    async def remove(self, *documents: Document) -> None:
        """Delete documents."""

    async def load(self, document: Document) -> Document | None:
        """The document with this id, whatever its version; None where there is none."""


class CacheConnection(Connection, Protocol):
    """One service's connection to the cache."""

    async def put(self, key: str, document: Document) -> None:
        """Keep a copy under a key of our own."""

    async def peek(self, key: str) -> Cached:
        """What is under a key."""

    async def damage(self, key: str) -> None:
        """Overwrite part of a copy of our own with rubbish."""

    async def evictions(self) -> int:
        """How many keys the server has evicted since its start."""

    async def delete(self, *keys: str) -> None:
        """Delete keys of our own, as an eviction would, or whoever invalidates them."""


class Profiles(Protocol):
    """Users' profiles, and what is cached of them."""

    def key(self, run_id: str, name: str) -> str:
        """The key of a copy of one run; no other daemon makes the same."""

    async def connect(self, label: str, *, place: Place | None = None) -> ProfileConnection:
        """A new connection to the rows, to the primary unless another place is named."""

    async def cache(self, label: str) -> CacheConnection:
        """A new connection to the cache."""
