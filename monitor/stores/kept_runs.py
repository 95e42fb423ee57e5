"""Runs as rows of the state database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from monitor.core.record import Propagation, RunRecord, StepTiming
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation


def text(value: str) -> str:
    """A text that UTF-8 and PostgreSQL can carry: another would keep all that waits behind it from being kept."""
    return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def run_row(record: RunRecord) -> dict[str, object]:
    """A run as it is kept."""
    finding = record.finding
    return {
        "run_id": record.run_id,
        "environment": record.environment,
        "probe": record.probe,
        "started": record.started.timestamp(),
        "took": record.took.total_seconds(),
        "verdict": finding.verdict,
        "reason": finding.reason,
        "message": text(finding.message),
        "checks": finding.checks,
        "kinds": sorted({violation.kind for violation in finding.violations}),
        "left_out": [text(sentence) for sentence in finding.left_out],
        "steps": [
            [
                step.name,
                round(step.after.total_seconds(), 6),
                round(step.took.total_seconds(), 6),
                step.failed,
                *([step.messages] if step.messages else ()),
            ]
            for step in record.steps
        ],
        "server": dict(record.server),
        "propagations": [
            [each.source, each.target, round(each.took.total_seconds(), 6), round(each.resolution.total_seconds(), 6)]
            for each in record.propagations
        ],
    }


def run(row: sa.RowMapping) -> RunRecord:
    """A run as it was kept: of its violations the kinds remain here, the evidence is kept with the violation."""
    found = tuple(Violation(kind=Kind(kind), subject="", expected="", actual="") for kind in row["kinds"])
    finding = Finding(
        verdict=Verdict(row["verdict"]),
        checks=row["checks"],
        violations=found,
        reason=Reason(row["reason"]) if row["reason"] else None,
        message=row["message"],
        left_out=tuple(row["left_out"]),
    )
    steps = tuple(
        StepTiming(
            name=name,
            after=timedelta(seconds=after),
            took=timedelta(seconds=took),
            failed=failed,
            messages=sum(messages),  # one number, or none
        )
        for name, after, took, failed, *messages in row["steps"]
    )
    return RunRecord(
        run_id=row["run_id"],
        environment=row["environment"],
        probe=row["probe"],
        started=moment_of(row["started"]),
        took=timedelta(seconds=row["took"]),
        finding=finding,
        steps=steps,
        propagations=tuple(
            Propagation(
                source=source, target=target, took=timedelta(seconds=took), resolution=timedelta(seconds=resolution)
            )
            for source, target, took, resolution in row["propagations"]
        ),
        server=row["server"],
    )


def moment_of(seconds: float) -> datetime:
    """A moment as it was kept."""
    return datetime.fromtimestamp(seconds, UTC)
