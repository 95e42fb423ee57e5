"""Channels by which changes are pushed."""

from __future__ import annotations

from typing import Protocol

from monitor.ports.stores import Connection


class Publisher(Connection, Protocol):
    """The end of a channel from which messages are sent. Methods return once the store has acknowledged."""

    async def publish(self, *texts: str) -> None:
        """Publish messages; several of them in one transaction."""

    async def withdraw(self, text: str) -> None:
        """Publish a message in a transaction that is rolled back; nothing where the channel has none."""

    async def forget(self) -> None:
        """Delete what the channel keeps, if it keeps anything."""


class Subscriber(Connection, Protocol):
    """The end of a channel at which messages arrive; once it is there, its subscription was acknowledged."""

    async def falter(self) -> None:
        """Where a channel keeps messages: take one, vanish before it is acknowledged, and come back for it."""

    async def next(self, *, within: float) -> str | None:
        """The next message; None where none arrives within so many seconds."""

    async def rest(self) -> list[str]:
        """What was pushed until now and not yet taken. Raises StoreError where the connection has not lived."""


class Channel(Protocol):
    """One channel of one run, which nobody else listens to."""

    @property
    def name(self) -> str:
        """What people call it, such as LISTEN/NOTIFY."""

    @property
    def author(self) -> str:
        """A word that no other channel has."""

    def again(self) -> Channel:
        """Another channel of the same kind, for a second attempt."""

    async def publisher(self, label: str) -> Publisher:
        """A new connection; what the channel needs is made. It is opened before the subscriber's."""

    async def subscriber(self, label: str) -> Subscriber:
        """A new connection that listens."""


class Notices(Protocol):
    """Channels by which changes are pushed."""

    def channels(self, run_id: str) -> tuple[Channel, ...]:
        """One channel of each kind that the environment's stores have."""
