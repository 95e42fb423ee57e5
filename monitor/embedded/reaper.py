"""No server and no file outlives its owner, however the owner died.

Run as a script (``python -I -S reaper.py FOLDER``), this is a process in its own session that waits at a pipe.
The owner tells it each server by a line; when the pipe ends, be it by an orderly close or by SIGKILL of the
owner, it ends the servers it was told of and removes the folder. It imports the standard library only: it has
to start in milliseconds and must not depend on the packages of the daemon.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

# The owner's death must leave nothing behind within 3 s; this much of it is for a server's own clean exit.
GRACE_SECONDS = 1.0
FREEZE_SECONDS = 0.5
REMOVAL_SECONDS = 10.0
POLL_SECONDS = 0.01


class Life(NamedTuple):
    """A living process. The moment of its birth tells it from a later owner of its pid."""

    parent: int
    birth: str
    stopped: bool


def living() -> dict[int, Life]:
    """Every living process by its pid; a zombie is dead."""
    if Path("/proc/self/stat").exists():
        pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 - names, not paths
        return {pid: life for pid in pids if (life := _from_proc(pid))}
    return _from_ps()


def _from_ps() -> dict[int, Life]:
    lives = {}
    listing = ["/bin/ps", "-axo", "pid=,ppid=,stat=,lstart="]
    for line in subprocess.run(listing, capture_output=True, text=True, check=False).stdout.splitlines():  # noqa: S603 - a constant
        pid, parent, state, birth = line.split(maxsplit=3)
        if not state.startswith("Z"):
            lives[int(pid)] = Life(int(parent), birth.strip(), state.startswith("T"))
    return lives


def birth_of(pid: int) -> str:
    """The moment of a process's birth; empty where it is dead or a zombie."""
    life = _from_proc(pid) if Path("/proc/self/stat").exists() else living().get(pid)
    return life.birth if life else ""


def _from_proc(pid: int) -> Life | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # proc(5): the name in parentheses may hold anything; after it come state (3), ppid (4), …, starttime (22).
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else Life(int(fields[1]), fields[19], fields[0] == "T")


def family(pid: int) -> dict[int, Life]:
    """A process and all its descendants. PostgreSQL's backends have left its process group."""
    lives = living()
    members = {pid: lives[pid]} if pid in lives else {}
    grown = True
    while grown:
        before = len(members)
        members |= {child: life for child, life in lives.items() if life.parent in members}
        grown = len(members) > before
    return members


def send(pids: Iterable[int], signal_number: int) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal_number)


def freeze(pid: int) -> dict[int, Life]:
    """Stop (SIGSTOP) a process and all its descendants, also those that it bears meanwhile; -> all of them.

    Returns when all have stopped. One that waits for its disk stops a little later: there is a bound.
    """
    members = family(pid)
    deadline = time.monotonic() + FREEZE_SECONDS
    while time.monotonic() < deadline and not all(life.stopped for life in members.values()):
        send((member for member, life in members.items() if not life.stopped), signal.SIGSTOP)
        members = family(pid)
    return members


def thaw(pid: int) -> None:
    """Let a frozen process and its descendants go on."""
    send(family(pid), signal.SIGCONT)


def destroy(pid: int) -> dict[int, Life]:
    """SIGKILL a process and all its descendants; -> all of them. Frozen first, so that none escapes by a fork."""
    members = freeze(pid)
    send(members, signal.SIGKILL)
    return members


def gone(members: Mapping[int, Life]) -> bool:
    """True when none of these processes lives any more, whoever may have its pid now."""
    return all(birth_of(pid) != life.birth for pid, life in members.items())


def _end(watched: Mapping[int, tuple[str, int]]) -> None:
    """End what still lives, kindly where a farewell was asked for: PostgreSQL then frees its shared memory."""
    alive = [pid for pid, (birth, _) in watched.items() if birth and birth_of(pid) == birth]
    members = {member: life for pid in alive for member, life in family(pid).items()}
    for pid in alive:
        if (farewell := watched[pid][1]) != signal.SIGKILL:
            thaw(pid)
            send([pid], farewell)
        else:
            destroy(pid)
    deadline = time.monotonic() + GRACE_SECONDS
    while not gone(members) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    for pid in alive:
        if birth_of(pid) == watched[pid][0]:
            destroy(pid)
    send((member for member, life in members.items() if birth_of(member) == life.birth), signal.SIGKILL)


def _remove(folder: Path) -> None:
    # A process that dies may still write; so until nothing is left, within a bound.
    deadline = time.monotonic() + REMOVAL_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(POLL_SECONDS)


class Reaper:
    """The owner's side: starts the process and tells it what to end should the owner die."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-I", "-S", "-E", str(Path(__file__).resolve()), str(folder)]
        self._process = subprocess.Popen(  # noqa: S603 - our own file, run by our own interpreter
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # a reader of the daemon's output must not wait for the reaper
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # Ctrl-C goes to the whole foreground group
        )

    def watch(self, pid: int, *, farewell: int = signal.SIGKILL) -> None:
        """End this process after the owner's death; `farewell` is sent first where a server can tidy up."""
        self._tell(f"{pid} {int(farewell)} {birth_of(pid)}")

    def release(self, pid: int) -> None:
        """Forget a process that has ended: its pid may belong to someone else from now on."""
        self._tell(f"{pid} 0 ")

    def _tell(self, line: str) -> None:
        if self._process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # without a reaper the servers run on; they only lose a belt
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def close(self) -> None:
        """The end of the pipe: the reaper ends what is still registered, removes the folder, and goes."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it goes on without us
            self._process.wait(GRACE_SECONDS + REMOVAL_SECONDS)


def main(folder: Path) -> None:
    """Wait for the end of the pipe, then end the servers and remove the folder."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, tuple[str, int]] = {}
    for line in sys.stdin:
        pid, farewell, birth = line.rstrip("\n").split(" ", maxsplit=2)
        if farewell == "0":
            watched.pop(int(pid), None)
        else:
            watched[int(pid)] = (birth, int(farewell))
    _end(watched)
    _remove(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
