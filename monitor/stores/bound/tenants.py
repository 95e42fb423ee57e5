"""An application's users, and every path of its binding to what is theirs."""

from __future__ import annotations

from monitor.ports import Place, TenantConnection, TenantKeys
from monitor.stores.bound.context import Bound


class BoundTenants:
    """An application's users."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    async def connect(self, label: str, *, place: Place | None = None) -> TenantConnection:
        """A new connection to its database or its API."""
        raise NotImplementedError

    async def connect_keys(self, label: str) -> TenantKeys:
        """A new connection to Redis."""
        raise NotImplementedError
