"""Pictures, runs and violations as JSON. These names are relied upon: see docs, contract, HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord, StepTiming
from monitor.core.rollup import Rollup
from monitor.core.sketch import Sketch
from monitor.core.slo import ErrorBudget
from monitor.core.verdict import Verdict
from monitor.core.violations import KeptViolation
from monitor.ports import Store
from monitor.web import shapes
from monitor.web.answers import moment, seconds
from monitor.web.daemon import Notice, Watched
from monitor.web.guidance import runbook_of
from monitor.web.picture import Picture, ProbePicture


def run(record: RunRecord) -> shapes.Run:
    """One run, without the evidence of what it found."""
    finding = record.finding
    return {
        "run_id": record.run_id,
        "environment": record.environment,
        "probe": record.probe,
        "verdict": finding.verdict,
        "reason": finding.reason,
        "message": finding.message,
        "kinds": sorted({violation.kind for violation in finding.violations}),
        "checks": finding.checks,
        "left_out": list(finding.left_out),
        "started": moment(record.started),
        "took_seconds": seconds(record.took),
        "steps": [_step(step) for step in record.steps],
        "server": dict(record.server),
    }


def run_with_evidence(record: RunRecord) -> shapes.RunWithEvidence:
    """One run that has just ended, with all that it found."""
    found: list[shapes.Found] = [
        {
            "kind": violation.kind,
            "subject": violation.subject,
            "expected": violation.expected,
            "actual": violation.actual,
            "evidence": dict(violation.evidence),
        }
        for violation in record.finding.violations
    ]
    return {**run(record), "violations": found}


def violation(kept: KeptViolation) -> shapes.KeptViolation:
    """One violation, without its evidence."""
    return {
        "id": kept.id,
        "environment": kept.environment,
        "probe": kept.probe,
        "kind": kept.kind,
        "stage": kept.stage,
        "subject": kept.subject,
        "expected": kept.expected,
        "actual": kept.actual,
        "times": kept.times,
        "opened": moment(kept.opened),
        "last_seen": moment(kept.last_seen),
        "acknowledged": moment(kept.acknowledged),
        "closed": moment(kept.closed),
        "note": kept.note,
        "run_id": kept.run_id,
        "last_run_id": kept.last_run_id,
        "runbook": runbook_of(kept.kind),
    }


def violation_with_evidence(kept: KeptViolation) -> shapes.ViolationWithEvidence:
    """One violation with all that somebody needs in order to act."""
    return {**violation(kept), "evidence": dict(kept.evidence)}


def probe(of: ProbePicture) -> shapes.ProbeNow:
    """One probe of an environment, as it stands now."""
    latest = of.latest
    return {
        "verdict": of.verdict,
        "reason": of.reason,
        "message": of.message,
        "left_out": list(of.left_out),
        "last_run": moment(latest.started + latest.took) if latest else None,
        "age_seconds": seconds(of.age),
        "took_seconds": seconds(latest.took) if latest else None,
        "overdue": of.overdue,
        "run_id": latest.run_id if latest else None,
    }


def health(of: Picture) -> shapes.Health:
    """One environment for people on call: what is wrong, since when, and what was expected instead."""
    return {
        "environment": of.watched.name,
        "verdict": of.verdict,
        "paused_until": moment(of.paused_until),
        "stores_tried_next": _resting(of),
        "violations": [violation(kept) for kept in of.violations],
        "probes": {name: probe(each) for name, each in of.probes.items()},
    }


def notices(of: Sequence[Notice]) -> list[shapes.Notice]:
    """What somebody should mend about the daemon itself."""
    return [{"about": each.about, "message": each.message} for each in of]


def environment(of: Picture) -> shapes.Environment:
    """One environment with all that is known of it, and what each probe promises."""
    return {
        "environment": of.watched.name,
        "labels": dict(of.watched.labels),
        "stores": sorted(of.watched.around.stores),
        "verdict": of.verdict,
        "paused_until": moment(of.paused_until),
        "stores_tried_next": _resting(of),
        "violations": [violation(kept) for kept in of.violations],
        "probes": {name: _probe(each) for name, each in of.probes.items()},
        "ledger": {store: _ledger(standing) for store, standing in of.ledgers.items()},
        "error_budget": _budget(of.budget) if of.budget else None,
        "left_out": dict(of.watched.left_out),
    }


def changed(of: Watched, verdict: Verdict, paused_until: datetime | None) -> shapes.EnvironmentChanged:
    """How an environment stands since a moment ago."""
    return {"environment": of.name, "verdict": verdict, "paused_until": moment(paused_until)}


def rollup(of: Rollup) -> shapes.Rollup:
    """What the runs of a probe came to within a span."""
    return {
        "probe": of.probe,
        "start": moment(of.start),
        "verdicts": dict(of.verdicts),
        "reasons": dict(of.reasons),
        "steps": {
            name: {
                "count": step.count,
                "over": step.over,
                "budget_seconds": step.budget,
                "p50_seconds": _quantile(step.took, 0.5),
                "p90_seconds": _quantile(step.took, 0.9),
                "p99_seconds": _quantile(step.took, 0.99),
            }
            for name, step in of.steps.items()
        },
        "propagations": [
            {
                "source": source,
                "target": target,
                "count": took.count,
                "p50_seconds": _quantile(took, 0.5),
                "p90_seconds": _quantile(took, 0.9),
                "p99_seconds": _quantile(took, 0.99),
            }
            for (source, target), took in of.propagations.items()
        ],
    }


def _quantile(of: Sketch, q: float) -> float | None:
    found = of.quantile(q)
    return None if found is None else round(found, 6)


def _step(step: StepTiming) -> shapes.Step:
    shown: shapes.Step = {
        "step": step.name,
        "after_seconds": seconds(step.after),
        "took_seconds": seconds(step.took),
        "failed": step.failed,
    }
    if step.messages:
        shown["messages"] = step.messages
    return shown


def _probe(of: ProbePicture) -> shapes.Probe:
    usual = seconds(of.probe.budget)
    return {
        "promise": of.probe.promise(),
        "every_seconds": seconds(of.probe.every),
        "timeout_seconds": seconds(of.probe.timeout),
        "budget_seconds": {**dict.fromkeys(of.probe.steps, usual), **_lengths(of.probe.budgets)},
        **probe(of),
    }


def _lengths(of: Mapping[str, timedelta]) -> dict[str, float | None]:
    return {name: seconds(length) for name, length in of.items()}


def _budget(of: ErrorBudget) -> shapes.ErrorBudget:
    return {
        "objective": of.objective,
        "window_seconds": seconds(of.window),
        "good": of.good,
        "bad": of.bad,
        "left": round(of.left, 6),
    }


def _resting(of: Picture) -> dict[Store, str | None]:
    return {store: moment(each.until) for store, each in of.resting.items()}


def _ledger(of: Standing) -> shapes.Ledger:
    return {
        "records": {"live": of.live, "lost": of.lost, "indeterminate": of.indeterminate, "expired": of.expired},
        "due": of.due,
        "verified": of.verified,
        "oldest_verified_age_seconds": seconds(of.oldest),
        "recovery_point_seconds": seconds(of.recovery_point),
        "recovery_time_seconds": seconds(of.recovery_time),
    }
