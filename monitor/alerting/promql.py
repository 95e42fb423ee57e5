"""PromQL in small pieces."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from monitor.core import duration

REMEMBERED = "10m"
"""How long the latest sample of a gauge stands for a daemon that is not there: longer than any restart, so that nothing
resolves and fires again because of one. `HoldfastDown` tells of the daemon meanwhile."""
MERGED = "without (instance, pod)"
"""A pod that is replaced is another instance, and the same daemon. All other labels stay: people route by their own."""
PAUSED = "holdfast:paused"


def span(length: timedelta) -> str:
    """A length as Prometheus writes it."""
    return duration.text(length)


def chosen(metric: str, matchers: str) -> str:
    """The series of a metric that match; all of them where nothing is said."""
    return f"{metric}{{{matchers}}}" if matchers else metric


def latest(selector: str) -> str:
    """The latest value of a gauge, also while its daemon starts anew."""
    return f"max {MERGED} (last_over_time({selector}[{REMEMBERED}]))"


def unpaused(expr: str) -> str:
    """An alert's expression without the environments whose probing somebody paused."""
    return f"({expr})\nunless on (location, environment) {PAUSED} == 1"


def either(exprs: Iterable[str]) -> str:
    """The samples of all."""
    return "\nor\n".join(exprs)


def settled(values: Iterable[tuple[float, list[str]]]) -> str:
    """What is set for each environment, as a series beside its other ones."""
    up = "holdfast_environment_up"
    return either(f"{latest(chosen(up, each))} * 0 + {value:g}" for value, selectors in values for each in selectors)
