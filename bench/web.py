"""What the page, the API and /metrics take while 1,000 environments are watched (`make bench-web`). No servers needed.

A daemon is made whose probes are played: 60 runs of every probe of every environment have ended, and runs end on at the
rate at which so many would. The real web server answers on the same loop, as it does in a daemon; who asks is a process
of its own. The loop is watched all the while: a stall is by how much a turn came later than it was due, and work is
what of that was the daemon's own; the first row is the loop without anybody who asks. `own` is the work of one answer,
before anybody else is on the loop. It takes about a minute, and prints a table in Markdown. The goal is p95 under
200 ms, which /metrics need not meet: who scrapes has ten seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import monotonic, thread_time

from starlette.types import ASGIApp, Message

from bench.played import PlayedDaemon
from monitor.core.detail import Detail
from monitor.web import create_app, serve

TICK = 0.001
GOAL = 200.0
READERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked, how often, and how: browsers and Prometheus want it compressed."""

    path: str
    times: int = 40
    packed: bool = False
    detail: Detail = Detail.NORMAL
    goal: float | None = GOAL
    readers: int = 0

    @property
    def what(self) -> str:
        """Its row's name."""
        metrics = f", `{self.detail}`" if self.path == "/metrics" else ""
        readers = f", {self.readers} others read all events" if self.readers else ""
        return f"`{self.path}`{metrics}{', gzip' if self.packed else ''}{readers}"


ASKED = (
    Ask(path="/", packed=True),
    Ask(path="/"),
    Ask(path="/?q=env-07", packed=True),
    Ask(path="/?verdict=ok&page=9", packed=True),
    Ask(path="/environments/env-0500", packed=True),
    Ask(path="/api/v1/environments?size=50"),
    Ask(path="/api/v1/environments/env-0500"),
    Ask(path="/health/env-0500"),
    Ask(path="/api/v1/runs?environment=env-0500"),
    Ask(path="/api/v1/violations"),
    Ask(path="/", packed=True, readers=READERS),
    Ask(path="/api/v1/environments", packed=True, times=20),
    Ask(path="/api/v1/runs?limit=1000", packed=True, times=20),
    Ask(path="/metrics", packed=True, times=10, detail=Detail.LOW, goal=None),
    Ask(path="/metrics", times=10, detail=Detail.LOW, goal=None),
    Ask(path="/metrics", packed=True, times=5, goal=None),
    Ask(path="/metrics", times=5, goal=None),
)


@dataclass
class Loop:
    """How late the loop turned, and how much it worked from one turn to the next, in milliseconds.

    Work is time of the processor: a machine that others use, too, makes turns late and no work longer.
    """

    late: list[float] = field(default_factory=list)
    work: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        """Look each millisecond."""
        while True:
            due, spent = monotonic() + TICK, thread_time()
            await asyncio.sleep(TICK)
            self.late.append((monotonic() - due) * 1000)
            self.work.append((thread_time() - spent) * 1000)

    def taken(self) -> tuple[float, float]:
        """The longest stall since this was last asked: how late, and how much of it was work."""
        late, work, self.late, self.work = self.late, self.work, [], []
        return max(late, default=0.0), max(work, default=0.0)


async def own_work(daemon: PlayedDaemon, app: ASGIApp, asked: Ask, times: int = 3) -> float:
    """What the daemon itself works for an answer, in milliseconds of the processor: the least of a few."""
    if asked.detail is not daemon.detail:
        daemon.export(asked.detail)
    name, _, query = asked.path.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": name,
        "raw_path": name.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"accept-encoding", b"gzip")] if asked.packed else [],
    }

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        """Nobody reads it."""

    took, gone = [], asyncio.Event()
    for _ in range(times):
        before = thread_time()
        await app(dict(scope), receive, send)
        took.append((thread_time() - before) * 1000)
    return min(took)


