"""The same threads and messages, as the OpenAI API lists and names them."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import Field
from starlette.responses import Response

from examples.platform import threads
from examples.platform.answers import Json
from examples.platform.calls import Body, Call, resource
from examples.platform.conversations import USUAL_TYPE, Draft, Position, Span, new_thread_id
from examples.platform.database import Queries, Row
from examples.platform.idempotency import once

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]


class WithMetadata(Body):
    """A new thread, or a thread or message to be changed: nothing else of them can be."""

    metadata: Metadata | None = None


class Text(Body):
    """A part of a message."""

    type: Literal["text"]
    text: str


class NewMessage(Body):
    """A message to be."""

    role: Literal["user", "assistant"]
    content: str | Annotated[list[Text], Field(min_length=1)]
    metadata: Metadata | None = None

    def draft(self) -> Draft:
        """As it will be stored."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Draft(
            role=self.role, message_type=USUAL_TYPE[self.role], content=text, metadata=dict(self.metadata or {})
        )


async def _create(call: Call) -> Response:
    metadata, thread_id = call.body(WithMetadata).metadata or {}, new_thread_id()

    async def write(transaction: Queries) -> object:
        conversations = call.service.conversations
        return _thread(await conversations.create(transaction, call.user, thread_id, name="", metadata=metadata))

    return await once(call, thread_id, write, status=HTTPStatus.OK)


async def _get(call: Call) -> Response:
    return Json(_thread(await call.service.conversations.thread(call.user, call.path("thread_id"))))


async def _modify(call: Call) -> Response:
    changes = call.body(WithMetadata).model_dump(exclude_none=True)
    return Json(_thread(await call.service.conversations.change(call.user, call.path("thread_id"), changes)))


async def _delete(call: Call) -> Response:
    thread_id = call.path("thread_id")
    await call.service.conversations.delete(call.user, thread_id)
    return Json(_deleted(thread_id, "thread"))


async def _append(call: Call) -> Response:
    drafts = [call.body(NewMessage).draft()]
    return await threads.append(call, drafts, as_reply=lambda rows: _message(rows[0]), status=HTTPStatus.OK)


async def _messages(call: Call) -> Response:
    span = Span(
        limit=call.limit(),
        ascending=call.ascending(usual="desc"),
        after=await _place(call, "after"),
        before=await _place(call, "before"),
    )
    page = await call.service.conversations.messages(call.user, call.path("thread_id"), span)
    data = list(map(_message, page.rows))
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return Json({"object": "list", "data": data, **ends, "has_more": page.more})


async def _place(call: Call, name: str) -> Position | None:
    message_id = call.request.query_params.get(name)
    if message_id is None:
        return None
    return Position.of(await call.service.conversations.message(call.user, call.path("thread_id"), message_id))


async def _get_message(call: Call) -> Response:
    where = call.path("thread_id"), call.path("message_id")
    return Json(_message(await call.service.conversations.message(call.user, *where)))


async def _modify_message(call: Call) -> Response:
    changes = call.body(WithMetadata).model_dump(exclude_none=True)
    return Json(_message(await threads.change_message(call, changes)))


async def _delete_message(call: Call) -> Response:
    await threads.delete_message(call)
    return Json(_deleted(call.path("message_id"), "thread.message"))


def _thread(row: Row) -> Mapping[str, object]:
    return {
        "id": row["id"],
        "object": "thread",
        "created_at": int(row["created_at"].timestamp()),
        "metadata": row["metadata"],
    }


def _message(row: Row) -> Mapping[str, object]:
    return {
        "id": row["id"],
        "object": "thread.message",
        "created_at": int(row["created_at"].timestamp()),
        "thread_id": row["thread_id"],
        "role": row["role"],
        "content": [{"type": "text", "text": {"value": row["content"], "annotations": []}}],
        "metadata": row["metadata"],
    }


def _deleted(item: str, what: str) -> Mapping[str, object]:
    return {"id": item, "object": f"{what}.deleted", "deleted": True}


_THREAD = "/v1/threads/{thread_id}"
ROUTES = (
    resource("/v1/threads", post=_create),
    resource(_THREAD, get=_get, post=_modify, delete=_delete),
    resource(f"{_THREAD}/messages", get=_messages, post=_append),
    resource(f"{_THREAD}/messages/{{message_id}}", get=_get_message, post=_modify_message, delete=_delete_message),
)
