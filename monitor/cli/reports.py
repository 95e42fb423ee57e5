"""What a round of `holdfast check` found, as JSON or JUnit; check_text has it as text."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import orjson
import typer

from monitor.cli.guidance import address, next_step
from monitor.core.record import RunRecord
from monitor.core.verdict import Verdict, Violation, worst

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one round brought: a run per environment and probe, and what was left out, with its reason.

    `again` is the command that brings the same once more, where that is not `holdfast check`, and `limit` the option
    of it that ended the run.
    """

    runs: tuple[RunRecord, ...]
    left_out: tuple[tuple[str, str, str], ...] = ()
    again: str = ""
    limit: str = ""

    @property
    def verdict(self) -> Verdict:
        """The gravest; where nothing ran, nothing is known."""
        return worst(run.verdict for run in self.runs)

    def next_step(self, run: RunRecord) -> str:
        """What to do first about one of its runs; empty where all is well."""
        return next_step(run, self.again, self.limit)


def facts(violation: Violation) -> dict[str, object]:
    """All that is known of a violation, by names for people."""
    said = {"subject": violation.subject, "expected": violation.expected, "found": violation.actual}
    return {**said, **violation.evidence}


def readable(value: object) -> str:
    """A value of the evidence, for people."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {inner}" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def as_json(found: Round, *, quiet: bool, runbooks: str) -> None:
    """Everything."""
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
                "next": found.next_step(run) or None,
                "runbook": address(run, runbooks) or None,
                "checks": run.finding.checks,
                "left_out": list(run.finding.left_out),
                "started": run.started.isoformat().replace("+00:00", "Z"),
                "took_seconds": round(run.took.total_seconds(), 6),
                "steps": [
                    {
                        "step": step.name,
                        "took_seconds": round(step.took.total_seconds(), 6),
                        "failed": step.failed,
                        **({"messages": step.messages} if step.messages else {}),
                    }
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


def as_junit(found: Round, *, quiet: bool, runbooks: str) -> None:  # noqa: ARG001  a pipeline wants every case
    """JUnit XML."""
    typer.echo(junit(found, runbooks=runbooks))


def junit(found: Round, *, runbooks: str) -> bytes:
    """JUnit XML: a violation is a failure with its evidence, an unknown an error, what was left out is skipped.

    Each failure and error ends with what to do next, and with its runbook.
    """
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
        message = _fit(run.finding.message)
        if run.verdict is Verdict.VIOLATED:
            kinds = ", ".join(sorted({each.kind for each in run.finding.violations}))
            ET.SubElement(case, "failure", type=kinds, message=message).text = _fit(
                "\n\n".join([*_told(run), *_advice(found, run, runbooks)])
            )
        elif run.verdict is Verdict.UNKNOWN:
            ET.SubElement(case, "error", type=str(run.finding.reason), message=message).text = "\n\n".join(
                [message, *_advice(found, run, runbooks)]
            )
        said = [f"{run.verdict}: {message}"] if message and run.verdict is Verdict.SLOW else []
        if said := [*said, *(f"left out: {_fit(sentence)}" for sentence in run.finding.left_out)]:
            ET.SubElement(case, "system-out").text = "\n".join(said)
    for environment, probe, why in found.left_out:
        case = ET.SubElement(suite, "testcase", classname=environment, name=probe)
        ET.SubElement(case, "skipped", message=why)
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    made: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)  # whatever the terminal speaks
    return made


def _told(run: RunRecord) -> list[str]:
    """Every violation of a run with its evidence, as text."""
    return [
        "\n".join([f"{each.kind}", *(f"  {name}: {readable(value)}" for name, value in facts(each).items())])
        for each in run.finding.violations
    ]


def _advice(found: Round, run: RunRecord, runbooks: str) -> list[str]:
    return [f"next: {found.next_step(run)}\nrunbook: {address(run, runbooks)}"]


def _fit(text: str) -> str:
    """The same text without what XML cannot carry."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
