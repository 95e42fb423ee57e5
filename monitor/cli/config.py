"""`holdfast config check|show|schema`."""

from __future__ import annotations

import orjson
import typer
import yaml
from rich.text import Text

import monitor.probes
from monitor.cli import common
from monitor.cli.statefile import hindrance, home_in
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

    What can be used and looks wrong all the same is a warning, such as a state file that this user cannot write.

    Example:  holdfast config check --config holdfast.yaml
    """
    loaded = common.configuration(config)
    warnings = [*map(str, loaded.warnings)]
    if wrong := hindrance(home_in(loaded.settings)):
        warnings.append(f"state: {wrong}; as it is, the daemon would forget runs and violations at its end")
    for warning in warnings:
        common.err().print(Text("warning: ", style="yellow") + Text(warning))
    if quiet:
        return
    names = ", ".join(loaded.settings.environments)
    if not names:
        where = "" if loaded.files else f"; there is no file: neither {' nor '.join(map(str, common.PLACES))}"
        common.out().print(Text("! ", style="yellow") + Text(f"the configuration is valid, but watches nothing{where}"))
    else:
        count = f", with {len(warnings)} warning{'s' * (len(warnings) > 1)}" if warnings else ""
        mark = Text("! ", style="yellow") if warnings else Text("✔ ", style="green")
        common.out().print(mark + Text(f"the configuration can be used{count}; environments: {names}"))


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
