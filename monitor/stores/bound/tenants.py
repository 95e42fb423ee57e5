"""An application's users, and every path of its binding to what is theirs."""

from __future__ import annotations

from functools import cached_property

from monitor.core.payload import PROFILED, synthetic_user
from monitor.ports import Place, Store, TenantConnection, TenantKeys
from monitor.stores.bound.context import Bound
from monitor.stores.bound.sql_tenants import SqlTenantConnection
from monitor.stores.bound.tenant_keys import BoundTenantKeys
from monitor.stores.tenants import OwnTenants


class BoundTenants:
    """An application's users."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    @cached_property
    def users(self) -> int:
        """As many as have an account of their own, but for those whose profiles are for other probes."""
        return len({self._bound.identities.user(synthetic_user(number)) for number in range(PROFILED)})

    async def connect(self, label: str, *, place: Place | None = None) -> TenantConnection:
        """A new connection to its database or its API."""
        if place is not None and place.store is Store.API:
            from monitor.stores.bound.api_tenants import ApiTenantConnection  # noqa: PLC0415  only it needs HTTP

            return await ApiTenantConnection.open(self._bound, label)
        return await SqlTenantConnection.open(self._bound, label, place=place)

    async def connect_keys(self, label: str) -> TenantKeys:
        """A new connection to Redis: to the application's sessions, or where these are not bound to Holdfast's own."""
        redis = self._bound.binding.redis
        if redis is not None and redis.session is not None:
            return await BoundTenantKeys.of(self._bound, label)
        return await OwnTenants(self._bound.ways).connect_keys(label)
