"""Everything that can be wrong with a page. Each checker is pure, and answers with a sentence for each mistake."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import typer
import yaml

from tests.docs.pages import Page
from tests.docs.shell import commands, of_shell, ours

_OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:|^//")
_METRIC = re.compile(r"(?<![\w./-])holdfast_[a-z_]+[a-z](?![\w/@-])")
_RECORDED = re.compile(r"(?<![\w:])holdfast:[a-z_]+(?::[a-z0-9_]+)+(?![\w:])")
_EVENT = re.compile(r"([a-z]+)\.([a-z_]+)")
_SUFFIXES = {"py", "db", "md", "yaml", "log"}
_PASSED_ON = (["run"], ["demo"])  # by dev.py, to holdfast
_PLACEHOLDER = re.compile(r"[A-Z]+|…|\.\.\.")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What there is: the command line, metrics with what is recorded of them, tasks of `make` and `dev.py`, events.

    `names` begin as metrics do and are none, each with the reason.
    """

    app: Any
    metrics: Collection[str]
    recorded: Collection[str]
    names: Mapping[str, str]
    targets: Collection[str]
    tasks: Collection[str]
    events: Collection[str]


def mistakes(page: Page, known: Known) -> list[str]:
    """All that is wrong with a page."""
    return [
        *dead_links(page),
        *wrong_commands(page, known.app),
        *unknown_metrics(page, known),
        *unknown_tasks(page, known),
        *unknown_events(page, known),
        *broken_yaml(page),
    ]


def dead_links(page: Page) -> Iterator[str]:
    """Relative links that lead to no file, or to no heading of one."""
    for link in page.links:
        if _OUTSIDE.match(link):
            continue
        path, _, anchor = unquote(link).partition("#")
        file = (page.file.parent / path).resolve() if path else page.file
        if path and not file.exists():
            yield f"the link {link} leads to nothing"
        elif anchor and file.suffix == ".md" and anchor not in (page if not path else _read(file)).anchors:
            yield f"the link {link} names a heading that is not there"


def _read(file: Path) -> Page:
    return Page.read(file)


def typed(page: Page) -> list[list[str]]:
    """The commands in its blocks, which somebody copies as they stand."""
    return [words for kind, text in page.blocks for words in commands(kind, text)]


def named(page: Page) -> list[list[str]]:
    """The commands that its sentences name, perhaps without what they need."""
    return [words for each in page.words for words in of_shell(each)]


def wrong_commands(page: Page, app: Any) -> Iterator[str]:
    """Commands of `holdfast` that its own parser refuses. Nothing is carried out."""
    for lines, whole in ((typed(page), True), (named(page), False)):
        through = [words for words in ours(lines, "dev.py") if words[:1] in _PASSED_ON]
        for arguments in [*ours(lines, "holdfast"), *(words[words[0] == "run" :] for words in through)]:
            if complaint := refusal(app, arguments, whole=whole):
                yield f"`holdfast {' '.join(arguments)}`: {complaint}"


def refusal(app: Any, arguments: list[str], *, whole: bool = True) -> str:
    """Why the command line would not take these arguments; empty where it would.

    Where the subcommand is a word in capitals, as in COMMAND, nothing is said of the rest, and help is always taken.
    What is not `whole` may lack arguments, and the value of its last option.
    """
    command, context = typer.main.get_command(app), None
    rest = [word for word in arguments if word not in {"--help", "-h", "…", "..."}]
    while (groups := hasattr(command, "commands")) and rest and not rest[0].startswith("-"):
        if _PLACEHOLDER.fullmatch(rest[0]):
            return ""
        context = command.make_context(command.name, [], parent=context, resilient_parsing=True)
        command, word, rest = command.get_command(context, rest[0]), rest[0], rest[1:]
        if command is None:
            return f"there is no command {word!r}"
    if groups and rest:  # asked by name: --version and --install-completion act as soon as they are parsed
        own = {option for parameter in command.params for option in parameter.opts}
        return "" if rest[0] in own else f"there is no option {rest[0]}"
    helped = {"--help", "-h"} & {*arguments}
    return "" if groups or helped else _parsed(command, rest, context, whole=whole)


def _parsed(command: Any, rest: list[str], context: Any, *, whole: bool) -> str:
    try:
        command.make_context(command.name, rest, parent=context)
    except typer.BadParameter.__mro__[1] as error:  # the base of all that is a wrong usage, of whichever click
        said = getattr(error, "message", "")
        lacking = type(error).__name__ == "MissingParameter" or "requires an argument" in said
        return "" if lacking and not whole else f"{type(error).__name__}: {said}"
    return ""


def unknown_metrics(page: Page, known: Known) -> Iterator[str]:
    """Metrics that are neither exported nor recorded."""
    for name in sorted({*_METRIC.findall(page.text)} - {*known.metrics} - {*known.names}):
        yield f"there is no metric {name}"
    for name in sorted({*_RECORDED.findall(page.text)} - {*known.recorded}):
        yield f"no rule records {name}"


def unknown_tasks(page: Page, known: Known) -> Iterator[str]:
    """`make X` and `python3 dev.py X` that do not exist."""
    lines = [*typed(page), *named(page)]
    for program, names in (("make", known.targets), ("dev.py", known.tasks)):
        for arguments in ours(lines, program):
            wanted = [word for word in arguments[:1] if not word.startswith("-") and not _PLACEHOLDER.fullmatch(word)]
            for word in wanted:
                if "=" not in word and word not in names:
                    yield f"there is no `{program} {word}`"


def unknown_events(page: Page, known: Known) -> Iterator[str]:
    """Words of code like `run.finished` whose noun the log knows, and which nothing logs."""
    nouns = {event.partition(".")[0] for event in known.events}
    for word in page.words:
        found = _EVENT.fullmatch(word)
        if (
            found
            and found[1] in nouns
            and word not in known.events
            and found[2] not in {"py", "db", "md", "yaml", "log"}
        ):
            yield f"nothing logs the event {word}"


def broken_yaml(page: Page) -> Iterator[str]:
    """Blocks that are called YAML and are none."""
    for kind, text in page.blocks:
        if kind in {"yaml", "yml"}:
            try:
                list(yaml.parse(text, Loader=yaml.SafeLoader))
            except yaml.YAMLError as error:
                yield f"a block is no YAML: {' '.join(str(error).split())}"
