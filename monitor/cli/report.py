"""`holdfast report`: what a period came to, as one file for people who were not there."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from monitor import __version__
from monitor.cli import common
from monitor.cli.statefile import home_in, missing
from monitor.configfile import Loaded
from monitor.core import duration
from monitor.ports import KEEPERS, StateError, SystemClock
from monitor.report import Form, Judged, Period, Report, Subject, gather, judged, rendered, whole
from monitor.settings import EnvironmentSettings
from monitor.stores.ledger import Ledgers
from monitor.stores.state import KeptState

FAILED = 1
_VIOLATIONS = 10_000
_OVERDUE = 3  # turns, as on the page


def _length(text: str | timedelta) -> timedelta:
    if isinstance(text, timedelta):  # a default goes through the parser, too
        return text
    try:
        length = duration.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if length < timedelta(hours=1):
        raise typer.BadParameter("is shorter than an hour, by which runs are counted; take 1h or more")
    return length


def command(
    environments: common.Environments = None,
    since: Annotated[
        timedelta,
        typer.Option(parser=_length, metavar="TIME", show_default="30d", help="How far back: 24h, 7d, 30d."),
    ] = timedelta(days=30),
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The file to write; - prints it.")] = "",
    form: Annotated[
        Form | None,
        typer.Option("--format", help="One HTML file, or Markdown; else as FILE ends.", show_default=False),
    ] = None,
    config: common.Config = None,
    quiet: common.Quiet = False,
) -> None:
    """Write what a period came to: is the data safe, availability and error budget, latency, violations, impact.

    It is read from the state database, also while the daemon runs; no store is contacted. The HTML is one file without
    scripts, which can be mailed and printed. Without --out it goes to report.html or report.md. Ends with 0, whatever
    the report says, and with 1 where there is nothing to read or the file cannot be written.

    Examples:
      holdfast report

      holdfast report production --since 7d --out weekly.html

      holdfast report --format markdown --out - > month.md

    """
    loaded = common.configuration_of_state(config)
    names = common.environments_named(loaded, environments)
    chosen = form or (Form.MARKDOWN if Path(out).suffix in {".md", ".markdown"} else Form.HTML)
    target = out or ("report.md" if chosen is Form.MARKDOWN else "report.html")
    report = _report(loaded, names, Period.latest(since, datetime.now(UTC)), quiet=quiet)
    text = rendered(report, chosen)
    if target == "-":
        typer.echo(text, nl=False)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        common.fail(f"cannot write {target}: {error.strerror}", FAILED)
    if not quiet:
        common.err().print(Text("✔ ", style="green") + Text(f"wrote {target} ({len(text.encode()) / 1000:,.0f} kB)"))


def subject(name: str, settings: EnvironmentSettings) -> Subject:
    """What a report needs to know of an environment."""
    probes = settings.active()
    return Subject(
        name=name,
        objective=settings.objective / 100,
        stakes=settings.impact.stakes,
        keepers=settings.stores & KEEPERS,
        budgets={each: {step: probe.budget_of(step) for step in probe.steps} for each, probe in probes.items()},
        patience={each: _OVERDUE * probe.every + probe.timeout for each, probe in probes.items()},
        uses={
            each: tuple(use for use in probe.plan() if use.store in settings.stores) for each, probe in probes.items()
        },
    )


def _report(loaded: Loaded, names: Sequence[str], period: Period, *, quiet: bool) -> Report:
    home = home_in(loaded.settings)
    if none := missing(home):
        common.fail(none, FAILED)
    subjects = [subject(name, loaded.settings.environments[name]) for name in names]

    async def main() -> list[Judged]:
        state, ledgers = KeptState(home), Ledgers(home, clock=SystemClock())
        parts = []
        try:
            await state.open()
            violations = await state.violations(limit=_VIOLATIONS)
            for place, each in enumerate(subjects):
                if not quiet and sys.stderr.isatty():
                    common.err().print(f"\rreading {place + 1} of {len(subjects)}", end="")
                found = await gather(each, period, state=state, ledger=ledgers.of(each.name), violations=violations)
                parts.append(judged(found))
        finally:
            if not quiet and sys.stderr.isatty():
                common.err().print()
            await ledgers.close()
            await state.close()
        return parts

    gc.disable()  # a million small values that all stay: to look for garbage among them takes half the time
    try:
        parts = common.run(main)
    except StateError as error:
        common.fail(str(error), FAILED)
    return whole(parts, period=period, location=loaded.settings.location, version=__version__)
