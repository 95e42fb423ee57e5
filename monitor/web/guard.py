"""What stands before every answer: headers for browsers, the token, and the size of what may be sent here."""

from __future__ import annotations

import hmac
import json

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.web.answers import Fault, bad, nearest

LARGEST_BODY = 64 * 1024

_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


class SafeHeaders:
    """Adds to every answer what a browser needs to know so as to trust nothing but the page itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                protect(MutableHeaders(scope=message), path=scope["path"])
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def protect(headers: MutableHeaders, *, path: str) -> None:
    """Set the headers for browsers. What changes is never kept; what is static is asked for again by its ETag."""
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("cache-control", "no-cache" if path.startswith("/static/") else "no-store")


class Token:
    """Who may change something. Without a token nobody may."""

    def __init__(self, token: str | None) -> None:
        self.renew(token)

    def renew(self, token: str | None) -> None:
        """Let this one count from now on, and none that did before."""
        self._token = (token or "").strip().encode()

    def check(self, request: Request) -> None:
        """Raises Fault unless the request carries the token."""
        self._check_configured()
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is(given.encode("latin-1")):
            return
        problem = "the bearer token is not the configured one" if given else "this changes something and needs a token"
        raise Fault(
            401,
            problem,
            do="send the header `Authorization: Bearer TOKEN` with the token of http.token",
            headers={"WWW-Authenticate": 'Bearer realm="holdfast"'},
        )

    def check_typed(self, given: str) -> None:
        """The same of a token that somebody typed into a form. No other site knows it, so none can send the form."""
        self._check_configured()
        if not self._is(given.encode("utf-8", "replace")):
            problem = "the token is not the configured one" if given else "the token is missing"
            raise Fault(401, problem, do="type the token of http.token")

    @property
    def configured(self) -> bool:
        """Whether anybody may change anything."""
        return bool(self._token)

    def _check_configured(self) -> None:
        if not self._token:
            raise Fault(
                403,
                "this changes something, and no token is configured, so nobody may",
                do="set http.token in the configuration, or HOLDFAST_HTTP__TOKEN, and send it as a bearer token",
            )

    def _is(self, given: bytes) -> bool:
        return hmac.compare_digest(given.strip(), self._token)


async def body(request: Request, *known: str) -> dict[str, object]:
    """The JSON object that a request carries; an empty one where it carries nothing. Raises Fault."""
    raw = await content(request)
    if not raw.strip():
        return {}
    try:
        given = json.loads(raw)
    except (ValueError, RecursionError):
        raise bad("body", expected="a JSON object", found=raw.decode("utf-8", "replace")) from None
    if not isinstance(given, dict):
        raise bad("body", expected="a JSON object", found=given)
    for name in given:
        if name not in known:
            raise Fault(400, f"body: {name[:64]!r} is not understood here", do=nearest(name, known))
    return given


async def content(request: Request) -> bytes:
    """What a request carries. Raises Fault where it is too long."""
    declared = request.headers.get("content-length", "")
    chunks, size = list[bytes](), 0
    if len(declared) > len(str(LARGEST_BODY)) or (declared.isdecimal() and int(declared) > LARGEST_BODY):
        size = LARGEST_BODY + 1
    else:
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > LARGEST_BODY:
                break
    if size > LARGEST_BODY:
        raise Fault(
            413,
            f"the body is longer than {LARGEST_BODY // 1024} KiB",
            do="nothing here needs so much; send less",
            headers={"Connection": "close"},
        )
    return b"".join(chunks)
