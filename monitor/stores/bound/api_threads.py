"""An application's conversations over its HTTP API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Self
from uuid import UUID

from pydantic import JsonValue

from monitor.bindings import ApiThreads, Listing, Request
from monitor.bindings.templates import filled
from monitor.core.conversation import Transcript
from monitor.core.pages import Counted, Page
from monitor.core.payload import Message, Thread
from monitor.core.record import Node
from monitor.core.verdict import Reason
from monitor.ports import Count, MissingError, Outcome, Store
from monitor.stores.api_connection import Answer, ApiConnection, Value, plain
from monitor.stores.bound.api_messages import Translation
from monitor.stores.bound.api_pages import START, Place, leaves
from monitor.stores.bound.context import Bound
from monitor.stores.bound.identities import Things

MOST_MESSAGES = 11_000
"""The most that is read of one thread: a thousand more than any conversation of ours may have."""
_CONFLICT = 409


class ApiThreadConnection:
    """One connection. A write returns when the API has answered by a status that its binding expects."""

    def __init__(self, bound: Bound, connection: ApiConnection, api: ApiThreads) -> None:
        self._bound = bound
        self._connection = connection
        self._api = api
        self._translation = Translation(api, bound.identities)
        self._places: dict[UUID, Place] = {}

    @classmethod
    async def open(cls, bound: Bound, label: str) -> Self:
        """A new connection."""
        api = bound.binding.api.threads if bound.binding.api else None
        if api is None:
            raise LookupError(f"the binding of environment {bound.ways.environment} has no api.threads")
        return cls(bound, await bound.ways.primary_api.connect(label), api)

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._connection.node()

    async def close(self) -> None:
        """Really close it."""
        await self._connection.close()

    async def create(self, thread: Thread) -> None:
        """Store a new, empty conversation, and learn its id where the server makes it."""
        things = self._bound.identities.threads
        values = {**self._user(thread.user), "thread_id": things.id(thread.id), **self._translation.header(thread)}
        answer = await self._ask(self._api.create, thread.user, values, key=str(thread.id))
        if not answer.found:
            what = f"answered {answer.status}, so that nothing can be created (check the path in the binding)"
            raise self._connection.error(self._api.create, Reason.MISCONFIGURED, what)
        self._learn(self._api.create, things, thread.id, answer.values.get("thread_id"))
        if things.style.made_by == "server":
            try:
                await self._make_sure_it_is(thread)
            except BaseException:
                things.forget(thread.id)  # else it would be cleaned up by this very id
                raise

    async def _make_sure_it_is(self, thread: Thread) -> None:
        """Load by the id that the API returned what it has created. Raises StoreError where that is something else.

        What is not there is for the probe to judge: an API that loses what it has created is what it looks for.
        """
        found = await self._ask(self._api.load, thread.user, self._thread(thread.user, thread.id))
        if not found.found or self._translation.is_made(thread, found.values):
            return
        what = (
            f"returned thread_id {self._bound.identities.threads.id(thread.id)}, and {self._api.load.shown} finds"
            " another thread by it (check `returns` in the binding)"
        )
        raise self._connection.error(self._api.create, Reason.MISCONFIGURED, what, outcome=Outcome.INDETERMINATE)

    async def append(self, thread: Thread, message: Message) -> None:
        """Append one message, and learn its id where the server makes it."""
        answer = await self._append(thread, message)
        if not self._translation.by_metadata:
            things = self._bound.identities.messages
            self._learn(self._api.append, things, message.id, answer.values.get("message_id"))

    async def append_again(self, thread: Thread, message: Message) -> None:
        """The same request with the same key; that the API calls it a conflict is as good as the first answer."""
        await self._append(thread, message, tolerate=(_CONFLICT,))

    async def _append(self, thread: Thread, message: Message, *, tolerate: Sequence[int] = ()) -> Answer:
        values = {**self._thread(thread.user, thread.id), **self._translation.message(message)}
        request = self._api.append
        answer = await self._ask(request, thread.user, values, key=str(message.id), tolerate=tolerate)
        if answer.status in tolerate:
            return answer
        return self._done(request, answer, "its thread, once acknowledged, is gone")

    async def append_batch(
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Append several by one request, or one after the other where there is none for several.

        Nobody can look in between: with `before_commit` it raises NotImplementedError.
        """
        if before_commit is not None:
            raise NotImplementedError
        if (request := self._api.append_many) is None:
            for message in messages:
                await self.append(thread, message)
            return
        thread_values = self._thread(thread.user, thread.id)
        bodies: list[JsonValue] = [
            filled(self._api.append.body, plain({**thread_values, **self._translation.message(message)}))
            for message in messages
        ]
        values = {**thread_values, "messages": bodies}
        answer = await self._ask(request, thread.user, values, key=f"{messages[0].id}-{len(messages)}")
        self._done(request, answer, "its thread, once acknowledged, is gone")
        if self._translation.by_metadata:
            return
        given = answer.values.get("message_ids")
        theirs = given if isinstance(given, list) else []
        if theirs and len(theirs) != len(messages):
            what = f"returned {len(theirs)} message_ids for {len(messages)} messages"
            raise self._connection.error(request, Reason.INCONCLUSIVE, what, outcome=Outcome.INDETERMINATE)
        for place, message in enumerate(messages):
            one = theirs[place] if theirs else None
            self._learn(request, self._bound.identities.messages, message.id, one)

    async def append_and_roll_back(self, thread: Thread, message: Message) -> None:
        """No transaction of the API's can be rolled back from here. Raises NotImplementedError."""
        raise NotImplementedError

    async def edit(self, thread: Thread, message: Message) -> None:
        """Replace the content of a message."""
        await self._change(self._api.edit, thread, message)

    async def delete_message(self, thread: Thread, message: Message) -> None:
        """Delete one message."""
        await self._change(self._api.delete_message, thread, message)

    async def _change(self, request: Request | None, thread: Thread, message: Message) -> None:
        if request is None:
            raise NotImplementedError
        values = {**self._thread(thread.user, thread.id), **self._translation.message(message)}
        if values["message_id"] is None:
            what = f"the API has not said which id it gave to message {message.number}"
            raise self._connection.error(request, Reason.INCONCLUSIVE, what)
        answer = await self._ask(request, thread.user, values)
        self._done(request, answer, "the message, once acknowledged, is gone")

    async def delete_thread(self, thread: Thread) -> None:
        """Delete a conversation."""
        answer = await self._ask(self._api.delete, thread.user, self._thread(thread.user, thread.id))
        self._done(self._api.delete, answer, "the thread, once acknowledged, is gone")

    async def load(self, thread: Thread) -> Transcript:
        """Read a conversation back: its header, and all pages of its messages."""
        values = self._thread(thread.user, thread.id)
        header = await self._ask(self._api.load, thread.user, values)
        messages = await self._all(self._api.messages, thread)
        if self._api.messages.newest_first:
            messages = messages[::-1]
        count = _count(header, len(messages))
        return Transcript(
            thread=self._translation.thread_read(thread, header.values) if header.found else None,
            count=count,
            messages=messages,
            asked=self._asked(self._api.messages, thread.user, thread.id),
        )

    async def page(self, thread: Thread, *, after: Message | None, limit: int) -> Page:
        """Read a page: from where the page ended whose last message was `after`, as its cursor says."""
        listing, start = self._api.messages, START
        if after is not None:
            start = self._places.get(after.id) or Place(after=str(self._bound.identities.messages.id(after.id)))
        return Page(
            messages=await self._all(listing, thread, most=limit, start=start),
            asked=self._asked(listing, thread.user, thread.id),
        )

    async def newest_page(self, thread: Thread, *, limit: int) -> Page:
        """Read the last messages, the newest first."""
        listing = self._api.newest
        if listing is None:
            raise NotImplementedError
        return Page(
            messages=await self._all(listing, thread, most=limit), asked=self._asked(listing, thread.user, thread.id)
        )

    async def _all(
        self, listing: Listing, thread: Thread, *, most: int = MOST_MESSAGES, start: Place = START
    ) -> tuple[Message, ...]:
        found: list[Message] = []
        values, who = self._thread(thread.user, thread.id), self._bound.who(thread.user)
        async for leaf in leaves(self._connection, listing, values, user=who, most=most, start=start):
            found += map(self._translation.message_read, leaf.items)
            if found:
                self._places[found[-1].id] = leaf.then
        return tuple(found)

    async def count(self, user: str, threads: Sequence[UUID]) -> Mapping[UUID, Counted]:
        """Count what there is, one conversation after the other: an API has no snapshot of several."""
        found: dict[UUID, Counted] = {}
        for thread in threads:
            values, who, messages = self._thread(user, thread), self._bound.who(user), 0
            header = await self._ask(self._api.load, user, values)
            async for leaf in leaves(self._connection, self._api.messages, values, user=who, most=MOST_MESSAGES):
                messages += len(leaf.items)
            asked = self._asked(self._api.messages, user, thread)
            found[thread] = Counted(header=_count(header, messages), messages=messages, asked=asked)
        return found

    def watch(self, thread: Thread, messages: Sequence[Message]) -> AbstractAsyncContextManager[Count]:
        """A writer behind an API cannot be stopped before its COMMIT. Raises NotImplementedError."""
        raise NotImplementedError

    async def _ask(
        self,
        request: Request,
        user: str,
        values: Mapping[str, Value],
        *,
        key: str | None = None,
        tolerate: Sequence[int] = (),
    ) -> Answer:
        named = self._bound.binding.api.idempotency if self._bound.binding.api else None
        headers = {named: key} if named and key else {}
        return await self._connection.ask(
            request, values, user=self._bound.who(user), headers=headers, tolerate=tolerate
        )

    def _user(self, user: str) -> dict[str, Value]:
        return {"user_id": self._bound.identities.user(user)}

    def _thread(self, user: str, thread: UUID) -> dict[str, Value]:
        if (theirs := self._bound.identities.threads.id(thread)) is None:
            what = f"has not said which id it gave to thread {thread}"
            raise self._connection.error(self._api.load, Reason.INCONCLUSIVE, what)
        return {**self._user(user), "thread_id": theirs}

    def _done(self, request: Request, answer: Answer, gone: str) -> Answer:
        if not answer.found:
            what = f"{request.shown}: answered {answer.status}: {gone}"
            raise MissingError(f"API at {self._connection.api.host}: {what}", store=Store.API)
        return answer

    def _learn(self, request: Request, things: Things, ours: UUID, theirs: JsonValue) -> None:
        if isinstance(theirs, str | int) and not isinstance(theirs, bool) and theirs != "":
            if str(theirs) != str(things.id(ours)):
                things.learn(ours, theirs)
        elif things.style.made_by == "server":
            what = "answered no id for what it has created (check `returns` in the binding)"
            raise self._connection.error(request, Reason.MISCONFIGURED, what, outcome=Outcome.INDETERMINATE)

    def _asked(self, request: Request, user: str, thread: UUID) -> str:
        values = self._thread(user, thread)
        return f"as {values['user_id']}: {request.shown} with thread_id = {values['thread_id']}"


def _count(header: Answer, messages: int) -> int | None:
    """What the header says, or how many there are where it does not say; None where it is not there."""
    said = header.values.get("message_count")
    if not header.found:
        return None
    return said if isinstance(said, int) else messages
