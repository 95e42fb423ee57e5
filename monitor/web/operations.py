"""One operation of the API, said once: the routes, the refusal of what is not understood, and the document use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.web.guard import Token
from monitor.web.query import Query

PREFIX = "/api/v1"

Answer = Callable[[Request, Query], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter of a query or a path: what values it takes, as JSON Schema, and one of them."""

    name: str
    about: str
    schema: Mapping[str, Any]
    example: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked. Whatever changes something is a POST and needs the token.

    `gives` is the shape of the answer, a TypedDict, or `events` those of a stream, by name; `body` is the JSON Schema
    of what may be sent; `faults` are the statuses of what can go wrong beside 400, which everything may.
    """

    path: str
    answer: Answer
    gives: type | None = None
    params: tuple[Param, ...] = ()
    named: tuple[Param, ...] = ()
    body: Mapping[str, Any] | None = None
    faults: tuple[int, ...] = ()
    post: bool = False
    events: Mapping[str, type] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """GET or POST."""
        return "POST" if self.post else "GET"

    @property
    def name(self) -> str:
        """Its name in the document."""
        return str(getattr(self.answer, "__name__", self.path))

    def route(self, token: Token) -> Route:
        """The same, to be asked: whatever is not understood in the query is refused, and the token is looked at."""

        async def answer(request: Request) -> Response:
            if self.post:
                token.check(request)
            return await self.answer(request, Query(request, *(param.name for param in self.params)))

        return Route(self.path, answer, methods=[self.method])
