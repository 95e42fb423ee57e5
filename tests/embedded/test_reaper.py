"""The reaper's view of processes: it must never end a stranger that got an old pid."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from monitor.embedded import reaper

BOUND_SECONDS = 10.0


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does nothing for long."""
    with subprocess.Popen(["/bin/sleep", "600"]) as process:
        yield process
        process.kill()


def run_reaper(folder: Path, *lines: str) -> int:
    """The reaper's exit status after it was told these lines."""
    command = [sys.executable, "-I", "-S", "-E", reaper.__file__, str(folder)]
    return subprocess.run(command, input="".join(lines), text=True, check=False, timeout=BOUND_SECONDS).returncode


def test_a_registered_process_is_ended_and_the_folder_removed(
    sleeper: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    """At the end of the pipe the registered process and the folder go."""
    assert run_reaper(tmp_path, f"{sleeper.pid} {int(signal.SIGKILL)} {reaper.birth_of(sleeper.pid)}\n") == 0
    assert sleeper.wait(BOUND_SECONDS) == -signal.SIGKILL
    assert not tmp_path.exists()


@pytest.mark.parametrize("birth", ["1", ""])
def test_a_reused_pid_is_left_alone(sleeper: "subprocess.Popen[bytes]", tmp_path: Path, birth: str) -> None:
    """A process that was born at another moment than the registered one is a stranger."""
    assert run_reaper(tmp_path, f"{sleeper.pid} {int(signal.SIGKILL)} {birth}\n") == 0
    assert sleeper.poll() is None
    assert not tmp_path.exists()


def test_a_released_process_is_left_alone(sleeper: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    """What was registered and released again is not ended."""
    told = f"{sleeper.pid} {int(signal.SIGKILL)} {reaper.birth_of(sleeper.pid)}\n"
    assert run_reaper(tmp_path, told, f"{sleeper.pid} 0 \n") == 0
    assert sleeper.poll() is None


def test_the_reaper_ignores_the_signals_of_a_terminal(tmp_path: Path) -> None:
    """SIGINT, SIGTERM and SIGHUP do not end the reaper; the end of its owner's pipe does."""
    watching = reaper.Reaper(tmp_path)
    process = psutil.Process(watching._process.pid)
    while not ignores(process, signal.SIGHUP):
        assert process.is_running()
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process.send_signal(ignored)
    assert process.is_running()
    assert process.status() != psutil.STATUS_ZOMBIE
    watching.close()
    assert watching._process.returncode == 0
    assert not tmp_path.exists()


def ignores(process: psutil.Process, number: int) -> bool:
    """Whether the kernel says that the process ignores this signal, and those that the reaper ignores before it."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    mask = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(mask >> (number - 1) & 1) and bool(mask >> (signal.SIGTERM - 1) & 1)


def test_ps_tells_what_proc_tells(sleeper: "subprocess.Popen[bytes]") -> None:
    """Where there is no /proc, ps gives the same process the same parent, and a birth that stays the same."""
    first, second = reaper._from_ps()[sleeper.pid], reaper._from_ps()[sleeper.pid]
    assert first == second
    assert first.birth
    assert first.parent == os.getpid() == reaper.living()[sleeper.pid].parent


def test_a_zombie_is_dead(sleeper: "subprocess.Popen[bytes]") -> None:
    """A process that has ended and was not waited for has no birth any more."""
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert reaper.birth_of(sleeper.pid) == ""
    assert sleeper.pid not in reaper._from_ps()
