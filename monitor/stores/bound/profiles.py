"""An application's profiles, and what it caches of them."""

from __future__ import annotations

from monitor.ports import Place
from monitor.ports.profiles import CacheConnection, ProfileConnection
from monitor.stores.bound.context import Bound


class BoundProfiles:
    """An application's profiles."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def key(self, run_id: str, name: str) -> str:
        """The key of a copy of one run."""
        raise NotImplementedError

    async def connect(self, label: str, *, place: Place | None = None) -> ProfileConnection:
        """A new connection to the rows."""
        raise NotImplementedError

    async def cache(self, label: str) -> CacheConnection:
        """A new connection to the cache."""
        raise NotImplementedError
