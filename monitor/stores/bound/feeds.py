"""Streams that an API holds open: server-sent events and WebSockets, bounded in time and size, never opened again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

import httpx
from httpx_sse import EventSource, SSEError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus, WebSocketException

from monitor import __version__
from monitor.bindings.templates import filled_path
from monitor.core.verdict import Reason
from monitor.ports import Outcome, Store, StoreError
from monitor.stores.api import Api, Who
from monitor.stores.api_errors import in_words, of_exception, of_status
from monitor.stores.api_wire import MOST_BYTES

_OK, _UNAUTHORIZED = range(200, 300), 401
_PONG = 2.0  # seconds for the answer to a ping
_MOST_MESSAGE = 1024 * 1024
_MOST_REFUSAL = 64 * 1024


class Feed(Protocol):
    """What is pushed, as texts; iterating ends where the server ends it, and raises StoreError where it breaks."""

    def __aiter__(self) -> AsyncIterator[str]:
        """Each text as it comes."""

    async def lived(self, since: float) -> bool:
        """Whether the connection has given a sign of life since a moment of the monotonic clock."""

    async def close(self) -> None:
        """Really close it."""


async def open_feed(api: Api, path: str, *, protocol: str, who: Who, label: str) -> Feed:
    """A new stream, as a user; it is there once the server has said so. Raises StoreError."""
    try:
        url = api.url(filled_path(path, {"user_id": str(who.id)}))
    except (KeyError, ValueError) as error:
        raise api.error(Reason.MISCONFIGURED, f"GET {path}: cannot be filled in: {error}") from None
    agent = f"holdfast/{__version__} ({label})"
    opening = _server_sent if protocol == "sse" else _web_socket

    async def attempt(headers: Mapping[str, str]) -> Feed:
        with _asked(api, f"GET {path}"):
            return await opening(api, url, path, {"User-Agent": agent, **api.address.headers, **headers})

    return await _logged_in(api, who, attempt)


async def _logged_in(api: Api, who: Who, attempt: Callable[[Mapping[str, str]], Awaitable[Feed]]) -> Feed:
    """With the user's token; once more with a new one where the server does not take it."""
    login = await api.logins.login(who)
    try:
        return await attempt(login.headers if login else {})
    except _UnauthorizedError as refused:
        renewed = await api.logins.renewed(who, instead_of=login) if login else None
        if renewed is None or renewed is login:
            raise refused.error from None
    try:
        return await attempt(renewed.headers)
    except _UnauthorizedError as refused:
        raise refused.error from None


class _UnauthorizedError(Exception):
    """The token is not taken; `error` is what comes of it where no other helps."""

    def __init__(self, error: StoreError) -> None:
        super().__init__(str(error))
        self.error = error


def _refusal(api: Api, path: str, status: int, body: bytes) -> Exception:
    reason, advice = of_status(status)
    error = api.error(reason, f"GET {path}: {in_words(status, body, scrub=api.scrub)} ({advice})")
    return _UnauthorizedError(error) if status == _UNAUTHORIZED else error


@contextmanager
def _asked(api: Api, what: str) -> Iterator[None]:
    """Count one request, and turn what fails in it into a StoreError."""
    before, outcome = monotonic(), Outcome.FAILED
    try:
        yield
        outcome = Outcome.OK
    except (httpx.HTTPError, WebSocketException, OSError, ValueError) as error:
        reason, why, _ = of_exception(error)
        raise api.error(reason, f"{what}: {why}") from None  # the original's text may hold a header
    finally:
        api.tally.add(Store.API, outcome, seconds=monotonic() - before, sent_bytes=0)


async def _server_sent(api: Api, url: str, path: str, headers: Mapping[str, str]) -> Feed:
    client = httpx.AsyncClient(
        verify=api.tls,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(api.timeout.total_seconds(), read=None),  # what is pushed may be long in coming
    )
    try:
        async with asyncio.timeout(api.timeout.total_seconds()):
            wanted = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"}
            request = client.build_request("GET", url, headers={**wanted, **headers})
            response = await client.send(request, stream=True)
            if response.status_code not in _OK:
                body = b"".join([part async for part in _at_most(_MOST_REFUSAL, response)])
                raise _refusal(api, path, response.status_code, body)  # noqa: TRY301  the client must be closed
    except BaseException:
        await client.aclose()
        raise
    return ServerSentFeed(api, client, response, path)


