"""An application's profiles as sources of changes, and every layer where these must arrive."""

from __future__ import annotations

from monitor.ports import Place
from monitor.ports.copies import CopySource, RowSource, Target
from monitor.stores.bound.context import Bound


class BoundCopies:
    """An application's sources and targets."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def key(self, run_id: str, name: str) -> str:
        """The key of a copy of one run."""
        raise NotImplementedError

    async def source(self, label: str) -> RowSource:
        """A new connection to where changes are made."""
        raise NotImplementedError

    async def cache(self, label: str) -> CopySource:
        """A new connection to the primary of Redis."""
        raise NotImplementedError

    async def target(self, place: Place, label: str) -> Target:
        """A new connection to any place."""
        raise NotImplementedError
