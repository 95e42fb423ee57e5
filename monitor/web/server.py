"""An HTTP server inside the running loop, which leaves the signals and the end of the process to the daemon."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from monitor.listening import BACKLOG, at, bind

GRACE = 2
"""Seconds that a response under way may still take at the end; then its connection is cut."""


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
        return f"http://{at(self.host, self.port)}/"


async def serve(app: ASGIApp, *, host: str, port: int, stop: asyncio.Event) -> Serving:
    """Listen on host and port (0: any free one) until `stop` is set. Returns once it listens.

    Raises PortTakenError where somebody else listens there, ListenError where one cannot listen for another reason.
    """
    sockets = await bind(host, port)
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
        backlog=BACKLOG,
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
