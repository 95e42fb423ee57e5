"""What every embedded server can do."""

import asyncio
import signal
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from monitor.embedded.folder import PrivateFolder
from monitor.embedded.process import POLL_SECONDS, Child, EmbeddedError, read, tail

START_SECONDS = 30.0  # after a crash a server replays its log first
PORT_ATTEMPTS = 5


def free_port() -> int:
    """A port of the loopback interface that is free now; another process may take it before the server does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server(ABC):
    """What every embedded server can do: start, stop, freeze, crash and come back, on one port with one data folder."""

    title: ClassVar[str]  # its name in messages
    stop_requests: ClassVar[Sequence[tuple[signal.Signals, float]]]  # how it is asked to stop, and how long it gets
    farewell: ClassVar[signal.Signals] = signal.SIGKILL  # what it gets should this process die
    ours: ClassVar[bool] = False  # whether it runs as this process's user, who alone may read what it is made of

    def __init__(self, folder: PrivateFolder, name: str) -> None:
        self.variables: dict[str, str] = {}  # in the environment of a server that is started from now on
        self._folder = folder
        self._home = folder.path / name
        self._child: Child | None = None
        self._port: int | None = None

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._home / "server.log"

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; it stays the same over restarts."""
        if self._port is None:
            raise EmbeddedError(f"{self.title} has no port yet: call start() first")
        return self._port

    @property
    def pid(self) -> int:
        """The id of the server's first process."""
        if self._child is None:
            raise EmbeddedError(f"{self.title} is not running: call start() first")
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Whether its first process runs."""
        return self._child is not None and not self._child.ended()

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        return tail(read(self.log))

    @abstractmethod
    async def _prepare(self) -> None:
        """Make what a start needs, unless it is there."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """The command line of the server."""

    @abstractmethod
    async def _answers(self) -> bool:
        """Whether the server that was just started is ready for clients."""

    async def start(self) -> None:
        """Start, on the same port and data where it ran before; returns when the server is ready for clients."""
        if self._child is not None:
            raise EmbeddedError(f"{self.title} runs already, as process {self.pid}: call restart() or stop() first")
        await self._prepare()
        chosen = self._port
        for _ in range(PORT_ATTEMPTS):
            self._port = chosen or free_port()
            before = len(read(self.log))
            if await self._launch():
                return
            if chosen or "address already in use" not in read(self.log)[before:].lower():
                break
        raise EmbeddedError(f"{self.title} did not start on port {self.port}; its log ends with:\n{self.log_tail()}")

    async def _launch(self) -> bool:
        child = self._child = self._folder.spawn(
            self._command(), log=self.log, farewell=self.farewell, environment=self.variables, as_ourselves=self.ours
        )
        deadline = time.monotonic() + START_SECONDS
        while not child.ended() and time.monotonic() < deadline:
            if await self._answers():
                return True
            await asyncio.sleep(POLL_SECONDS)
        await self.stop()
        return False

    async def stop(self) -> None:
        """Stop in order; what does not end within its bound is killed. Nothing happens where nothing runs."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop(*self.stop_requests)

    def pause(self) -> None:
        """Freeze the server with all its processes: connections stay open, nothing answers."""
        if self._child is not None:
            self._child.pause()

    def resume(self) -> None:
        """Let a paused server go on."""
        if self._child is not None:
            self._child.resume()

    async def kill(self) -> None:
        """A crash: SIGKILL to all its processes. start() then recovers from the same data."""
        child, self._child = self._child, None
        if child is not None:
            await child.kill()

    async def restart(self) -> None:
        """Stop in order and start again."""
        await self.stop()
        await self.start()
