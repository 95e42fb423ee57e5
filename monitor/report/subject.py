"""What the configuration says of an environment, as far as a report needs it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from monitor.core.impact import Stakes
from monitor.ports import Store
from monitor.probe import Use


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An environment: its objective as a share, what it is worth, and of each probe its budgets and what a run sends.

    `budgets` has every known step of a probe, and so every probe that is enabled; `patience` says for how
    long a verdict of it holds while turns are missed.
    """

    name: str
    objective: float
    stakes: Stakes = field(default_factory=Stakes)
    keepers: Collection[Store] = ()
    budgets: Mapping[str, Mapping[str, timedelta]] = field(default_factory=dict)
    patience: Mapping[str, timedelta] = field(default_factory=dict)
    uses: Mapping[str, tuple[Use, ...]] = field(default_factory=dict)

    def budget(self, _environment: str, probe: str, step: str) -> timedelta | None:
        """The time that a step may take."""
        return self.budgets.get(probe, {}).get(step)
