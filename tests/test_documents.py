"""Documents that are made from the code are those of this code."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

import monitor.probes
from monitor.cli import app
from monitor.core.meanings import BROKEN, UNTOLD
from monitor.core.verdict import Kind, Reason
from monitor.probe import discover

DOCS = Path(__file__).parent.parent / "docs"


def test_the_page_of_the_probes_is_what_the_command_says() -> None:
    """docs/probes.md begins with `holdfast probes --format markdown`; `make costs` writes it anew."""
    said = CliRunner().invoke(app, ["probes", "--format", "markdown"]).stdout
    assert (DOCS / "probes.md").read_text(encoding="utf-8").partition("\n## What a run costs")[0] == said


def test_readme_has_every_promise() -> None:
    """The README's table says of each probe what its docstring says first."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    for name, probe in discover(monitor.probes).items():
        assert f"| `{name}` | {probe.promise()} |" in readme


def test_every_kind_and_reason_has_a_meaning() -> None:
    """The closed sets are explained whole."""
    assert set(BROKEN) == set(Kind)
    assert set(UNTOLD) == set(Reason)


def test_every_probe_has_its_cost() -> None:
    """The measured table has one row for each probe, with a figure in each column."""
    table = (DOCS / "probes.md").read_text(encoding="utf-8").partition("## What a run costs")[2]
    title, _, *rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    assert {row[0] for row in rows} == set(discover(monitor.probes))
    assert all(len(row) == len(title) for row in rows)
    assert all(int(figure.replace(",", "")) >= 0 for row in rows for figure in row[1:])
