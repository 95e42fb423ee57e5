"""`holdfast check`: one round now, for people on call, deploy gates and cron."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated
from xml.etree import ElementTree as ET

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from uuid_utils import uuid7

from monitor.cli import common
from monitor.configfile import Loaded
from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.core.verdict import Verdict, worst
from monitor.core.violations import KeptViolation, Stage
from monitor.fleet import left_out, live_environment
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import SystemClock
from monitor.runner import Desk, run_once

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Form(StrEnum):
    """The forms of a report."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round brought: a run per environment and probe, and what was left out, with its reason."""

    runs: tuple[RunRecord, ...]
    left_out: tuple[tuple[str, str, str], ...]

    @property
    def verdict(self) -> Verdict:
        """The gravest; where nothing ran, nothing is known."""
        return worst(run.verdict for run in self.runs)


class Forgetful:
    """A state that keeps nothing. A database, even in memory, would double the time that a check takes."""

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Nothing."""

    async def runs(
        self,
        *,
        environment: str | None = None,  # noqa: ARG002  the signature is the port's, here and below
        probe: str | None = None,  # noqa: ARG002
        verdict: str | None = None,  # noqa: ARG002
        limit: int = 100,  # noqa: ARG002
    ) -> list[RunRecord]:
        """None."""
        return []

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:  # noqa: ARG002
        """None."""
        return []

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:  # noqa: ARG002
        """Nothing."""
        return 0

    async def recall(self, name: str) -> str | None:  # noqa: ARG002
        """Nothing."""
        return None

    async def remember(self, name: str, value: str | None) -> None:
        """Nothing."""


def command(
    environments: common.Environments = None,
    probe: common.ProbeNames = None,
    form: Annotated[Form, typer.Option("--format", help="How to report.")] = Form.TEXT,
    config: common.Config = None,
    quiet: common.Quiet = False,
    verbose: common.Verbose = False,
) -> None:
    """Run every probe once, now, and say what was found.

    Ends with 0 ok, 1 slow, 2 violated, 3 unknown (the gravest of all runs), 78 where the configuration is wrong.

    Examples:
      holdfast check                             every environment

      holdfast check production --probe thread   one promise of one environment

      holdfast check --format junit > round.xml  for a pipeline

    """
    loaded = common.configuration(config)
    known = loaded.settings.environments
    names = [common.known(name, known, what="environment") for name in environments or known]
    every = {name for each in known.values() for name in each.probes.by_name()}
    wanted = {common.known(name, sorted(every), what="probe") for name in probe or ()}
    if not names:
        common.fail("there is nothing to check: add an environment below `environments:`", common.WRONG_CONFIGURATION)
    common.log_to_stderr(loaded, level="debug" if verbose else "critical")  # the report says what the log would
    with common.err().status("asking the stores …", spinner="dots"):
        found = common.run(lambda: check(loaded, names, wanted))
    {Form.TEXT: _as_text, Form.JSON: _as_json, Form.JUNIT: _as_junit}[form](found, quiet=quiet)
    raise typer.Exit(common.EXIT[found.verdict])


async def check(loaded: Loaded, names: Sequence[str], wanted: set[str]) -> Round:
    """One round: environments beside each other, the probes of one environment in turn.

    It writes as an instance of its own, so that a daemon beside it does not mind, and remembers nothing.
    """
    clock, metrics = SystemClock(), Metrics(location=loaded.settings.location, version="")
    journal = Journal(Forgetful(), clock=clock, new_id=lambda: str(uuid7()))
    desk = Desk(journal=journal, metrics=metrics, clock=clock)
    instance = Instance(uuid7().hex[-8:], 1)

    async def one(name: str) -> list[RunRecord]:
        settings = loaded.settings.environments[name]
        live = live_environment(name, settings, instance=instance, metrics=metrics)
        probes = [probe for probe in settings.active().values() if not wanted or probe.name in wanted]
        return [await run_once(probe, live, desk) for probe in probes]

    runs = await asyncio.gather(*(one(name) for name in names))
    return Round(
        runs=tuple(run for found in runs for run in found),
        left_out=tuple(
            (name, probe, why)
            for name in names
            for probe, why in left_out(loaded.settings.environments[name]).items()
            if not wanted or probe in wanted
        ),
    )


def _as_text(found: Round, *, quiet: bool) -> None:
    console = common.out()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "environment", "probe", "verdict", "took", "what was found"):
        table.add_column(title, no_wrap=title != "what was found", overflow="fold")
    shown = [run for run in found.runs if not (quiet and run.verdict is Verdict.OK)]
    for run in shown:
        style = common.COLOUR[run.verdict]
        what = run.finding.message or f"{run.finding.checks} checks passed"
        reason = f" ({run.finding.reason})" if run.finding.reason else ""
        verdict = Text(f"{run.verdict}{reason}", style=style)
        took = f"{run.took.total_seconds() * 1000:.0f} ms"
        table.add_row(
            Text(common.MARK[run.verdict], style=style), run.environment, run.probe, verdict, took, Text(what)
        )
    if not quiet:
        for environment, probe, why in found.left_out:
            table.add_row("-", environment, probe, Text("left out", style="dim"), "", Text(why, style="dim"))
    if table.row_count:
        console.print(table)
    _evidence(console, found)
    if not quiet:
        style = common.COLOUR[found.verdict]
        console.print(Text(f"{common.MARK[found.verdict]} {found.verdict}", style=style))


def _evidence(console: Console, found: Round) -> None:
    for run in found.runs:
        for violation in run.finding.violations:
            console.print()
            console.print(Text(f"{run.environment}/{run.probe}: {violation.kind}", style="bold red"))
            for name, value in (
                ("subject", violation.subject),
                ("expected", violation.expected),
                ("found", violation.actual),
                *violation.evidence.items(),
            ):
                console.print(Text(f"  {name:<20}  ", style="dim") + Text(_readable(value)))


def _readable(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _as_json(found: Round, *, quiet: bool) -> None:
    runs = [run for run in found.runs if not (quiet and run.verdict is Verdict.OK)]
    report = {
        "verdict": found.verdict,
        "runs": [
            {
                "run_id": run.run_id,
                "environment": run.environment,
                "probe": run.probe,
                "verdict": run.verdict,
                "reason": run.finding.reason,
                "message": run.finding.message,
                "checks": run.finding.checks,
                "started": run.started.isoformat().replace("+00:00", "Z"),
                "took_seconds": round(run.took.total_seconds(), 6),
                "steps": [
                    {"step": step.name, "took_seconds": round(step.took.total_seconds(), 6), "failed": step.failed}
                    for step in run.steps
                ],
                "violations": [
                    {
                        "kind": each.kind,
                        "subject": each.subject,
                        "expected": each.expected,
                        "actual": each.actual,
                        "evidence": dict(each.evidence),
                    }
                    for each in run.finding.violations
                ],
            }
            for run in runs
        ],
        "left_out": [{"environment": env, "probe": probe, "why": why} for env, probe, why in found.left_out],
    }
    typer.echo(orjson.dumps(report, option=orjson.OPT_INDENT_2, default=str).decode())


def _as_junit(found: Round, *, quiet: bool) -> None:  # noqa: ARG001  a pipeline wants every case
    """JUnit XML: a violation is a failure, an unknown an error, what was left out is skipped."""
    counts = {verdict: sum(run.verdict is verdict for run in found.runs) for verdict in Verdict}
    suite = ET.Element(
        "testsuite",
        name="holdfast",
        tests=str(len(found.runs) + len(found.left_out)),
        failures=str(counts[Verdict.VIOLATED]),
        errors=str(counts[Verdict.UNKNOWN]),
        skipped=str(len(found.left_out)),
        timestamp=min((run.started for run in found.runs), default=datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S"),
        hostname=socket.gethostname(),
        time=f"{sum(run.took.total_seconds() for run in found.runs):.3f}",
    )
    for run in found.runs:
        case = ET.SubElement(
            suite, "testcase", classname=run.environment, name=run.probe, time=f"{run.took.total_seconds():.3f}"
        )
        message = _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", run.finding.message)
        if run.verdict is Verdict.VIOLATED:
            kinds = ", ".join(sorted({each.kind for each in run.finding.violations}))
            ET.SubElement(case, "failure", type=kinds, message=message).text = message
        elif run.verdict is Verdict.UNKNOWN:
            ET.SubElement(case, "error", type=str(run.finding.reason), message=message).text = message
        elif message:
            ET.SubElement(case, "system-out").text = f"{run.verdict}: {message}"
    for environment, probe, why in found.left_out:
        case = ET.SubElement(suite, "testcase", classname=environment, name=probe)
        ET.SubElement(case, "skipped", message=why)
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    typer.echo(ET.tostring(suites, encoding="utf-8", xml_declaration=True))  # as bytes, whatever the terminal speaks
