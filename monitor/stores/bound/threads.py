"""An application's conversations, written and read through the layers that its binding names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from monitor.bindings.model import Layer
from monitor.core.conversation import Transcript
from monitor.core.pages import Counted, Page
from monitor.core.payload import Message, Thread
from monitor.ports import Count, ThreadConnection
from monitor.stores.bound.api_threads import ApiThreadConnection
from monitor.stores.bound.context import Bound
from monitor.stores.bound.mixed import Mixed, through
from monitor.stores.bound.sql_threads import SqlThreadConnection


class BoundThreads:
    """An application's conversations."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    async def connect(self, label: str) -> ThreadConnection:
        """A new connection, or one for each of two layers."""
        way = self._bound.binding.threads_way
        if way is None:
            raise LookupError(f"the binding of environment {self._bound.ways.environment} has no threads")

        async def opened(layer: Layer) -> ThreadConnection:
            kind = ApiThreadConnection if layer == "api" else SqlThreadConnection
            return await kind.open(self._bound, label)

        return await through(way, opened, MixedThreadConnection)


class MixedThreadConnection(Mixed[ThreadConnection]):
    """Writes through one layer, and reads through another."""

    async def create(self, thread: Thread) -> None:
        """Store a new, empty conversation."""
        await self._writer.create(thread)

    async def append(self, thread: Thread, message: Message) -> None:
        """Append one message."""
        await self._writer.append(thread, message)

    async def append_again(self, thread: Thread, message: Message) -> None:
        """Send once more what appended a message."""
        await self._writer.append_again(thread, message)

    async def append_batch(
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Append several at once."""
        await self._writer.append_batch(thread, messages, before_commit=before_commit)

    async def append_and_roll_back(self, thread: Thread, message: Message) -> None:
        """Append one message and take it back."""
        await self._writer.append_and_roll_back(thread, message)

    async def edit(self, thread: Thread, message: Message) -> None:
        """Replace the content of a message."""
        await self._writer.edit(thread, message)

    async def delete_message(self, thread: Thread, message: Message) -> None:
        """Delete one message."""
        await self._writer.delete_message(thread, message)

    async def delete_thread(self, thread: Thread) -> None:
        """Delete a conversation."""
        await self._writer.delete_thread(thread)

    async def load(self, thread: Thread) -> Transcript:
        """Read a conversation back."""
        return await self._reader.load(thread)

    async def page(self, thread: Thread, *, after: Message | None, limit: int) -> Page:
        """Read a page."""
        return await self._reader.page(thread, after=after, limit=limit)

    async def newest_page(self, thread: Thread, *, limit: int) -> Page:
        """Read the last messages."""
        return await self._reader.newest_page(thread, limit=limit)

    async def count(self, user: str, threads: Sequence[UUID]) -> Mapping[UUID, Counted]:
        """Count what there is."""
        return await self._reader.count(user, threads)

    def watch(self, thread: Thread, messages: Sequence[Message]) -> AbstractAsyncContextManager[Count]:
        """A counter of how many of these messages are visible now."""
        return self._reader.watch(thread, messages)
