"""What `holdfast load` shows: what it will do, how it goes, and what it came to, as text or as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from types import TracebackType
from typing import Any, Self

import orjson
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from monitor.bursting import Following
from monitor.cli import check_text
from monitor.cli.guidance import address
from monitor.cli.reports import Round
from monitor.core import duration
from monitor.core.burst_summary import Summary, summed
from monitor.core.latencies import Spread
from monitor.core.openloop import Act, Cause, Figures, counted
from monitor.core.record import RunRecord
from monitor.core.verdict import Verdict
from monitor.ports import Surroundings
from monitor.probes.load import AVERAGE_BYTES, LoadProbe

_EACH = 0.2  # seconds between two lines of progress
_SIGN_OF_LIFE = 30.0  # seconds between two of them where nobody looks, but a log is written
_LIMITS = {Cause.P99: "--p99", Cause.LAG: "--lag", Cause.QUEUE: "--in-flight"}
TITLES = ("p50", "p90", "p99", "p99.9", "max")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """One burst that was carried out; `again` is the command for the same once more."""

    environment: str
    probe: LoadProbe
    record: RunRecord
    following: Following
    again: str = ""

    @property
    def round(self) -> Round:
        """It as a round of `holdfast check` that had no other run."""
        stop = self.following.stop
        limit = "" if stop is None else _LIMITS.get(stop.cause, "")
        return Round(runs=(self.record,), again=self.again, limit=limit)

    @cached_property
    def summary(self) -> Summary:
        """It in figures."""
        return summed(self.following.samples, self.probe.figures)


def planned(environment: str, probe: LoadProbe, around: Surroundings) -> str:
    """What will be done, and what ends it, before anything is."""
    figures, counts = probe.figures, counted(probe.figures)
    wants = ", ".join(f"{count} connections to {store}" for store, count in probe.wants_in(around).items())
    size = counts[Act.APPEND] * AVERAGE_BYTES / 1e6
    asked, written, begun = figures.operations, counts[Act.APPEND], counts[Act.CREATE]
    empty = (
        "" if written else "it would verify nothing, for it writes no message: take a higher rate or a longer time\n"
    )
    return (
        f"{environment}: {asked:,} {_counted(asked, 'operation')} in {duration.text(probe.length)}, up to"
        f" {figures.rate:g}/s, of {figures.users} users: {written:,} {_counted(written, 'message')} in {begun:,}"
        f" {_counted(begun, 'conversation')}, {size:.1f} MB, by at most {wants}\n{empty}"
        f"it stops where {_limits(probe)}; all that it writes is removed in the end"
    )


def _limits(probe: LoadProbe) -> str:
    return (
        f"{probe.errors * 100:g}% of the latest 100 fail, their p99 passes {duration.text(probe.p99)},"
        f" a replica is {duration.text(probe.lag)} behind, or {probe.in_flight} wait"
    )


class Progress:
    """A line that renews itself while the burst lasts, where somebody sees it, else a line each half a minute."""

    def __init__(self, figures: Figures, following: Following, *, quiet: bool) -> None:
        self._figures, self._following = figures, following
        console = Console(stderr=True, highlight=False)
        self._console, self._quiet = console, quiet
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._quiet:
            self._live.start()
            self._task = asyncio.create_task(self._renew())
        elif not self._quiet:
            self._task = asyncio.create_task(self._say())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            self._live.stop()

    async def _renew(self) -> None:
        while True:
            said = Text(line(self._following, self._figures), no_wrap=True, overflow="ellipsis")
            self._live.update(said, refresh=True)
            await asyncio.sleep(_EACH)

    async def _say(self) -> None:
        while True:
            await asyncio.sleep(_SIGN_OF_LIFE)
            self._console.print(Text(line(self._following, self._figures)), soft_wrap=True)


def line(following: Following, figures: Figures) -> str:
    """How it goes."""
    ended = len(following.samples)
    failed = sum(sample.failed is not None for sample in following.samples[-1000:])
    behind = "".join(f" · {name} {lag:.1f} s behind" for name, lag in sorted(following.lags.items()) if lag)
    return (
        f"{following.phase} · {following.now:.1f} of {figures.seconds:g} s · {ended:,} of {figures.operations:,}"
        f" · p99 {following.p99 * 1000:.1f} ms · {failed} failed · {following.waiting} wait{behind}"
    )


def as_text(ended: Ended, *, runbooks: str) -> None:
    """What `holdfast check` says of a run, with the figures of the burst in it."""
    check_text.as_text(ended.round, quiet=False, runbooks=runbooks, figures=partial(_figures, ended))


def _figures(ended: Ended, console: Console) -> None:
    """A table, and what was asked and done."""
    summary = ended.summary
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("ms", "count", "failed", *TITLES):
        table.add_column(title, justify="left" if title == "ms" else "right", no_wrap=True)
    for part in summary.parts:
        table.add_row(part.name, f"{part.latency.count:,}", f"{part.failed:,}", *_milliseconds(part.latency))
    whole = summary.parts[-1]
    table.add_row(Text("service time", style="dim"), "", "", *_milliseconds(whole.service))
    console.print(table)
    console.print(
        "each from the moment at which it was due; service time from when it was sent, as a closed loop has it"
    )
    console.print()
    for name, value in facts(ended).items():
        console.print(Text(f"{name:<14}", style="dim") + Text(value))


def _milliseconds(spread: Spread) -> Iterator[str]:
    return (f"{value * 1000:,.1f}" for value in spread.at)


def facts(ended: Ended) -> Mapping[str, str]:
    """What was asked and done, in words."""
    summary, following = ended.summary, ended.following
    errors = ", ".join(f"{count} {reason}" for reason, count in sorted(summary.errors.items()))
    lags = ", ".join(f"{name} {lag:.1f} s" for name, lag in sorted(following.lags.items()))
    found = {
        "rate": f"{summary.answered:.1f}/s answered, {summary.asked:.1f}/s asked",
        "operations": f"{summary.ended:,} of {summary.planned:,} in {summary.seconds:.1f} s",
        "errors": errors or "none",
        "looked for": looked_for(ended),
    }
    found |= {"replicas": f"{lags} behind at the end"} if lags else {}
    found |= {"stopped": following.stop.message} if following.stop else {}
    return found | {"limits": _limits(ended.probe), "command": ended.again}


def looked_for(ended: Ended) -> str:
    """What was read once more at the end, and that all of it was there only where it was."""
    following, right = ended.following, ended.record.verdict in (Verdict.OK, Verdict.SLOW)
    if not following.looked_for:
        return "nothing, for no acknowledged message could be read once more"
    messages = f"{following.looked_for:,} acknowledged {_counted(following.looked_for, 'message')}"
    where = f"{following.conversations:,} {_counted(following.conversations, 'conversation')}"
    return f"{messages} in {where}, each by its owner{', and all came back' if right else ''}"


def _counted(count: int, name: str) -> str:
    return name if count == 1 else f"{name}s"


def as_json(ended: Ended, *, runbooks: str) -> None:
    """Everything, in seconds."""
    summary, finding, figures = ended.summary, ended.record.finding, ended.probe.figures
    report: dict[str, Any] = {
        "environment": ended.environment,
        "run_id": ended.record.run_id,
        "started": ended.record.started.isoformat().replace("+00:00", "Z"),
        "verdict": finding.verdict,
        "reason": finding.reason,
        "message": finding.message,
        "next": ended.round.next_step(ended.record) or None,
        "runbook": address(ended.record, runbooks) or None,
        "stopped": None if (stop := ended.following.stop) is None else {"by": stop.cause, "message": stop.message},
        "asked": asdict(figures),
        "limits": asdict(ended.probe.limits),
        "rate": {"asked": round(summary.asked, 3), "answered": round(summary.answered, 3)},
        "operations": {"planned": summary.planned, "ended": summary.ended, "seconds": round(summary.seconds, 3)},
        "latency_seconds": {part.name: _spread(part.latency) for part in summary.parts},
        "service_seconds": {part.name: _spread(part.service) for part in summary.parts},
        "failed": {part.name: part.failed for part in summary.parts},
        "errors": summary.errors,
        "replica_lag_seconds": ended.following.lags,
        "looked_for": ended.following.looked_for,
        "checks": finding.checks,
        "violations": [
            {
                "kind": each.kind,
                "subject": each.subject,
                "expected": each.expected,
                "actual": each.actual,
                "evidence": dict(each.evidence),
            }
            for each in finding.violations
        ],
        "left_out": list(finding.left_out),
        "slices": [asdict(each) for each in summary.slices],
    }
    typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2, default=str).decode())


def _spread(spread: Spread) -> dict[str, float]:
    at = {title: round(value, 6) for title, value in zip(TITLES, spread.at, strict=True)}
    return {"count": spread.count, "mean": round(spread.mean, 6), **at}
