"""How a request over HTTP can fail: by what answered, or because nothing did."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from http import HTTPStatus

from monitor.core.verdict import Reason

_LONGEST = 160  # characters of what a server says of its refusal
_MOST_READ = 20_000  # bytes of a refusal; a longer one is not looked into
_SERVER = 500

_BY_STATUS: dict[int, tuple[Reason, str]] = {
    401: (Reason.REFUSED, "check how synthetic users log in, under `api.auth`"),
    403: (Reason.REFUSED, "the synthetic user may not do this; grant it, or take the request out of the binding"),
    404: (Reason.MISCONFIGURED, "check the path in the binding, and base_url"),
    405: (Reason.MISCONFIGURED, "check the method in the binding"),
    408: (Reason.CAPACITY, "the server had no time to read the request"),
    409: (Reason.INCONCLUSIVE, "the server saw a conflict; the next run tries again"),
    412: (Reason.INCONCLUSIVE, "the server saw a conflict; the next run tries again"),
    413: (Reason.MISCONFIGURED, "a message is too large for it; leave `large` out of messages.content in the binding"),
    423: (Reason.INCONCLUSIVE, "the server has locked this; the next run tries again"),
    429: (Reason.CAPACITY, "too many requests; raise the limit for synthetic users, or run the probes less often"),
    501: (Reason.MISCONFIGURED, "the server does not know this method"),
    503: (Reason.CAPACITY, "the server says that it cannot serve now"),
    504: (Reason.TIMEOUT, "a server behind it did not answer"),
    507: (Reason.CAPACITY, "the server has no room"),
}


def of_status(status: int) -> tuple[Reason, str]:
    """What an answer with this status means, and the next step."""
    if found := _BY_STATUS.get(status):
        return found
    if status >= _SERVER:
        return Reason.UNREACHABLE, "the server, or one behind it, failed; look into its log"
    return Reason.MISCONFIGURED, "the request in the binding does not suit this API"


def in_words(status: int, body: bytes, *, scrub: Callable[[str], str]) -> str:
    """`answered 429 Too Many Requests: rate_limit_exceeded`, with as much of what is said as can be shown."""
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    said = " ".join(": ".join(_said(body)).split()) if len(body) <= _MOST_READ else ""
    shown = scrub(said)[:_LONGEST]  # in this order: half a token is a secret that nobody would know for one
    return f"answered {status} {phrase}".rstrip() + (f": {shown}" if shown else "")


def _said(body: bytes) -> Iterator[str]:
    """The code and the message of a refusal, as most APIs write them."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return
    if not isinstance(told, dict):
        return
    error = told.get("error")
    inner = error if isinstance(error, dict) else told
    for name in ("error", "code", "message", "error_description", "detail", "title"):
        if isinstance(text := inner.get(name), str):
            yield text


def of_exception(error: Exception) -> tuple[Reason, str, bool]:
    """The reason, what is wrong and the next step, and whether the request may have been received."""
    for cause in _causes(error):
        if (why := _at_the_door(cause)) is not None:
            return Reason.UNREACHABLE, why, False
    return _on_the_way(error)


def _at_the_door(cause: BaseException) -> str | None:
    match cause:
        case ssl.SSLWantReadError() | ssl.SSLWantWriteError():  # while a socket waits, as it should
            return None
        case ssl.SSLCertVerificationError():
            said = cause.verify_message
            return f"its certificate is not trusted: {said} (check base_url, or name its authority under `ca`)"
        case ssl.SSLError():
            said = (cause.reason or "no reason given").lower().replace("_", " ")
            return f"TLS failed: {said} (check https:// against http:// in base_url)"
        case socket.gaierror():
            return "nobody knows this host (check base_url, and DNS)"
        case ConnectionRefusedError():
            return "nothing listens there (check that it runs, and base_url)"
    return None


def _on_the_way(error: Exception) -> tuple[Reason, str, bool]:
    import httpx  # noqa: PLC0415  a daemon without an API needs no HTTP, and it takes a tenth of a second

    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return Reason.TIMEOUT, "no connection in time (a firewall may be between)", False
        case httpx.TimeoutException() | TimeoutError():
            return Reason.TIMEOUT, "no whole answer in time (it is too slow, or a firewall is between)", True
        case httpx.ConnectError():
            return Reason.UNREACHABLE, "no connection (check that it runs, and base_url)", False
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError() | UnicodeError():
            return Reason.MISCONFIGURED, "the request cannot be sent (check base_url, and the headers)", False
        case httpx.RemoteProtocolError():
            return Reason.UNREACHABLE, "the connection broke, or what answers is no HTTP (check base_url)", True
    return Reason.UNREACHABLE, f"the connection broke ({type(error).__name__})", True


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and all that led to it."""
    waiting: list[BaseException] = [error]
    while waiting:
        cause = waiting.pop()
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
        waiting += [earlier for earlier in (cause.__cause__, cause.__context__) if earlier is not None]
