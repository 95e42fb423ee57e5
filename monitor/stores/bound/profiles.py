"""An application's profiles, and what it caches of them."""

from __future__ import annotations

from monitor.bindings.model import Layer, Way
from monitor.core.document import Document
from monitor.core.payload import PROFILED, synthetic_user
from monitor.core.residue import key_of
from monitor.ports import Place, Store
from monitor.ports.profiles import CacheConnection, ProfileConnection
from monitor.stores.bound.api_profiles import ApiProfileConnection
from monitor.stores.bound.cache import BoundCacheConnection, cached_copies
from monitor.stores.bound.context import Bound
from monitor.stores.bound.documents import Translator
from monitor.stores.bound.mixed import Mixed, through
from monitor.stores.bound.sql_profiles import SqlProfileConnection


class BoundProfiles:
    """An application's profiles: of one user, who has one profile, in which each run writes its own document."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound
        self._translator = Translator(bound, synthetic_user(PROFILED))
        self._copies = cached_copies(bound, "profile", self._translator)

    def key(self, run_id: str, name: str) -> str:
        """The key of the user's cached copy, the same in every run."""
        if self._copies is not None:
            return self._copies.key(self._translator.user)
        return key_of(self._bound.ways.environment, self._bound.ways.instance, run_id, name, kind="cache")

    async def connect(self, label: str, *, place: Place | None = None) -> ProfileConnection:
        """A new connection by the way that the binding names, unless another place is named."""
        if place is not None:
            return await self._open(place, label)

        async def opened(layer: Layer) -> ProfileConnection:
            return await self._open(Place(Store(layer)), label)

        return await through(self._way, opened, MixedProfileConnection)

    async def _open(self, place: Place, label: str) -> ProfileConnection:
        if place.store is Store.API:
            return await ApiProfileConnection.open(self._bound, label, self._translator)
        return await SqlProfileConnection.open(self._bound, label, self._translator, place=place)

    @property
    def _way(self) -> Way:
        if (way := self._bound.binding.profile_way) is None:
            raise LookupError(f"the binding of environment {self._bound.ways.environment} has no profile")
        return way

    async def cache(self, label: str) -> CacheConnection:
        """A new connection to the cache. Raises LookupError where the binding names no key of it."""
        if self._copies is None:
            raise LookupError(f"the binding of environment {self._bound.ways.environment} has no redis.profile")
        return await BoundCacheConnection.of(self._bound, self._copies, label)


class MixedProfileConnection(Mixed[ProfileConnection]):
    """Writes through one layer, and reads through another."""

    async def insert(self, document: Document) -> None:
        """Store a new document."""
        await self._writer.insert(document)

    async def update(self, document: Document) -> None:
        """Put another version in its place."""
        await self._writer.update(document)

    async def remove(self, *documents: Document) -> None:
        """Delete documents."""
        await self._writer.remove(*documents)

    async def load(self, document: Document) -> Document | None:
        """The document that is read."""
        return await self._reader.load(document)
