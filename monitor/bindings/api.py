"""How an application's HTTP API is asked: templates of requests, and where in the answers the values stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from monitor.bindings.part import Part


class Request(Part):
    """One request. {user_id} {thread_id} {message_id} … in path, query, headers and body are filled in.

    A text that is one placeholder and nothing else becomes the value itself, with its type.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(default="GET", description="The method.")
    path: str = Field(description="Below the base_url: /threads/{thread_id}.")
    query: Mapping[str, str] = Field(default={}, description="Parameters after the question mark.")
    headers: Mapping[str, str] = Field(default={}, description="Headers besides those of the log-in.")
    body: JsonValue = Field(default=None, description="What is sent as JSON.")
    expect: tuple[int, ...] = Field(default=(200, 201, 202, 204), description="The statuses that mean: done.")
    missing: tuple[int, ...] = Field(default=(404, 410), description="The statuses that mean: there is none.")
    returns: Mapping[str, str] = Field(
        default={}, description="Values of the answer by name, each a JMESPath: {thread_id: id, name: name}."
    )


class Listing(Request):
    """A request for several things, a page at a time."""

    items: str = Field(default="@", description="The JMESPath of the list in the answer.")
    after: str | None = Field(
        default=None,
        description="The JMESPath of the cursor of the next page, sent as {after}; null or missing ends it. Without it"
        " {offset} counts, or the Link header leads on.",
    )
    limit: int = Field(default=50, ge=1, le=1000, description="How many a page has, sent as {limit}.")
    newest_first: bool = Field(default=False, description="Whether the newest come first.")


class ApiThreads(Part):
    """Conversations. Values: user_id thread_id name metadata; message_id role type content metadata number."""

    create: Request = Field(description="Store a thread; returns thread_id.")
    append: Request = Field(description="Append a message; returns message_id.")
    load: Request = Field(description="Read the thread itself.")
    messages: Listing = Field(description="Read its messages in their order.")
    delete: Request = Field(description="Delete the thread and its messages.")
    append_many: Request | None = Field(
        default=None, description="Append several at once: {messages} is a list of bodies as `append` has them."
    )
    rename: Request | None = Field(default=None, description="Give it another name.")
    edit: Request | None = Field(default=None, description="Change a message.")
    delete_message: Request | None = Field(default=None, description="Delete a message.")
    newest: Listing | None = Field(default=None, description="Read the last messages, the newest first.")
    list: Listing | None = Field(default=None, description="The threads of the user.")


class ApiProfile(Part):
    """A user's profile. Values: user_id profile permissions version."""

    write: Request = Field(description="Store or replace it.")
    read: Request = Field(description="Read it; returns profile, and permissions where they are apart.")
    delete: Request | None = Field(default=None, description="Delete it.")


class Events(Part):
    """What is pushed to a user."""

    protocol: Literal["sse", "websocket"] = Field(default="sse", description="Server-sent events or a WebSocket.")
    path: str = Field(description="Where one listens.")
    text: str = Field(default="text", description="The JMESPath of the text in an event's data.")
    publish: Request = Field(description="The request that makes an event with {text}.")


class ApiBinding(Part):
    """An application's HTTP API."""

    headers: Mapping[str, str] = Field(default={}, description="Headers of every request.")
    idempotency: str | None = Field(
        default=None, description="The header whose value tells a repeated request: Idempotency-Key."
    )
    threads: ApiThreads | None = Field(default=None, description="Conversations.")
    profile: ApiProfile | None = Field(default=None, description="Users' profiles.")
    events: Events | None = Field(default=None, description="What is pushed.")
