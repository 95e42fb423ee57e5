"""Copies of rows under an application's own keys: one for each user, as it keeps them itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol, Self

from monitor.bindings import CacheKeys
from monitor.core.document import Cached, Document, decode
from monitor.core.verdict import Json
from monitor.ports import Place
from monitor.stores.bound.context import Bound
from monitor.stores.bound.key_values import kept_by, word_for
from monitor.stores.copies import Keys
from monitor.stores.documents import CopyConnection
from monitor.stores.encodings import UNREADABLE, Kept
from monitor.stores.profiles import CacheConnection
from monitor.stores.redis import Command, Reply


class Translation(Protocol):
    """What an application's copy says of a document. `payload` is what stands in its place in the value."""

    def payload(self, document: Document) -> Json:
        """What is kept of a document."""

    def document(self, payload: Json) -> Document | None:
        """The document that this is; None where it is none, or is damaged."""


class Whole:
    """The document itself, as Holdfast keeps copies under its own prefix."""

    def payload(self, document: Document) -> Json:
        """Its id, user, version, digest and body."""
        return json.loads(document.encode())  # type: ignore[no-any-return]  # JSON it is

    def document(self, payload: Json) -> Document | None:
        """What has the digest that it says."""
        return decode(json.dumps(payload).encode()).document


class CachedCopies:
    """How copies of one kind lie in Redis: `profile` or `permissions` of a binding."""

    def __init__(self, bound: Bound, keys: CacheKeys, translation: Translation | None = None) -> None:
        self._bound = bound
        self.keys = keys
        self.kept: Kept = kept_by(keys)
        self._translation = translation or Whole()

    def key(self, user: str) -> str:
        """The key of a synthetic user's copy."""
        return self.keys.filled({"user_id": word_for(self._bound, user)})

    @property
    def life(self) -> float:
        """How long a copy lives, in seconds."""
        return self.keys.ttl.total_seconds()

    def write(self, key: str, document: Document) -> tuple[Command, ...]:
        """What keeps a copy."""
        words: Mapping[str, Json] = {"user_id": word_for(self._bound, document.user)}
        value = self.keys.envelope.seal(self._translation.payload(document), words)
        return self.kept.write(key, value, round(self.life * 1000))

    def cached(self, reply: Reply) -> Cached:
        """What a reply to `read` shows. What the application keeps beside the payload is its own affair."""
        if self.kept.raw(reply) is None:
            return Cached(present=False)
        try:
            found = self._translation.document(self.keys.envelope.open(self.kept.value(reply)))
        except UNREADABLE:
            found = None
        return Cached(present=True, document=found)


class _Bound(CopyConnection):
    """One connection; no copy is in the index, for there are two keys only, and they are known."""

    copies: CachedCopies

    @classmethod
    async def of(cls, bound: Bound, copies: CachedCopies, label: str, *, place: Place | None = None) -> Self:
        """A new connection, to the primary unless another place is named. Raises StoreError."""
        opened = await cls.open(bound.ways, label, place=place)
        opened.copies = copies
        return opened

    def writing(self, key: str, document: Document) -> tuple[Command, ...]:
        """In the application's way."""
        return self.copies.write(key, document)

    def reading(self, key: str) -> Command:
        """In the application's way."""
        return self.copies.kept.read(key)

    def cached(self, reply: Reply) -> Cached:
        """As the application would."""
        return self.copies.cached(reply)

    async def delete(self, *keys: str) -> None:
        """Delete keys of synthetic users."""
        await self.ask(("DEL", *keys), writing=True)


class BoundCacheConnection(_Bound, CacheConnection):
    """The cache as `profile` asks for it."""

    async def damage(self, key: str) -> None:
        """Overwrite part of a copy of our own with rubbish, keeping its expiry."""
        await self.ask(self.copies.kept.damage(key), writing=True)


class BoundKeys(_Bound, Keys):
    """The cache, and replicas of it, as `sync` asks for them."""


def cached_copies(bound: Bound, kind: str, translation: Translation | None = None) -> CachedCopies | None:
    """How copies of a kind, `profile` or `permissions`, lie in Redis; None where the binding does not say it."""
    redis = bound.binding.redis
    keys = None if redis is None else {"profile": redis.profile, "permissions": redis.permissions}[kind]
    return None if keys is None else CachedCopies(bound, keys, translation)
