"""An application's conversations over SQL, by the statements of its binding."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

from monitor.bindings.returned import returned
from monitor.bindings.statements import Statement
from monitor.core.conversation import Transcript
from monitor.core.pages import Counted, Page
from monitor.core.payload import Message, Thread
from monitor.core.verdict import Reason
from monitor.ports import Count, MissingError, Store, StoreError
from monitor.stores.bound.context import Bound
from monitor.stores.bound.identities import Things
from monitor.stores.bound.proof import is_made
from monitor.stores.bound.sql import MOST_ROWS, SqlConnection
from monitor.stores.bound.values import json_text
from monitor.stores.postgres import Postgres

SURPLUS = 1000
"""How many rows more than a thread says that it has are read."""


class SqlThreadConnection(SqlConnection):
    """One connection. A write returns when its COMMIT was answered by COMMIT and touched what it had to touch."""

    def __init__(self, postgres: Postgres, connection: asyncpg.Connection[Any], *, bound: Bound) -> None:
        super().__init__(postgres, connection, bound=bound)
        self._given: dict[tuple[str, str], UUID] = {}

    async def create(self, thread: Thread) -> None:
        """Store a new, empty conversation, after what must exist before it."""
        async with self.transaction(thread.user, sent_bytes=len(thread.metadata)):
            for parent in self.sql.statements("parents"):
                await self.done(parent)
            try:
                for statement in self._statements("create"):
                    header = {"name": thread.name, "metadata": thread.metadata}
                    row = await self.change(statement, {**self._new(thread), **header}, acknowledged=False)
                    self._learn(self.bound.identities.threads, thread.id, row, statement, "thread_id")
                await self._make_sure_it_is(thread)
            except BaseException:
                if self.bound.identities.threads.style.made_by == "server":
                    self.bound.identities.threads.forget(thread.id)  # else it would be cleaned up by this very id
                raise

    async def _make_sure_it_is(self, thread: Thread) -> None:
        """Load by the id that the server returned what was created by now. Raises StoreError where it is not that."""
        if self.bound.identities.threads.style.made_by == "holdfast":
            return
        (load,), creates = self._statements("load"), self._statements("create")
        row = await self.row(load, self._thread(thread.id))
        speech = self.bound.binding.speech
        kept = {"name": speech.names, "metadata": speech.metadata != "no"}
        by = [part for part in kept if kept[part] and any(part in create.names for create in creates)]
        if row is None or not is_made(thread, self._header(load, row, asked=thread.user), by=by):
            made = next((each for each in creates if returned(each.sql, "thread_id")), creates[-1])
            found = "nothing" if row is None else "another thread"
            what = (
                f"{made.name} of the binding returned {self._thread(thread.id)['thread_id']} AS thread_id, and by that"
                f" {load.name} finds {found}: all was rolled back (return the id of the row that is inserted)"
            )
            raise self.postgres.error(Reason.MISCONFIGURED, what)

    async def append(self, thread: Thread, message: Message) -> None:
        """Append one message in a transaction of its own."""
        async with self.transaction(thread.user, sent_bytes=_size(message)):
            await self._append(thread, message)

    async def append_again(self, thread: Thread, message: Message) -> None:
        """There is no key by which the server would know the request again. Raises NotImplementedError."""
        raise NotImplementedError

    async def append_batch(
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Append several messages in one transaction."""
        async with self.transaction(thread.user, sent_bytes=sum(map(_size, messages))):
            statements = self._statements("append")
            if len(statements) == 1:
                await self._append_at_once(statements[0], thread, messages)
            else:  # what one message's second statement needs, the next one's first may change
                for message in messages:
                    await self._append(thread, message)
            if before_commit is not None:
                await before_commit()

    async def append_and_roll_back(self, thread: Thread, message: Message) -> None:
        """Append one message and take it back by ROLLBACK."""
        async with self.transaction(thread.user, sent_bytes=_size(message), end="ROLLBACK"):
            await self._append(thread, message)

    async def edit(self, thread: Thread, message: Message) -> None:
        """Replace the content of the message with this id."""
        async with self.transaction(thread.user, sent_bytes=_size(message)):
            await self._make_sure_it_has(thread, message)
            for statement in self._statements("edit"):
                await self.change(statement, self._message(thread, message, known=True))

    async def delete_message(self, thread: Thread, message: Message) -> None:
        """Delete one message, after what hangs on it."""
        async with self.transaction(thread.user):
            await self._make_sure_it_has(thread, message)
            await self._delete("delete_message", self._message(thread, message, known=True))

    async def _make_sure_it_has(self, thread: Thread, message: Message) -> None:
        """Look in its thread for the id that the server returned for a message, before that is changed by it.

        Raises MissingError where it is not there; StoreError where a message is there that nobody of ours has written.
        """
        things = self.bound.identities.messages
        if things.style.made_by == "holdfast":
            return
        (messages,) = self._statements("messages")
        rows = await self.rows(messages, {**self._thread(thread.id), "limit": MOST_ROWS})
        ids = [self.column(messages, row, "message_id") for row in rows]
        if message.id in map(things.ours, ids):
            return
        what = f"has no message {self._known(things, message.id)} in its thread, as {messages.name} of the binding says"
        if all(things.is_known(theirs) for theirs in ids):
            raise MissingError(f"PostgreSQL at {self.postgres.address} {what}", store=Store.POSTGRES)
        made = self._statements("append")[-1].name
        advice = f"but others, which {made} did not return AS message_id: both must be the same column"
        raise self.postgres.error(Reason.MISCONFIGURED, f"{what}, {advice}")

    async def delete_thread(self, thread: Thread) -> None:
        """Delete a conversation, after what hangs on it."""
        async with self.transaction(thread.user):
            await self._delete("delete", self._thread(thread.id))

    async def load(self, thread: Thread) -> Transcript:
        """Read a conversation back as its owner sees it, all of it in one snapshot."""
        values = self._thread(thread.id)
        (load,), (messages,) = self._statements("load"), self._statements("messages")
        async with self.transaction(thread.user, level="repeatable read"):
            header = await self.row(load, values)
            count = None if header is None else header.get("message_count")
            limit = MOST_ROWS if count is None else count + SURPLUS
            rows = await self.rows(messages, {**values, "limit": limit})
        return Transcript(
            thread=None if header is None else self._header(load, header, asked=thread.user),
            count=None if header is None else len(rows) if count is None else count,
            messages=self._messages(messages, rows),
            asked=self._asked(messages, thread.user, thread.id),
        )

    async def page(self, thread: Thread, *, after: Message | None, limit: int) -> Page:
        """Read the messages that follow one that was read, or the first ones, as many as `limit`, in their order."""
        after_id = None if after is None else self._known(self.bound.identities.messages, after.id)
        return await self._page("page", thread, {"after_id": after_id, "limit": limit})

    async def newest_page(self, thread: Thread, *, limit: int) -> Page:
        """Read the last messages, as many as `limit`, the newest first."""
        return await self._page("newest", thread, {"limit": limit})

    async def _page(self, task: str, thread: Thread, values: Mapping[str, object]) -> Page:
        (statement,) = self._statements(task)
        async with self.transaction(thread.user):
            rows = await self.rows(statement, {**self._thread(thread.id), **values})
        return Page(messages=self._messages(statement, rows), asked=self._asked(statement, thread.user, thread.id))

    async def count(self, user: str, threads: Sequence[UUID]) -> Mapping[UUID, Counted]:
        """Count what there is of each of these conversations, all in one snapshot."""
        (load,) = self._statements("load")
        counting, *_ = self._statements("count") or self._statements("messages")
        found: dict[UUID, Counted] = {}
        async with self.transaction(user, level="repeatable read"):
            for thread in threads:
                values = self._thread(thread)
                header, messages = await self.row(load, values), await self._count(values)
                own = None if header is None else header.get("message_count")
                said = messages if header is not None and own is None else own
                found[thread] = Counted(header=said, messages=messages, asked=self._asked(counting, user, thread))
        return found

    async def _count(self, values: Mapping[str, object]) -> int:
        if counts := self._statements("count"):
            row = await self.row(counts[0], values)
            return 0 if row is None else int(self.column(counts[0], row, "messages"))
        (messages,) = self._statements("messages")
        return len(await self.rows(messages, {**values, "limit": MOST_ROWS}))

    @asynccontextmanager
    async def watch(self, thread: Thread, messages: Sequence[Message]) -> AsyncIterator[Count]:
        """A counter of how many of these messages are visible now, each time by a new snapshot."""
        ids = {message.id for message in messages}
        values = {**self._thread(thread.id), "limit": MOST_ROWS}
        (statement,) = self._statements("messages")

        async def count() -> int:
            async with self.postgres.asked():
                rows = await self.rows(statement, values)
            return len(ids.intersection(self._message_id(statement, row) for row in rows))

        async with self.transaction(thread.user, level="read committed"):
            yield count

    def unfit(self, statement: Statement, error: asyncpg.PostgresError) -> StoreError | None:
        """A foreign key is the first to notice that the thread of a message is not there."""
        if isinstance(error, asyncpg.ForeignKeyViolationError) and statement in self._statements("append"):
            what = f"took no message: {statement.name} of the binding: {error}; its thread, once acknowledged, is gone"
            return MissingError(f"PostgreSQL at {self.postgres.address} {what}", store=Store.POSTGRES)
        return super().unfit(statement, error)

    def _statements(self, task: str) -> tuple[Statement, ...]:
        if self.sql.threads is None:
            raise LookupError("the binding has no postgres.threads")
        return self.sql.threads.statements(task)

    async def _append(self, thread: Thread, message: Message) -> None:
        for statement in self._statements("append"):
            row = await self.change(statement, self._message(thread, message, known=False))
            self._learn(self.bound.identities.messages, message.id, row, statement, "message_id")

    async def _append_at_once(self, statement: Statement, thread: Thread, messages: Sequence[Message]) -> None:
        rows = await self.each(statement, [self._message(thread, message, known=False) for message in messages])
        if rows and len(rows) != len(messages):
            what = f"answered {len(messages)} times {statement.name} of the binding by {len(rows)} rows"
            raise self.postgres.error(Reason.INCONCLUSIVE, f"{what}, where one each was expected")
        for message, row in zip(messages, rows, strict=False):
            self._learn(self.bound.identities.messages, message.id, row, statement, "message_id")

    async def _delete(self, task: str, values: Mapping[str, object]) -> None:
        *before, last = self._statements(task)
        for statement in before:
            await self.done(statement, values)
        await self.change(last, values)

    def _new(self, thread: Thread) -> dict[str, object]:
        return {"thread_id": self.bound.identities.threads.id(thread.id)}

    def _thread(self, thread: UUID) -> dict[str, object]:
        return {"thread_id": self._known(self.bound.identities.threads, thread)}

    def _message(self, thread: Thread, message: Message, *, known: bool) -> dict[str, object]:
        things = self.bound.identities.messages
        return {
            **self._thread(thread.id),
            "message_id": self._known(things, message.id) if known else things.id(message.id),
            "role": message.role,
            "type": message.type,
            "content": message.content,
            "metadata": message.metadata,
            "number": message.number,
        }

    def _known(self, things: Things, ours: UUID) -> object:
        """The application's id, which has to be known by now: null would find nothing, and prove nothing."""
        if (theirs := things.id(ours)) is None:
            raise self.postgres.error(Reason.INCONCLUSIVE, f"has not said which id it gave to {ours}")
        return theirs

    def _learn(self, things: Things, ours: UUID, row: asyncpg.Record | None, made: Statement, column: str) -> None:
        """The server has said which id it made. Raises StoreError where it said the same of something else.

        That is asked of one connection only: a database that was restored makes the ids of old runs once more.
        """
        if things.style.made_by != "server" or row is None or row.get(column) is None:
            return
        theirs = str(row[column])
        if self._given.setdefault((column, theirs), ours) != ours:
            what = f"{made.name} of the binding returned {theirs} AS {column} a second time, for something else"
            raise self.postgres.error(
                Reason.MISCONFIGURED, f"{what}: all was rolled back (return the id of the row that is inserted)"
            )
        things.learn(ours, row[column])

    def _header(self, statement: Statement, row: asyncpg.Record, *, asked: str) -> Thread:
        speech, identities = self.bound.binding.speech, self.bound.identities
        return Thread(
            id=identities.threads.ours(self.column(statement, row, "thread_id")),
            user=identities.owner(self.column(statement, row, "user_id"), asked=asked),
            name=_text(self.column(statement, row, "name")) if speech.names else "",
            metadata=self._metadata(statement, row),
        )

    def _messages(self, statement: Statement, rows: Iterable[asyncpg.Record]) -> tuple[Message, ...]:
        speech = self.bound.binding.speech
        numbered = any("number" in append.names for append in self._statements("append"))
        return tuple(
            Message(
                id=self._message_id(statement, row),
                number=(row.get("number") or 0) if numbered else 0,
                role=_text(self.column(statement, row, "role")),
                type=_text(self.column(statement, row, "type")) if speech.types else "",
                content=self.column(statement, row, "content"),
                metadata=self._metadata(statement, row),
            )
            for row in rows
        )

    def _message_id(self, statement: Statement, row: asyncpg.Record) -> UUID:
        return self.bound.identities.messages.ours(self.column(statement, row, "message_id"))

    def _metadata(self, statement: Statement, row: asyncpg.Record) -> str:
        if self.bound.binding.speech.metadata == "no":
            return "{}"
        return json_text(self.column(statement, row, "metadata"))

    def _asked(self, statement: Statement, user: str, thread: UUID) -> str:
        first = [" ".join(begin.sql.split()) for begin in self.sql.statements("begin")]
        values = {"user_id": self.bound.identities.user(user), **self._thread(thread)}
        given = ", ".join(f":{name} = '{value}'" for name, value in values.items())
        return f"as {values['user_id']}: {'; '.join([*first, ' '.join(statement.sql.split())])} with {given}"


def _text(found: object) -> str:
    return "" if found is None else str(found)


def _size(message: Message) -> int:
    return len((message.content or "").encode()) + len(message.metadata.encode())
