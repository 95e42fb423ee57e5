"""From a request to a handler: there is no way to write one that does not know whose request it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from examples.platform.answers import Refusal, bad
from examples.platform.service import Service
from examples.platform.switches import Switch
from examples.platform.tokens import InvalidTokenError

LARGEST_BODY = 8 * 1024 * 1024
LARGEST_PAGE = 100
USUAL_PAGE = 20

_LIMITS = frozenset(map(str, range(1, LARGEST_PAGE + 1)))


class Body(BaseModel):
    """The base of every request's body: no unknown fields, and no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request of a known user, with its whole body."""

    service: Service
    user: str
    request: Request
    raw: bytes

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def body(self, shape: type[B]) -> B:
        """The body as this shape; raises a 422 that says what is wrong with it. An absent body is an empty object."""
        try:
            return shape.model_validate(orjson.loads(self.raw or b"{}"))
        except orjson.JSONDecodeError as error:
            raise bad(f"the body is no JSON: {error}") from error
        except ValidationError as error:
            faults = [f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in error.errors()]
            raise bad("; ".join(faults)) from error

    def limit(self) -> int:
        """How many items a page may have."""
        given = self.request.query_params.get("limit", str(USUAL_PAGE))
        if given not in _LIMITS:
            raise bad(f"limit: expected 1 to {LARGEST_PAGE}, found {given[:20]!r}")
        return int(given)

    def ascending(self, *, usual: str) -> bool:
        """Whether a list begins with the oldest."""
        order = self.request.query_params.get("order", usual)
        if order not in {"asc", "desc"}:
            raise bad(f"order: expected asc or desc, found {order[:20]!r}")
        return order == "asc"


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]


def resource(path: str, **handlers: Handler) -> Route:
    """A path and its handlers by method (get, post, put, patch, delete)."""

    async def endpoint(request: Request) -> Response:
        service: Service = request.app.state.service
        user = caller(service, request)
        service.rates.take(user)
        if mixing := service.switches.on(Switch.ANOTHERS_REPLY):
            stray = service.mixed.take(request, user)
            if stray is not None:
                return stray
        call = Call(service=service, user=user, request=request, raw=await read_body(request))
        reply = await handlers["get" if request.method == "HEAD" else request.method.lower()](call)
        if mixing:
            service.mixed.keep(request, user, reply)
        return reply

    return Route(path, endpoint, methods=[method.upper() for method in handlers])


def caller(service: Service, connection: HTTPConnection) -> str:
    """The user of the token in the Authorization header; raises a 401."""
    scheme, _, token = connection.headers.get("Authorization", "").partition(" ")
    try:
        return service.tokens.user_of(token.strip() if scheme.lower() == "bearer" else "")
    except InvalidTokenError as error:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        raise Refusal(HTTPStatus.UNAUTHORIZED, str(error), headers=challenge) from error


async def read_body(request: Request) -> bytes:
    """The whole body; raises a 413 where it is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LARGEST_BODY:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body may have {LARGEST_BODY} bytes")
    return bytes(body)