CLIENT = """
import contextlib, http.client, json, socket, sys, threading, time
host, port = json.loads(sys.argv[1])
streams = []
def swallow(answer):
    with contextlib.suppress(OSError, http.client.HTTPException):
        while answer.read1(65536):
            pass
for line in sys.stdin:
    path, times, packed, readers = json.loads(line)
    while len(streams) < readers:
        streams.append(http.client.HTTPConnection(host, port))
        streams[-1].request("GET", "/api/v1/events")
        threading.Thread(target=swallow, args=[streams[-1].getresponse()], daemon=True).start()
    took, connection = [], http.client.HTTPConnection(host, port)
    for turn in range(times + 1):
        began = time.monotonic()
        connection.request("GET", path, headers={"accept-encoding": "gzip"} if packed else {})
        answer = connection.getresponse()
        size = 0
        while piece := answer.read(1 << 20):
            size += len(piece)
        if turn:  # the first warms caches
            took.append((time.monotonic() - began) * 1000)
        assert answer.status == (503 if path.startswith("/health") else 200), (path, answer.status)
    while streams:
        streams.pop().sock.shutdown(socket.SHUT_RDWR)
    print(json.dumps([size, took]), flush=True)
"""


async def main(environments: int, asked: Sequence[Ask] = ASKED) -> bool:
    """Print the table. Returns whether every goal was met."""
    folder = TemporaryDirectory()
    daemon, loop, stop = PlayedDaemon(environments, Path(folder.name) / "state.db"), Loop(), asyncio.Event()
    await daemon.fill()
    gc.set_threshold(10_000, 10, 10)  # as the daemon
    gc.collect()
    gc.freeze()
    app = create_app(daemon, token=None, stop=stop)
    own = [await own_work(daemon, app, each) for each in asked]
    serving = await serve(app, host="127.0.0.1", port=0, stop=stop)
    going, watching = asyncio.create_task(daemon.go_on()), asyncio.create_task(loop.watch())
    print(f"{environments:,} environments, {daemon.rate:.0f} runs a second.\n")
    _row("what is asked", "bytes", "own work, ms", "p50, ms", "p95, ms", "longest stall, ms", "longest work, ms", "")
    _row("---", *["---:"] * 6, "---")
    await asyncio.sleep(3)
    _row("nothing", *["\N{EN DASH}"] * 4, *(f"{figure:.1f}" for figure in loop.taken()), "")
    where = json.dumps([serving.host, serving.port])
    client = await asyncio.create_subprocess_exec(sys.executable, "-c", CLIENT, where, stdin=PIPE, stdout=PIPE)
    met = [await _measured(daemon, loop, client, each, own=work) for each, work in zip(asked, own, strict=True)]
    client.kill()
    await client.wait()
    for task in (going, watching):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    stop.set()
    await serving.task
    await daemon.state.close()
    folder.cleanup()
    return all(met)


async def _measured(daemon: PlayedDaemon, loop: Loop, client: Process, asked: Ask, *, own: float) -> bool:
    """Print one row. Returns whether it met its goal."""
    if client.stdin is None or client.stdout is None:
        raise TypeError("a pipe is missing")
    if asked.detail is not daemon.detail:
        daemon.export(asked.detail)
        gc.collect()
        gc.freeze()
        await asyncio.sleep(2)  # runs that were due meanwhile
    loop.taken()
    line = json.dumps([asked.path, asked.times, asked.packed, asked.readers])
    client.stdin.write(f"{line}\n".encode())
    size, took = json.loads(await client.stdout.readline())
    cuts = quantiles(took, n=20, method="inclusive")
    met = asked.goal is None or cuts[18] < asked.goal
    figures = (f"{figure:.1f}" for figure in (own, cuts[9], cuts[18], *loop.taken()))
    _row(asked.what, f"{size:,}", *figures, "no goal" if asked.goal is None else "met" if met else "**missed**")
    return met


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--environments", type=int, default=1000)
    sys.exit(0 if asyncio.run(main(parser.parse_args().environments)) else 1)
