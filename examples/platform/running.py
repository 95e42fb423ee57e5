"""Starts the sample platform as a process of its own, for tests and for the demo.

It imports the standard library only, so that it can be loaded by its path from anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import secrets
import signal
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

CLONE = Path(__file__).resolve().parents[2]

_LINE = "listening on "
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


class PlatformError(Exception):
    """The platform did not start; the message has the end of what it said."""


class Platform:
    """``async with Platform(dsn=…, redis_url=…) as platform``: it answers at `platform.url`, clean.

    Leaving the block stops it. On Linux it dies with this process, however that dies: enter the block in the main
    thread. Started again after `terminate` or `kill` it has the same address.

    `secret` signs its tokens, `admin` is the token of its switches, `options` are further ones of its command line,
    `pid` is for a watcher of processes. What it complains of is appended to `log`, if that is given.
    """

    def __init__(
        self,
        *,
        dsn: str,
        redis_url: str,
        options: Sequence[str] = (),
        secret: str | None = None,
        log: Path | None = None,
    ) -> None:
        self.secret = secret or secrets.token_hex(32)
        self.admin = secrets.token_hex(16)
        self._log = log
        self._options = tuple(options)
        self._environment = {  # not on the command line, which everybody sees
            "PLATFORM_DSN": dsn,
            "PLATFORM_REDIS": redis_url,
            "PLATFORM_SECRET": self.secret,
            "PLATFORM_ADMIN": self.admin,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where it listens: http://127.0.0.1:PORT."""
        return self._url

    @property
    def pid(self) -> int | None:
        """Its process; None while it does not run."""
        return self._process.pid if self._process is not None else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.terminate()

    async def start(self) -> None:
        """Start it; returns when it answers. Raises PlatformError."""
        port = self._url.rpartition(":")[2] or "0"
        with self._log.open("a+b") if self._log else tempfile.TemporaryFile() as log:
            begin = log.seek(0, os.SEEK_END)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "examples.platform", "--port", port, *self._options),
                cwd=CLONE,
                env=os.environ | self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                preexec_fn=_die_with_us(os.getpid()),
            )
            if not await self._says_where(self._process):
                await self.kill()
                log.seek(begin)
                said = log.read().decode(errors="replace").strip()
                raise PlatformError(f"the sample platform did not start; it said:\n{said}")

    async def _says_where(self, process: asyncio.subprocess.Process) -> bool:
        if process.stdout is None:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                line = (await process.stdout.readline()).decode().strip()
                self._url = line.removeprefix(_LINE) or self._url
                return line.startswith(_LINE)
        return False

    async def terminate(self) -> int | None:
        """Ask it to end, and see that it does; -> its exit status, None if it did not run."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """A crash: SIGKILL. `start` brings it back at the same address."""
        await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    async def switch(self, name: str, on: bool) -> None:  # noqa: FBT001  reads as a sentence
        """Turn a switch of examples/platform/switches.py on or off."""
        await asyncio.to_thread(self._switch, name, "PUT" if on else "DELETE")

    def _switch(self, name: str, method: str) -> None:
        headers = {"X-Admin": self.admin}
        request = urllib.request.Request(f"{self._url}/_switches/{name}", method=method, headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=_STOP_SECONDS):  # noqa: S310  our own child
            pass

    @asynccontextmanager
    async def broken(self, name: str) -> AsyncIterator[None]:
        """The switch is on in this block."""
        await self.switch(name, on=True)
        try:
            yield
        finally:
            await self.switch(name, on=False)


def _die_with_us(parent: int) -> Callable[[], None] | None:
    """What the child does first: on Linux, ask the kernel for SIGKILL when this process dies."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:  # died in between
            os._exit(1)

    return ask
