"""The short form of `make soak`: some three minutes of every sort of weather."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.soak.soak import soak
from tests.soak.weather import SPELLS

SECONDS = float(os.environ.get("HOLDFAST_SOAK_SECONDS", "170"))
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
