"""`holdfast probes` and `holdfast faults`: what can be checked, and what the demo can break."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

import monitor.probes
from monitor.cli import common
from monitor.core import duration
from monitor.embedded.faults import AREAS
from monitor.probe import discover


def probes() -> None:
    """List every probe: its promise, its settings and the kinds of violation that it reports.

    Example:  holdfast probes
    """
    console = common.out()
    for name, probe in discover(monitor.probes).items():
        console.print(Text(name, style="bold") + Text(f": {probe.promise()}"))
        defaults = probe()
        needs = ", ".join(f"{store} ({count} connections)" for store, count in probe.needs.items())
        every, budget = duration.text(defaults.every), duration.text(defaults.budget)
        console.print(Text(f"  every {every}, {budget} for each step, needs {needs}", style="dim"))
        console.print(Text(f"  reports {', '.join(sorted(probe.kinds))}", style="dim"))
        for field, about in type(defaults).model_fields.items():
            value = defaults.model_dump(mode="json")[field]
            console.print(Text(f"    {field}: {value}", style="cyan") + Text(f"  {about.description}", style="dim"))


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
            table.add_row(fault.name, Text(f"{fault.report} by {fault.probe}", style="dim"), Text(fault.breaks))
        console.print(table, "")
