"""Conversations in Holdfast's own schema: the default binding of the probes that write threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import asyncpg

from monitor.core.conversation import Transcript
from monitor.core.payload import USERS, Message, Thread, synthetic_user
from monitor.core.record import Node
from monitor.core.residue import Broom, Instance
from monitor.core.verdict import Reason
from monitor.ports import Count, MissingError, Store, StoreError
from monitor.stores.postgres import Postgres

_INSERT_MESSAGE = (
    "INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
_COUNT_UP = "UPDATE holdfast.threads SET message_count = message_count + $2, updated_at = now() WHERE id = $1"
_BEGIN = (
    "BEGIN; SET LOCAL holdfast.user_id = '{user}'; SET LOCAL statement_timeout = {ms}; SET LOCAL lock_timeout = {ms}"
)
_BEGIN_SHOWN = (
    "BEGIN; SET LOCAL holdfast.user_id = 'holdfast-user-N'; SET LOCAL statement_timeout = …; SET LOCAL lock_timeout = …"
)

# Leftovers, as monitor.core.residue.Broom has it: of this daemon's earlier incarnations, then by age.
_RESIDUE = (
    " WHERE user_id = $1 AND ((instance LIKE $2 || '-%' AND instance <> $3)"
    " OR (instance = $3 AND created_at < clock_timestamp() - $4::interval)"
    " OR created_at < clock_timestamp() - $5::interval)"
)

STATEMENTS: Mapping[str, str] = {
    "insert_thread": "INSERT INTO holdfast.threads (id, instance, user_id, name, metadata) VALUES ($1, $2, $3, $4, $5)",
    "insert_message": _INSERT_MESSAGE,
    "count_messages": _COUNT_UP,
    "edit_message": "UPDATE holdfast.messages SET role = $2, type = $3, content = $4, metadata = $5 WHERE id = $1",
    "delete_message": "DELETE FROM holdfast.messages WHERE id = $1",
    "delete_thread": "DELETE FROM holdfast.threads WHERE id = $1",
    "load_thread": "SELECT id, user_id, name, metadata, message_count FROM holdfast.threads WHERE id = $1",
    "load_messages": (
        "SELECT id, seq, role, type, content, metadata FROM holdfast.messages WHERE thread_id = $1"
        " ORDER BY seq, created_at LIMIT $2"
    ),
    "watch": "SELECT count(*) FROM holdfast.messages WHERE thread_id = $1 AND seq BETWEEN $2 AND $3",
    "sweep_messages": "DELETE FROM holdfast.messages" + _RESIDUE,  # noqa: S608  both parts are constants
    "sweep_threads": "DELETE FROM holdfast.threads" + _RESIDUE,  # noqa: S608  the same
    "count_threads": "SELECT count(*) FROM holdfast.threads WHERE user_id = $1",
}
"""Every statement on conversations, by name."""

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "create_thread": (_BEGIN_SHOWN, STATEMENTS["insert_thread"], "COMMIT"),
    "append_message": (_BEGIN_SHOWN, STATEMENTS["insert_message"], STATEMENTS["count_messages"], "COMMIT"),
    "append_batch": (_BEGIN_SHOWN, STATEMENTS["insert_message"], STATEMENTS["count_messages"], "COMMIT"),
    "append_rolled_back": (_BEGIN_SHOWN, STATEMENTS["insert_message"], STATEMENTS["count_messages"], "ROLLBACK"),
    "edit_message": (_BEGIN_SHOWN, STATEMENTS["edit_message"], "COMMIT"),
    "delete_message": (_BEGIN_SHOWN, STATEMENTS["delete_message"], STATEMENTS["count_messages"], "COMMIT"),
    "delete_thread": (_BEGIN_SHOWN, STATEMENTS["delete_thread"], "COMMIT"),
    "load_thread": (_BEGIN_SHOWN, STATEMENTS["load_thread"], STATEMENTS["load_messages"], "COMMIT"),
    "watch_batch": (_BEGIN_SHOWN, STATEMENTS["watch"], "COMMIT"),
}
"""What a probe may ask for, and all that is then sent."""

SURPLUS = 1000  # rows more than any conversation of ours may have; a reload is bounded whatever a server returns


class OwnThreads:
    """Conversations in the schema `holdfast`, marked with this daemon's instance."""

    def __init__(self, postgres: Postgres, *, instance: Instance, statement_timeout: timedelta) -> None:
        self._postgres = postgres
        self._instance = instance.mark
        self._milliseconds = round(statement_timeout.total_seconds() * 1000)

    async def connect(self, label: str) -> OwnThreadConnection:
        """A new connection."""
        connection = await self._postgres.connect(label)
        return OwnThreadConnection(self._postgres, connection, instance=self._instance, milliseconds=self._milliseconds)


