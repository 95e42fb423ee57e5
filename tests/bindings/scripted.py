"""An HTTP server that answers as a test tells it, and a connection to it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from monitor.bindings import Auth
from monitor.ports import Outcome, Store
from monitor.stores.api import Api, ApiAddress
from monitor.stores.api_connection import ApiConnection

ACCOUNTS = tuple(
    {"id": name, "username": name, "password": f"password-of-{name}"} for name in ("ann", "bob", "cy", "di")
)


_TLS = b"\x16"  # how a client begins that speaks by https


class _GarbageError(Exception):
    """What came is no HTTP."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def token(self) -> str:
        """What stands behind the scheme of the log-in."""
        return self.headers.get("authorization", "").partition(" ")[2]

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


Answering = Callable[[Heard], AsyncIterator[bytes]]


@dataclass(kw_only=True)
class Scripted:
    """Where it listens, and what it has heard."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def scripted(answer: Answering, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Scripted]:
    """Listen; `answer` yields the bytes of each answer, and cuts the connection by ConnectionAbortedError."""
    server, tasks = Scripted(), set[asyncio.Task[None]]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        if task := asyncio.current_task():
            tasks.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                while True:
                    server.heard.append(await _request(reader))
                    async for part in answer(server.heard[-1]):
                        writer.write(part)
                        await writer.drain()
            except _GarbageError:
                writer.write(reply(400, Connection="close"))
                await writer.drain()
                await reader.read()
        writer.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def _request(reader: asyncio.StreamReader) -> Heard:
    if (start := await reader.readexactly(1)) == _TLS:
        raise _GarbageError
    first, *lines = (start + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    method, target, _ = first.split(" ")
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Heard(method=method, target=target, headers=headers, body=body)


def reply(status: int, body: bytes | object = b"", **headers: str) -> bytes:
    """A whole answer. What is not bytes is sent as JSON; an underscore in a header's name is a hyphen."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    own = {"Content-Length": str(len(content)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in own.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{lines}\r\n".encode() + content


def replying(*replies: bytes) -> Answering:
    """Each of these in turn, the last one for ever."""
    waiting: list[bytes] = list(replies)

    async def answer(_: Heard) -> AsyncIterator[bytes]:
        yield waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return answer


@dataclass
class Counts:
    """A tally that can be read."""

    outcomes: list[Outcome] = field(default_factory=list)
    sent: int = 0

    def add(self, store: Store, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        """One request."""
        assert store is Store.API
        assert seconds >= 0
        self.outcomes.append(outcome)
        self.sent += sent_bytes


@asynccontextmanager
async def connected(url: str, *, tally: Counts | None = None, **address: Any) -> AsyncIterator[ApiConnection]:
    """A connection that waits for two seconds at most."""
    seconds = address.pop("seconds", 2.0)
    api = Api(ApiAddress(base_url=url, **address), tally=tally or Counts(), timeout=timedelta(seconds=seconds))
    connection = await api.connect("test")
    try:
        yield connection
    finally:
        await connection.close()


def tokens(*texts: str) -> Auth:
    """Log-ins by static tokens."""
    named: Sequence[str] = (*texts, *(f"token-number-{number}" for number in range(len(texts), 4)))
    accounts = [{"id": str(number), "token": text} for number, text in enumerate(named)]
    return Auth.model_validate({"kind": "token", "accounts": accounts})
