"""The unit is one that systemd understands, is shut tight, and fits the daemon and its configuration."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

import monitor.probes
from monitor.cli import app
from monitor.cli.common import PLACES, USAGE, WRONG_CONFIGURATION
from monitor.configfile import load
from monitor.probe import discover

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "holdfast.service"
PROGRAM = "/opt/holdfast/bin/holdfast"
SECRETS = "/etc/holdfast/secrets"
HOW_TO = (ROOT / "docs" / "how-to-deploy.md").read_text("utf-8")
EXPOSED = 1.5
"""The most that `systemd-analyze security` may find, of 10: what is left is the network, which a monitor needs."""


def value(name: str) -> str:
    """What one line of the unit says."""
    (found,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), flags=re.MULTILINE)
    return str(found)


BEFORE = re.findall(rf"^sudo -u {value('User')} {PROGRAM} (.+)$", HOW_TO, flags=re.MULTILINE)
"""What the how-to asks in the daemon's stead."""


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
    assert value("RestartPreventExitStatus") == f"{USAGE} {WRONG_CONFIGURATION}"


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """The example's configuration, with the secret and the state in a folder of this test."""
    text = (FOLDER / "holdfast.yaml").read_text("utf-8")
    (secret,) = re.findall(rf"\$\{{file:{SECRETS}/([^}}]+)}}", text)
    assert f"-g {value('Group')} {secret} {SECRETS}/{secret}\n" in HOW_TO  # who may read it
    (tmp_path / secret).write_text("a%40b\n")
    file = tmp_path / "holdfast.yaml"
    file.write_text(text.replace(SECRETS, str(tmp_path)).replace(f"/var/lib/{value('StateDirectory')}", str(tmp_path)))
    return file


@pytest.mark.parametrize("command", BEFORE)
def test_what_is_asked_before_it_runs_is_answered(command: str, configuration: Path) -> None:
    """Each command that the how-to runs before the first start finds the secret, and ends with 0."""
    ended = CliRunner().invoke(app, [*command.split(), "--config", str(configuration)])
    assert ended.exit_code == 0, ended.output
