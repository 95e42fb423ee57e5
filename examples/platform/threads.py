"""The platform's own API for threads and messages."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from pydantic import Field, JsonValue
from starlette.responses import Response

from examples.platform import live
from examples.platform.answers import Json, bad
from examples.platform.calls import Body, Call, resource
from examples.platform.conversations import (
    USUAL_TYPE,
    Draft,
    MessageType,
    Page,
    Position,
    Role,
    Span,
    new_thread_id,
)
from examples.platform.database import Queries, Row
from examples.platform.idempotency import once

LARGEST_BATCH = 1000


class NewThread(Body):
    """A thread to be."""

    name: str = ""
    metadata: dict[str, JsonValue] = Field(default_factory=dict)


class ThreadChange(Body):
    """What of a thread shall be otherwise."""

    name: str | None = None
    metadata: dict[str, JsonValue] | None = None
    is_active: bool | None = None


class NewMessage(Body):
    """A message to be. Without a type it has the usual one of its role."""

    role: Role
    message_type: MessageType | None = None
    content: str
    metadata: dict[str, JsonValue] = Field(default_factory=dict)

    def draft(self) -> Draft:
        """As it will be stored."""
        kind = self.message_type or USUAL_TYPE[self.role]
        return Draft(role=self.role, message_type=kind, content=self.content, metadata=self.metadata)


class Batch(Body):
    """Messages that come together or not at all."""

    messages: Annotated[list[NewMessage], Field(min_length=1, max_length=LARGEST_BATCH)]


class MessageChange(Body):
    """What of a message shall be otherwise."""

    role: Role | None = None
    message_type: MessageType | None = None
    content: str | None = None
    metadata: dict[str, JsonValue] | None = None


async def _create(call: Call) -> Response:
    new, thread_id = call.body(NewThread), new_thread_id()

    async def write(transaction: Queries) -> object:
        conversations = call.service.conversations
        row = await conversations.create(transaction, call.user, thread_id, name=new.name, metadata=new.metadata)
        return dict(row)

    return await once(call, thread_id, write, status=HTTPStatus.CREATED)


async def _list(call: Call) -> Response:
    return _listed(await call.service.conversations.threads(call.user, _span(call, usual="desc")))


async def _get(call: Call) -> Response:
    return Json(dict(await call.service.conversations.thread(call.user, call.path("thread_id"))))


async def _change(call: Call) -> Response:
    changes = call.body(ThreadChange).model_dump(exclude_none=True)
    return Json(dict(await call.service.conversations.change(call.user, call.path("thread_id"), changes)))


async def _delete(call: Call) -> Response:
    await call.service.conversations.delete(call.user, call.path("thread_id"))
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _append_one(call: Call) -> Response:
    return await append(call, [call.body(NewMessage).draft()], as_reply=lambda rows: dict(rows[0]))


async def _append_many(call: Call) -> Response:
    drafts = [message.draft() for message in call.body(Batch).messages]
    return await append(call, drafts, as_reply=lambda rows: {"data": list(map(dict, rows))})


async def append(
    call: Call,
    drafts: Sequence[Draft],
    *,
    as_reply: Callable[[Sequence[Row]], object],
    status: HTTPStatus = HTTPStatus.CREATED,
) -> Response:
    """Store messages once, and tell their owner; the answer is what `as_reply` makes of the rows."""
    owner, stored, thread_id = call.user, list[Row](), call.path("thread_id")

    async def write(transaction: Queries) -> object:
        nonlocal owner, stored
        owner, stored = await call.service.conversations.append(transaction, call.user, thread_id, drafts)
        return as_reply(stored)

    reply = await once(call, thread_id, write, status=status)
    await live.tell_messages(call.service, owner, "message.created", stored)
    return reply


async def _messages(call: Call) -> Response:
    span = _span(call, usual="asc")
    return _listed(await call.service.conversations.messages(call.user, call.path("thread_id"), span))


async def _message(call: Call) -> Response:
    where = call.path("thread_id"), call.path("message_id")
    return Json(dict(await call.service.conversations.message(call.user, *where)))


async def _change_message(call: Call) -> Response:
    changes = call.body(MessageChange).model_dump(exclude_none=True)
    return Json(_without_owner(await change_message(call, changes)))


async def change_message(call: Call, changes: Mapping[str, object]) -> Row:
    """Change the message in the path, and tell its owner."""
    where = call.path("thread_id"), call.path("message_id")
    row = await call.service.conversations.change_message(call.user, *where, changes)
    await live.tell_messages(call.service, row["user_id"], "message.updated", [row])
    return row


async def _delete_message(call: Call) -> Response:
    await delete_message(call)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def delete_message(call: Call) -> None:
    """Delete the message in the path, and tell its owner."""
    where = call.path("thread_id"), call.path("message_id")
    row = await call.service.conversations.delete_message(call.user, *where)
    await live.tell_messages(call.service, row["user_id"], "message.deleted", [row])


def _without_owner(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "user_id"}


def _span(call: Call, *, usual: str) -> Span:
    cursor = call.request.query_params.get("after")
    after = None if cursor is None else _position(cursor)
    return Span(limit=call.limit(), ascending=call.ascending(usual=usual), after=after)


def _listed(page: Page) -> Json:
    """A page, and the cursor that leads to the next: the place of its last item, which need not be there any more."""
    cursor = _cursor(Position.of(page.rows[-1])) if page.more else None
    return Json({"data": list(map(dict, page.rows)), "next": cursor})


def _cursor(position: Position) -> str:
    return base64.urlsafe_b64encode(f"{position.created_at.isoformat()} {position.id}".encode()).decode().rstrip("=")


def _position(cursor: str) -> Position:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, last = text.partition(" ")
        return Position(datetime.fromisoformat(moment), last)
    except ValueError as error:
        raise bad("after: it is no cursor from `next`") from error


_MESSAGES = "/threads/{thread_id}/messages"
ROUTES = (
    resource("/threads", get=_list, post=_create),
    resource("/threads/{thread_id}", get=_get, patch=_change, delete=_delete),
    resource(_MESSAGES, get=_messages, post=_append_one),
    resource(f"{_MESSAGES}/batch", post=_append_many),
    resource(f"{_MESSAGES}/{{message_id}}", get=_message, patch=_change_message, delete=_delete_message),
)
