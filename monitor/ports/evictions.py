"""Keys that are watched while memory is short, as a probe asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from monitor.core.eviction import Canary, Look, Memory, Policy
from monitor.ports.stores import Connection


class EvictionConnection(Connection, Protocol):
    """Canaries and ballast over one connection. Every method raises StoreError."""

    async def memory(self) -> Memory:
        """What the server says of its memory."""

    async def plant(self, canaries: Sequence[Canary]) -> None:
        """Write them, each with its expiry."""

    async def press(self, key: str, amount: int) -> None:
        """Write ballast of so many bytes under a key, with an expiry."""

    async def look(self, canaries: Sequence[Canary]) -> Look:
        """Read the canaries back, and then the server's memory."""

    async def ping(self) -> None:
        """Ask whether the server answers at all."""

    async def delete(self, *keys: str) -> None:
        """Delete keys of our own."""


class Evictions(Protocol):
    """The memory of an environment's Redis."""

    @property
    def policy(self) -> Policy | None:
        """The memory policy that the environment declares; None where it declares none."""

    def canaries(self, run_id: str, *, life: float) -> tuple[Canary, ...]:
        """The canaries of one run: some that never expire, and some after so many seconds."""

    def ballast(self, run_id: str, number: int) -> str:
        """The key of one piece of a run's ballast."""

    async def connect(self, label: str) -> EvictionConnection:
        """A new connection to the primary."""
