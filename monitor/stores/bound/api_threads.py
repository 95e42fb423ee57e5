"""An application's conversations over its HTTP API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Self
from uuid import UUID

from monitor.core.conversation import Transcript
from monitor.core.pages import Counted, Page
from monitor.core.payload import Message, Thread
from monitor.core.record import Node
from monitor.ports import Count
from monitor.stores.bound.context import Bound


class ApiThreadConnection:
    """One connection."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    @classmethod
    async def open(cls, bound: Bound, label: str) -> Self:
        """A new connection."""
        raise NotImplementedError(label)

    async def node(self) -> Node:
        """The server at the other end."""
        raise NotImplementedError

    async def close(self) -> None:
        """Really close it."""
        raise NotImplementedError

    async def create(self, thread: Thread) -> None:
        """Store a new, empty conversation."""
        raise NotImplementedError

    async def append(self, thread: Thread, message: Message) -> None:
        """Append one message."""
        raise NotImplementedError

    async def append_again(self, thread: Thread, message: Message) -> None:
        """Send once more what appended a message."""
        raise NotImplementedError

    async def append_batch(
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Append several at once."""
        raise NotImplementedError

    async def append_and_roll_back(self, thread: Thread, message: Message) -> None:
        """Append one message and take it back."""
        raise NotImplementedError

    async def edit(self, thread: Thread, message: Message) -> None:
        """Replace the content of a message."""
        raise NotImplementedError

    async def delete_message(self, thread: Thread, message: Message) -> None:
        """Delete one message."""
        raise NotImplementedError

    async def delete_thread(self, thread: Thread) -> None:
        """Delete a conversation."""
        raise NotImplementedError

    async def load(self, thread: Thread) -> Transcript:
        """Read a conversation back."""
        raise NotImplementedError

    async def page(self, thread: Thread, *, after: Message | None, limit: int) -> Page:
        """Read a page."""
        raise NotImplementedError

    async def newest_page(self, thread: Thread, *, limit: int) -> Page:
        """Read the last messages."""
        raise NotImplementedError

    async def count(self, user: str, threads: Sequence[UUID]) -> Mapping[UUID, Counted]:
        """Count what there is."""
        raise NotImplementedError

    def watch(self, thread: Thread, messages: Sequence[Message]) -> AbstractAsyncContextManager[Count]:
        """A counter of how many of these messages are visible now."""
        raise NotImplementedError
