"""The life of a violation: opened by a run, repeated by others, closed by the first run in which all was right."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from monitor.core.record import RunRecord
from monitor.core.verdict import Json, Kind, Verdict, Violation


class Stage(StrEnum):
    """Where in its life a violation stands.

    One that is acknowledged stays quiet until the check passes again, or something else of its kind happens.
    """

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptViolation:
    """A violation with its life: one per environment, probe and kind at a time. Moments are UTC.

    `run_id` is the run that found it first, whose evidence is kept; `times` counts the runs that found it.
    """

    id: str
    environment: str
    probe: str
    kind: Kind
    stage: Stage
    opened: datetime
    last_seen: datetime
    run_id: str
    last_run_id: str
    subject: str
    expected: str
    actual: str
    evidence: Mapping[str, Json]
    times: int = 1
    closed: datetime | None = None
    acknowledged: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What one run did to the violations of its environment and probe."""

    opened: tuple[KeptViolation, ...] = ()
    repeated: tuple[KeptViolation, ...] = ()
    closed: tuple[KeptViolation, ...] = ()

    def all(self) -> tuple[KeptViolation, ...]:
        """All that changed."""
        return self.opened + self.repeated + self.closed


def after(record: RunRecord, standing: Iterable[KeptViolation], *, new_id: Callable[[], str]) -> Changes:
    """What becomes of the standing violations of one environment and probe once a run has ended.

    A run in which all was right closes them. A run that could not tell changes nothing. A run that found some kinds
    says nothing about the others: a conversation that is lost cannot be seen to be in order. What is known to have
    come after an acknowledgement opens anew, and what was acknowledged is closed.
    """
    now = record.started + record.took
    standing = tuple(standing)
    if record.verdict in (Verdict.OK, Verdict.SLOW):
        return Changes(closed=tuple(replace(kept, stage=Stage.CLOSED, closed=now) for kept in standing))
    found: dict[Kind, list[Violation]] = {}
    for violation in record.finding.violations:
        found.setdefault(violation.kind, []).append(violation)
    settled = tuple(kept for kept in standing if any(_later(violation, kept) for violation in found.get(kept.kind, ())))
    known = {kept.kind: kept for kept in standing if kept not in settled}
    return Changes(
        opened=tuple(
            _opened(record, violations, new_id=new_id) for kind, violations in found.items() if kind not in known
        ),
        closed=tuple(replace(kept, stage=Stage.CLOSED, closed=now) for kept in settled),
        repeated=tuple(
            replace(known[kind], times=known[kind].times + 1, last_seen=now, last_run_id=record.run_id)
            for kind in found
            if kind in known
        ),
    )


def _later(violation: Violation, kept: KeptViolation) -> bool:
    """Whether it came after what stands was acknowledged."""
    return violation.since is not None and kept.acknowledged is not None and violation.since >= kept.acknowledged


def _opened(record: RunRecord, violations: list[Violation], *, new_id: Callable[[], str]) -> KeptViolation:
    first, *others = violations
    steps: list[Json] = [
        {
            "step": step.name,
            "after_ms": round(step.after.total_seconds() * 1000, 3),
            "took_ms": round(step.took.total_seconds() * 1000, 3),
        }
        for step in record.steps
    ]
    evidence: dict[str, Json] = {
        **first.evidence,
        "server": dict(record.server),
        "run_id": record.run_id,
        "steps": steps,
    }
    if others:
        evidence["also"] = [f"{v.subject}: expected {v.expected}, found {v.actual}" for v in others[:20]]
    now = record.started + record.took
    return KeptViolation(
        id=new_id(),
        environment=record.environment,
        probe=record.probe,
        kind=first.kind,
        stage=Stage.OPEN,
        opened=now,
        last_seen=now,
        run_id=record.run_id,
        last_run_id=record.run_id,
        subject=first.subject,
        expected=first.expected,
        actual=first.actual,
        evidence=evidence,
    )
