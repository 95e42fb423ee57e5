"""A line of known delay before servers, for row 2: `python -m bench.line SECONDS PORT …`.

It is a process of its own with two threads for each connection, so that what it takes is not taken from the daemon, and
holds every chunk of bytes for so many seconds, by a sleep that is exact to some 50 microseconds. How long it held a
request and its answer, it knows exactly, and says so.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from threading import Thread
from time import monotonic, sleep

_TOKEN = re.compile(rb"bench-([0-9a-f-]{36})")
_CHUNK_BYTES = 65_536


class Line:
    """The process, as whoever has started it sees it. `ports` lead to the servers, in the order in which these came."""

    def __init__(self, process: asyncio.subprocess.Process, ports: Sequence[int]) -> None:
        self.ports = ports
        self._process = process

    async def held(self) -> Mapping[str, float]:
        """For how many milliseconds each request with its answer was held since this was last asked, by run."""
        if self._process.stdin is None or self._process.stdout is None:
            raise TypeError("a pipe is missing")
        self._process.stdin.write(b"\n")
        found: Mapping[str, float] = json.loads(await self._process.stdout.readline())
        return found


@asynccontextmanager
async def line(delay: float, *servers: int) -> AsyncIterator[Line]:
    """Start one of so many seconds each way, before servers at these ports of this machine."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.line",
        str(delay),
        *map(str, servers),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    if process.stdout is None:
        raise TypeError("a pipe is missing")
    try:
        yield Line(process, json.loads(await process.stdout.readline()))
    finally:
        process.kill()
        await process.wait()


class _Connection:
    """One that is carried both ways. Who holds its latest request is what its answer is added to."""

    def __init__(self, client: socket.socket, server: socket.socket, *, delay: float, told: dict[str, float]) -> None:
        self._delay, self._told = delay, told
        self._run, self._held = "", 0.0
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, sink, each in ((client, server, self._there), (server, client, self._back)):
            Thread(target=self._carry, args=(source, sink, each), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, each: Callable[[bytes, socket.socket], None]) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                each(data, sink)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _there(self, data: bytes, sink: socket.socket) -> None:
        found = _TOKEN.search(data)
        self._run = found[1].decode() if found else ""
        self._held = self._hand_on(data, sink)

    def _back(self, data: bytes, sink: socket.socket) -> None:
        run, held = self._run, self._hand_on(data, sink)
        if run:
            self._told[run] = (self._held + held) * 1000

    def _hand_on(self, data: bytes, sink: socket.socket) -> float:
        """Wait, and send; -> how long that took."""
        began = monotonic()
        sleep(self._delay)
        sink.sendall(data)
        return monotonic() - began


def main() -> None:
    """Serve until killed, and tell at each line that comes in."""
    delay, *servers = sys.argv[1:]
    told: dict[str, float] = {}
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=256) for _ in servers]

    def accept(listener: socket.socket, port: int) -> None:
        while True:
            client, _ = listener.accept()
            _Connection(client, socket.create_connection(("127.0.0.1", port)), delay=float(delay), told=told)

    for listener, port in zip(listeners, servers, strict=True):
        Thread(target=accept, args=(listener, int(port)), daemon=True).start()
    print(json.dumps([listener.getsockname()[1] for listener in listeners]), flush=True)
    for _ in sys.stdin:
        print(json.dumps(told), flush=True)
        told.clear()


if __name__ == "__main__":
    main()
