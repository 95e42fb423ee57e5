"""An application's users, and every path of its binding to what is theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from monitor.core.payload import PROFILED, synthetic_user
from monitor.core.record import Node
from monitor.core.tenancy import Look, Tenant
from monitor.ports import Place, Store, TenantConnection, TenantKeys
from monitor.stores.bound.context import Bound
from monitor.stores.bound.sql_tenants import SqlTenantConnection
from monitor.stores.bound.tenant_keys import BoundTenantKeys
from monitor.stores.tenants import OwnTenants

if TYPE_CHECKING:
    from monitor.stores.bound.api_tenants import ApiTenantConnection


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
        reader = await SqlTenantConnection.open(self._bound, label, place=place)
        way = self._bound.binding.threads
        return MixedTenantConnection(self._bound, reader, label) if way and way.write == "api" else reader

    async def connect_keys(self, label: str) -> TenantKeys:
        """A new connection to Redis: to the application's sessions, or where these are not bound to Holdfast's own."""
        redis = self._bound.binding.redis
        if redis is not None and redis.session is not None:
            return await BoundTenantKeys.of(self._bound, label)
        return await OwnTenants(self._bound.ways).connect_keys(label)


class MixedTenantConnection:
    """Rows over one connection, where the binding says that the API writes them."""

    def __init__(self, bound: Bound, reader: SqlTenantConnection, label: str) -> None:
        self._bound = bound
        self._reader = reader
        self._label = label

    @property
    def left_out(self) -> tuple[str, ...]:
        """The statements that cannot tell users apart, and the changes that nobody sees."""
        return self._reader.left_out

    async def node(self) -> Node:
        """The server that is read from."""
        return await self._reader.node()

    async def close(self) -> None:
        """Really close it."""
        await self._reader.close()

    async def settle(self, tenant: Tenant) -> None:
        """Store everything through the API; by a statement only a profile that the API does not have."""
        async with self._writer() as writer:
            await writer.settle(tenant)
            if writer.api.profile is None:
                await self._reader.settle_profile(tenant)

    async def look(self, tenants: Sequence[Tenant]) -> Look:
        """Ask for the rows."""
        return await self._reader.look(tenants)

    async def tamper(self, tenants: Sequence[Tenant]) -> Look:
        """Try to change the rows."""
        return await self._reader.tamper(tenants)

    async def clear(self, tenant: Tenant) -> None:
        """Delete everything of a user through the API."""
        async with self._writer() as writer:
            await writer.clear(tenant)

    @asynccontextmanager
    async def _writer(self) -> AsyncIterator[ApiTenantConnection]:
        from monitor.stores.bound.api_tenants import ApiTenantConnection  # noqa: PLC0415  only it needs HTTP

        writer = await ApiTenantConnection.open(self._bound, self._label)
        try:
            yield writer
        finally:
            await writer.close()