class OwnThreadConnection:
    """One connection. A write returns when its COMMIT was answered by COMMIT and touched what it had to touch."""

    def __init__(
        self, postgres: Postgres, connection: asyncpg.Connection[Any], *, instance: str, milliseconds: int
    ) -> None:
        self._postgres = postgres
        self._connection = connection
        self._instance = instance
        self._milliseconds = milliseconds
        self._broken = False

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._postgres.node(self._connection)

    async def close(self) -> None:
        """Really close it."""
        await self._postgres.close(self._connection, broken=self._broken)

    async def create(self, thread: Thread) -> None:
        """Store a new, empty conversation."""
        async with self._transaction(thread.user, sent_bytes=len(thread.metadata)):
            await self._change("insert_thread", thread.id, self._instance, thread.user, thread.name, thread.metadata)

    async def append(self, thread: Thread, message: Message) -> None:
        """Append one message in a transaction of its own."""
        async with self._transaction(thread.user, sent_bytes=_size(message)):
            await self._insert(thread, message)

    async def append_batch(
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]]
    ) -> None:
        """Append several messages in one transaction."""
        async with self._transaction(thread.user, sent_bytes=sum(map(_size, messages))):
            rows = [self._row(thread, message) for message in messages]
            with self._in_its_thread():
                await self._connection.executemany(STATEMENTS["insert_message"], rows)
            await self._change("count_messages", thread.id, len(messages))
            await before_commit()

    async def append_and_roll_back(self, thread: Thread, message: Message) -> None:
        """Append one message and take it back by ROLLBACK."""
        async with self._transaction(thread.user, sent_bytes=_size(message), end="ROLLBACK"):
            await self._insert(thread, message)

    async def edit(self, thread: Thread, message: Message) -> None:
        """Replace the content of the message with this id."""
        async with self._transaction(thread.user, sent_bytes=_size(message)):
            await self._change(
                "edit_message", message.id, message.role, message.type, message.content, message.metadata
            )

    async def delete_message(self, thread: Thread, message: Message) -> None:
        """Delete one message."""
        async with self._transaction(thread.user):
            await self._change("delete_message", message.id)
            await self._change("count_messages", thread.id, -1)

    async def delete_thread(self, thread: Thread) -> None:
        """Delete a conversation; its messages go with it by their foreign key."""
        async with self._transaction(thread.user):
            await self._change("delete_thread", thread.id)

    async def load(self, thread: Thread) -> Transcript:
        """Read a conversation back as its owner sees it."""
        async with self._transaction(thread.user):
            header = await self._connection.fetchrow(STATEMENTS["load_thread"], thread.id)
            expected = header["message_count"] if header else 0
            rows = await self._connection.fetch(STATEMENTS["load_messages"], thread.id, expected + SURPLUS)
        return Transcript(
            thread=None
            if header is None
            else Thread(id=header["id"], user=header["user_id"], name=header["name"], metadata=header["metadata"]),
            count=None if header is None else header["message_count"],
            messages=tuple(
                Message(
                    id=row["id"],
                    number=row["seq"],
                    role=row["role"],
                    type=row["type"],
                    content=row["content"],
                    metadata=row["metadata"],
                )
                for row in rows
            ),
            asked=f"as {thread.user}: {STATEMENTS['load_messages']} with $1 = '{thread.id}'",
        )

    @asynccontextmanager
    async def watch(self, thread: Thread, messages: Sequence[Message]) -> AsyncIterator[Count]:
        """A counter of how many of these messages are visible now; at READ COMMITTED each statement sees anew."""
        numbers = [message.number for message in messages]

        async def count() -> int:
            async with self._postgres.asked():
                return int(await self._connection.fetchval(STATEMENTS["watch"], thread.id, min(numbers), max(numbers)))

        async with self._transaction(thread.user):
            yield count

    @asynccontextmanager
    async def _transaction(self, user: str, *, sent_bytes: int = 0, end: str = "COMMIT") -> AsyncIterator[None]:
        """One transaction as a synthetic user, by SET LOCAL only, so that a pooler's next client inherits nothing."""
        self._broken = True  # until it has ended, nobody else may talk on this connection
        async with self._postgres.asked(sent_bytes=sent_bytes):
            await self._connection.execute(_BEGIN.format(user=user, ms=self._milliseconds))
            yield
        async with self._postgres.asked(committing=end == "COMMIT"):
            self._must_end(await self._connection.execute(end), end)
        self._broken = False

    def _must_end(self, tag: str, end: str) -> None:
        """PostgreSQL answers ROLLBACK to the COMMIT of a failed transaction, and nothing is raised.

        What a ROLLBACK is answered by matters little: the next reload tells whether it took everything back.
        """
        if end == "COMMIT" and tag != end:
            message = f"PostgreSQL at {self._postgres.address} answered {end} by {tag}: the transaction did not happen"
            raise StoreError(Reason.INCONCLUSIVE, message, store=Store.POSTGRES)

    async def _insert(self, thread: Thread, message: Message) -> None:
        with self._in_its_thread():
            await self._change("insert_message", *self._row(thread, message))
        await self._change("count_messages", thread.id, 1)

    @contextmanager
    def _in_its_thread(self) -> Iterator[None]:
        """The foreign key is the first to notice that a thread is not there."""
        try:
            yield
        except asyncpg.ForeignKeyViolationError:
            message = f"PostgreSQL at {self._postgres.address} took no message: its thread, once acknowledged, is gone"
            raise MissingError(message, store=Store.POSTGRES) from None

    def _row(self, thread: Thread, message: Message) -> tuple[object, ...]:
        spoken = (message.role, message.type, message.content, message.metadata)
        return (message.id, thread.id, self._instance, thread.user, message.number, *spoken)

    async def _change(self, statement: str, *arguments: object) -> None:
        """Run a statement that must touch exactly one row; else the server has not acknowledged what was asked."""
        tag = await self._connection.execute(STATEMENTS[statement], *arguments)
        if tag.endswith(" 1"):
            return
        message = (
            f"PostgreSQL at {self._postgres.address} answered {statement} by {tag!r}, where one row was expected:"
            " nothing was acknowledged"
        )
        if tag in {"UPDATE 0", "DELETE 0"}:
            raise MissingError(message, store=Store.POSTGRES)
        raise StoreError(Reason.INCONCLUSIVE, message, store=Store.POSTGRES)


