"""Every document of the repository: its links lead somewhere, and what it names exists."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from docs.site.events import logged
from docs.site.log_events import EVENTS
from tests.docs.mistakes import Known, mistakes
from tests.docs.pages import Page

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs", "config", "deploy", "examples", "lab", ".github")


def documents() -> list[Path]:
    """Markdown wherever it stands, and the YAML that people copy."""
    found = [*ROOT.glob("*.md")]
    for folder in FOLDERS:
        for at, _, names in os.walk(ROOT / folder):
            found += [Path(at) / name for name in names if name.endswith((".md", ".yaml", ".yml"))]
    return sorted(found)


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_what_it_says_is_so(file: Path, known: Known) -> None:
    """Links, anchors, commands, metrics, tasks and events are there, and blocks of YAML can be read."""
    assert mistakes(Page.read(file), known) == []


def test_every_event_has_a_meaning() -> None:
    """docs/site/log_events.py says of each event of the log what it means, and of no other."""
    assert {*EVENTS} == {*logged(ROOT / "monitor")}
