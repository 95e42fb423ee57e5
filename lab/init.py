"""The first process of a node, as a container has one: whatever the node starts stays its descendant.

Patroni starts PostgreSQL so that it outlives Patroni, in a session of its own and without a parent. Here orphans come
back to this process (a child subreaper, prctl(2)), so that a node can be killed, frozen and ended whole. SIGTERM ends
it at once, PostgreSQL first, which then frees its shared memory. It imports nothing of Holdfast's: the user of the
servers need not be able to read it.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
GRACE_SECONDS = 0.7
POLL_SECONDS = 0.01


def _descendants() -> list[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            # proc(5): the name in parentheses may hold anything; after it come the state and the parent.
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def _send(number: signal.Signals) -> bool:
    """Signal all descendants; -> whether there were any."""
    found = _descendants()
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(found)


def _reap() -> bool:
    """Take leave of every child that has ended; -> whether one still lives."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _end(_signal: int, _frame: FrameType | None) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    _send(signal.SIGQUIT)
    while _reap() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    while _send(signal.SIGKILL) and _reap():
        time.sleep(POLL_SECONDS)
    os._exit(0)


def main(command: list[str]) -> None:
    """Run a command, and stay until nothing that it started lives any more."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _end)
    subprocess.Popen(command, preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))  # noqa: PLW1509, S603
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
