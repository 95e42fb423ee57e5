"""What a burst watches besides its answers: how far the replicas are behind, and whom row-level security binds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Gauge(Protocol):
    """Connections to the primary of PostgreSQL, and to each of its replicas that answers."""

    @property
    def silent(self) -> Mapping[str, str]:
        """The replicas that do not tell how far they are, by name, and why."""

    async def unbound(self) -> str:
        """Why row-level security does not bind the role, in words; nothing where it does. Raises StoreError."""

    async def written(self) -> int:
        """The position in the log up to which the primary has made everything durable. Raises StoreError."""

    async def replayed(self) -> Mapping[str, int]:
        """The position up to which each replica has replayed that log; one that fails becomes silent."""

    async def close(self) -> None:
        """Really close them."""


class Gauges(Protocol):
    """What there is to watch."""

    async def connect(self, label: str) -> Gauge:
        """New connections. Raises StoreError where the primary cannot be asked."""
