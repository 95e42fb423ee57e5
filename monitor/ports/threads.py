"""Conversations, as a probe asks for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from monitor.core.conversation import Transcript
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
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]]
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

    def watch(self, thread: Thread, messages: Sequence[Message]) -> AbstractAsyncContextManager[Count]:
        """A counter of how many of these messages are visible now, each time by a new snapshot."""


class Threads(Protocol):
    """The place where an environment keeps conversations."""

    async def connect(self, label: str) -> ThreadConnection:
        """A new connection; `label` names the probe to whoever looks at the server."""
