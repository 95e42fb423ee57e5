"""An HTTP server inside the running loop, which leaves the signals and the end of the process to the daemon."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

GRACE = 2
"""Seconds that a response under way may still take at the end; then its connection is cut."""
_BACKLOG = 128


class ListenError(Exception):
    """The address cannot be listened on; the message says why and what to do."""


class PortTakenError(ListenError):
    """Somebody else listens there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A server that listens.

    `port` is the real one, even where 0 was asked for. `task` ends soon after the stop event is set, within
    `GRACE` seconds and a little; it raises where the server failed by itself, so somebody should watch it.
    """

    host: str
    port: int
    task: asyncio.Task[None] = field(repr=False)

    @property
    def url(self) -> str:
        """The address of the status page, as one may type it."""
        return f"http://{_at(self.host, self.port)}/"


async def serve(app: ASGIApp, *, host: str, port: int, stop: asyncio.Event) -> Serving:
    """Listen on host and port (0: any free one) until `stop` is set. Returns once it listens.

    Raises PortTakenError where somebody else listens there, ListenError where one cannot listen for another reason.
    """
    sockets = await _bind(host, port)
    real = int(sockets[0].getsockname()[1])
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=GRACE,
    )
    server = _Server(config, stop)
    task = asyncio.create_task(server.serve(sockets=sockets), name="http server")
    listening = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
    finally:
        listening.cancel()
    if task.done():
        await task
    return Serving(host=host, port=real, task=task)


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers and without its polling: it ends when the event is set."""

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._stop = stop

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT belong to the daemon."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets=sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Wait for the end; once a second uvicorn renews its Date header."""
        seconds = 0
        while not self._stop.is_set() and not await self.on_tick(seconds * 10):
            seconds += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve to the end, or until cancelled; nothing listens and no connection is open afterwards.

        Uvicorn waits for no more than the grace time, but leaves open whoever does not read his answer.
        """
        try:
            await super().serve(sockets=sockets)
        finally:
            for listener in getattr(self, "servers", ()):
                listener.close()
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            for each in sockets or ():
                each.close()


async def _bind(host: str, port: int) -> list[socket.socket]:
    """A socket for each address of a host, all on one port. An address that this machine lacks is passed over."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenError(
            f"cannot listen on {_at(host, port)}: {host!r} is no address of this machine ({error.strerror}); "
            "set http.listen to one that it has, e.g. 127.0.0.1:9464"
        ) from None
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        place = (address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:])
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(place)
            listener.listen(_BACKLOG)
            listener.setblocking(False)  # noqa: FBT003  the socket's own signature
        except OSError as error:
            listener.close()
            if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                absent = error
                continue
            for each in sockets:
                each.close()
            raise _refused(host, port, error) from None
        sockets.append(listener)
    if not sockets:
        raise _refused(host, port, absent or OSError(errno.EADDRNOTAVAIL, "no such address")) from None
    return sockets


def _refused(host: str, port: int, error: OSError) -> ListenError:
    at = _at(host, port)
    if error.errno == errno.EADDRINUSE:
        return PortTakenError(
            f"cannot listen on {at}: another process listens there; end it, or choose another port "
            "by http.listen (for the demo: --port); 0 takes any free one"
        )
    if error.errno == errno.EACCES:
        return ListenError(
            f"cannot listen on {at}: this user may not; choose a port from 1024 by http.listen (for the demo: --port)"
        )
    return ListenError(
        f"cannot listen on {at}: {error.strerror}; set http.listen to an address that this machine has, "
        "e.g. 127.0.0.1:9464"
    )


def _at(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
