"""`holdfast config check|show|schema`."""

from __future__ import annotations

import orjson
import typer
import yaml
from rich.text import Text

import monitor.probes
from monitor.cli import common
from monitor.configfile import effective, schema
from monitor.probe import discover

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Validate and show the configuration.",
    epilog="Example: holdfast config check --config holdfast.yaml",
)


@app.command()
def check(config: common.Config = None, quiet: common.Quiet = False) -> None:
    """Validate the configuration; nothing is contacted. Ends with 0, or with 78 and every problem.

    Example:  holdfast config check --config holdfast.yaml
    """
    loaded = common.configuration(config)
    for problem in loaded.warnings:
        common.err().print(Text("warning: ", style="yellow") + Text(str(problem)))
    if not quiet:
        names = ", ".join(loaded.settings.environments) or "none"
        common.out().print(Text("✔ ", style="green") + Text(f"the configuration can be used; environments: {names}"))


@app.command()
def show(config: common.Config = None) -> None:
    """Print the configuration in force, every default included, every secret masked.

    Example:  holdfast config show
    """
    values = effective(common.configuration(config).settings)
    typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)


@app.command("schema")
def show_schema() -> None:
    """Print the JSON Schema of the configuration file, for editors.

    Example:  holdfast config schema > holdfast.schema.json
    """
    typer.echo(orjson.dumps(schema(discover(monitor.probes)), option=orjson.OPT_INDENT_2).decode())
