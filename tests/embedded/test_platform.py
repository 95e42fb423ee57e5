"""The sample platform as one of the embedded servers."""

import shutil
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from monitor.embedded import Servers, platform
from monitor.embedded.platform import CLONE, EmbeddedPlatform
from monitor.embedded.process import NotInstalledError


def _status(platform: EmbeddedPlatform) -> int:
    """What it says to somebody without a token."""
    try:
        with urlopen(f"{platform.url}threads", timeout=10) as answer:  # noqa: S310  our own child
            return int(answer.status)
    except HTTPError as refused:
        with refused:
            return refused.code


async def test_is_started_broken_mended_and_brought_back() -> None:
    """It has its tables, its switches work, and after a crash it is at the same address again, clean."""
    async with Servers(fsync=False, platform=True) as servers:
        started = servers.platform
        assert started is not None
        tables = await servers.postgres.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        assert {"messages", "threads", "user_profiles"} <= set(tables.split())
        assert _status(started) == 401
        await started.switch("down", on=True)
        assert _status(started) == 503
        await started.switch("down", on=False)
        assert _status(started) == 401
        await started.switch("down", on=True)
        url = started.url
        await started.kill()
        assert not started.alive
        await started.start()
        assert (started.url, _status(started)) == (url, 401)
        assert started.secret not in " ".join(psutil.Process(started.pid).cmdline())


def test_says_where_it_is_to_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only the package is installed, nothing is started, and the message says that the repository has it."""
    shutil.copytree(CLONE / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("*.py"))
    monkeypatch.setattr(platform, "CLONE", tmp_path)
    with pytest.raises(NotInstalledError, match="it is in Holdfast's repository; get a clone"):
        Servers(platform=True)
