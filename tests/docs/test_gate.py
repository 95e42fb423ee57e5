"""What docs/how-to-deploy-gate.md says of exit status holds in a shell. What `check` ends with is tests/system's."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from monitor.cli.common import EXIT
from monitor.core.verdict import Verdict
from tests.docs.pages import Page
from tests.docs.shell import commands, ours
from tests.docs.test_documents import ROOT

PAGE = Page.read(ROOT / "docs" / "how-to-deploy-gate.md")
TOLERANT = re.compile(r"holdfast check production[^\n\"]*\|\| \[ \$\? -eq 1 \]")


@pytest.mark.parametrize(("code", "passes"), [(0, True), (1, True), (2, False), (3, False), (64, False), (78, False)])
def test_only_slow_is_let_through(tmp_path: Path, code: int, passes: bool) -> None:  # noqa: FBT001  a table's column
    """The shell's line lets 0 and 1 pass, and nothing else; a program that ends so stands for holdfast."""
    program = tmp_path / "holdfast"
    program.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
    program.chmod(0o755)
    lines = TOLERANT.findall(PAGE.text)
    assert len(lines) == 2
    for line in lines:
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        assert (subprocess.run(["sh", "-c", line], env=env, check=False).returncode == 0) is passes


def test_the_table_has_the_exit_status_of_each_verdict() -> None:
    """Nagios knows the same four, by the same numbers."""
    assert EXIT == {Verdict.OK: 0, Verdict.SLOW: 1, Verdict.VIOLATED: 2, Verdict.UNKNOWN: 3}
    for code in EXIT.values():
        assert re.search(rf"^\| {code} \|", PAGE.text, re.MULTILINE)


def test_every_way_has_a_command_that_is_checked() -> None:
    """Each block of the page that starts Holdfast is seen by the checker of documents."""
    seen = [words for kind, text in PAGE.blocks for words in ours(commands(kind, text), "holdfast")]
    assert [words[0] for words in seen if words] == ["check"] * 7  # none are names of things


def test_its_jobs_are_run_once() -> None:
    """No gate tries again: a loss that happens every other time would pass."""
    jobs = [document for kind, text in PAGE.blocks if kind == "yaml" for document in yaml.safe_load_all(text)]
    limits = re.findall(r"'backoffLimit': (\d+)", str(jobs))
    assert limits == ["0", "0"]
