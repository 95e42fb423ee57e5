"""A child process that lives no longer than its owner: how it is watched, frozen, stopped and killed."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from monitor.embedded import reaper

POLL_SECONDS = 0.005  # a start takes some 0.5 s, so that waiting adds one per cent at most
KILL_SECONDS = 10.0
TAIL_LINES = 15
PR_SET_PDEATHSIG = 1


class EmbeddedError(Exception):
    """An embedded server cannot do what was asked; the message says what was found and what to do next."""


class NotInstalledError(EmbeddedError):
    """A server that only the packages of the system bring is not there; the message says how to install it."""


async def until(condition: Callable[[], bool], *, within: float) -> bool:
    """Wait until `condition` holds, `within` seconds at most; -> whether it held."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def read(log: Path) -> str:
    """The text of a log, empty while there is none."""
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def tail(text: str) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def die_with(parent: int, farewell: signal.Signals) -> Callable[[], None] | None:
    """What a child does before it becomes the server: on Linux, ask the kernel for a signal when we die."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up now: after the fork as little as possible happens

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(farewell), 0, 0, 0)
        if os.getppid() != parent:  # died in between
            os._exit(1)

    return ask


class Child:
    """A server's process and its descendants."""

    def __init__(self, process: "subprocess.Popen[bytes]", release: Callable[[int], None]) -> None:
        self._process = process
        self._release = release

    @property
    def pid(self) -> int:
        """The first process; its descendants are found when needed."""
        return self._process.pid

    def ended(self) -> bool:
        """True when the first process is dead, and then it is reaped and unregistered too."""
        if self._process.returncode is None and self._process.poll() is not None:
            self._release(self.pid)
        return self._process.returncode is not None

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.returncode

    def pause(self) -> None:
        """SIGSTOP to the process and all its descendants: connections stay open, nothing answers."""
        if not self.ended():  # then its pid may be a stranger's
            reaper.freeze(self.pid)

    def resume(self) -> None:
        """SIGCONT to all of them."""
        if not self.ended():
            reaper.thaw(self.pid)

    async def kill(self) -> None:
        """A crash: SIGKILL to the process and all its descendants; returns when none lives any more."""
        if self.ended():
            return
        members = reaper.destroy(self.pid)
        if not await until(lambda: self.ended() and reaper.gone(members), within=KILL_SECONDS):
            raise EmbeddedError(f"process {self.pid} did not die within {KILL_SECONDS:g} s of SIGKILL")

    async def stop(self, *requests: tuple[signal.Signals, float]) -> None:
        """Ask by each signal in turn, waiting so many seconds for the end after each; then kill."""
        self.resume()  # a paused process would take no notice
        for request, seconds in requests:
            if self.ended():
                return
            self._process.send_signal(request)
            await until(self.ended, within=seconds)
        await self.kill()
