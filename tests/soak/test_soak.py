"""The short forms of `make soak`: two minutes of every sort of weather, and seconds of an application's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.soak import platform
from tests.soak.soak import soak
from tests.soak.weather import SPELLS

SECONDS = float(os.environ.get("HOLDFAST_SOAK_SECONDS", "110"))
BRIEFLY = float(os.environ.get("HOLDFAST_PLATFORM_SOAK_SECONDS", "12"))
SEED = 20_261_122


@pytest.mark.timeout(SECONDS + 400)
async def test_no_weather_is_taken_for_a_broken_promise(tmp_path: Path) -> None:
    """Whatever servers, networks and the daemon itself go through: no violation, no fault, nothing left behind."""
    report = await soak(seconds=SECONDS, seed=SEED, folder=tmp_path, say=print)
    assert report.violations == []
    assert report.faults == []
    assert report.disturbed == []
    assert set(report.residue.values()) == {0}, report.residue
    assert report.runs > 10 * len(SPELLS), "hardly anything ran: there was no load"
    assert report.verdicts["ok"] > report.runs / 2
    assert report.verdicts["unknown"] > 0, "no weather was felt"


@pytest.mark.timeout(BRIEFLY + 300)
async def test_no_weather_of_an_application_is_taken_for_a_broken_promise(tmp_path: Path) -> None:
    """The same through the sample platform, which is killed between any two requests: nothing is left there either."""
    report = await soak(
        seconds=BRIEFLY, seed=SEED, folder=tmp_path, say=print, spells=platform.BRIEFLY, deaths=1, platform=True
    )
    assert report.violations == []
    assert report.faults == []
    assert report.disturbed == []
    assert {name: left for name, left in report.residue.items() if left} == {}
    assert "platform threads" in report.residue
    assert report.spells.total() > 0
    assert report.verdicts["ok"] > report.runs / 2
