"""`holdfast load`: a burst from the command line, what it tells, and what it leaves, however it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from monitor.bursting import Following
from monitor.cli import load_text
from monitor.core.openloop import Figures
from tests.probes.breaking import trigger
from tests.system import ENVIRONMENT, Ended, holdfast, spawn, until
from tests.system.conftest import Place

PATIENT = ("--p99", "30s", "--in-flight", "1000", "--ramp", "0s")


async def load(place: Place, *arguments: str | Path) -> Ended:
    """A burst against a test's place; the probe itself is not enabled there."""
    config = place.configured(probes={"load": {"enabled": False, "budget": "30s"}})
    return await holdfast("load", ENVIRONMENT, "--config", config, *PATIENT, *arguments)


async def test_a_burst_is_told_as_json_and_as_a_page(place: Place) -> None:
    """All that was asked was done and verified, the page needs nothing but itself, and nothing is left."""
    page = place.folder / "load.html"
    ended = await load(place, "--rate", "60", "--for", "500ms", "--format", "json", "--out", page)
    report = json.loads(ended.out)
    assert (ended.code, report["verdict"], report["stopped"], report["violations"]) == (0, "ok", None, [])
    assert report["operations"]["planned"] == report["operations"]["ended"] == 30
    assert report["looked_for"] == report["latency_seconds"]["append_message"]["count"] > 20
    whole, service = report["latency_seconds"]["all"], report["service_seconds"]["all"]
    assert list(whole) == ["count", "mean", "p50", "p90", "p99", "p99.9", "max"]
    assert all(whole[name] >= service[name] for name in whole)
    assert ended.err.startswith(f"{ENVIRONMENT}: 30 operations in 500ms, up to 60/s, of 4 users: ")
    assert await place.rows() == 0
    text = page.read_text(encoding="utf-8")
    assert len(re.findall("<svg", text)) == 3
    assert f"<dt>command</dt><dd>holdfast load {ENVIRONMENT} --rate 60 --for 500ms " in text
    assert "<dt>limits</dt><dd>5% of the latest 100 fail, their p99 passes 30s, " in text
    assert not re.search(r"(src|href)=|@import|url\(|<script", text)


async def test_what_is_lost_ends_with_2_and_is_shown(place: Place) -> None:
    """As `holdfast check` tells it, the verdict first and what to do, then the figures; the page has the same."""
    page = place.folder / "load.html"
    assert (await load(place, "--rate", "60", "--for", "200ms", "-q")).code == 0
    await place.sql(trigger("AT COMMIT", "DELETE FROM holdfast.messages WHERE id = NEW.id; RETURN NULL;"))
    ended = await load(place, "--rate", "60", "--for", "300ms", "--quiet", "--out", page)
    assert (ended.code, ended.err) == (2, "")
    first, _, title, *others = ended.out.splitlines()
    assert (first, title) == (
        f"✘ violated: 1 of 1 probe found a promise broken in {ENVIRONMENT}",
        f"✘ {ENVIRONMENT}/load: lost",
    )
    told = [line.split()[0] for line in others if re.match("  [a-z]", line)]
    assert told[:4] == ["means", "subject", "expected", "found"]
    assert told[-2:] == ["next", "runbook"]
    again = f"holdfast load {ENVIRONMENT} --rate 60 --for 300ms --ramp 0s --p99 30s --in-flight 1000"
    assert f"Look again with `{again}`" in " ".join(ended.out.split())
    assert ended.out.index("\n  runbook ") < re.search(r"^append_message +\d+ +0 ", ended.out, re.MULTILINE).start()
    assert re.search(
        r"^looked for +\d+ acknowledged messages? in \d conversations?, each by its owner$", ended.out, re.MULTILINE
    )
    assert "[" not in ended.out + (text := page.read_text(encoding="utf-8")).partition("<h1>")[2]
    assert text.index("<dt>means</dt>") < text.index(again) < text.index("<table>")


