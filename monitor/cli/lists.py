"""`holdfast probes` and `holdfast faults`: what can be checked, and what the demo can break."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import cleandoc
from typing import Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

import monitor.probes
from monitor.cli import common
from monitor.core import duration
from monitor.core.meanings import BROKEN, UNTOLD
from monitor.core.verdict import Kind, Reason
from monitor.embedded.faults import AREAS
from monitor.ports import Surroundings
from monitor.probe import Probe, discover


def probes(
    format_: Annotated[
        Literal["text", "markdown"], typer.Option("--format", help="What docs/probes.md begins with is markdown.")
    ] = "text",
) -> None:
    """List every probe: its promise, its settings and the kinds of violation that it reports.

    Example:  holdfast probes
    """
    if format_ == "markdown":
        typer.echo("\n".join(_document()))
        return
    console = common.out()
    for name, probe in discover(monitor.probes).items():
        console.print(Text(name, style="bold") + Text(f": {probe.promise()}"))
        defaults = probe()
        console.print(Text(f"  {_terms(defaults)}", style="dim"))
        console.print(Text(f"  reports {', '.join(sorted(probe.kinds))}", style="dim"))
        for sentence in defaults.left_out(Surroundings()):
            console.print(Text(f"  at the most simple environment it leaves out: {sentence}", style="dim"))
        for field, value, about in _settings(defaults):
            console.print(Text(f"    {field}: {value}", style="cyan") + Text(f"  {about}", style="dim"))


def _terms(probe: Probe[object]) -> str:
    needs = ", ".join(f"{store} ({count} connections)" for store, count in probe.wants().items())
    return f"every {duration.text(probe.every)}, {duration.text(probe.budget)} for each step, needs {needs}"


def _settings(probe: Probe[object]) -> Iterator[tuple[str, object, str]]:
    values = probe.model_dump(mode="json")
    for field, about in type(probe).model_fields.items():
        yield field, values[field], about.description or ""


def _document() -> Iterator[str]:
    yield "# What each probe promises"
    for name, probe in discover(monitor.probes).items():
        defaults = probe()
        yield f"\n## {name}\n"
        yield cleandoc(probe.__doc__ or "")
        yield f"\nIt runs {_terms(defaults)}. It reports {', '.join(f'`{kind}`' for kind in sorted(probe.kinds))}."
        if without := defaults.left_out(Surroundings()):
            yield "\nWhere an environment has nothing but the stores that it needs, this is left out, and said so:\n"
            yield from (f"- {sentence}" for sentence in without)
        yield "\n| setting | default | meaning |\n|---|---|---|"
        yield from (f"| `{field}` | {_cell(value)} | {about} |" for field, value, about in _settings(defaults))

    yield "\n## Kinds of violation\n\n| kind | what was broken |\n|---|---|"
    yield from (f"| `{kind}` | {BROKEN[kind]} |" for kind in Kind)
    yield "\n## Reasons for unknown\n\n| reason | why nothing can be told |\n|---|---|"
    yield from (f"| `{reason}` | {UNTOLD[reason]} |" for reason in Reason)


def _cell(value: object) -> str:
    return f"`{value}`" if value not in ({}, []) else "none"


def faults() -> None:
    """List what `holdfast demo --fault NAME` can break, and what must then be reported.

    Example:  holdfast faults
    """
    console = common.out()
    for area, of_area in AREAS.items():
        if not of_area:
            continue
        table = Table(title=area, title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False)
        for no_wrap in (True, True, False):
            table.add_column(no_wrap=no_wrap, overflow="fold")
        for fault in of_area:
            why = f" ({fault.cause.replace('_', ' ')})" if fault.cause else ""
            table.add_row(fault.name, Text(f"{fault.report}{why} by {fault.probe}", style="dim"), Text(fault.breaks))
        console.print(table, "")
