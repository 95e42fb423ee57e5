"""Each alert has a runbook, and what the runbooks name exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from monitor.cli import COMMANDS, app
from tests.alerting.promtool import alerts, rules
from tests.alerting.test_made import PAGE, ROOT

FOLDER = ROOT / "docs" / "runbooks"
ALERTS = {alert["alert"] for alert in alerts(rules())}
PAGES = {page.stem: page.read_text("utf-8") for page in FOLDER.glob("Holdfast*.md")}
GUIDES = {"README": FOLDER / "README.md", "alerting": ROOT / "docs" / "alerting.md"}
SECTIONS = [
    "What it means",
    "What users feel",
    "First three commands",
    "How to tell a false alarm",
    "How to silence it",
    "Evidence to keep",
]
OTHERS = {"amtool", "curl", "df", "journalctl", "psql", "promtool", "systemctl", "top"}
"""Programs that people on call have, whatever Holdfast is."""
EXPORTED = set(re.findall(r"^# TYPE (holdfast_\w+) ", PAGE, flags=re.MULTILINE)) | set(
    re.findall(r"^(holdfast_\w+)[{ ]", PAGE, flags=re.MULTILINE)
)
RECORDED = {rule["record"] for group in rules()["groups"] for rule in group["rules"] if "record" in rule}
ALL = {**PAGES, **{name: page.read_text("utf-8") for name, page in GUIDES.items()}}


def commands(text: str) -> list[str]:
    """Every command line in a page: those of its blocks, and those within a sentence."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [*lines, *re.findall(r"`((?:holdfast|amtool) [^`\n]+)`", text)]


def test_each_alert_has_one() -> None:
    """No alert is without a page, and no page without an alert."""
    assert set(PAGES) == ALERTS


@pytest.mark.parametrize("name", sorted(PAGES))
def test_it_has_every_section(name: str) -> None:
    """Each says the same six things in the same order, and begins with three commands."""
    assert re.findall(r"^## (.*)$", PAGES[name], flags=re.MULTILINE) == SECTIONS
    assert len(re.findall(r"```sh\n(.*?)```", PAGES[name], flags=re.DOTALL)[0].splitlines()) == 3


@pytest.mark.parametrize("name", sorted(PAGES))
def test_it_has_the_alerts_severity(name: str) -> None:
    """What the page says of the severity is what the rules say."""
    found = {alert["labels"]["severity"] for alert in alerts(rules()) if alert["alert"] == name}
    said = re.search(r"^Severity: \*\*(.*)\*\*\.$", PAGES[name], flags=re.MULTILINE)
    assert said
    assert {word for word in ("page", "ticket", "info") if re.search(rf"\b{word}\b", said[1])} == found


@pytest.mark.parametrize("name", sorted(ALL))
def test_metrics_exist(name: str) -> None:
    """Each metric that is named is exported, or recorded by the rules."""
    assert set(re.findall(r"\bholdfast_[a-z_]+\b", ALL[name])) <= EXPORTED
    assert set(re.findall(r"\bholdfast:[\w:]+\b", ALL[name])) <= RECORDED


@pytest.mark.parametrize("name", sorted(ALL))
def test_links_lead_somewhere(name: str) -> None:
    """Each relative link leads to a file, and to a heading of it where it names one."""
    folder = GUIDES[name].parent if name in GUIDES else FOLDER
    for target in re.findall(r"\]\((?!http)([^)]+)\)", ALL[name]):
        path, _, heading = target.partition("#")
        file = (folder / path).resolve()
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), flags=re.MULTILINE) if heading else [heading]
        assert heading in {each.lower().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("name", sorted(ALL))
def test_commands_exist(name: str) -> None:
    """Each command of Holdfast's is one, with options that it has; the others are everybody's."""
    for line in commands(ALL[name]):
        for part in line.split(" | "):
            program, *words = shlex.split(part)
            if program == "holdfast":
                _known(words)
            else:
                assert program in OTHERS | {"grep", "kubectl"}, line


def _known(words: list[str]) -> None:
    group = typer.main.get_command(app)
    command = group.get_command(None, words[0])  # type: ignore[attr-defined, arg-type]
    assert words[0] in COMMANDS
    inner = getattr(command, "commands", {})
    if inner and len(words) > 1:
        assert words[1] in inner, words
        command = inner[words[1]]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("-")} <= options, words


def test_every_alert_is_in_the_table_of_runbooks() -> None:
    """The list of runbooks is whole."""
    assert set(re.findall(r"\((Holdfast\w+)\.md\)", ALL["README"])) == ALERTS


def test_names_of_alerts_are_right() -> None:
    """No page names an alert that does not exist."""
    for text in (*ALL.values(), Path(ROOT / "deploy/prometheus/rules.yml").read_text("utf-8")):
        assert set(re.findall(r"\bHoldfast[A-Z]\w+", text)) <= ALERTS
