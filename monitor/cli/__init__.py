"""The command line: parses arguments and prints, nothing else."""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import structlog
import typer
from typer.core import TyperGroup

from monitor import __version__
from monitor.core.secrets import Scrubber
from monitor.logs import Scrubbing, set_up

log = structlog.get_logger("holdfast")

USAGE = 64
ASKED_TO_END = 128 + signal.SIGTERM
"""The exit of a process that SIGTERM has ended, as shells tell it."""
SOFTWARE = 70
"""The exit of a command that fails by a fault of Holdfast's own; 1 would read as `slow`."""

COMMANDS = {
    "demo": "monitor.cli.demo:command",
    "run": "monitor.cli.run:command",
    "check": "monitor.cli.check:command",
    "load": "monitor.cli.load:command",
    "config": "monitor.cli.config:app",
    "bind": "monitor.cli.bind:app",
    "plan": "monitor.cli.data:plan",
    "setup": "monitor.cli.data:setup",
    "sweep": "monitor.cli.sweep:command",
    "ledger": "monitor.cli.ledger:app",
    "history": "monitor.cli.history:app",
    "violations": "monitor.cli.violations:app",
    "report": "monitor.cli.report:command",
    "rules": "monitor.cli.rules:command",
    "dashboard": "monitor.cli.dashboard:command",
    "probes": "monitor.cli.lists:probes",
    "faults": "monitor.cli.lists:faults",
}
"""Where each command is. A module is imported when its command is asked for: most of a short command is imports."""

_BREAK = re.compile(r"(?<=\S)\n(?=\S)")
"""A line that is broken only because lines of source are: in a terminal of any width it would be broken twice."""

_TAKEN = "Every command takes it; this one has nothing"

# Typer carries a click of its own, or uses the installed one, by its version; what it raises is told by its base.
UsageError: Any = typer.BadParameter.__mro__[1]
ClickException: Any = typer.BadParameter.__mro__[2]


class Commands(TyperGroup):
    """All commands, imported one by one."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002  a context of whichever click
        """In the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002  the same
        """A command; all are imported where the name is wrong, so that the nearest can be told."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.commands[name] = _imported(name)
        return self.commands.get(cmd_name)


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """For imports: nothing that they make is garbage, and looking for it is a seventh of their time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _imported(name: str) -> Any:  # noqa: ANN401  a command of whichever click
    module, _, attribute = COMMANDS[name].partition(":")
    with _nothing_collected():
        found = getattr(import_module(module), attribute)
    group = typer.Typer(add_completion=False)
    if isinstance(found, typer.Typer):
        group = found
    else:
        group.command(name)(found)
    made = typer.main.get_command(group)
    made.name = name
    for each in (made, *(inner := getattr(made, "commands", {}).values())):
        each.help = _BREAK.sub(" ", each.help or "")
    for each in inner or (made,):
        had = {parameter.name for parameter in each.params}
        each.params += [option for option in _everywhere() if option.name not in had]
    return made


@cache
def _everywhere() -> tuple[Any, ...]:
    """Flags that every command takes, so that a script may give them to any; what has a use for them says so itself."""

    def nothing(
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help=f"{_TAKEN} to leave out.")] = False,
        verbose: Annotated[bool, typer.Option("--verbose", "-v", help=f"{_TAKEN} to log.")] = False,
    ) -> None:
        """Only here to carry the flags."""

    made = typer.Typer(add_completion=False)
    made.command()(nothing)
    flags = tuple(each for each in typer.main.get_command(made).params if each.name in {"quiet", "verbose"})
    for flag in flags:
        flag.expose_value = False
    return flags


app = typer.Typer(
    name="holdfast",
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # every command inherits them
    pretty_exceptions_enable=False,
    help="Does the data that we acknowledged still come back: whole, in order, on time, and only to its owner?",
    epilog="Begin with: holdfast demo",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"holdfast {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool | None, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = None,
) -> None:
    """Only here to carry --version."""


def main() -> None:
    """Run a command; a wrong usage ends with 64, because 2 means that a promise was broken."""
    if os.getpid() == 1:  # in a container the kernel spares it every signal that nobody handles, until the command does
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(ASKED_TO_END))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a tick that a terminal cannot show must not end a deploy gate
    # Until a command has read its configuration no secret is known, and structlog's own default shows variables.
    set_up(form="auto", level="info", scrubbing=Scrubbing(Scrubber(())))
    try:
        code = app(standalone_mode=False)
    except UsageError as error:
        from monitor.complaints import in_words  # noqa: PLC0415  only where somebody made a mistake

        error.message = in_words(error.message)
        error.show()
        code = USAGE
    except ClickException as error:
        error.show()
        code = error.exit_code
    except typer.Exit as ended:
        code = ended.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except Exception:
        log.critical("command.failed", exc_info=True)  # above every level that a command may have set
        code = SOFTWARE
    sys.exit(code or 0)
