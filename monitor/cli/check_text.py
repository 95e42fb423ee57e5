"""A round of `holdfast check` as text: the verdict first, then what is wrong, its evidence and what to do, then all.

It fits into 80 columns, so that it can be read on a telephone and in the log of a pipeline; a single word, such as an
id, is never broken, so that it can be copied. Long lists are cut short: JSON and JUnit have them whole.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.text import Text

from monitor.cli import common
from monitor.cli.guidance import address
from monitor.cli.reports import Round, facts, readable
from monitor.core.meanings import BROKEN, UNTOLD
from monitor.core.record import RunRecord
from monitor.core.verdict import Verdict

_WIDEST = 100  # columns; longer lines are hard to read
_BULLET = "  -"
_LONG, _FEW = 200, 3  # characters of a list that are too many, and how many of its items are then shown
_SAID = {
    Verdict.OK: "{all} did what {they}",
    Verdict.SLOW: "{some} of {all} over budget, and no promise broken",
    Verdict.UNKNOWN: "{some} of {all} could not tell, and no promise was seen broken",
    Verdict.VIOLATED: "{some} of {all} found a promise broken",
}


def as_text(found: Round, *, quiet: bool, runbooks: str, figures: Callable[[Console], None] | None = None) -> None:
    """Print it. With `quiet` only what is wrong; nothing where nothing is.

    `figures` prints what stands in the place of a line for each run, where there is more to tell.
    """
    if quiet and found.verdict is Verdict.OK:
        return
    console = common.out()
    report = _Report(console)
    report.line(_verdict(found), style=common.COLOUR[found.verdict])
    for run in sorted(found.runs, key=lambda run: -run.verdict.gravity):
        if run.verdict is not Verdict.OK:
            report.told(run, advice=found.next_step(run), runbooks=runbooks)
    if not quiet:
        if figures is None:
            report.table(found)
        else:
            report.line()
            figures(console)
        report.left_out(found)
        report.line()
        report.line(f"{common.MARK[found.verdict]} {found.verdict}", style=common.COLOUR[found.verdict])


def _verdict(found: Round) -> str:
    some, count = sum(run.verdict is found.verdict for run in found.runs), len(found.runs)
    every = f"{count} {'probe' if count == 1 else 'probes'}"
    where = ", ".join(dict.fromkeys(run.environment for run in found.runs))
    they = "it promises" if count == 1 else "they promise"
    said = _SAID[found.verdict].format(some=some, all=every, they=they) if found.runs else "nothing ran"
    if found.limit and found.verdict is Verdict.SLOW:
        said = f"stopped by {found.limit}, and no promise broken"
    return f"{common.MARK[found.verdict]} {found.verdict}: {said}{f' in {where}' if where else ''}"


class _Report:
    """Lines on a console, broken between words."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(shutil.get_terminal_size((80, 24)).columns, _WIDEST)

    def line(self, text: str = "", *, style: str = "") -> None:
        """One line, or several, each further one set in."""
        self.named("", text, style=style)

    def named(self, name: str, text: str, *, style: str = "") -> None:
        """A text behind what it is, the text in a column of its own."""
        room = 2 if not name else 4 if name == _BULLET else max(16, len(name) + 2)
        lines = textwrap.wrap(
            text, max(20, self._width - room), break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        ) or [""]
        for at, each in enumerate(lines):
            before = name.ljust(room) if name and not at else " " * (room if name or at else 0)
            self._console.print(Text(before, style="dim") + Text(each, style=style))

    def told(self, run: RunRecord, *, advice: str, runbooks: str) -> None:
        """What is wrong with a run, and what to do."""
        style = common.COLOUR[run.verdict]
        for title, about in findings(run):
            self.line()
            self.line(f"{common.MARK[run.verdict]} {run.environment}/{run.probe}: {title}", style=style)
            for name, value in about:
                self.named(f"  {name}", value)
        self.named("  next", advice)
        self.named("  runbook", address(run, runbooks))

    def table(self, found: Round) -> None:
        """A line for each run."""
        wide = max((len(run.probe) for run in found.runs), default=0)
        for environment in dict.fromkeys(run.environment for run in found.runs):
            self.line()
            self.line(environment, style="bold")
            for run in found.runs:
                if run.environment == environment:
                    verdict = Text(f"{run.verdict}".ljust(9), style=common.COLOUR[run.verdict])
                    took = f"{run.took.total_seconds() * 1000:.0f} ms".rjust(9)
                    start = f"  {common.MARK[run.verdict]} {run.probe.ljust(wide)}  "
                    self._console.print(Text(start) + verdict + Text(f"{took}  {_outcome(run)}"))

    def left_out(self, found: Round) -> None:
        """What was not checked, and why: an absence is never shown as ok."""
        missing = [(run.environment, run.probe, why) for run in found.runs for why in run.finding.left_out]
        missing += found.left_out
        if missing:
            self.line()
            self.line("not checked", style="bold")
        for environment, probe, why in missing:
            self.named(_BULLET, f"{environment}/{probe}: {why}")


def findings(run: RunRecord) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each thing that is wrong with a run that was not ok, with a title and its facts."""
    if run.finding.violations:
        for violation in run.finding.violations:
            known = [(name, _brief(value)) for name, value in facts(violation).items()]
            yield f"{violation.kind}", [("means", BROKEN[violation.kind]), *known]
    elif run.finding.reason:
        means = UNTOLD[run.finding.reason]
        yield f"{run.verdict} ({run.finding.reason})", [("means", means), ("found", run.finding.message)]
    else:
        yield f"{run.verdict}", [("found", run.finding.message)]


def _brief(value: object) -> str:
    said = readable(value)
    if isinstance(value, list) and len(said) > _LONG and len(value) > _FEW:
        return f"{readable(value[:_FEW])} and {len(value) - _FEW} more (--format json has all)"
    return said


def _outcome(run: RunRecord) -> str:
    if run.verdict is Verdict.VIOLATED:
        return ", ".join(sorted({violation.kind for violation in run.finding.violations}))
    if run.finding.reason:
        return str(run.finding.reason)
    return f"{run.finding.checks} checks passed" if run.verdict is Verdict.OK else "see above"
