"""The real server inside a running loop: where it listens, whose signals it leaves alone, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monitor.core.verdict import Verdict
from monitor.listening import ListenError, PortTakenError
from monitor.web import Serving, create_app, serve
from monitor.web.server import GRACE

from . import FINDINGS, TOKEN, SmallDaemon

HERE = "127.0.0.1"


@asynccontextmanager
async def serving(app: Starlette, *, host: str = HERE, port: int = 0) -> AsyncIterator[Serving]:
    """A server that is stopped at the end, within its bound."""
    stop = asyncio.Event()
    server = await serve(app, host=host, port=port, stop=stop)
    try:
        yield server
    finally:
        stop.set()
        await asyncio.wait_for(server.task, GRACE + 3)


def slow_app(entered: asyncio.Event, release: asyncio.Event) -> Starlette:
    """An application that answers once it is released."""

    async def answer(_request: Request) -> Response:
        entered.set()
        await release.wait()
        return PlainTextResponse("done")

    return Starlette(routes=[Route("/", answer)])


async def test_page_is_served_on_a_free_port(daemon: SmallDaemon) -> None:
    """Port 0 takes a free port, and the server says which; it does not say what software it is."""
    await daemon.all_ran(FINDINGS[Verdict.OK])
    async with serving(create_app(daemon, token=TOKEN)) as server, httpx.AsyncClient(base_url=server.url) as client:
        assert server.port > 0
        assert server.url == f"http://127.0.0.1:{server.port}/"
        answer = await client.get("/health/production")
        assert (answer.status_code, "server" in answer.headers) == (200, False)
        assert "date" in answer.headers
        assert (await client.head("/metrics")).content == b""


async def test_long_body_is_refused_and_the_server_lives_on(daemon: SmallDaemon) -> None:
    """A body over the bound is refused by the real server too."""
    async with serving(create_app(daemon, token=TOKEN)) as server, httpx.AsyncClient(base_url=server.url) as client:
        headers = {"authorization": f"Bearer {TOKEN}"}
        answer = await client.post("api/v1/environments/production/pause", content=b" " * 100_000, headers=headers)
        assert answer.status_code == 413
        assert (await client.get("/healthz")).status_code == 200


async def test_page_is_served_on_localhost() -> None:
    """A host name with several addresses is served on one port on all that this machine has."""
    app = slow_app(asyncio.Event(), release := asyncio.Event())
    release.set()
    async with serving(app, host="localhost") as server, httpx.AsyncClient() as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}/")).text == "done"


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
async def test_signals_are_left_to_the_daemon(which: signal.Signals) -> None:
    """SIGTERM and SIGINT reach the daemon's own handler; the server goes on until it is told to stop."""
    came = asyncio.Event()
    loop = asyncio.get_running_loop()
    before = signal.getsignal(which)
    loop.add_signal_handler(which, came.set)
    try:
        app = slow_app(asyncio.Event(), release := asyncio.Event())
        release.set()
        async with serving(app) as server, httpx.AsyncClient() as client:
            os.kill(os.getpid(), which)
            await asyncio.wait_for(came.wait(), 5)
            assert (await client.get(server.url)).text == "done"
            assert not server.task.done()
    finally:
        loop.remove_signal_handler(which)
        signal.signal(which, before)


async def test_taken_port_is_named() -> None:
    """Where somebody listens already, the error names host and port and says what to do."""
    app = slow_app(asyncio.Event(), asyncio.Event())
    async with serving(app) as first:
        with pytest.raises(PortTakenError) as caught:
            await serve(app, host=HERE, port=first.port, stop=asyncio.Event())
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{first.port}: it is in use; end what listens there, or choose another port "
        "by http.listen (for the demo: --port); 0 takes any free one"
    )


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
async def test_foreign_address_is_refused(host: str) -> None:
    """An address that this machine does not have is refused with a way out."""
    with pytest.raises(ListenError, match=rf"cannot listen on {host}:0: .*http\.listen"):
        await serve(slow_app(asyncio.Event(), asyncio.Event()), host=host, port=0, stop=asyncio.Event())


async def test_port_is_free_after_the_end() -> None:
    """The same port can be taken again at once after the server has ended."""
    app = slow_app(asyncio.Event(), release := asyncio.Event())
    release.set()
    async with serving(app) as first, httpx.AsyncClient() as client:
        await client.get(first.url)
    async with serving(app, port=first.port) as second:
        assert second.port == first.port


async def test_answer_under_way_is_finished_at_the_end() -> None:
    """A request that is being answered when the server stops still gets its answer."""
    app = slow_app(entered := asyncio.Event(), release := asyncio.Event())
    async with httpx.AsyncClient() as client:
        async with serving(app) as server:
            asking = asyncio.create_task(client.get(server.url))
            await asyncio.wait_for(entered.wait(), 5)
            asyncio.get_running_loop().call_later(0.3, release.set)
        assert (await asyncio.wait_for(asking, 5)).text == "done"


async def test_idle_connection_does_not_hold_the_end() -> None:
    """Connections that only stand open, or that sent half a request, are closed at once."""
    app = slow_app(asyncio.Event(), asyncio.Event())
    async with serving(app) as server:
        idle = await asyncio.open_connection(HERE, server.port)
        half = await asyncio.open_connection(HERE, server.port)
        half[1].write(b"GET / HTTP/1.1\r\nHost:")
        await half[1].drain()
        began = monotonic()
    assert monotonic() - began < GRACE
    for reader, writer in (idle, half):
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_answer_that_never_ends_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """A request that is never answered holds the end for the grace time, and no longer."""
    app = slow_app(entered := asyncio.Event(), asyncio.Event())
    with caplog.at_level(logging.CRITICAL, "uvicorn.error"):
        async with serving(app) as server:
            reader, writer = await asyncio.open_connection(HERE, server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(entered.wait(), 5)
            began = monotonic()
        assert GRACE <= monotonic() - began < GRACE + 2
        await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_reader_that_does_not_read_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """A client that asks for much and reads nothing does not hold the end for longer than the grace time."""
    sent = asyncio.Event()

    async def answer(_request: Request) -> Response:
        sent.set()
        return Response(b"x" * 50_000_000)

    with caplog.at_level(logging.CRITICAL, "uvicorn.error"):
        async with serving(Starlette(routes=[Route("/", answer)])) as server:
            client = socket.create_connection((HERE, server.port))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(sent.wait(), 5)
            began = monotonic()
        assert monotonic() - began < GRACE + 2
    client.close()


async def test_cancelled_server_leaves_nothing_open() -> None:
    """A server whose task is cancelled closes its connections and frees its port at once."""
    app = slow_app(asyncio.Event(), asyncio.Event())
    server = await serve(app, host=HERE, port=0, stop=asyncio.Event())
    reader, writer = await asyncio.open_connection(HERE, server.port)
    writer.write(b"GET / HTTP/1.1\r\n")
    await writer.drain()
    server.task.cancel()
    await asyncio.wait({server.task}, timeout=5)
    assert server.task.cancelled()
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    async with serving(app, port=server.port):
        pass


async def test_cancelled_start_leaves_nothing() -> None:
    """A start that is cancelled half-way leaves no listener and no task."""
    app = slow_app(asyncio.Event(), asyncio.Event())
    before = asyncio.all_tasks()
    starting = asyncio.create_task(serve(app, host=HERE, port=0, stop=asyncio.Event()))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    left = asyncio.all_tasks() - before
    assert not left or not (await asyncio.wait(left, timeout=5))[1]
