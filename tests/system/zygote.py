"""The command without the second of imports before it: a process that has them all forks a new one for each command.

What is forked is a process of its own, with its own arguments, variables, folder and streams, and runs `main` of the
command line; tests that have to see the console script itself run that.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

_LARGEST = 1 << 20


class Forked:
    """A forked command, with the part of subprocess.Popen that the tests use."""

    def __init__(self, pid: int, line: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._line = line

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        if self.returncode is None:
            with suppress(BlockingIOError):
                self._line.setblocking(False)  # noqa: FBT003  the socket's own signature
                self.returncode = int(self._line.recv(64) or b"-99")
                self._line.close()
        return self.returncode

    def wait(self, timeout: float = 60) -> int:
        """Wait for its end."""
        deadline = monotonic() + timeout
        while (status := self.poll()) is None:
            assert monotonic() < deadline, f"process {self.pid} did not end"
            sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, if it still lives."""
        self.send_signal(signal.SIGKILL)


class Zygote:
    """The tests' side: starts the process with all imports, and asks it for commands."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zygote-")
        self._address = str(Path(self._folder.name) / "socket")
        self._life, theirs = socket.socketpair()
        self._pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", __file__, self._address],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), 0)],
        )
        theirs.close()
        assert self._life.recv(1) == b"!"

    def fork(
        self,
        arguments: Sequence[str],
        *,
        script: str | None,
        env: Mapping[str, str],
        cwd: Path | None,
        out: int,
        err: int,
    ) -> Forked:
        """Run a command, or a script in its place, with these descriptors as its output."""
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line.connect(self._address)
        request = {"arguments": list(arguments), "script": script, "env": dict(env), "cwd": str(cwd or Path.cwd())}
        socket.send_fds(line, [json.dumps(request).encode()], [out, err])
        return Forked(int(line.recv(64)), line)

    def close(self) -> None:
        """End the process; what it has forked lives on."""
        self._life.close()
        os.waitpid(self._pid, 0)
        self._folder.cleanup()


def _serve(address: str) -> dict[str, Any]:
    """Fork for each request; returns in the forked process only, with what it has to do."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    woken, wake = socket.socketpair()
    for each in (woken, wake):
        each.setblocking(False)  # noqa: FBT003  the socket's own signature
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    for source in (listener, woken, 0):
        selector.register(source, selectors.EVENT_READ)
    lines: dict[int, socket.socket] = {}
    os.write(0, b"!")
    while True:
        ready = [key.fileobj for key, _ in selector.select()]
        if 0 in ready:
            os._exit(0)
        if woken in ready:
            woken.recv(4096)
            _report(lines)
        if listener not in ready:
            continue
        line, _ = listener.accept()
        message, streams, _, _ = socket.recv_fds(line, _LARGEST, 2)
        pid = os.fork()
        if pid == 0:
            _leave(streams, (selector, listener, woken, wake, line, *lines.values()))
            request: dict[str, Any] = json.loads(message)
            return request
        for stream in streams:
            os.close(stream)
        lines[pid] = line
        line.send(str(pid).encode())


def _leave(streams: Iterable[int], behind: Iterable[selectors.BaseSelector | socket.socket]) -> None:
    """In the forked process: take its own streams, and keep nothing of its mother's."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
        os.dup2(stream, number)
        os.close(stream)
    for each in behind:
        each.close()


def _report(lines: dict[int, socket.socket]) -> None:
    """Tell of every process that has ended."""
    for pid in list(lines):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            line = lines.pop(pid)
            with suppress(OSError):
                line.send(str(os.waitstatus_to_exitcode(status)).encode())
            line.close()


def main() -> None:
    """Import everything, then fork."""
    from monitor import cli  # noqa: PLC0415  here, so that the tests' side does without

    for name in {place.partition(":")[0] for place in cli.COMMANDS.values()} | {"monitor.app", "uvloop"}:
        importlib.import_module(name)
    for package in ("monitor.probes", "monitor.stores"):
        for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if info.name != "migrations":
                importlib.import_module(f"{package}.{info.name}")
    importlib.import_module("alembic.command")
    gc.freeze()
    request = _serve(sys.argv[1])
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    if request["script"] is None:
        sys.argv = ["holdfast", *request["arguments"]]
        cli.main()
    sys.argv = ["-c", *request["arguments"]]
    exec(compile(request["script"], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102  the tests' own


if __name__ == "__main__":
    main()
