"""An application's profiles as sources of changes, and every layer where these must arrive."""

from __future__ import annotations

from typing import Self, TypeAlias

from monitor.core.document import Cached, Document
from monitor.core.freshness import Look, Origin, version_in
from monitor.core.payload import SYNCED, synthetic_user
from monitor.core.record import Node
from monitor.core.residue import key_of
from monitor.ports import Place, Store, Way
from monitor.stores.bound.api_profiles import ApiProfileConnection
from monitor.stores.bound.cache import CachedCopies, cached_copies
from monitor.stores.bound.context import Bound
from monitor.stores.bound.documents import Translator
from monitor.stores.bound.sql_profiles import SqlProfileConnection
from monitor.stores.copies import Keys

Layer: TypeAlias = SqlProfileConnection | ApiProfileConnection


class BoundCopies:
    """An application's sources and targets. What it does not keep in Redis is kept under our own prefix."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._translator = Translator(bound, synthetic_user(SYNCED))
        self._copies = cached_copies(bound, "profile", self._translator)

    def key(self, run_id: str, name: str) -> str:
        """The key of a copy: the user's own, or of one run."""
        if name == "profile" and self._copies is not None:
            return self._copies.key(self._translator.user)
        return key_of(self._bound.ways.environment, self._bound.ways.instance, run_id, name, kind="copy")

    async def source(self, label: str) -> Layer:
        """A new connection to where the binding writes."""
        if (way := self._bound.binding.profile_way) is None:
            raise LookupError(f"the binding of environment {self._bound.ways.environment} has no profile")
        return await self.witness(Store(way.write), label)

    async def witness(self, store: Store, label: str) -> Layer:
        """A new connection to the rows, or to the API."""
        return await self._layer(Place(store), label)

    async def cache(self, label: str) -> CacheKeys:
        """A new connection to the primary of Redis."""
        return await CacheKeys.of(self._bound, label, self._copies)

    async def target(self, place: Place, label: str) -> Layer | CachedProfile | Keys:
        """A new connection to any place; in the primary of Redis it is the application's own copy that is looked at."""
        if place.store is not Store.REDIS:
            return await self._layer(place, label)
        if place.way is Way.PRIMARY and self._copies is not None:
            return CachedProfile(await self.cache(label), self._translator)
        return await Keys.open(self._bound.ways, label, place=place)

    async def _layer(self, place: Place, label: str) -> Layer:
        if place.store is Store.API:
            return await ApiProfileConnection.open(self._bound, label, self._translator)
        return await SqlProfileConnection.open(self._bound, label, self._translator, place=place)


class CacheKeys(Keys):
    """One connection to Redis: copies under our own prefix, and the one under the application's key."""

    copies: CachedCopies | None
    theirs: str | None

    @classmethod
    async def of(cls, bound: Bound, label: str, copies: CachedCopies | None) -> Self:
        """A new connection to the primary. Raises StoreError."""
        opened = await cls.open(bound.ways, label)
        opened.copies = copies
        opened.theirs = None if copies is None else copies.key(synthetic_user(SYNCED))
        return opened

    async def put(self, key: str, document: Document) -> None:
        """Keep a copy."""
        if self.copies is None or key != self.theirs:
            await super().put(key, document)
        else:
            await self.ask(*self.copies.write(key, document), writing=True)

    async def peek(self, key: str) -> Cached:
        """What is under a key."""
        if self.copies is None or key != self.theirs:
            return await super().peek(key)
        (reply,) = await self.ask(self.copies.kept.read(key))
        return self.copies.cached(reply)

    async def delete(self, *keys: str) -> None:
        """Delete keys of synthetic users."""
        ours = [key for key in keys if key != self.theirs]
        if len(ours) < len(keys):
            await self.ask(("DEL", str(self.theirs)), writing=True)
        if ours:
            await super().delete(*ours)


class CachedProfile:
    """The application's own copy, as a place where a change must arrive."""

    def __init__(self, keys: CacheKeys, translator: Translator) -> None:
        self._keys = keys
        self._translator = translator

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._keys.node()

    async def close(self) -> None:
        """Really close it."""
        await self._keys.close()

    async def look(self, document: Document, *, key: str, position: str) -> Look:  # noqa: ARG002  there is one copy only
        """The version of the copy. Where there is none whoever asks is led to the row: nothing there is old."""
        cached = await self._keys.peek(str(self._keys.theirs))
        if not cached.present:
            return Look(version=document.version)
        return Look(version=version_in(cached.document, document))

    async def origin(self) -> Origin:
        """Whether documents of ours were found there."""
        return Origin(marks=(frozenset(), self._translator.shown_by(Place(Store.REDIS))))
