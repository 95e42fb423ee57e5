"""The command line: parses arguments and prints, nothing else."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

from monitor import __version__
from monitor.cli import check, config, data, demo, lists, run, violations
from monitor.cli.common import USAGE

app = typer.Typer(
    name="holdfast",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # the values of variables hold passwords
    help="Does the data that we acknowledged still come back: whole, in order, on time, and only to its owner?",
    epilog="Begin with: holdfast demo",
)
app.command("demo")(demo.command)
app.command("run")(run.command)
app.command("check")(check.command)
app.add_typer(config.app, name="config")
app.command("plan")(data.plan)
app.command("setup")(data.setup)
app.command("sweep")(data.sweep)
app.add_typer(violations.app, name="violations")
app.command("probes")(lists.probes)
app.command("faults")(lists.faults)


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
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.UsageError as error:
        error.show()
        code = USAGE
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = 130
    sys.exit(code or 0)
