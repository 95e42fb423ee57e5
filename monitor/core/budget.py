"""Whether right was also fast enough, as far as the measurement tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from monitor.core import duration
from monitor.core.record import StepTiming
from monitor.core.verdict import Finding, Verdict

_TOLERATED = 0.01
"""Of a budget, or of what a step took, may be Holdfast's own lateness."""
FINEST = timedelta(milliseconds=5)
"""Lateness below this is a timer's, and is that of every measurement."""


def suspect(step: StepTiming, budget: timedelta) -> bool:
    """Whether so much of what a step took may be this process's own lateness that the figure says little of a store."""
    return step.lag > max(FINEST, _TOLERATED * max(budget, step.took))


def over_budget(steps: Sequence[StepTiming], budget_of: Callable[[str], timedelta]) -> list[StepTiming]:
    """The steps that took longer than they may, also without what this process may have added.

    A step that failed is none of them, and in no percentile either: that it failed is told by the run's verdict.
    """
    return [
        step
        for step in steps
        for budget in (budget_of(step.name),)
        if not step.failed and step.took > budget and (step.took - step.lag > budget or not suspect(step, budget))
    ]


def within_budget(finding: Finding, steps: Sequence[StepTiming], budget_of: Callable[[str], timedelta]) -> Finding:
    """The finding, made `slow` where it was ok and a step exceeded its budget."""
    late = over_budget(steps, budget_of)
    if finding.verdict is not Verdict.OK or not late:
        return finding
    worst = max(late, key=lambda step: step.took / budget_of(step.name))
    took, budget = round(worst.took.total_seconds() * 1000), duration.text(budget_of(worst.name))
    message = f"{worst.name} took {took} ms, its budget is {budget}"
    return Finding.slow(message, checks=finding.checks, left_out=finding.left_out)
