"""Users, and every path to what is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.core.tenancy import Look, Tenant
from monitor.ports.stores import Connection, Place


class TenantConnection(Connection, Protocol):
    """Users over one connection to PostgreSQL, or to an application's API.

    Every method returns once it was acknowledged, or raises StoreError.
    """

    @property
    def left_out(self) -> tuple[str, ...]:
        """Which paths are not tried, or prove nothing, a sentence each: complete once all has been tried."""

    async def settle(self, tenant: Tenant) -> None:
        """Store one thing of every sort for a user, its secret in each, in one transaction."""

    async def look(self, tenants: Sequence[Tenant]) -> Look:
        """By every path, ask for the things of all as nobody, as each, and as nobody again.

        A pooler is not asked for what its server's catalogue says, nor for prepared statements.
        """

    async def tamper(self, tenants: Sequence[Tenant]) -> Look:
        """As each, and then as nobody, try to change what is everybody's.

        In PostgreSQL nothing of it is ever committed; an API is tried with things that are made for it.
        """

    async def clear(self, tenant: Tenant) -> None:
        """Delete everything of a user."""


class TenantKeys(Connection, Protocol):
    """Users over one connection to Redis. Every method returns once it was acknowledged, or raises StoreError."""

    @property
    def fenced(self) -> bool:
        """Whether it asks as a user that was made for it, which can be kept to its own keys."""

    async def settle(self, run_id: str, tenants: Sequence[Tenant]) -> None:
        """Store a session for each user, its secret in it."""

    async def look(self, run_id: str, tenants: Sequence[Tenant], *, fence: bool) -> Look:
        """As each, ask for its own key in every way; with `fence`, for a key that is not Holdfast's."""

    async def clear(self, run_id: str, tenants: Sequence[Tenant]) -> None:
        """Delete the sessions."""


class Tenants(Protocol):
    """The place where an environment keeps what belongs to users."""

    @property
    def users(self) -> int:
        """How many users it can tell apart, at least 2."""

    async def connect(self, label: str, *, place: Place | None = None) -> TenantConnection:
        """A new connection to the primary of PostgreSQL, or to the pooler or the API where that is named."""

    async def connect_keys(self, label: str) -> TenantKeys:
        """A new connection to Redis. Raises LookupError where the environment has none."""
