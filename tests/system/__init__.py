"""The real command against real servers: what these tests share."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import yaml

import monitor.probes
from monitor.probe import discover
from tests.system.zygote import Zygote

_AT_ONCE = asyncio.Semaphore(3)  # commands; a machine of two cores does no more
COMMAND = str(Path(sys.executable).with_name("holdfast"))
ENVIRONMENT = "lime"
"""A name whose probes have their first turns within half a second of the start: turns are spread by a hash of it."""
TOKEN = "a-token-of-these-tests"
PATIENCE = 60.0
"""Seconds within which whatever is waited for happens, also where a machine is busy with something else."""
RARELY = {"thread": {"every": "1h", "timeout": "10s"}, "session": {"every": "1h", "timeout": "10s"}}
"""Probes that run once at the start, and then only when they are asked to."""
OFTEN = {"thread": {"every": "2s", "timeout": "1900ms"}, "session": {"every": "2s", "timeout": "1900ms"}}


def variables(**changes: str) -> dict[str, str]:
    """The variables of a shell in which nothing of Holdfast's is set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST", "NO_COLOR", "FORCE"))}
    return {**kept, "COLUMNS": "200", **changes}


async def until(
    condition: Callable[[], bool | Awaitable[bool]], *, within: float = PATIENCE, what: str | Callable[[], str] = ""
) -> None:
    """Wait for a condition. AssertionError if it does not come true in time."""
    deadline = monotonic() + within
    while True:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        assert monotonic() < deadline, f"not within {within:g} s: {what() if callable(what) else what or condition}"
        await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Process(Protocol):
    """What the tests need of a process, forked or spawned."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""

    def wait(self) -> int:
        """Wait for its end."""

    def send_signal(self, number: int, /) -> None:
        """Send a signal, if it still lives."""

    def kill(self) -> None:
        """SIGKILL, if it still lives."""


@cache
def zygote() -> Zygote:
    """The process that has all imports, started once."""
    started = Zygote()
    atexit.register(started.close)
    return started


def spawn(
    *arguments: str | Path,
    out: int,
    err: int,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    command: Sequence[str] | None = None,
    script: str | None = None,
) -> Process:
    """Start the command: forked, or by the command line that is given. A script runs in its place."""
    words, env = [str(word) for word in arguments], variables() if env is None else env
    if command is None:
        return zygote().fork(words, script=script, env=env, cwd=cwd, out=out, err=err)
    return subprocess.Popen([*command, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd)


async def holdfast(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    command: Sequence[str] | None = None,
    script: str | None = None,
    within: float = PATIENCE * 2,
) -> Ended:
    """Run the command to its end."""
    with TemporaryFile() as out, TemporaryFile() as err:
        async with _AT_ONCE:
            process = spawn(
                *arguments, out=out.fileno(), err=err.fileno(), env=env, cwd=cwd, command=command, script=script
            )
            try:
                await until(lambda: process.poll() is not None, within=within, what=f"the end of {arguments}")
            finally:
                process.kill()
        out.seek(0)
        err.seek(0)
        return Ended(code=process.wait(), out=out.read().decode(), err=err.read().decode())


def write(file: Path, values: Mapping[str, Any]) -> Path:
    """Write a configuration, in one step, so that nobody reads half of it."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    new.replace(file)
    return file


def described(
    folder: Path, *, dsn: str | None, url: str | None, probes: Mapping[str, Any] = RARELY, **more: Any
) -> dict[str, Any]:
    """A configuration of one environment, its state in a folder, its page at any free port.

    Of the probes only those run that are named.
    """
    others = {name: {"enabled": False} for name in discover(monitor.probes) if name not in probes}
    stores = {"postgres": {"dsn": dsn} if dsn else None, "redis": {"url": url} if url else None}
    return {
        "location": "test",
        "state": f"sqlite:///{folder / 'state.db'}",
        "http": {"listen": "127.0.0.1:0", "token": TOKEN},
        "probes": {**others, **{name: dict(each) for name, each in probes.items()}},
        "environments": {ENVIRONMENT: {name: each for name, each in stores.items() if each}},
        **more,
    }


@dataclass
class Daemon:
    """`holdfast run` as a process of its own, its log in a file. Entering waits until the page can be read."""

    config: Path
    folder: Path
    arguments: Sequence[str] = ()
    command: Sequence[str] | None = None
    script: str | None = None
    env: Mapping[str, str] | None = None
    log: Path = field(init=False)
    url: str = field(init=False, default="")
    process: Process = field(init=False)

    async def __aenter__(self) -> Self:
        self.start()
        try:
            self.url = str((await self.event("daemon.started"))["url"])
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process, and wait for nothing."""
        self.log = self.folder / f"log-{monotonic()}.jsonl"
        with self.log.open("wb") as log:
            self.process = spawn(
                "run",
                "--config",
                self.config,
                *self.arguments,
                out=log.fileno(),
                err=log.fileno(),
                env=self.env,
                cwd=self.folder,
                command=self.command,
                script=self.script,
            )

    def kill(self) -> None:
        """SIGKILL, if it still lives."""
        self.process.kill()
        self.process.wait()

    def tell(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM, *, within: float = PATIENCE) -> int:
        """Ask for the end; -> the exit status."""
        self.tell(number)
        return await self.ended(within=within)

    async def ended(self, *, within: float = PATIENCE) -> int:
        """Wait for the end; -> the exit status."""
        await until(lambda: self.process.poll() is not None, within=within, what=f"the end of {self.written()}")
        return self.process.wait()

    def written(self) -> str:
        """All that it wrote."""
        return self.log.read_text(encoding="utf-8")

    def events(self, name: str | None = None, **fields: object) -> list[dict[str, Any]]:
        """The lines of its log that are complete, of one event if it is named, with these values."""
        found = [json.loads(line) for line in self.written().splitlines(keepends=True) if line.endswith("\n")]
        return [
            each
            for each in found
            if name in (None, each["event"]) and all(each.get(key) == value for key, value in fields.items())
        ]

    async def event(self, name: str, *, times: int = 1, within: float = PATIENCE, **fields: object) -> dict[str, Any]:
        """Wait until a line was logged so often; -> the last of them."""

        def there() -> bool:
            assert len(self.events(name, **fields)) >= times or self.process.poll() is None, self.written()
            return len(self.events(name, **fields)) >= times

        await until(there, within=within, what=lambda: f"{times} x {name} {fields} in {self.written()[-3000:]}")
        return self.events(name, **fields)[-1]

    async def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask its page."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            return await client.get(path, headers=headers)

    async def post(self, path: str, content: Mapping[str, Any] | None = None, *, token: str = TOKEN) -> httpx.Response:
        """Ask its API to change something."""
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=PATIENCE) as client:
            return await client.post(path, headers=headers, json=content or {})

    async def metric(self, name: str, **labels: str) -> float:
        """The value of one series: the only one of this name with these labels."""
        found = await self.series(name, **labels)
        assert len(found) == 1, found
        return next(iter(found.values()))

    async def series(self, name: str, **labels: str) -> dict[str, float]:
        """Every series of this name with these labels, with its value."""
        page = (await self.get("/metrics")).text
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return {
            series: float(value)
            for line in page.splitlines()
            if not line.startswith("#")
            for series, _, value in (line.rpartition(" "),)
            if series.partition("{")[0] == name and all(each in series for each in wanted)
        }
