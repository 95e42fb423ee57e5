"""Rollups, and turns that did not take place, as rows of the state database."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from monitor.core.record import NotRun
from monitor.core.rollup import Rollup, StepRollup
from monitor.core.sketch import Sketch
from monitor.core.verdict import Reason, Verdict
from monitor.stores.kept_runs import moment_of


def rollup_row(of: Rollup) -> dict[str, object]:
    """A rollup as it is kept."""
    return {
        "environment": of.environment,
        "probe": of.probe,
        "length": int(of.length.total_seconds()),
        "start": of.start.timestamp(),
        "verdicts": dict(of.verdicts),
        "reasons": dict(of.reasons),
        "steps": {name: [step.count, step.over, step.budget, step.took.as_json()] for name, step in of.steps.items()},
        "propagations": [[source, target, took.as_json()] for (source, target), took in of.propagations.items()],
    }


def rollup(row: sa.RowMapping, *, counts_only: bool = False) -> Rollup:
    """A rollup as it was kept; without its steps where they were not asked for."""
    steps = {} if counts_only else row["steps"]
    propagations = () if counts_only else row["propagations"]
    return Rollup(
        environment=row["environment"],
        probe=row["probe"],
        length=timedelta(seconds=row["length"]),
        start=moment_of(row["start"]),
        verdicts={Verdict(verdict): times for verdict, times in row["verdicts"].items()},
        reasons={Reason(reason): times for reason, times in row["reasons"].items()},
        steps={
            name: StepRollup(count=count, over=over, budget=budget, took=Sketch.from_json(took))
            for name, (count, over, budget, took) in steps.items()
        },
        propagations={(source, target): Sketch.from_json(took) for source, target, took in propagations},
    )


def not_run_row(of: NotRun) -> dict[str, object]:
    """Turns that did not take place, as they are kept."""
    return {
        "environment": of.environment,
        "probe": of.probe,
        "at": of.at.timestamp(),
        "reason": of.reason,
        "times": of.times,
    }


def turns(row: sa.RowMapping) -> NotRun:
    """The same as they were kept."""
    return NotRun(
        environment=row["environment"],
        probe=row["probe"],
        at=moment_of(row["at"]),
        reason=Reason(row["reason"]),
        times=row["times"],
    )
