"""Many users at once, through a pooler or a pool."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from monitor.core.crowd import Answer
from monitor.ports.stores import Connection, Place


class CrowdConnection(Connection, Protocol):
    """One user's connection. A write returns once its COMMIT was acknowledged, or raises StoreError."""

    async def enter(self) -> None:
        """Begin a transaction that sets nothing, so that a server connection is this client's until it leaves."""

    async def dirt(self, *, expected: Collection[str], empty: Collection[str]) -> tuple[str, ...]:
        """Within it: what of the session is not as role and database set it, in words, without any values.

        Settings in `expected` may differ; those in `empty` must have no value.
        """

    async def leave(self) -> None:
        """End that transaction."""

    async def create(self, run_id: str, number: int, *, user: str) -> None:
        """Write a register of value 0."""

    async def add_one(self, run_id: str, number: int, *, user: str) -> None:
        """Count a register up. Raises MissingError where it is not there."""

    async def read(self, run_id: str, *, user: str, nonce: str) -> Answer:
        """Every register of the run that this user can see."""

    async def vanish(self, run_id: str, number: int, *, user: str) -> None:
        """Write a register, and drop the connection before COMMIT without a word."""

    async def forget(self, run_id: str, *, user: str) -> None:
        """Delete this user's registers of the run."""


class Crowd(Protocol):
    """Many users at once, through a pooler or a pool."""

    @property
    def place(self) -> Place:
        """The way that they take: the pooler where there is one, else the primary."""

    async def connect(self, label: str) -> CrowdConnection:
        """A new connection on that way."""
