"""Conversations in Holdfast's own schema: the default binding of the probes that write threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar
from uuid import UUID

import asyncpg

from monitor.core.conversation import Transcript
from monitor.core.pages import Counted, Page
from monitor.core.payload import Message, Thread
from monitor.ports import Count, MissingError, Store
from monitor.stores.rows import BEGIN_SHOWN, READ_COMMITTED_SHOWN, RowConnection
from monitor.stores.ways import Ways

_INSERT_MESSAGE = (
    "INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
_COUNT_UP = "UPDATE holdfast.threads SET message_count = message_count + $2, updated_at = now() WHERE id = $1"
_SELECT_MESSAGES = "SELECT id, seq, role, type, content, metadata FROM holdfast.messages WHERE thread_id = $1"
STATEMENTS: Mapping[str, str] = {
    "insert_thread": "INSERT INTO holdfast.threads (id, instance, user_id, name, metadata) VALUES ($1, $2, $3, $4, $5)",
    "insert_message": _INSERT_MESSAGE,
    "count_messages": _COUNT_UP,
    "edit_message": "UPDATE holdfast.messages SET role = $2, type = $3, content = $4, metadata = $5 WHERE id = $1",
    "delete_message": "DELETE FROM holdfast.messages WHERE id = $1",
    "delete_thread": "DELETE FROM holdfast.threads WHERE id = $1",
    "load_thread": "SELECT id, user_id, name, metadata, message_count FROM holdfast.threads WHERE id = $1",
    "load_messages": f"{_SELECT_MESSAGES} ORDER BY seq, created_at LIMIT $2",
    "page": f"{_SELECT_MESSAGES} AND seq > $2 ORDER BY seq LIMIT $3",
    "newest_page": f"{_SELECT_MESSAGES} ORDER BY seq DESC LIMIT $2",
    "count": (  # the ids go as text: what uuid[] is, asyncpg would have to ask the server first
        "SELECT wanted.id, header.message_count,"
        " (SELECT count(*) FROM holdfast.messages WHERE thread_id = wanted.id) AS messages"
        " FROM unnest($1::text[]::uuid[]) AS wanted (id) LEFT JOIN holdfast.threads AS header USING (id)"
    ),
    "watch": "SELECT count(*) FROM holdfast.messages WHERE thread_id = $1 AND seq BETWEEN $2 AND $3",
}
"""Every statement on conversations, by name."""

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "create_thread": (BEGIN_SHOWN, STATEMENTS["insert_thread"], "COMMIT"),
    "append_message": (BEGIN_SHOWN, STATEMENTS["insert_message"], STATEMENTS["count_messages"], "COMMIT"),
    "append_batch": (BEGIN_SHOWN, STATEMENTS["insert_message"], STATEMENTS["count_messages"], "COMMIT"),
    "append_rolled_back": (BEGIN_SHOWN, STATEMENTS["insert_message"], STATEMENTS["count_messages"], "ROLLBACK"),
    "edit_message": (BEGIN_SHOWN, STATEMENTS["edit_message"], "COMMIT"),
    "delete_message": (BEGIN_SHOWN, STATEMENTS["delete_message"], STATEMENTS["count_messages"], "COMMIT"),
    "delete_thread": (BEGIN_SHOWN, STATEMENTS["delete_thread"], "COMMIT"),
    "load_thread": (BEGIN_SHOWN, STATEMENTS["load_thread"], STATEMENTS["load_messages"], "COMMIT"),
    "page_thread": (BEGIN_SHOWN, STATEMENTS["page"], "COMMIT"),
    "newest_page": (BEGIN_SHOWN, STATEMENTS["newest_page"], "COMMIT"),
    "count_threads": (BEGIN_SHOWN, STATEMENTS["count"], "COMMIT"),
    "watch_batch": (READ_COMMITTED_SHOWN, STATEMENTS["watch"], "COMMIT"),
}
"""What a probe may ask for, and all that is then sent."""

SURPLUS = 1000  # rows more than any conversation of ours may have; a reload is bounded whatever a server returns


class OwnThreads:
    """Conversations in the schema `holdfast`, marked with this daemon's instance."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    async def connect(self, label: str) -> OwnThreadConnection:
        """A new connection."""
        return await OwnThreadConnection.open(self._ways, label)


