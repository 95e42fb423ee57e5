"""Whether right was also fast enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from monitor.core import duration
from monitor.core.record import StepTiming
from monitor.core.verdict import Finding, Verdict


def over_budget(steps: Sequence[StepTiming], budget_of: Callable[[str], timedelta]) -> list[StepTiming]:
    """The steps that took longer than they may."""
    return [step for step in steps if step.took > budget_of(step.name)]


def within_budget(finding: Finding, steps: Sequence[StepTiming], budget_of: Callable[[str], timedelta]) -> Finding:
    """The finding, made `slow` where it was ok and a step exceeded its budget."""
    late = over_budget(steps, budget_of)
    if finding.verdict is not Verdict.OK or not late:
        return finding
    worst = max(late, key=lambda step: step.took / budget_of(step.name))
    took, budget = round(worst.took.total_seconds() * 1000), duration.text(budget_of(worst.name))
    message = f"{worst.name} took {took} ms, its budget is {budget}"
    return Finding.slow(message, checks=finding.checks, left_out=finding.left_out)
