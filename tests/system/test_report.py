"""`holdfast report`: what is read, where it goes, and how it ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import monitor.probes
from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Finding
from monitor.probe import discover
from monitor.stores.state import KeptState
from tests.system import Daemon, holdfast, until, write


def configured(folder: Path) -> Path:
    """A configuration of an environment that nobody can reach, and what it is worth."""
    return write(
        folder / "holdfast.yaml",
        {
            "location": "test",
            "http": {"listen": "127.0.0.1:0"},
            "state": f"sqlite:///{folder / 'state.db'}",
            "environments": {
                "production": {
                    "impact": {"users": 120_000, "revenue_per_hour": 57},
                    "redis": {"url": "redis://127.0.0.1:1/0"},
                    "probes": {name: {"enabled": False} for name in discover(monitor.probes) if name != "session"},
                }
            },
        },
    )


async def lived(folder: Path) -> KeptState:
    """An open state with two runs of a short while ago."""
    state = KeptState(folder / "state.db")
    await state.open()
    await state.save([run(minutes) for minutes in (2, 3)], ())
    return state


def run(minutes: float) -> RunRecord:
    """A run that was right so many minutes ago."""
    return RunRecord(
        run_id=f"0195-{minutes}",
        environment="production",
        probe="session",
        started=datetime.now(UTC) - timedelta(minutes=minutes),
        took=timedelta(milliseconds=12),
        finding=Finding.of((), checks=3),
        steps=(StepTiming(name="save", after=timedelta(), took=timedelta(milliseconds=3)),),
    )


async def test_it_writes_one_file(tmp_path: Path) -> None:
    """While a daemon has the state open, the file is written as its name says, or printed; standard output is clean."""
    file, state = configured(tmp_path), await lived(tmp_path)
    page = tmp_path / "weekly.html"
    ended = await holdfast("report", "--config", file, "--since", "7d", "--out", page)
    assert (ended.code, ended.out) == (0, "")
    assert f"wrote {page}" in ended.err
    assert "The data is safe: no promise was broken in this period." in page.read_text()
    assert "No users were affected." in page.read_text()
    text = tmp_path / "weekly.md"
    ended = await holdfast("report", "production", "--config", file, "--out", text, "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    printed = await holdfast("report", "--config", file, "--format", "markdown", "--out", "-")
    assert (printed.code, printed.err) == (0, "")
    assert printed.out.startswith("# Did the data that was acknowledged come back?")
    assert "| session | save | 2 | 2.9" in printed.out
    await state.close()


async def test_what_cannot_be_reported(tmp_path: Path) -> None:
    """Without a state, or where the file cannot be written, it ends with 1 and says so; a wrong usage with 64."""
    file = configured(tmp_path)
    ended = await holdfast("report", "--config", file)
    assert (ended.code, ended.out) == (1, "")
    assert "there is no state file" in ended.err
    await (await lived(tmp_path)).close()
    ended = await holdfast("report", "--config", file, "--out", tmp_path / "nowhere" / "report.html")
    assert (ended.code, "cannot write" in ended.err) == (1, True)
    for arguments, words in (
        (["prodction"], "did you mean 'production'?"),
        (["--since", "5m"], "shorter than an hour"),
        (["--since", "yesterday"], "is not a length of time"),
    ):
        ended = await holdfast("report", "--config", file, *arguments)
        assert (ended.code, ended.out) == (64, "")
        assert words in " ".join(ended.err.replace("│", " ").split())


async def test_what_a_daemon_counts_is_what_the_report_says(tmp_path: Path) -> None:
    """While a store cannot be reached all users are affected; afterwards the report knows since when."""
    file = configured(tmp_path)
    async with Daemon(config=file, folder=tmp_path) as daemon:
        await until(lambda: affected(daemon), within=30, what="users affected")
        assert await daemon.stop() == 0
    ended = await holdfast("report", "--config", file, "--format", "markdown", "--out", "-", "--since", "1h")
    assert "120,000 users are affected now, for " in ended.out
    assert "Nobody knows whether the data is safe now" in ended.out


async def affected(daemon: Daemon) -> bool:
    """Whether a daemon shows all users as affected, and revenue that grows."""
    users = await daemon.metric("holdfast_impact_users", environment="production")
    revenue = await daemon.metric("holdfast_impact_revenue_total", environment="production")
    return users == 120_000 and revenue > 0
