"""The figures at the top of the overview: whether anything has to be looked at."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.alerting.keeping import LEAST
from monitor.dashboards.expressions import Expressions
from monitor.dashboards.frame import firing
from monitor.dashboards.given import Given
from monitor.dashboards.panels import BAD, FAIR, GOOD, About, number

_PLACE = "location, environment"
_ZERO = ((None, GOOD), (1, BAD))
FEW = ((None, BAD), (0.25, FAIR), (0.5, GOOD))
"""How much of an error budget is much."""


def figures(made: dashboard.Dashboard, of: Expressions, given: Given) -> None:
    """One row of them."""
    up, last_run = (
        of.worst(metric, _PLACE) for metric in ("holdfast_environment_up", "holdfast_last_run_timestamp_seconds")
    )
    failing = of.worst("holdfast_consecutive_failures", f"{_PLACE}, probe")
    counts = (
        (
            "Open violations",
            "Promises that were broken, with evidence, and that nobody has acknowledged.",
            f"sum({of.worst('holdfast_open_violations', f'{_PLACE}, probe, kind')})",
            _ZERO,
        ),
        (
            "Unreachable",
            "Environments of which a store did not answer in the last round: nothing can be told about their data.",
            f"sum((1 - {up}) * ({last_run} > bool 0))",
            _ZERO,
        ),
        (
            "Without proof",
            "Promises whose latest run was neither ok nor slow: it could not tell, or found a violation.",
            f"sum({failing} > bool 0)",
            ((None, GOOD), (1, "purple")),
        ),
        (
            "Paused",
            "Environments whose probing somebody paused; no alert can come of them.",
            f"sum({of.worst('holdfast_paused', _PLACE)})",
            ((None, GOOD), (1, "blue")),
        ),
        ("Alerts", "Alerts of Holdfast that fire now.", f"count({firing(given, probed=False)}) or vector(0)", _ZERO),
        (
            "Daemons",
            "Daemons that Prometheus reaches; what a missing one watches is on no panel here.",
            'count(count by (location, shard) (holdfast_build_info{location=~"$location"}))',
            ((None, BAD), (1, GOOD)),
        ),
    )
    for title, says, expr, steps in counts:
        about = About(title=title, says=says, unit="none", width=3, height=4, steps=steps, none="no daemon")
        made.with_panel(number(about, expr))
    least = About(
        title="Least budget left",
        says="The least share of an error budget of 30 days that is left to an environment; below 0 it is overdrawn.",
        unit="percentunit",
        width=3,
        height=4,
        steps=FEW,
        none="some minutes after the start",
    )
    made.with_panel(number(least, f"min({of.budget_left()})"))
    coverage = f"max_over_time({of.of_place('holdfast_verification_coverage_ratio')}[10m])"
    looked = About(
        title="Least coverage",
        says="Of all stores the least share of acknowledged writes that were looked for when that was due, the best of "
        "the last 10 minutes: soon after the start few are due, and one that is put off weighs much.",
        unit="percentunit",
        width=3,
        height=4,
        steps=((None, BAD), (LEAST, GOOD)),
        none="nothing due yet",
    )
    made.with_panel(number(looked, f"min(max by ({_PLACE}, store) ({coverage}) > 0)"))
