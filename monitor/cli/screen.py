"""What the demo shows: a live table on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from monitor.cli.common import COLOUR, MARK, out
from monitor.cli.output import Output
from monitor.core.advice import LEDGER, ending
from monitor.core.record import RunRecord
from monitor.core.violations import KeptViolation

_TOLD = 4  # violations whose evidence stands below the table; more would push it out of the window


class Screen(Protocol):
    """Something to show the state of an environment on, as a context manager."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state standing."""

    def say(self, line: str) -> None:
        """Show a line that stays."""

    def update(
        self, latest: Mapping[str, RunRecord], standing: Sequence[KeptViolation], runs: Sequence[RunRecord]
    ) -> None:
        """Show the latest run of each probe, what stands open, and how long the steps of many runs took."""


def percentiles(runs: Sequence[RunRecord], probe: str) -> tuple[float, float]:
    """The median and the 99th percentile of the steps of a probe, in milliseconds; nearest rank."""
    took = sorted(step.took.total_seconds() * 1000 for run in runs if run.probe == probe for step in run.steps)
    if not took:
        return 0.0, 0.0
    return took[(len(took) - 1) // 2], took[min(len(took) - 1, int(len(took) * 0.99))]


class Endings:
    """Which violations ended between two looks, each in a line."""

    def __init__(self) -> None:
        self._stood: Mapping[str, KeptViolation] = {}

    def since(self, standing: Sequence[KeptViolation]) -> Sequence[str]:
        """Those that stood at the look before and stand no longer."""
        stand = {kept.id: kept for kept in standing}
        ended = [kept for id_, kept in self._stood.items() if id_ not in stand]
        self._stood = stand
        return [_ending(kept) for kept in ended]


def _ending(kept: KeptViolation) -> str:
    what = f"closed now   {kept.kind}, found by {kept.probe}"
    if kept.probe == LEDGER:  # of which an end need not be that all is well
        return f"{what}: {ending(kept)}"
    return f"{what}: {kept.probe} is right again, and the violation is closed"


class TableScreen:
    """A table that renews itself in place."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._console = Output(highlight=False)  # what is found wraps; a line that was cut off would be no evidence
        self._endings = Endings()
        self._live = Live(console=self._console, auto_refresh=False, transient=False)
        self.shown = Group()

    def __enter__(self) -> Self:
        # Above the table and not in it: what a terminal echoes for Ctrl-C may leave a line of the table standing.
        self.say("Ctrl-C ends the demo and removes everything")
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        """A line above the table, unbroken, so that it can be copied."""
        self._console.print(Text(line), soft_wrap=True)

    def update(
        self, latest: Mapping[str, RunRecord], standing: Sequence[KeptViolation], runs: Sequence[RunRecord]
    ) -> None:
        """Renew the table."""
        for line in self._endings.since(standing):
            self.say(line)
        table = Table()
        for title in ("environment", "probe", "verdict", "step p50", "step p99", "runs", "violations"):
            right = title.startswith("step") or title == "runs"
            table.add_column(title, justify="right" if right else "left", overflow="fold")
        for probe, run in sorted(latest.items()):
            half, high = percentiles(runs, probe)
            style = COLOUR[run.verdict]
            reason = f" ({run.finding.reason})" if run.finding.reason else ""
            found = [kept for kept in standing if kept.probe == probe]
            table.add_row(
                self._environment,
                probe,
                Text(f"{MARK[run.verdict]} {run.verdict}{reason}", style=style),
                f"{half:.1f} ms",
                f"{high:.1f} ms",
                str(sum(each.probe == probe for each in runs)),
                Text(
                    "\n".join(f"{kept.kind} x{kept.times}" for kept in found) or "none",
                    style="bold red" if found else "dim",
                ),
            )
        told = [
            Text(f"{kept.kind}: {kept.subject}: expected {kept.expected}, found {kept.actual}", style="red")
            for kept in standing[:_TOLD]
        ]
        more = [Text(f"and {len(standing) - _TOLD} more: see the status page", style="red")] if standing[_TOLD:] else []
        self.shown = Group(*told, *more, table)  # in a window that is too low the end is cut off, not the evidence
        self._live.update(self.shown, refresh=True)


class LinesScreen:
    """A line for each change, for pipes and logs."""

    def __init__(self, environment: str) -> None:
        self._environment = environment
        self._console = out()
        self._shown: dict[str, str] = {}
        self._endings = Endings()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lines stand anyway."""

    def say(self, line: str) -> None:
        """A line."""
        self._console.print(Text(line))

    def update(
        self, latest: Mapping[str, RunRecord], standing: Sequence[KeptViolation], runs: Sequence[RunRecord]
    ) -> None:
        """A line for each probe whose verdict changed, and for each violation that came or went."""
        for probe, run in sorted(latest.items()):
            verdict = f"{run.verdict} ({run.finding.reason})" if run.finding.reason else str(run.verdict)
            if self._shown.get(probe) == verdict:
                continue
            self._shown[probe] = verdict
            half, high = percentiles(runs, probe)
            line = f"{self._environment} {probe}: {verdict}  steps p50 {half:.1f} ms, p99 {high:.1f} ms"
            self._console.print(Text(f"{line}  {run.finding.message}".rstrip()))
        for ended in self._endings.since(standing):
            self.say(ended)
        for kept in standing:
            if kept.id not in self._shown:
                self._shown[kept.id] = kept.stage
                self._console.print(Text(f"violation {kept.kind}, found by {kept.probe}: {kept.subject}"))