async def _at_most(size: int, response: httpx.Response) -> AsyncIterator[bytes]:
    async for part in response.aiter_raw(size):
        yield part
        return


class ServerSentFeed:
    """Server-sent events. Comments, by which servers keep proxies awake, are a sign of life."""

    def __init__(self, api: Api, client: httpx.AsyncClient, response: httpx.Response, path: str) -> None:
        self._api = api
        self._client = client
        self._response = response
        self._path = path
        self._heard, self._bytes = 0.0, 0
        response.stream = _Overheard(response.stream, self._note)

    def _note(self, size: int) -> None:
        self._heard = monotonic()
        self._bytes += size
        if self._bytes > MOST_BYTES:
            raise _too_much(self._api, self._path)

    async def __aiter__(self) -> AsyncIterator[str]:
        """The data of each event."""
        try:
            async for event in EventSource(self._response).aiter_sse():
                yield event.data
        except SSEError as error:
            raise self._api.error(Reason.MISCONFIGURED, f"{self._path}: {error}") from None
        except (httpx.HTTPError, OSError) as error:
            raise _broken(self._api, self._path, error) from None

    async def lived(self, since: float) -> bool:
        """Whether anything has come."""
        return self._heard > since

    async def close(self) -> None:
        """Really close it."""
        await self._client.aclose()


class _Overheard(httpx.AsyncByteStream):
    """A stream, and who is told how much comes."""

    def __init__(self, stream: httpx.SyncByteStream | httpx.AsyncByteStream, heard: Callable[[int], None]) -> None:
        self._stream = stream
        self._heard = heard

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Each part as it comes."""
        if isinstance(self._stream, httpx.AsyncByteStream):  # an AsyncClient has no other
            async for part in self._stream:
                self._heard(len(part))
                yield part

    async def aclose(self) -> None:
        """Close what is under it."""
        if isinstance(self._stream, httpx.AsyncByteStream):
            await self._stream.aclose()


class _Connect(connect):
    """Follows no redirect: no log-in of ours is sent to another server."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """What it was."""
        return exc


async def _web_socket(api: Api, url: str, path: str, headers: Mapping[str, str]) -> Feed:
    seconds = api.timeout.total_seconds()
    agent = headers["User-Agent"]
    try:
        socket = await _Connect(
            f"ws{url.removeprefix('http')}",
            additional_headers={name: value for name, value in headers.items() if name != "User-Agent"},
            user_agent_header=agent,
            ssl=api.tls if url.startswith("https") else None,
            proxy=None,
            compression=None,
            open_timeout=seconds,
            close_timeout=1,
            ping_interval=None,  # `lived` asks when it matters
            max_size=_MOST_MESSAGE,
        )
    except InvalidStatus as error:
        raise _refusal(api, path, error.response.status_code, bytes(error.response.body or b"")) from None
    return WebSocketFeed(api, socket, path)


class WebSocketFeed:
    """The messages of a WebSocket."""

    def __init__(self, api: Api, socket: ClientConnection, path: str) -> None:
        self._api = api
        self._socket = socket
        self._path = path

    async def __aiter__(self) -> AsyncIterator[str]:
        """Each message; bytes are taken for UTF-8."""
        size = 0
        try:
            async for message in self._socket:
                size += len(message)
                if size > MOST_BYTES:
                    raise _too_much(self._api, self._path)
                yield message if isinstance(message, str) else message.decode("utf-8", "replace")
        except ConnectionClosedOK:
            return
        except (ConnectionClosed, OSError) as error:
            raise _broken(self._api, self._path, error) from None

    async def lived(self, since: float) -> bool:  # noqa: ARG002  it is asked now
        """Whether a ping is answered."""
        try:
            async with asyncio.timeout(_PONG):
                await (await self._socket.ping())
        except (TimeoutError, ConnectionClosed, OSError):
            return False
        return True

    async def close(self) -> None:
        """Really close it."""
        await self._socket.close()


def _broken(api: Api, path: str, error: Exception) -> StoreError:
    reason, what, _ = of_exception(error)
    return api.error(reason, f"GET {path}: {what}")


def _too_much(api: Api, path: str) -> StoreError:
    return api.error(Reason.CAPACITY, f"GET {path}: pushes more than {MOST_BYTES // 1024**2} MiB to one listener")
