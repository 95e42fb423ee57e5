"""Conversations, as a probe asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from monitor.core.conversation import Transcript
from monitor.core.pages import Counted, Page
from monitor.core.payload import Message, Thread
from monitor.ports.stores import Connection

Count = Callable[[], Awaitable[int]]


class ThreadConnection(Connection, Protocol):
    """Conversations over one connection. Every method returns once the store has acknowledged, or raises StoreError."""

    async def create(self, thread: Thread) -> None:
        """Store a new, empty conversation."""

    async def append(self, thread: Thread, message: Message) -> None:
        """Append one message in a transaction of its own."""

    async def append_batch(
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Append several in one transaction; `before_commit` is awaited when all are sent and none is committed."""

    async def append_and_roll_back(self, thread: Thread, message: Message) -> None:
        """Append one message and take it back by ROLLBACK."""

    async def edit(self, thread: Thread, message: Message) -> None:
        """Replace the content of the message with this id."""

    async def delete_message(self, thread: Thread, message: Message) -> None:
        """Delete one message."""

    async def delete_thread(self, thread: Thread) -> None:
        """Delete a conversation and all its messages."""

    async def load(self, thread: Thread) -> Transcript:
        """Read a conversation back as its owner sees it."""

    async def append_again(self, thread: Thread, message: Message) -> None:
        """Send once more what appended a message, as a client does that got no answer. It must not be done twice."""

    async def page(self, thread: Thread, *, after: Message | None, limit: int) -> Page:
        """Read the messages that follow one that was read, or the first ones, as many as `limit`, in their order."""

    async def newest_page(self, thread: Thread, *, limit: int) -> Page:
        """Read the last messages, as many as `limit`, the newest first."""

    async def count(self, user: str, threads: Sequence[UUID]) -> Mapping[UUID, Counted]:
        """Count what there is of each of these conversations, all in one snapshot."""

    def watch(self, thread: Thread, messages: Sequence[Message]) -> AbstractAsyncContextManager[Count]:
        """A counter of how many of these messages are visible now, each time by a new snapshot."""


class Threads(Protocol):
    """The place where an environment keeps conversations."""

    async def connect(self, label: str) -> ThreadConnection:
        """A new connection; `label` names the probe to whoever looks at the server."""
