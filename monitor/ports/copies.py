"""Sources, and the places where a change must arrive."""

from __future__ import annotations

from typing import Protocol

from monitor.core.document import Cached, Document
from monitor.core.freshness import Look, Origin
from monitor.ports.stores import Connection, Place, Store


class Original(Connection, Protocol):
    """Where changes are made, and what knows the truth about them."""

    async def position(self) -> str:
        """A position at which all is done that was acknowledged by now; a copy that has applied it has all of that.

        It tells as well which server took it, so that a look can know that server again. Empty where nobody can say.
        """

    async def origin(self) -> Origin:
        """What tells whether another server holds the same data."""


class RowSource(Original, Protocol):
    """Where documents are written and read: rows, or an API before them.

    Every method returns once the store has acknowledged, or raises StoreError.
    """

    async def insert(self, document: Document) -> None:
        """Store a new document."""

    async def update(self, document: Document) -> None:
        """Put another version in the place of the one with this id."""

    async def remove(self, *documents: Document) -> None:
        """Delete documents."""

    async def load(self, document: Document) -> Document | None:
        """The document with this id, whatever its version; None where there is none."""


class CopySource(Original, Protocol):
    """The primary of Redis, a cache of documents."""

    async def put(self, key: str, document: Document) -> None:
        """Keep a copy under a key of our own."""

    async def peek(self, key: str) -> Cached:
        """What is under a key."""

    async def delete(self, *keys: str) -> None:
        """Delete keys of our own: this is how a cache is told that a copy is old."""


class Target(Connection, Protocol):
    """One place where a change has to arrive: a replica, a pooler, or a new connection to the primary."""

    async def look(self, document: Document, *, key: str, position: str) -> Look:
        """Which version of a document, or of its copy under a key, is there; and whether a position was applied.

        A replica that is in truth the server of the position says so. The position is asked for before the version, by
        a statement of its own.
        """

    async def origin(self) -> Origin:
        """What tells whether this server holds the same data as another."""


class Copies(Protocol):
    """Sources, and the places where a change must arrive."""

    def key(self, run_id: str, name: str) -> str:
        """The key of a copy of one run; no other daemon makes the same."""

    async def source(self, label: str) -> RowSource:
        """A new connection to where changes are made; `label` names the probe to whoever looks at the server."""

    async def witness(self, store: Store, label: str) -> RowSource:
        """A new connection to a store (other than Redis) by which it can be told what there is."""

    async def cache(self, label: str) -> CopySource:
        """A new connection to the primary of Redis. Raises LookupError where there is none.

        By the key `profile` it may be an application's own copy.
        """

    async def target(self, place: Place, label: str) -> Target:
        """A new connection to any place."""
