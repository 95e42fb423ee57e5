"""How an application's HTTP API is asked: templates of requests, and where in the answers the values stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator

from monitor.bindings.extraction import JmesPath
from monitor.bindings.part import Part
from monitor.bindings.templates import make_sure_known, placeholders

_PAGE = frozenset({"limit", "after", "offset"})
_MESSAGE = frozenset({"message_id", "role", "type", "content", "metadata", "metadata_json", "number"})


def _is_path(path: str) -> str:
    if not path.startswith("/") or "?" in path or "#" in path:
        raise ValueError("is no path; begin it with /, and put what follows a ? under query")
    return path


Path: TypeAlias = Annotated[str, AfterValidator(_is_path)]
Scalar: TypeAlias = str | bool | int | float
HeaderName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]


class Request(Part):
    """One request. {user_id} {thread_id} {message_id} … in path, query, headers and body are filled in.

    A text that is one placeholder and nothing else becomes the value itself, with its type; in the query, null is left
    out.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(default="GET", description="The method.")
    path: Path = Field(description="Below the base_url: /threads/{thread_id}.")
    query: Mapping[str, Scalar] = Field(default={}, description="Parameters after the question mark.")
    headers: Mapping[HeaderName, str] = Field(default={}, description="Headers besides those of the log-in.")
    body: JsonValue = Field(default=None, description="What is sent as JSON.")
    expect: tuple[int, ...] = Field(default=(200, 201, 202, 204), description="The statuses that mean: done.")
    missing: tuple[int, ...] = Field(default=(404, 410), description="The statuses that mean: there is none.")
    returns: Mapping[str, JmesPath] = Field(
        default={}, description="Values of the answer by name, each a JMESPath: {thread_id: id, name: name}."
    )

    @property
    def templates(self) -> Mapping[str, JsonValue]:
        """All that is filled in, by where it stands."""
        return {"path": self.path, "query": dict(self.query), "headers": dict(self.headers), "body": self.body}

    @property
    def names(self) -> frozenset[str]:
        """Every placeholder in it."""
        return frozenset().union(*map(placeholders, self.templates.values()))

    @property
    def shown(self) -> str:
        """What may be said of it: its method and its path, before anything is filled in."""
        return f"{self.method} {self.path}"


class Listing(Request):
    """A request for several things, a page at a time; `returns` is asked of each."""

    items: JmesPath = Field(default="@", description="The JMESPath of the list in the answer.")
    after: JmesPath | None = Field(
        default=None,
        description="The JMESPath of the cursor of the next page, sent as {after}; null, false or missing ends it."
        " Without it {offset} counts, or `linked` leads on.",
    )
    linked: bool = Field(default=False, description="Whether the Link header (rel=next) leads to the next page.")
    limit: int = Field(default=50, ge=1, le=1000, description="How many a page has, sent as {limit}.")
    newest_first: bool = Field(default=False, description="Whether the newest come first.")


class _Requests(Part):
    """Requests by name, and which values each can be filled with."""

    known: ClassVar[frozenset[str]]
    """The values that every request has."""
    own: ClassVar[Mapping[str, frozenset[str]]] = {}
    """The values that some requests have besides."""
    fenced: ClassVar[Mapping[str, str]] = {}
    """The placeholder without which a request could touch, or read, more than what is synthetic."""

    @property
    def requests(self) -> Iterator[tuple[str, Request]]:
        """Every request that is bound, by its name."""
        for name in type(self).model_fields:
            if isinstance(request := getattr(self, name), Request):
                yield name, request

    @model_validator(mode="after")
    def _can_be_filled(self) -> _Requests:
        for name, request in self.requests:
            values: Collection[str] = self.known | self.own.get(name, frozenset())
            if isinstance(request, Listing):
                values = {*values, *_PAGE}
            for where, template in request.templates.items():
                make_sure_known(template, values, where=f"{name}.{where}")
            needed = self.fenced.get(name)
            if needed and needed not in request.names:
                raise ValueError(f"{name} does not name {{{needed}}}, so that it could touch what is not synthetic")
        return self


class ApiThreads(_Requests):
    """Conversations. Values: user_id thread_id name metadata; message_id role type content metadata number.

    `metadata` is an object; `metadata_json` is the same as JSON text. A thread is told by name, metadata, user_id, and
    message_count where the application keeps one; a message by message_id, role, type, content, metadata, number.
    """

    known: ClassVar = frozenset({"user_id", "thread_id"})
    own: ClassVar = {
        "create": frozenset({"name", "metadata", "metadata_json"}),
        "append": _MESSAGE,
        "append_many": frozenset({"messages"}),
        "rename": frozenset({"name"}),
        "edit": _MESSAGE,
        "delete_message": frozenset({"message_id"}),
    }
    fenced: ClassVar = {
        **dict.fromkeys(("append", "append_many", "load", "messages", "newest", "rename", "delete"), "thread_id"),
        **dict.fromkeys(("edit", "delete_message"), "message_id"),
    }

    create: Request = Field(description="Store a thread; returns thread_id.")
    append: Request = Field(description="Append a message; returns message_id.")
    load: Request = Field(description="Read the thread itself.")
    messages: Listing = Field(description="Read its messages in their order.")
    delete: Request = Field(description="Delete the thread and its messages.")
    append_many: Request | None = Field(
        default=None,
        description="Append several at once: {messages} is a list of bodies as `append` has them; returns message_ids.",
    )
    rename: Request | None = Field(default=None, description="Give it another name.")
    edit: Request | None = Field(default=None, description="Change a message.")
    delete_message: Request | None = Field(default=None, description="Delete a message.")
    newest: Listing | None = Field(default=None, description="Read the last messages, the newest first.")
    list: Listing | None = Field(
        default=None, description="The threads of the user; returns thread_id, metadata, and created_at without these."
    )


class ApiProfile(_Requests):
    """A user's profile. Values: user_id profile permissions version."""

    known: ClassVar = frozenset({"user_id"})
    own: ClassVar = {"write": frozenset({"profile", "permissions", "version"})}

    write: Request = Field(description="Store or replace it.")
    read: Request = Field(description="Read it; returns profile, and permissions where they are apart.")
    delete: Request | None = Field(default=None, description="Delete it.")


class Events(_Requests):
    """What is pushed to a user."""

    known: ClassVar = frozenset({"user_id", "text"})

    protocol: Literal["sse", "websocket"] = Field(default="sse", description="Server-sent events or a WebSocket.")
    path: Path = Field(description="Where one listens.")
    text: JmesPath = Field(default="text", description="The JMESPath of the text in an event's data.")
    publish: Request = Field(description="The request that makes an event with {text}.")


class ApiBinding(Part):
    """An application's HTTP API."""

    headers: Mapping[HeaderName, str] = Field(default={}, description="Headers of every request.")
    idempotency: HeaderName | None = Field(
        default=None, description="The header whose value tells a repeated request: Idempotency-Key."
    )
    threads: ApiThreads | None = Field(default=None, description="Conversations.")
    profile: ApiProfile | None = Field(default=None, description="Users' profiles.")
    events: Events | None = Field(default=None, description="What is pushed.")
