"""Runs as rows of the state database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from monitor.core.record import Propagation, RunRecord, StepTiming
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation

_WITH_LAG = 3  # numbers after the first two


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
        "steps": _steps_row(record.steps),
        "server": dict(record.server),
        "propagations": [
            [each.source, each.target, _microseconds(each.took), _microseconds(each.resolution)]
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
    return RunRecord(
        run_id=row["run_id"],
        environment=row["environment"],
        probe=row["probe"],
        started=moment_of(row["started"]),
        took=timedelta(seconds=row["took"]),
        finding=finding,
        steps=_steps(row["steps"]),
        propagations=tuple(
            Propagation(
                source=source,
                target=target,
                took=timedelta(microseconds=took),
                resolution=timedelta(microseconds=resolution),
            )
            for source, target, took, resolution in row["propagations"]
        ),
        server=row["server"],
    )


def _steps_row(steps: Sequence[StepTiming]) -> dict[str, list[list[int]]]:
    """By name, in microseconds: after, took, and where they are not 0, failed, messages, lag. Most of a row is this."""
    found: dict[str, list[list[int]]] = {}
    for step in steps:
        kept = [_microseconds(step.after), _microseconds(step.took)]
        if step.failed or step.messages or step.lag:
            kept += (int(step.failed), step.messages, _microseconds(step.lag))
        found.setdefault(step.name, []).append(kept)
    return found


def _steps(kept: Mapping[str, Sequence[Sequence[int]]]) -> tuple[StepTiming, ...]:
    """In the order in which they began."""
    found = [
        StepTiming(
            name=name,
            after=timedelta(microseconds=after),
            took=timedelta(microseconds=took),
            failed=bool(rest and rest[0]),
            messages=rest[1] if rest else 0,
            lag=timedelta(microseconds=rest[2]) if len(rest) > _WITH_LAG - 1 else timedelta(),
        )
        for name, times in kept.items()
        for after, took, *rest in times
    ]
    return tuple(sorted(found, key=lambda step: step.after))


def _microseconds(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def moment_of(seconds: float) -> datetime:
    """A moment as it was kept."""
    return datetime.fromtimestamp(seconds, UTC)
