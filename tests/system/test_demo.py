"""`holdfast demo`: it shows what it should, breaks what it was told to, and leaves nothing behind however it ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from monitor.embedded.faults import FAULTS
from tests.processes import lives, told
from tests.system import COMMAND, PATIENCE, holdfast, until, variables

GONE_SECONDS = 3.0
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Demo:
    """A demo as a process of its own, with a temporary folder of its own. A terminal stands before it if asked for."""

    def __init__(self, folder: Path, *arguments: str, terminal: bool = False, **changes: str) -> None:
        self.folder = folder
        command = [COMMAND, "demo", *(arguments if "--port" in arguments else ("--port", "0", *arguments))]
        env = variables(TMPDIR=str(folder), TERM="xterm-256color", **changes)
        if terminal:
            self._reader, inner = os.openpty()
            fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
            self.process = subprocess.Popen(
                command,
                env=env,
                pass_fds=(inner,),
                preexec_fn=lambda: os.login_tty(inner),  # noqa: PLW1509  it takes no lock
            )
        else:
            self._reader, inner = os.pipe()
            self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=inner, stderr=inner)
        os.close(inner)
        os.set_blocking(self._reader, False)
        self._family: dict[int, psutil.Process] = {}
        self._text = b""

    def text(self) -> str:
        """All that it has shown."""
        with suppress(BlockingIOError, OSError):  # a terminal whose other end is closed is an error to read
            while chunk := os.read(self._reader, 65536):
                self._text += chunk
        return self._text.decode(errors="replace")  # what was read may end within a character

    def type(self, keys: bytes) -> None:
        """Press keys at its terminal."""
        os.write(self._reader, keys)

    async def shows(self, *words: str) -> str:
        """Wait until it has shown all of this; -> all that it has shown."""

        def there() -> bool:
            shown = self.text()
            assert all(word in shown for word in words) or self.process.poll() is None, shown
            return all(word in shown for word in words)

        await until(there, what=f"{words} in {self.text()!r}")
        self.family()
        return self.text()

    def family(self) -> list[psutil.Process]:
        """It, and every process that it ever had below it when somebody looked."""
        with suppress(psutil.NoSuchProcess):
            mother = psutil.Process(self.process.pid)
            self._family |= {each.pid: each for each in (mother, *mother.children(recursive=True))}
        return list(self._family.values())

    def left(self) -> list[str]:
        """What still lives or lies about."""
        alive = [f"{each.pid} {told(each.name)}" for each in self._family.values() if each.is_running() and lives(each)]
        return alive + sorted(path.name for path in self.folder.iterdir())

    async def ended(self) -> int:
        """Wait for its end; -> the exit status."""

        def over() -> bool:
            self.text()  # a terminal that nobody reads from stops whoever writes to it
            return self.process.poll() is not None

        await until(over, what=f"the end of {self.text()!r}")
        return int(self.process.returncode)

    def close(self) -> None:
        """End it, if it still lives."""
        self.process.kill()
        self.process.wait()
        os.close(self._reader)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A temporary folder that the servers' user can pass through."""
    path = Path(tempfile.mkdtemp(prefix="demo-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def _empty(folder: Path) -> bool:
    return list(folder.iterdir()) == []


@contextmanager
def demo(folder: Path, *arguments: str, terminal: bool = False, **changes: str) -> Iterator[Demo]:
    """A demo that does not outlive the test."""
    started = Demo(folder, *arguments, terminal=terminal, **changes)
    try:
        yield started
    finally:
        started.close()


async def test_shows_both_verdicts_and_ends_by_itself(folder: Path) -> None:
    """With --for it shows its page and both verdicts, ends with 0, and leaves neither a process nor a file."""
    with demo(folder, "--for", "8s") as shown:
        text = await shown.shows("status page", "demo thread: ok", "demo session: ok")
        url = re.findall(r"status page +(http://127\.0\.0\.1:\d+/)", text)[0]
        async with httpx.AsyncClient(trust_env=False) as client:
            page = await client.get(url)
        assert page.status_code == 200
        assert "demo" in page.text
        assert len(shown.family()) > 3
        assert await shown.ended() == 0
        assert shown.left() == []
        assert "Traceback" not in shown.text()


async def test_its_configuration_can_be_checked_by_another_command(folder: Path) -> None:
    """The `holdfast check` that it proposes works as it stands, beside the daemon, and finds all well."""
    with demo(folder) as shown:
        text = await shown.shows("holdfast check", "demo thread: ok")
        words = re.findall(r"try +\S*holdfast (check --config \S+)", text)[0].split()
        ended = await holdfast(*words)
        assert ended.code in (0, 1), ended.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
async def test_a_signal_ends_it_in_order(folder: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGHUP end it with 0, and nothing is left; that SIGINT does is seen with every fault."""
    with demo(folder) as shown:
        await shown.shows("status page")
        shown.process.send_signal(number)
        assert await shown.ended() == 0
        assert shown.left() == []
        assert "removing everything" in shown.text()
        assert "Traceback" not in shown.text()


async def test_nothing_survives_its_death(folder: Path) -> None:
    """After SIGKILL no server, no reaper and no folder is left within three seconds."""
    with demo(folder) as shown:
        await shown.shows("demo thread: ok")
        assert len(shown.family()) > 3
        shown.process.kill()
        shown.process.wait()
        await until(lambda: shown.left() == [], within=GONE_SECONDS, what=f"the end of {shown.left()}")


async def test_nothing_survives_its_death_while_it_starts(folder: Path) -> None:
    """SIGKILL in the middle of making the servers leaves nothing either."""
    with demo(folder) as shown:
        await until(lambda: any((each / "postgres").exists() for each in folder.iterdir()))
        shown.family()
        shown.process.kill()
        shown.process.wait()
        await until(lambda: shown.left() == [], within=GONE_SECONDS, what=f"the end of {shown.left()}")


@pytest.mark.parametrize("name", ["rows-dropped-after-commit", "ttl-never-set"])
async def test_a_fault_is_caught(folder: Path, name: str) -> None:
    """With --fault it is healthy first, then says what it breaks, and then what the probe found; --heal-after mends."""
    fault = FAULTS[name]
    with demo(folder, "--fault", fault.name, "--heal-after", "1s") as shown:
        text = await shown.shows(f"violation {fault.report}, found by {fault.probe}", f"demo {fault.probe}: violated")
        assert text.index(f"demo {fault.probe}: ok") < text.index(f"broken now   {fault.name}")
        assert text.index(f"broken now   {fault.name}") < text.index(f"violation {fault.report}")
        others = {(kind, probe) for probe, reports in fault.also.items() for kind in reports}
        found = set(re.findall(r"^violation (\w+), found by (\w+)", text, re.MULTILINE))
        assert found - others == {(fault.report, fault.probe)}
        well = f"demo {fault.probe}: ok"
        await until(lambda: well in shown.text().partition(f"mended now   {fault.name}")[2], what=well)
        await shown.shows(f"closed now   {fault.report}, found by {fault.probe}: {fault.probe} is right again")
        shown.process.send_signal(signal.SIGINT)
        assert await shown.ended() == 0
        assert shown.left() == []


async def test_the_sample_platform_is_probed_through_its_api(folder: Path) -> None:
    """A fault of an API starts the sample platform; the probes go through it, healthy first, and see its bug."""
    with demo(folder, "--fault", "api-forgets-where") as shown:
        text = await shown.shows("and the sample platform", "violation leaked, found by isolation")
        assert text.index("demo isolation: ok") < text.index("broken now   api-forgets-where")
        assert "through the API" in text
        assert set(re.findall(r"^violation (\w+), found by (\w+)", text, re.MULTILINE)) == {("leaked", "isolation")}
        assert any("examples.platform" in (told(each.cmdline) or []) for each in shown.family())
        shown.process.send_signal(signal.SIGINT)
        assert await shown.ended() == 0
        assert shown.left() == []


async def test_a_server_that_is_killed_on_purpose_is_unknown(folder: Path) -> None:
    """A fault that kills a server does not end the demo: its probes cannot tell, and the others go on."""
    with demo(folder, "--fault", "redis-killed") as shown:
        text = await shown.shows("broken now   redis-killed", "demo session: unknown", "check that the server runs")
        assert text.index("broken now") < text.index("demo session: unknown")
        assert "violation" not in text
        shown.process.send_signal(signal.SIGINT)
        assert await shown.ended() == 0
        assert shown.left() == []


async def test_a_wrong_fault_starts_nothing(folder: Path) -> None:
    """An unknown fault ends with 64 and names the nearest, or where all are listed."""
    with demo(folder, "--fault", "ttl-never-sett") as shown:
        assert await shown.ended() == 64
        assert "did you mean 'ttl-never-set'?" in shown.text()
        assert shown.left() == []
    with demo(folder, "--fault", "nothing-like-it") as shown:
        assert await shown.ended() == 64
        assert "`holdfast faults` lists them" in shown.text()
    with demo(folder, "--heal-after", "1m") as shown:
        assert await shown.ended() == 64
        assert "--heal-after mends what --fault broke" in shown.text()


async def test_a_taken_port_is_told(folder: Path) -> None:
    """Where another process listens it says so and what to do, ends with 1, and leaves nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with demo(folder, "--port", port) as shown:
            assert await shown.ended() == 1
            text = shown.text()
    assert f"cannot listen on 127.0.0.1:{port}: it is in use" in text
    assert "Traceback" not in text
    assert "starting" not in text
    assert _empty(folder)


@pytest.mark.parametrize("lines", [1, 3])
async def test_a_reader_that_goes_away_ends_it(folder: Path, lines: int) -> None:
    """`holdfast demo | head -1` leaves nothing behind."""
    script = f"{COMMAND} demo --port 0 2>/dev/null | head -{lines}"
    env = variables(TMPDIR=str(folder))
    pipe = await asyncio.create_subprocess_exec("bash", "-c", script, env=env, stdout=subprocess.PIPE)
    out, _ = await asyncio.wait_for(pipe.communicate(), PATIENCE)
    assert out.startswith(b"status page")
    await until(lambda: _empty(folder), what="an empty folder")


async def test_a_terminal_shows_a_table_and_takes_ctrl_c(folder: Path) -> None:
    """On a terminal there is a coloured table that renews itself; Ctrl-C ends it with 0 and gives the cursor back."""
    with demo(folder, terminal=True) as shown:
        row = re.compile(r"demo +│ thread +│ ✔ ok +│ +[0-9.]+ ms")
        await shown.shows("✔ ok", "step p99", "Ctrl-C ends the demo")
        await until(lambda: row.search(COLOUR.sub("", shown.text())) is not None, what="the row of thread")
        await until(lambda: len(re.findall(r"\x1b\[\d*A", shown.text())) > 3, what="a table that renews itself")
        shown.type(b"\x03")
        assert await shown.ended() == 0
        text = shown.text()
        assert shown.left() == []
    assert re.search(r"\x1b\[[0-9;]*32m✔ ok", text)
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    plain = COLOUR.sub("", text)
    assert "Traceback" not in plain
    assert "KeyboardInterrupt" not in plain
    assert plain.count("Ctrl-C ends the demo") == 1


async def test_evidence_wraps(folder: Path) -> None:
    """On a terminal what was found is shown to its end, however narrow the window is."""
    with demo(folder, "--fault", "rows-dropped-after-commit", terminal=True, COLUMNS="60") as shown:
        found = re.compile(r"(?:lost|torn): \d+ of \d+ .*? expected .*?, found \d+, without numbers? [0-9, and]+")
        await until(
            lambda: found.search(" ".join(COLOUR.sub("", shown.text()).split())) is not None,
            what=lambda: f"the evidence in {shown.text()[-3000:]!r}",
        )


async def test_no_colour_where_none_is_wanted(folder: Path) -> None:
    """With NO_COLOR the same table has no colour, and a Ctrl-C before the servers run is heeded as well."""
    with demo(folder, terminal=True, NO_COLOR="1") as shown:
        await shown.shows("✔ ok")
        shown.type(b"\x03")
        assert await shown.ended() == 0
        assert [code for code in COLOUR.findall(shown.text()) if re.search(r"[\[;](3[0-7]|9[0-7]|38)[;m]", code)] == []


async def test_ctrl_c_while_it_starts(folder: Path) -> None:
    """Ctrl-C before the servers run ends it in order, too."""
    with demo(folder, terminal=True) as shown:
        await shown.shows("starting PostgreSQL")
        shown.type(b"\x03")
        assert await shown.ended() == 0
        assert shown.left() == []
        assert "Traceback" not in shown.text()


async def test_a_server_that_dies_ends_it(folder: Path) -> None:
    """Where a server of the demo itself dies, the demo says so and ends with 1, and nothing is left."""
    with demo(folder) as shown:
        await shown.shows("demo session: ok")
        valkey, *_ = (child for child in psutil.Process(shown.process.pid).children() if "valkey" in child.name())
        valkey.kill()
        assert await shown.ended() == 1
        assert re.search("the demo's Valkey.* has died", shown.text())
        assert shown.left() == []
