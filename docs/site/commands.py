"""The page of the commands: what `--help` says of each, with its examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from docs.site.tables import table
from monitor.cli import app

TEXT = """# Commands

`holdfast COMMAND --help` says the same in a terminal, and `holdfast --install-completion` sets up tab completion. Where a command takes `--config`, the configuration is that file, else `$HOLDFAST_CONFIG`, else `./holdfast.yaml`, else `/etc/holdfast/holdfast.yaml`.

## Exit status
"""
CODES = (
    ("0", "it worked; for what judges: ok"),
    ("1", "slow: all is right, and something took longer than its budget"),
    ("2", "violated: a promise is broken"),
    ("3", "unknown: nothing can be told, such as where a store does not answer"),
    ("64", "the command line is wrong: an option, a name, a value"),
    ("70", "a fault of Holdfast's own; the log has its traceback"),
    ("78", "the configuration is wrong, or the state belongs to another daemon"),
    ("130, 143", "interrupted by Ctrl-C, or by SIGTERM; what was written is removed first"),
)
_EXAMPLE = re.compile(r"^Examples?: *(.*)", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[str]:
    """Every command, in the order of `holdfast --help`."""
    yield TEXT
    yield from table(("status", "when"), CODES)
    group: Any = typer.main.get_command(app)
    context = group.make_context("holdfast", [], resilient_parsing=True)
    for name in group.list_commands(context):
        yield from _told(f"holdfast {name}", group.get_command(context, name), context, depth=2)


def _told(path: str, command: Any, above: Any, *, depth: int) -> Iterator[str]:  # noqa: ANN401  of whichever click
    context = command.make_context(command.name, [], parent=above, resilient_parsing=True)
    about, _, examples = _divided(command.help or "")
    yield f"\n{'#' * depth} {path}\n\n{about}\n"
    inner = getattr(command, "commands", None)
    if inner:
        for name, each in inner.items():
            yield from _told(f"{path} {name}", each, context, depth=depth + 1)
        return
    usage = " ".join(command.get_usage(context).replace("Usage:", "").split())
    yield f"```text\n{usage}\n```\n"
    if examples:
        yield f"```sh\n{examples}\n```\n"
    rows = [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        yield from table(("parameter", "default", "meaning"), rows)


def _divided(text: str) -> tuple[str, str, str]:
    found = _EXAMPLE.search(text)
    if not found:
        return text.strip(), "", ""
    lines = [line.strip() for line in found[1].splitlines()]
    return text[: found.start()].strip(), "Examples", "\n".join(line for line in lines if line)


def _row(parameter: Any) -> tuple[str, str, str]:  # noqa: ANN401  of whichever click
    if type(parameter).__name__ == "TyperArgument":
        name = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{each}`" for each in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    shown = "" if default in (None, False, ()) or callable(default) else f"`{getattr(default, 'value', default)}`"
    variable = f" (`${parameter.envvar}`)" if isinstance(parameter.envvar, str) else ""
    return name, shown, f"{parameter.help or ''}{variable}"
