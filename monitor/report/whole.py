"""The report of all environments together: what became slower is told only in view of everything that was compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.core.trend import Turn, turns
from monitor.report.judge import Judged
from monitor.report.latency import StepLine
from monitor.report.period import Period

_EVERY_PLOT = 3
"""Up to so many environments each step has its plot; of more, only those that matter most."""
_FOREMOST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report, and what each step became since the week before, by environment, probe and step."""

    location: str
    version: str
    period: Period
    environments: Sequence[Judged]
    turns: Mapping[tuple[str, str, str], Turn]

    def turn(self, environment: Judged, line: StepLine) -> Turn:
        """What became of a step."""
        return self.turns[environment.name, *line.name]

    def changed(self, environment: Judged) -> list[StepLine]:
        """Steps that became slower or faster, the largest change first."""
        told = [line for line in environment.steps if self.turn(environment, line) in {Turn.SLOWER, Turn.FASTER}]
        return sorted(told, key=lambda line: abs(line.comparison.share or 0), reverse=True)

    def foremost(self, environment: Judged) -> list[StepLine]:
        """The steps whose plots are seen first: those that changed, and those nearest their budgets."""
        pressed = sorted(environment.steps, key=lambda line: line.pressure, reverse=True)
        return list({line.name: line for line in (*self.changed(environment), *pressed)}.values())[:_FOREMOST]

    def others(self, environment: Judged) -> list[StepLine]:
        """The steps whose plots can be opened: all others, unless there are too many environments."""
        if len(self.environments) > _EVERY_PLOT:
            return []
        first = {line.name for line in self.foremost(environment)}
        return [line for line in environment.steps if line.name not in first]


def whole(environments: Sequence[Judged], *, period: Period, location: str, version: str) -> Report:
    """Put the parts together."""
    comparisons = {(each.name, *line.name): line.comparison for each in environments for line in each.steps}
    return Report(
        location=location, version=version, period=period, environments=environments, turns=turns(comparisons)
    )
