"""The configurations that people begin with can be used, by the command that they are told to ask."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli import app

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
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


def test_the_contract_can_be_used() -> None:
    """The configuration that the contract shows is one."""
    variables = {"HOLDFAST_TOKEN": "secret-1", "HOLDFAST_KEY": "secret-2" * 8}
    ended = CliRunner().invoke(app, ["config", "check", "--config", str(HERE / "contract.yaml")], env=variables)
    assert ended.exit_code == 0, ended.output


def test_the_plan_tells_of_sentinels() -> None:
    """`holdfast plan` says what else is asked where Sentinels name the primary."""
    file = str(ROOT / "config" / "examples" / "redis-sentinel.yaml")
    variables = {"REDIS_PASSWORD": "secret-1", "SENTINEL_PASSWORD": "secret-2"}
    ended = CliRunner().invoke(app, ["plan", "production", "--config", file, "--probe", "session"], env=variables)
    assert (ended.exit_code, "SENTINEL GET-MASTER-ADDR-BY-NAME mymaster" in ended.stdout) == (0, True)


def test_there_is_one_for_each_shape() -> None:
    """Each has its line in the folder's README, and nothing else is there."""
    listed = re.findall(r"\]\(([a-z-]+\.yaml)\)", (ROOT / "config" / "examples" / "README.md").read_text("utf-8"))
    assert sorted(listed) == [path.name for path in EXAMPLES]
