"""Threads and their messages in PostgreSQL; both styles of the API stand on this.

Every statement that begins at a user has one guard, the WHERE that `_owner` makes. It is a parameter of the statement
and not a habit of its callers, so that a handler cannot forget it; the switches take it away.
"""
# ruff: noqa: S608 - what is put into a statement is a guard, a table or a number of this module, never a value

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from uuid_utils import uuid7

from examples.platform.answers import not_found
from examples.platform.database import Queries, Row
from examples.platform.switches import Switch, Switches

Role: TypeAlias = Literal["user", "assistant", "tool"]
MessageType: TypeAlias = Literal["user_query", "agent_thinking", "tool_result", "agent_completed"]

USUAL_TYPE: Mapping[Role, MessageType] = {
    "user": "user_query",
    "assistant": "agent_completed",
    "tool": "tool_result",
}


def new_thread_id() -> str:
    """An id for a thread; later ones are greater."""
    return f"thread_{uuid7().hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message that is not stored yet."""

    role: Role
    message_type: MessageType
    content: str
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Position:
    """Where an item stands among its like."""

    created_at: datetime
    id: str

    @classmethod
    def of(cls, row: Row) -> Position:
        """The place of a thread or a message."""
        return cls(row["created_at"], row["id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which part of a list is wanted: at most `limit` items that lie, in the list's order, between two others."""

    limit: int
    ascending: bool
    after: Position | None = None
    before: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Items in the order that was asked for, and whether there are more in that direction."""

    rows: Sequence[Row]
    more: bool


class Conversations:
    """What can be done with threads and messages. Another user's are not found."""

    def __init__(self, database: Queries, switches: Switches) -> None:
        self._database = database
        self._switches = switches

    def _owner(self, *bugs: Switch) -> str:
        """The guard: rows of user $1 only, unless one of these bugs is switched on."""
        return "$1::text IS NOT NULL" if self._switches.on(*bugs) else "threads.user_id = $1"

    @property
    def _readable(self) -> str:
        return self._owner(Switch.FORGETS_WHERE, Switch.TRUSTS_THE_PATH)

    @property
    def _writable(self) -> str:
        return self._owner(Switch.TRUSTS_THE_PATH)

    async def create(
        self, transaction: Queries, user: str, thread_id: str, *, name: str, metadata: Mapping[str, object]
    ) -> Row:
        """Store a new, empty thread."""
        return _one(
            await transaction.fetchrow(
                "INSERT INTO threads (user_id, id, name, metadata) VALUES ($1, $2, $3, $4) RETURNING *",
                *(user, thread_id, name, metadata),
            ),
            "thread",
        )

    async def threads(self, user: str, span: Span) -> Page:
        """A user's threads."""
        return await _page(self._database, "threads", self._owner(Switch.FORGETS_WHERE), user, span)

    async def thread(self, user: str, thread_id: str) -> Row:
        """One thread."""
        found = await self._database.fetchrow(
            f"SELECT * FROM threads WHERE {self._readable} AND id = $2", user, thread_id
        )
        return _one(found, "thread")

    async def change(self, user: str, thread_id: str, changes: Mapping[str, object]) -> Row:
        """Set name, metadata, is_active, or some of them; -> the thread after it."""
        changed = await self._database.fetchrow(
            "UPDATE threads SET name = coalesce($3, name), metadata = coalesce($4, metadata),"
            " is_active = coalesce($5, is_active), updated_at = clock_timestamp()"
            f" WHERE {self._writable} AND id = $2 RETURNING *",
            *(user, thread_id, *map(changes.get, ("name", "metadata", "is_active"))),
        )
        return _one(changed, "thread")

    async def delete(self, user: str, thread_id: str) -> None:
        """Delete a thread with its messages."""
        gone = f"DELETE FROM threads WHERE {self._writable} AND id = $2 RETURNING id"
        _one(await self._database.fetchrow(gone, user, thread_id), "thread")

    async def append(
        self, transaction: Queries, user: str, thread_id: str, drafts: Sequence[Draft]
    ) -> tuple[str, list[Row]]:
        """Store messages at the end of a thread, in this order; -> the thread's owner, and the messages.

        The first statement holds the thread until the transaction ends, so that of two writers the second sees the
        last message of the first, and begins after it even where the server's clock went back.
        """
        thread = await transaction.fetchrow(
            f"UPDATE threads SET updated_at = clock_timestamp() WHERE {self._writable} AND id = $2 RETURNING user_id",
            *(user, thread_id),
        )
        owner: str = _one(thread, "thread")["user_id"]
        rows = await transaction.fetch(
            "WITH start AS MATERIALIZED (SELECT greatest(clock_timestamp(), max(created_at) + interval '1 microsecond')"
            " AS moment FROM messages WHERE thread_id = $1)"
            " INSERT INTO messages (thread_id, id, role, message_type, content, metadata, created_at)"
            " SELECT $1, id, role, message_type, content, metadata, moment + place * interval '1 microsecond'"
            " FROM start, unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])"
            " WITH ORDINALITY AS draft (id, role, message_type, content, metadata, place) RETURNING *",
            thread_id,
            [f"msg_{uuid7().hex}" for _ in drafts],
            [draft.role for draft in drafts],
            [draft.message_type for draft in drafts],
            [draft.content for draft in drafts],
            [draft.metadata for draft in drafts],
        )
        return owner, sorted(rows, key=lambda row: row["created_at"])

    async def messages(self, user: str, thread_id: str, span: Span) -> Page:
        """The messages of a thread."""
        await self.thread(user, thread_id)
        first_page_is_skipped = self._switches.on(Switch.LOSES_NEWEST_PAGE)
        return await _page(
            self._database,
            "messages",
            "thread_id = $1",
            thread_id,
            span,
            loses=span.limit if first_page_is_skipped else 0,
        )

    async def message(self, user: str, thread_id: str, message_id: str) -> Row:
        """One message of a thread."""
        found = await self._database.fetchrow(
            "SELECT messages.* FROM messages JOIN threads ON threads.id = thread_id"
            f" WHERE {self._readable} AND thread_id = $2 AND messages.id = $3",
            *(user, thread_id, message_id),
        )
        return _one(found, "message")

    async def change_message(self, user: str, thread_id: str, message_id: str, changes: Mapping[str, object]) -> Row:
        """Set role, message_type, content, metadata, or some of them; -> the message after it, with its owner."""
        changed = await self._database.fetchrow(
            "UPDATE messages SET role = coalesce($4, role), message_type = coalesce($5, message_type),"
            " content = coalesce($6, content), metadata = coalesce($7, messages.metadata) FROM threads"
            f" WHERE {self._writable} AND threads.id = thread_id AND thread_id = $2 AND messages.id = $3"
            " RETURNING messages.*, threads.user_id",
            *(user, thread_id, message_id, *map(changes.get, ("role", "message_type", "content", "metadata"))),
        )
        return _one(changed, "message")

    async def delete_message(self, user: str, thread_id: str, message_id: str) -> Row:
        """Delete one message; -> what it was, with its owner."""
        gone = await self._database.fetchrow(
            f"DELETE FROM messages USING threads WHERE {self._writable} AND threads.id = thread_id"
            " AND thread_id = $2 AND messages.id = $3 RETURNING messages.*, threads.user_id",
            *(user, thread_id, message_id),
        )
        return _one(gone, "message")


async def _page(queries: Queries, table: str, guard: str, whose: str, span: Span, *, loses: int = 0) -> Page:
    """A part of a table by its keys, so that a page stays where it is while rows come and go."""
    backwards = span.before is not None and span.after is None  # then the items next to `before` are wanted
    upwards = span.ascending is not backwards
    where = [guard]
    values: list[object] = [whose]
    for position, above in ((span.after, span.ascending), (span.before, not span.ascending)):
        if position is not None:
            where.append(f"(created_at, id) {'>' if above else '<'} (${len(values) + 1}, ${len(values) + 2})")
            values += [position.created_at, position.id]
    if loses:
        where.append(
            f"(created_at, id) < (SELECT created_at, id FROM {table} WHERE {guard}"
            f" ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET {loses - 1})"
        )
    direction = "ASC" if upwards else "DESC"
    rows = await queries.fetch(
        f"SELECT * FROM {table} WHERE {' AND '.join(where)}"
        f" ORDER BY created_at {direction}, id {direction} LIMIT {span.limit + 1}",
        *values,
    )
    kept = rows[: span.limit]
    return Page(rows=kept[::-1] if backwards else kept, more=len(rows) > span.limit)


def _one(row: Row | None, what: str) -> Row:
    if row is None:
        raise not_found(what)
    return row
