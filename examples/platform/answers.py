"""How answers look: JSON, and refusals in the words of the API that was asked."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import asyncpg
import orjson
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_OPENAI_CODES = {
    HTTPStatus.UNAUTHORIZED: "invalid_api_key",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_exceeded",
}


class Json(Response):
    """A value as JSON; moments are ISO 8601 in UTC."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The bytes of a value; bytes are JSON already."""
        return content if isinstance(content, bytes) else orjson.dumps(content)


class Refusal(Exception):  # noqa: N818  it is an answer, and not an error of the service
    """A request that is not done. `status` and `message` are for the caller."""

    def __init__(self, status: HTTPStatus, message: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def not_found(what: str) -> Refusal:
    """It is not there, or it is another user's: nobody may learn which."""
    return Refusal(HTTPStatus.NOT_FOUND, f"there is no such {what}")


def bad(message: str) -> Refusal:
    """The request is understood, and wrong."""
    return Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, message)


def unavailable(message: str) -> Refusal:
    """A store does not answer; it may be worth a try later."""
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, message, headers={"Retry-After": "1"})


def refuse(path: str, refusal: Refusal) -> Response:
    """A refusal as the API at this path says it."""
    status = refusal.status
    if not path.startswith("/v1/"):
        code = status.name.lower()
        return Json({"error": {"code": code, "message": refusal.message}}, status, refusal.headers)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:  # OpenAI knows only 400
        status = HTTPStatus.BAD_REQUEST
    kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    error = {"message": refusal.message, "type": kind, "code": _OPENAI_CODES.get(status)}
    return Json({"error": error}, status, refusal.headers)


def _answer(request: Request, error: Exception) -> Response:
    return refuse(request.url.path, as_refusal(error))


def as_refusal(error: Exception) -> Refusal:
    """What an error is to who asked."""
    match error:
        case Refusal():
            return error
        case HTTPException():
            return Refusal(HTTPStatus(error.status_code), error.detail, headers=error.headers)
        case asyncpg.DataError():
            return bad(f"PostgreSQL cannot store this: {error}")
        case RedisError():
            return unavailable("Redis does not answer")
        case Exception() if isinstance(error, _DATABASE_AWAY):
            return unavailable("PostgreSQL does not answer")
        case _:
            return Refusal(
                HTTPStatus.INTERNAL_SERVER_ERROR, "the platform failed to answer this; its log has the reason"
            )


_DATABASE_AWAY = (
    OSError,  # TimeoutError is one
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # so asyncpg meets what a server that shuts down says to an idle connection
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresConnectionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
)
HANDLERS = dict.fromkeys((Refusal, HTTPException, asyncpg.DataError, RedisError, *_DATABASE_AWAY, Exception), _answer)
