"""The proxy in front of the real Valkey, and its parser under every way to cut a stream."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from monitor.embedded import EmbeddedValkey, PrivateFolder, TcpProxy
from monitor.embedded.proxy import Edit, RespCommands, encode

PATIENCE_SECONDS = 0.3

commands = st.lists(st.lists(st.binary(max_size=20), max_size=4), max_size=6)
cuts = st.lists(st.integers(min_value=0, max_value=300))


@contextmanager
def occupied_port() -> Iterator[int]:
    """A port on which someone else listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def fed(stream: bytes, at: list[int]) -> list[list[bytes] | bytes]:
    """What the parser finds in a stream that is cut at these places."""
    parser = RespCommands()
    edges = [0, *sorted(place for place in at if place < len(stream)), len(stream)]
    return [found for start, end in pairwise(edges) for found in parser.feed(stream[start:end])]


@given(commands, cuts)
def test_any_cut_of_a_stream_gives_the_same_commands(sent: list[list[bytes]], at: list[int]) -> None:
    """However the stream is cut, the commands are those that were sent."""
    assert fed(b"".join(map(encode, sent)), at) == sent


@given(commands, st.binary(), cuts)
def test_any_bytes_pass_unchanged(sent: list[list[bytes]], tail: bytes, at: list[int]) -> None:
    """Whatever follows the commands, nothing is changed, and nothing but a command that has begun is held."""
    stream = b"".join(map(encode, sent)) + tail
    passed = b"".join(found if isinstance(found, bytes) else encode(found) for found in fed(stream, at))
    assert stream.startswith(passed)
    assert passed == stream or stream[len(passed) :].startswith(b"*")


@pytest.mark.parametrize(
    "stream",
    [
        b"\x00\x00\x00\x08\x04\xd2\x16/",
        b"PING\r\n",
        b"*01\r\n$4\r\nPING\r\n",
        b"*-1\r\n",
        b"*1\r\n:4\r\n",
        b"*1\r\n$4\r\nPING++*1\r\n$4\r\nPING\r\n",
        b"*12345678901\r\n",
    ],
)
def test_what_is_no_command_passes_at_once(stream: bytes) -> None:
    """PostgreSQL's bytes, inline commands and malformed arrays are neither held nor read as commands."""
    assert fed(stream, []) == [stream]


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[EmbeddedValkey]:
    """A running Valkey."""
    private = PrivateFolder()
    running = EmbeddedValkey(private, fsync=False)
    await running.start()
    yield running
    await running.stop()
    private.close()


@pytest.fixture
async def proxy(server: EmbeddedValkey) -> AsyncIterator[TcpProxy]:
    """A proxy in front of it."""
    running = TcpProxy(server.port)
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def client(server: EmbeddedValkey, proxy: TcpProxy) -> AsyncIterator[Redis]:
    """A client that connects through the proxy and repeats nothing."""
    async with Redis(
        port=proxy.port, password=server.password, retry=Retry(NoBackoff(), 0), socket_timeout=PATIENCE_SECONDS
    ) as connected:
        yield connected


async def test_commands_pass_unchanged(client: Redis) -> None:
    """Without a switch the proxy is not noticed, not even by binary values of many chunks."""
    value = bytes(range(256)) * 4096
    await client.set("key", value)
    assert await client.get("key") == value


async def test_a_rewrite_changes_what_the_server_gets(client: Redis, proxy: TcpProxy, server: EmbeddedValkey) -> None:
    """A rewrite sees each command and decides what is sent; taken away, the connection goes on as before."""
    await client.set("key", "before")
    proxy.rewrite = lambda words: [words[0], words[1], b"changed"] if words[0] == b"SET" else words
    assert await client.set("key", "asked") is True
    assert await server.command("GET", "key") == b"changed"
    proxy.rewrite = None
    await client.set("key", "after")
    assert await server.command("GET", "key") == b"after"


