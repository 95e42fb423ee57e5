"""The unit is one that systemd understands, is shut tight, and fits the daemon and its configuration."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import monitor.probes
from monitor.cli.common import PLACES, WRONG_CONFIGURATION
from monitor.configfile import load
from monitor.probe import discover

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = FOLDER / "holdfast.service"
PROGRAM = "/opt/holdfast/bin/holdfast"
EXPOSED = 1.5
"""The most that `systemd-analyze security` may find, of 10: what is left is the network, which a monitor needs."""


def value(name: str) -> str:
    """What one line of the unit says."""
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), flags=re.MULTILINE)
    return str(found)


def analyzed(*arguments: str) -> str:
    """What systemd-analyze says, which must end with 0."""
    done = subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.debian
def test_systemd_understands_it(tmp_path: Path) -> None:
    """No directive is unknown, and no value is wrong."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace(PROGRAM, "/bin/true"))
    assert analyzed("verify", str(unit)) == ""


@pytest.mark.debian
def test_it_is_shut_tight() -> None:
    """Systemd's own reckoning of what the service could do."""
    said = analyzed("security", "--offline=true", f"--threshold={round(EXPOSED * 10)}", str(UNIT))
    assert "Overall exposure level for holdfast.service" in said


def test_it_fits_the_daemon() -> None:
    """Command, folder of the state, patience and the exit that no restart mends are those of the daemon."""
    settings = load(None, probes=discover(monitor.probes), environ={}).settings
    assert value("ExecStart") == f"{PROGRAM} run --config {PLACES[-1]}"
    assert settings.state.get_secret_value() == f"sqlite:////var/lib/{value('StateDirectory')}/state.db"
    assert int(value("TimeoutStopSec")) > settings.shutdown_timeout.total_seconds() + 5
    assert value("RestartPreventExitStatus") == str(WRONG_CONFIGURATION)


def test_its_configuration_can_be_used(tmp_path: Path) -> None:
    """The example loads, and names credentials that the unit loads."""
    text = (FOLDER / "holdfast.yaml").read_text("utf-8")
    credential, _, source = value("LoadCredential").partition(":")
    place = f"/run/credentials/holdfast.service/{credential}"
    assert re.findall(r"\$\{file:([^}]+)}", text) == [place]
    assert source == f"/etc/holdfast/secrets/{credential}"
    (tmp_path / credential).write_text("a%40b\n")
    file = tmp_path / "holdfast.yaml"
    file.write_text(text.replace(place, str(tmp_path / credential)))
    assert load(file, probes=discover(monitor.probes), environ={}).warnings == ()
