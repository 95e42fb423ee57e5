"""The configurations that people begin with can be used, by the command that they are told to ask."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli import app

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.yaml"))
SECRETS = "/run/secrets/holdfast"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_can_be_used(path: Path, tmp_path: Path) -> None:
    """`holdfast config check` finds nothing wrong, with a variable and a file for each secret that is named."""
    text = path.read_text("utf-8")
    for name in re.findall(rf"\$\{{file:{SECRETS}/([^}}]+)}}", text):
        (tmp_path / name).write_text("a%40b\n")
    file = tmp_path / path.name
    state = f"sqlite:///{tmp_path}/state.db"
    file.write_text(text.replace(SECRETS, str(tmp_path)).replace("sqlite:////var/lib/holdfast/state.db", state))
    variables = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)}", text), "secret-1")
    ended = CliRunner().invoke(app, ["config", "check", "--config", str(file)], env=variables)
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith("✔ the configuration can be used; environments: ")


def test_there_is_one_for_each_shape() -> None:
    """Each has its line in the folder's README, and nothing else is there."""
    listed = re.findall(r"\]\(([a-z-]+\.yaml)\)", (ROOT / "config" / "examples" / "README.md").read_text("utf-8"))
    assert sorted(listed) == [path.name for path in EXAMPLES]
