"""How long each step took: percentiles over the period, their course, and the week against the one before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from monitor.core.rollup import StepRollup
from monitor.core.sketch import merged
from monitor.core.trend import Comparison, compared
from monitor.report.gather import Gathered, StepName

QUANTILES = (0.5, 0.9, 0.99)
Quantiles = tuple[float | None, float | None, float | None]
_NOTHING: Quantiles = (None, None, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step of a probe. Lengths are seconds; `course` has p50, p90 and p99 of each grain, None where none ran."""

    probe: str
    step: str
    count: int
    over: int
    budget: float | None
    quantiles: Quantiles
    course: Sequence[tuple[datetime, Quantiles]]
    comparison: Comparison

    @property
    def name(self) -> StepName:
        """The probe and the step."""
        return self.probe, self.step

    @property
    def pressure(self) -> float:
        """Its p99 as a share of its budget."""
        p99 = self.quantiles[2]
        return p99 / self.budget if p99 and self.budget else 0.0


def latencies(found: Gathered) -> list[StepLine]:
    """Every step that ran, by probe."""
    courses: dict[StepName, dict[datetime, StepRollup]] = defaultdict(dict)
    for rollup in found.rollups:
        for name, step in rollup.steps.items():
            courses[rollup.probe, name][rollup.start] = step
    return [_line(found, name, courses[name]) for name in sorted(courses)]


def _line(found: Gathered, name: StepName, course: Mapping[datetime, StepRollup]) -> StepLine:
    budgets = [step.budget for step in course.values() if step.budget is not None]
    return StepLine(
        probe=name[0],
        step=name[1],
        count=sum(step.count for step in course.values()),
        over=sum(step.over for step in course.values()),
        budget=max(budgets, default=None),
        quantiles=_quantiles(course.values()),
        course=[
            (start, _quantiles([course[start]]) if start in course else _NOTHING) for start in found.period.grains()
        ],
        comparison=compared(found.medians.get(name, {}), found.period.until),
    )


def _quantiles(steps: Iterable[StepRollup]) -> Quantiles:
    sketch = merged(step.took for step in steps)
    p50, p90, p99 = (sketch.quantile(q) for q in QUANTILES)
    return p50, p90, p99