async def test_a_command_can_be_dropped(client: Redis, proxy: TcpProxy, server: EmbeddedValkey) -> None:
    """A rewrite to nothing sends nothing: the client waits in vain."""
    await client.set("key", "before")
    proxy.rewrite = lambda words: [] if words[0] == b"SET" else words
    with pytest.raises(RedisTimeoutError):
        await client.set("key", "asked")
    assert await server.command("GET", "key") == b"before"


async def test_a_delay_counts_in_each_direction(client: Redis, proxy: TcpProxy) -> None:
    """An answer takes twice the delay, and many commands at once take no longer."""
    await client.ping()
    proxy.delay = 0.05
    start = time.monotonic()
    await client.ping()
    assert time.monotonic() - start >= 0.1
    async with client.pipeline(transaction=False) as pipeline:
        for _ in range(1000):
            pipeline.ping()
        start = time.monotonic()
        assert await pipeline.execute() == [True] * 1000
        assert 0.1 <= time.monotonic() - start < 100 * proxy.delay  # each for itself, they would take a thousand


async def test_a_cut_closes_connections_and_lets_new_ones_in(
    client: Redis, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """A command in flight fails by a closed connection, the next one has a new connection, and nothing is logged."""
    await client.ping()
    blocked = asyncio.create_task(client.execute_command("BLPOP", "nothing", "0.25"))
    while (await client.info("clients"))["blocked_clients"] == 0:
        pass
    proxy.cut()
    with pytest.raises(RedisConnectionError):
        await blocked
    assert await client.ping()
    assert proxy._connections != {}
    await proxy.stop()
    assert proxy._connections == {}
    assert caplog.records == []


async def test_edits_are_made_for_each_new_connection(client: Redis, proxy: TcpProxy) -> None:
    """Both directions are edited on connections that are opened from then on; an open one stays as it was."""
    await client.ping()
    made = []

    def edits() -> tuple[Edit, Edit]:
        made.append(len(made))
        return (lambda data: data.replace(b"asked", b"other")), (lambda data: data.replace(b"other", b"found"))

    proxy.edits = edits
    assert await client.echo("asked") in {"asked", b"asked"}
    await client.connection_pool.disconnect()
    assert await client.echo("asked") in {"found", b"found"}
    assert made == [0]


async def test_refuse_closes_new_connections_only(client: Redis, proxy: TcpProxy) -> None:
    """An open connection works on; a new one is closed at once, and accepted again afterwards."""
    await client.ping()
    proxy.refuse = True
    assert await client.ping()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await closed(reader)
    writer.close()
    proxy.cut()
    proxy.refuse = False
    await client.connection_pool.disconnect()
    assert await client.ping()


async def test_a_black_hole_swallows_and_never_gives_back(client: Redis, proxy: TcpProxy) -> None:
    """What was sent into a black hole gets no answer, not even after its end; a new connection works."""
    await client.ping()
    proxy.blackhole = True
    with pytest.raises(RedisTimeoutError):
        await client.set("swallowed", 1)
    with pytest.raises(RedisTimeoutError):
        await client.ping()
    proxy.blackhole = False
    assert await client.exists("swallowed") == 0


async def test_a_stopped_proxy_refuses_and_comes_back_on_its_port(client: Redis, proxy: TcpProxy) -> None:
    """Between stop() and start() the kernel refuses; the port stays the same."""
    port = proxy.port
    await proxy.stop()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    await proxy.start()
    assert proxy.port == port
    await client.connection_pool.disconnect()
    assert await client.ping()


async def test_a_dead_server_closes_the_client() -> None:
    """Behind the proxy nobody listens: the client's connection is closed."""
    with occupied_port() as port:
        pass
    proxy = TcpProxy(port)
    await proxy.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    assert await closed(reader)
    writer.close()
    await proxy.stop()


async def closed(reader: asyncio.StreamReader) -> bool:
    """Whether the other end has closed the connection, in order or not."""
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True
