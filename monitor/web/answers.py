"""How answers look: JSON, and faults that say what is wrong and what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from monitor.ports import StateError

_SHOWN = 64  # characters of somebody's input that a message repeats
_MANY = 10  # names that a message lists


class Fault(Exception):  # noqa: N818  it is an answer, and only some of them are errors of ours
    """A request that cannot be answered as it was asked."""

    def __init__(self, status: int, message: str, *, do: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.do = do
        self.headers = headers


class Json(Response):
    """A value as JSON, indented, for people read it too. Moments are text already; see `moment`."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The bytes of a value."""
        return self.dump(content) + b"\n"

    @staticmethod
    def dump(content: object) -> bytes:
        """The same without a line break at its end."""
        try:
            return orjson.dumps(content, option=orjson.OPT_INDENT_2)
        except TypeError:  # half a surrogate pair or a number beyond 64 bits, from somebody's evidence
            return json.dumps(content, indent=2, default=str).encode()


def compact(content: object) -> bytes:
    """A value as JSON on one line."""
    try:
        return orjson.dumps(content)
    except TypeError:
        return json.dumps(content, default=str).encode()


def moment(when: datetime | None) -> str | None:
    """A moment as ISO 8601 in UTC with a Z."""
    if when is None:
        return None
    when = when if when.tzinfo is UTC else when.astimezone(UTC)
    return f"{when.isoformat(timespec='milliseconds')[:-6]}Z"


def seconds(length: timedelta | None) -> float | None:
    """A length as seconds, to the microsecond."""
    return None if length is None else length.total_seconds()


def missing(what: str, given: str, known: Iterable[str], *, article: str = "no") -> Fault:
    """Nothing of this name is known: which name is near, or which there are."""
    return Fault(404, f"there is {article} {what} named {shown(given)}", do=nearest(given, known))


def nearest(given: str, known: Iterable[str]) -> str:
    """What somebody may have meant."""
    names = sorted(known)
    asked = given[:_SHOWN].lower()
    near = [name for name in names if asked and name.startswith(asked)][:1] or get_close_matches(asked, names, n=1)
    if near:
        return f"did you mean {near[0]}?"
    if not names:
        return "nothing is known here yet"
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return f"known: {', '.join(names[:_MANY])}{more}"


def bad(parameter: str, *, expected: str, found: object) -> Fault:
    """A parameter is not what it should be."""
    return Fault(
        400, f"{parameter}: expected {expected}, found {shown(found)}", do=f"put {parameter} right and ask again"
    )


def shown(given: object) -> str:
    """Somebody's input, as a message may repeat it."""
    text = given if isinstance(given, str) else json.dumps(given, default=str)
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return repr(text) if isinstance(given, str) else text


def wants_page(request: Request) -> bool:
    """Whether somebody reads the answer in a browser; the API answers them as it answers everybody."""
    return not _is_api(request) and "text/html" in request.headers.get("accept", "")


def answer_fault(request: Request, fault: Fault) -> Response:
    """A fault in words: JSON for programs, plain text elsewhere."""
    if _is_api(request):
        content = {"error": {"message": fault.message, "next": fault.do}}
        return Json(content, status_code=fault.status, headers=fault.headers)
    return PlainTextResponse(f"{fault.message}\n{fault.do}\n", status_code=fault.status, headers=fault.headers)


def fault_of(request: Request, error: Exception) -> Fault:
    """What an error means to whoever asked."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, HTTPException):
        return _of_http(request, error)
    if isinstance(error, StateError):  # its message says what to do
        rest = "probing goes on; / and /health show what is known without the state database"
        return Fault(503, str(error), do=rest)
    return Fault(500, "Holdfast failed to answer this", do="its log has the reason")


def _of_http(request: Request, error: HTTPException) -> Fault:
    """What starlette itself found: no such path, or no such method on it."""
    path = shown(request.url.path)
    if error.status_code == 405:  # noqa: PLR2004  Method Not Allowed
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        fault = Fault(405, f"{request.method} is not possible on {path}", do=f"allowed: {', '.join(allowed)}")
    elif error.status_code == 404:  # noqa: PLR2004  Not Found
        fault = Fault(404, f"there is nothing at {path}", do="the status page is at /, the API below /api/v1/")
    else:
        fault = Fault(error.status_code, error.detail, do="ask in another way")
    fault.headers = error.headers
    return fault


def _is_api(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/health/"))