class OwnThreadConnection(RowConnection):
    """One connection. A write returns when its COMMIT was answered by COMMIT and touched what it had to touch."""

    statements: ClassVar = STATEMENTS

    async def create(self, thread: Thread) -> None:
        """Store a new, empty conversation."""
        async with self.transaction(thread.user, sent_bytes=len(thread.metadata)):
            await self.change("insert_thread", thread.id, self.instance, thread.user, thread.name, thread.metadata)

    async def append(self, thread: Thread, message: Message) -> None:
        """Append one message in a transaction of its own."""
        async with self.transaction(thread.user, sent_bytes=_size(message)):
            await self._insert(thread, message)

    async def append_batch(
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Append several messages in one transaction."""
        async with self.transaction(thread.user, sent_bytes=sum(map(_size, messages))):
            rows = [self._row(thread, message) for message in messages]
            with self._in_its_thread():
                await self.connection.executemany(STATEMENTS["insert_message"], rows)
            await self.change("count_messages", thread.id, len(messages))
            if before_commit is not None:
                await before_commit()

    async def append_and_roll_back(self, thread: Thread, message: Message) -> None:
        """Append one message and take it back by ROLLBACK."""
        async with self.transaction(thread.user, sent_bytes=_size(message), end="ROLLBACK"):
            await self._insert(thread, message)

    async def append_again(self, thread: Thread, message: Message) -> None:
        """There is no key by which the server would know the request again. Raises NotImplementedError."""
        raise NotImplementedError

    async def edit(self, thread: Thread, message: Message) -> None:
        """Replace the content of the message with this id."""
        async with self.transaction(thread.user, sent_bytes=_size(message)):
            await self.change("edit_message", message.id, message.role, message.type, message.content, message.metadata)

    async def delete_message(self, thread: Thread, message: Message) -> None:
        """Delete one message."""
        async with self.transaction(thread.user):
            await self.change("delete_message", message.id)
            await self.change("count_messages", thread.id, -1)

    async def delete_thread(self, thread: Thread) -> None:
        """Delete a conversation; its messages go with it by their foreign key."""
        async with self.transaction(thread.user):
            await self.change("delete_thread", thread.id)

    async def load(self, thread: Thread) -> Transcript:
        """Read a conversation back as its owner sees it."""
        async with self.transaction(thread.user):
            header = await self.connection.fetchrow(STATEMENTS["load_thread"], thread.id)
            expected = header["message_count"] if header else 0
            rows = await self.connection.fetch(STATEMENTS["load_messages"], thread.id, expected + SURPLUS)
        return Transcript(
            thread=None
            if header is None
            else Thread(id=header["id"], user=header["user_id"], name=header["name"], metadata=header["metadata"]),
            count=None if header is None else header["message_count"],
            messages=tuple(map(_message, rows)),
            asked=_asked("load_messages", thread),
        )

    async def page(self, thread: Thread, *, after: Message | None, limit: int) -> Page:
        """Read the messages that follow one that was read, or the first ones, as many as `limit`, in their order."""
        async with self.transaction(thread.user):
            rows = await self.connection.fetch(STATEMENTS["page"], thread.id, after.number if after else 0, limit)
        return Page(messages=tuple(map(_message, rows)), asked=_asked("page", thread))

    async def newest_page(self, thread: Thread, *, limit: int) -> Page:
        """Read the last messages, as many as `limit`, the newest first."""
        async with self.transaction(thread.user):
            rows = await self.connection.fetch(STATEMENTS["newest_page"], thread.id, limit)
        return Page(messages=tuple(map(_message, rows)), asked=_asked("newest_page", thread))

    async def count(self, user: str, threads: Sequence[UUID]) -> Mapping[UUID, Counted]:
        """Count what there is of each of these conversations, all in one snapshot."""
        async with self.transaction(user):
            rows = await self.connection.fetch(STATEMENTS["count"], [str(thread) for thread in threads])
        return {row["id"]: Counted(header=row["message_count"], messages=row["messages"]) for row in rows}

    @asynccontextmanager
    async def watch(self, thread: Thread, messages: Sequence[Message]) -> AsyncIterator[Count]:
        """A counter of how many of these messages are visible now, each time by a new snapshot."""
        numbers = [message.number for message in messages]

        async def count() -> int:
            async with self.postgres.asked():
                return int(await self.connection.fetchval(STATEMENTS["watch"], thread.id, min(numbers), max(numbers)))

        async with self.transaction(thread.user, level="read committed"):
            yield count

    async def _insert(self, thread: Thread, message: Message) -> None:
        with self._in_its_thread():
            await self.change("insert_message", *self._row(thread, message))
        await self.change("count_messages", thread.id, 1)

    @contextmanager
    def _in_its_thread(self) -> Iterator[None]:
        """The foreign key is the first to notice that a thread is not there."""
        try:
            yield
        except asyncpg.ForeignKeyViolationError:
            message = f"PostgreSQL at {self.postgres.address} took no message: its thread, once acknowledged, is gone"
            raise MissingError(message, store=Store.POSTGRES) from None

    def _row(self, thread: Thread, message: Message) -> tuple[object, ...]:
        spoken = (message.role, message.type, message.content, message.metadata)
        return (message.id, thread.id, self.instance, thread.user, message.number, *spoken)


def _message(row: asyncpg.Record) -> Message:
    return Message(
        id=row["id"],
        number=row["seq"],
        role=row["role"],
        type=row["type"],
        content=row["content"],
        metadata=row["metadata"],
    )


def _asked(statement: str, thread: Thread) -> str:
    return f"as {thread.user}: {STATEMENTS[statement]} with $1 = '{thread.id}'"


def _size(message: Message) -> int:
    return len((message.content or "").encode()) + len(message.metadata.encode())
