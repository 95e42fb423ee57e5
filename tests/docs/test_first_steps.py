"""The first steps say what the demo says, and their configuration can be used."""

from __future__ import annotations

import re
from pathlib import Path

import monitor.probes
from monitor.configfile import load
from monitor.embedded.faults import FAULTS
from monitor.probe import discover

PAGE = (Path(__file__).parents[2] / "docs" / "first-steps.md").read_text("utf-8")


def test_its_faults_are_in_the_catalogue() -> None:
    """The one that is shown is told in the demo's words, and the others that are named can be injected."""
    shown = re.search(r"^broken now   (\S+): (.*)$", PAGE, re.MULTILINE)
    assert shown
    assert FAULTS[shown[1]].breaks == shown[2]
    named = re.search(r"Three that are worth a look: (.*)", PAGE)
    assert named
    assert {name for name in re.findall(r"`([a-z]+(?:-[a-z]+)+)`", named[1]) if name not in FAULTS} == set()


def test_its_configuration_can_be_used(tmp_path: Path) -> None:
    """Copied as it stands, and without a warning."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "holdfast.yaml"
    file.write_text(text)
    loaded = load(file, probes=discover(monitor.probes), environ={"DB_PASSWORD": "choose-a-password"})
    assert (list(loaded.settings.environments), loaded.warnings) == (["shop"], ())
