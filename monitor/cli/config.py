"""`holdfast config check|show|schema`."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
import yaml
from rich.text import Text

import monitor.probes
from monitor.cli import common
from monitor.cli.statefile import hindrance, home_in
from monitor.configfile import binding_schema, effective, schema
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
        nowhere = common.unconfigured(loaded)
        said = (
            f"{nowhere}; the defaults watch nothing" if nowhere else "the configuration is valid, but watches nothing"
        )
        common.out().print(Text("! ", style="yellow") + Text(said))
    else:
        count = f", with {len(warnings)} warning{'s' * (len(warnings) > 1)}" if warnings else ""
        mark = Text("! ", style="yellow") if warnings else Text("✔ ", style="green")
        common.out().print(mark + Text(f"the configuration can be used{count}; environments: {names}"))


@app.command()
def show(config: common.Config = None) -> None:
    """Print the configuration in force, every default included, every secret masked; bindings stand in it whole.

    Example:  holdfast config show
    """
    values = effective(common.configuration(config).settings)
    typer.echo(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True), nl=False)


class _Dumper(yaml.SafeDumper):
    """YAML in which a text of several lines, such as a statement, stands as one would write it."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


@app.command("schema")
def show_schema(
    binding: Annotated[bool, typer.Option("--binding", help="That of the file of a binding.")] = False,
) -> None:
    """Print the JSON Schema of the configuration file, or of a binding's, for editors.

    Example:  holdfast config schema > holdfast.schema.json
    """
    made = binding_schema() if binding else schema(discover(monitor.probes))
    typer.echo(orjson.dumps(made, option=orjson.OPT_INDENT_2).decode())