def _size(message: Message) -> int:
    return len((message.content or "").encode()) + len(message.metadata.encode())


async def sweep_threads(postgres: Postgres, broom: Broom, *, dry_run: bool) -> int:
    """Remove leftover conversations. Returns how many rows went (or would go)."""

    async def sweep(connection: asyncpg.Connection[Any], user: str) -> int:
        own = (broom.instance.id, broom.instance.mark, broom.own_age, broom.any_age)
        tags = [
            await connection.execute(STATEMENTS[statement], user, *own)
            for statement in ("sweep_messages", "sweep_threads")
        ]
        return sum(int(tag.rsplit(" ", 1)[-1]) for tag in tags)

    return await _as_each_user(postgres, sweep, end="ROLLBACK" if dry_run else "COMMIT")


async def count_threads(postgres: Postgres) -> int:
    """How many synthetic conversations there are, of all instances."""

    async def count(connection: asyncpg.Connection[Any], user: str) -> int:
        return int(await connection.fetchval(STATEMENTS["count_threads"], user))

    return await _as_each_user(postgres, count, end="COMMIT")


async def _as_each_user(
    postgres: Postgres, work: Callable[[asyncpg.Connection[Any], str], Awaitable[int]], *, end: str
) -> int:
    """Do something as each synthetic user in turn, and add up what it returns.

    Row-level security is what fences it: a row of anybody else cannot even be seen.
    """
    connection = await postgres.connect("sweep")
    total, broken = 0, True
    try:
        async with postgres.asked():
            for number in range(USERS):
                user = synthetic_user(number)
                await connection.execute(_BEGIN.format(user=user, ms=60_000))
                total += await work(connection, user)
                await connection.execute(end)
        broken = False
    finally:
        await postgres.close(connection, broken=broken)
    return total