async def test_ctrl_c_ends_a_burst_well(place: Place) -> None:
    """It verifies what it wrote, removes it, and tells what there is."""
    assert (await load(place, "--rate", "60", "--for", "200ms", "-q")).code == 0
    arguments = ("load", ENVIRONMENT, "--config", place.file, *PATIENT, "--rate", "50", "--for", "5m")
    with TemporaryFile() as out, TemporaryFile() as err:
        process = spawn(*arguments, out=out.fileno(), err=err.fileno())
        try:
            while await place.rows() < 5:
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            await until(lambda: process.poll() is not None, what="the end of a burst")
        finally:
            process.kill()
        out.seek(0)
        said = out.read().decode()
    assert process.wait() == 0
    assert re.search(r"^stopped +interrupted after \d+\.\d s$", said, re.MULTILINE)
    assert said.splitlines()[-1] == "✔ ok"
    assert await place.rows() == 0


async def test_where_nobody_looks_a_line_tells_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a log of a pipeline; with --quiet there is none."""
    monkeypatch.setattr(load_text, "_SIGN_OF_LIFE", 0.001)
    figures = Figures(rate=10, seconds=2, ramp=0, users=2, connections=1)
    with load_text.Progress(figures, Following(phase="asks"), quiet=False):
        await until(lambda: "asks · 0.0 of 2 s · 0 of 20 · " in capsys.readouterr().err, what="a line")
    capsys.readouterr()
    with load_text.Progress(figures, Following(), quiet=True):
        await asyncio.sleep(0.05)
    assert capsys.readouterr().err == ""


async def test_a_limit_that_ends_a_burst_is_named(place: Place) -> None:
    """Whoever gave it is not sent to the configuration for it."""
    ended = await load(place, "--rate", "60", "--for", "5s", "--p99", "1ms")
    said = " ".join(ended.out.split())
    assert ended.code == 1
    assert said.startswith(f"◔ slow: stopped by --p99, and no promise broken in {ENVIRONMENT} ")
    assert re.search(r"stopped +the p99 of the latest \d+ operations", said)
    assert "`--p99` ended it: a higher one shows the rest." in said
    assert "probes.load" not in said


async def test_what_is_too_much_is_refused_before_anything_is_asked(place: Place) -> None:
    """Rate, length, connections: each has an end. `--dry-run` says what would be done."""
    for arguments, said in (
        (("--rate", "1001", "--for", "1s"), "--rate: "),
        (("--rate", "50", "--for", "11m"), "--for must be 100ms to 10m"),
        (("--rate", "nan", "--for", "1s"), "--rate: expected a finite number"),
        (("--rate", "50", "--for", "1s", "--ramp", "2s"), "--ramp must not be longer than --for"),
        (("--rate", "50", "--for", "1s", "--errors", "many"), "expected a share such as 0.05 or 5%"),
        (("--rate", "900", "--for", "9m"), "operations in a burst, and 100000 may be"),
        (("--rate", "50", "--for", "1s", "--connections", "3"), "are 5, and max_connections of this environment is 4"),
        (("--rate", "50", "--for", "1s", "--out", "/nowhere/load.html"), "there is no folder /nowhere"),
    ):
        ended = await load(place, *arguments)
        assert (ended.code, ended.out) == (64, "")
        assert said in ended.err
    dry = await load(place, "--rate", "50", "--for", "30s", "--dry-run")
    assert (dry.code, dry.out) == (0, "")
    assert "1,500 operations in 30s, up to 50/s, of 4 users: 1,2" in dry.err
    nothing = await load(place, "--rate", "1", "--for", "1s", "--errors", "2.5%", "--dry-run")
    assert (nothing.code, nothing.out) == (0, "")
    assert "1 operation in 1s, up to 1/s, of 4 users: 0 messages in 1 conversation, " in nothing.err
    assert "it would verify nothing, for it writes no message" in nothing.err
    assert "it stops where 2.5% of the latest 100 fail" in nothing.err
    assert await place.sql("SELECT to_regnamespace('holdfast') IS NULL") == "t"
