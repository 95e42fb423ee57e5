"""Where the programs come from when the user that runs the servers cannot reach them."""

import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from monitor.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedValkey, PrivateFolder, postgres, valkey
from monitor.embedded import folder as folder_module
from monitor.embedded.folder import NOBODY, wheel_folder
from tests.processes import family, told

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs the servers as itself")


@pytest.fixture
async def folder() -> AsyncIterator[PrivateFolder]:
    """A private folder, removed after the test."""
    private = PrivateFolder()
    yield private
    private.close()


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the wheels below a folder of mode 0700, made under umask 077, found before the others."""
    before = os.umask(0o077)
    site = tmp_path / "closed"
    site.mkdir(mode=0o700)
    for package in (postgres.PACKAGE, valkey.PACKAGE):
        source = wheel_folder(package)
        shutil.copytree(source, site / package, ignore=shutil.ignore_patterns("pginstall", "include", "pgxs"))
    libraries = f"{postgres.PACKAGE}.libs"
    shutil.copytree(wheel_folder(postgres.PACKAGE).with_name(libraries), site / libraries)
    monkeypatch.syspath_prepend(site)
    for package in (postgres.PACKAGE, valkey.PACKAGE):  # a plugin of pytest may have imported one
        monkeypatch.delitem(sys.modules, package, raising=False)
    for path in site.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    yield site
    os.umask(before)


@ROOT_ONLY
async def test_programs_below_a_closed_folder_are_copied(folder: PrivateFolder, closed: Path) -> None:
    """As root with a virtual environment below a 0700 folder, both servers run from a copy, as nobody."""
    database, cache = EmbeddedPostgres(folder, fsync=False), EmbeddedValkey(folder, fsync=False)
    await database.start()
    await cache.start()
    try:
        assert not database.bindir.is_relative_to(closed)
        for server in (database, cache):
            running = psutil.Process(server.pid)
            assert Path(running.exe()).is_relative_to(folder.path)
            assert set(running.uids()) == {NOBODY}
            assert set(running.gids()) == {NOBODY}
    finally:
        await database.stop()
        await cache.stop()


@ROOT_ONLY
async def test_a_system_s_programs_are_not_copied(folder: PrivateFolder, tmp_path: Path) -> None:
    """A named folder that the runtime user cannot pass is an error that says what to change."""
    programs = wheel_folder(postgres.PACKAGE) / postgres.INSTALLATION / "bin"
    (tmp_path / "bin").symlink_to(programs)
    with pytest.raises(EmbeddedError, match=r"cannot be run by uid 65534: .*chmod o\+x"):
        await EmbeddedPostgres(folder, bindir=tmp_path / "bin").start()


@ROOT_ONLY
def test_a_temporary_folder_that_nobody_can_pass_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root with a TMPDIR below a 0700 folder, the error says so before anything is made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(EmbeddedError, match=f"cannot pass {tmp_path}.*set TMPDIR"):
        PrivateFolder()
    assert list(tmp_path.iterdir()) == []


async def test_a_copy_that_cannot_run_either_says_so(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even the copy cannot be executed, the error points at TMPDIR."""
    monkeypatch.setattr(PrivateFolder, "_can_run", lambda _folder, _program: False)
    with pytest.raises(EmbeddedError, match="set TMPDIR to a folder"):
        await EmbeddedValkey(folder).start()


async def test_a_program_that_fails_shows_what_it_wrote(folder: PrivateFolder) -> None:
    """run() raises with the program's own words, and with those of this run only."""
    log = folder.subfolder("here") / "log"
    assert await folder.run(["/bin/sh", "-c", "echo fine"], log=log, within=10) == "fine\n"
    with pytest.raises(EmbeddedError, match=r"ended with status 3; it wrote:\noh$"):
        await folder.run(["/bin/sh", "-c", "echo oh; exit 3"], log=log, within=10)


async def test_a_program_that_takes_too_long_is_ended(folder: PrivateFolder) -> None:
    """run() kills the program with its children when the time is over."""
    log = folder.subfolder("here") / "log"
    with pytest.raises(EmbeddedError, match=r"did not end within 0\.2 s"):
        await folder.run(["/bin/sh", "-c", "sleep 60 & sleep 60"], log=log, within=0.2)
    assert [child for child in family(os.getpid()) if told(child.name) == "sleep"] == []


async def test_private_files_are_private(folder: PrivateFolder) -> None:
    """What holds a password can be read by the runtime user alone."""
    home = folder.subfolder("home")
    folder.write(home / "secret", "word")
    uid = folder_module.runtime_uid() or os.geteuid()
    assert [(path.stat().st_mode & 0o777, path.stat().st_uid) for path in (home, home / "secret")] == [
        (0o700, uid),
        (0o600, uid),
    ]
