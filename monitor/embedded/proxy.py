"""A TCP proxy on the loopback interface that breaks a connection as networks do, and can change what flows in it."""

import asyncio
import re
from collections.abc import Callable, Iterable
from itertools import cycle
from time import monotonic
from typing import TypeAlias

Edit: TypeAlias = Callable[[bytes], bytes]
"""A chunk of a stream, as it came; -> what is handed on instead. It may remember what it saw."""

_CHUNK_BYTES = 65_536
_QUEUED_CHUNKS = 256  # in flight on a slow line; a sender beyond that is held back

# Canonical lengths only: what is read as a command can then be written again byte for byte.
_ARRAY = re.compile(rb"\*(0|[1-9]\d{0,9})\r\n")
_BULK = re.compile(rb"\$(0|[1-9]\d{0,9})\r\n")
_HEADER_BYTES = 13  # the longest header: mark, ten digits, CR LF
_PART_OF_HEADER = re.compile(rb"([*$]((0|[1-9]\d{0,9})\r?)?)?")


def encode(command: Iterable[bytes]) -> bytes:
    """One command as RESP: an array of bulk strings."""
    words = list(command)
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class RespCommands:
    """Finds the commands in a client's stream, however the stream is cut into chunks.

    A command is a complete RESP array of bulk strings. From the first byte on that cannot belong to one, the
    stream is not RESP as clients speak it (it may be PostgreSQL's), and everything is handed on as it is.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._foreign = False
        self._reset()

    def _reset(self) -> None:
        self._at = 0
        self._missing: int | None = None  # words of the command in hand, None between commands
        self._words: list[bytes] = []

    def feed(self, data: bytes) -> list[list[bytes] | bytes]:
        """-> what is complete now, in order: commands as lists, foreign bytes as bytes."""
        self._buffer += data
        found: list[list[bytes] | bytes] = []
        while not self._foreign and (command := self._command()) is not None:
            found.append(command)
        if self._foreign and self._buffer:
            found.append(bytes(self._buffer))
            self._buffer.clear()
        return found

    def _command(self) -> list[bytes] | None:
        if self._missing is None:
            count = self._header(_ARRAY)
            if count is None:
                return None
            self._missing = count
        while self._missing:
            start = self._at
            length = self._header(_BULK)
            if length is None:
                return None
            end = self._at + length
            if len(self._buffer) < end + 2:
                self._at = start
                return None
            if self._buffer[end : end + 2] != b"\r\n":
                self._foreign = True
                return None
            self._words.append(bytes(self._buffer[self._at : end]))
            self._at = end + 2
            self._missing -= 1
        command = self._words
        del self._buffer[: self._at]
        self._reset()
        return command

    def _header(self, form: re.Pattern[bytes]) -> int | None:
        if match := form.match(self._buffer, self._at):
            self._at = match.end()
            return int(match[1])
        rest = self._buffer[self._at : self._at + _HEADER_BYTES]
        wrong_mark = bool(rest) and rest[:1] != form.pattern[1:2]
        self._foreign = wrong_mark or _PART_OF_HEADER.fullmatch(rest) is None
        return None


class TcpProxy:
    """A proxy in front of one server. Its switches work at run time, on open connections as well as on new ones.

    - `delay`: seconds by which every byte is late, in each direction, as on a long line: order and rate stay.
    - `refuse`: a new connection is closed at once.
    - `blackhole`: everything is accepted and swallowed. A direction that lost bytes stays dead until the
      connection is closed, because what follows would be taken for what was lost.
    - `rewrite`: applied to each command of a RESP client; -> the command to send instead, empty to drop it.
    - `edits`: called for each new connection; -> the edit of what its client sends (after `rewrite`), and of what its
      server sends. A connection keeps the two for as long as it lives.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self._host = host
        self._ports = cycle((port,))
        self._server: asyncio.Server | None = None
        self._port: int | None = None
        self._connections: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self.delay = 0.0
        self.refuse = False
        self.blackhole = False
        self.rewrite: Callable[[list[bytes]], list[bytes]] | None = None
        self.edits: Callable[[], tuple[Edit, Edit]] | None = None

    def lead_to(self, *ports: int) -> None:
        """New connections lead to another server of this machine from now on, as after a switch-over.

        With several they lead to each in turn, as behind an endpoint that spreads readers.
        """
        self._ports = cycle(ports)

    @property
    def port(self) -> int:
        """The port to connect to; it stays the same over stop() and start()."""
        if self._port is None:
            raise RuntimeError("the proxy has no port yet: call start() first")
        return self._port

    async def start(self) -> None:
        """Listen on a free port of the loopback interface."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port or 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the port and every connection; from then on the kernel refuses connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        connections = list(self._connections)
        self.cut()
        await asyncio.gather(*connections, return_exceptions=True)

    def cut(self) -> None:
        """Close all connections now; bytes in flight are lost. New connections are accepted."""
        for task, ends in self._connections.items():
            for end in ends:
                end.transport.abort()
            task.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: asyncio would report a task of its own that was cancelled as an error.
        if self.refuse:
            writer.transport.abort()
            return
        ends = [writer]
        task = asyncio.create_task(self._serve(reader, writer, ends))
        self._connections[task] = ends
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        for end in self._connections.pop(task):
            end.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: list[asyncio.StreamWriter]
    ) -> None:
        try:
            if self.blackhole:
                while await reader.read(_CHUNK_BYTES):
                    pass
                return
            there, back = self.edits() if self.edits else (bytes, bytes)
            answers, server = await asyncio.open_connection(self._host, next(self._ports))
            ends.append(server)
            rewritten = self._rewriter()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, server, lambda data: there(rewritten(data))))
                both.create_task(self._carry(answers, writer, back))
        except* OSError:  # an end is gone: so is the other
            pass

    def _rewriter(self) -> Edit:
        commands = RespCommands()

        def rewritten(data: bytes) -> bytes:
            return b"".join(self._command(found) for found in commands.feed(data))

        return rewritten

    def _command(self, found: list[bytes] | bytes) -> bytes:
        if isinstance(found, bytes):
            return found
        if self.rewrite is None:
            return encode(found)
        changed = self.rewrite(found)
        return encode(changed) if changed else b""

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Edit) -> None:
        line: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(_QUEUED_CHUNKS)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deliver(line, writer))
            while data := await reader.read(_CHUNK_BYTES):
                await line.put((monotonic() + self.delay, change(data)))
            await line.put((monotonic() + self.delay, None))

    async def _deliver(self, line: asyncio.Queue[tuple[float, bytes | None]], writer: asyncio.StreamWriter) -> None:
        dead = False
        while True:
            due, data = await line.get()
            if (early := due - monotonic()) > 0:
                await asyncio.sleep(early)
            if data is None:
                break
            dead = dead or self.blackhole
            if not dead:
                writer.write(data)
                await writer.drain()
        if not writer.is_closing():
            writer.write_eof()
