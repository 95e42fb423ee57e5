"""The steps of probes: how long they took, and how long they may."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.dashboards.expressions import Expressions, fallen, quantile
from monitor.dashboards.panels import BAD, FAIR, GOOD, About, Panel, Query, heat, lines, rows

_STEP = "location, environment, step"
_LEGEND = "{{step}} in {{environment}} from {{location}}"
_RARE = "no run within the window of percentiles"


def steps(made: dashboard.Dashboard, of: Expressions) -> None:
    """A row for each probe that is chosen."""
    made.with_row(dashboard.Row("Steps of $probe").repeat("probe"))
    took = of.of_probe("holdfast_step_duration_seconds_bucket")
    budget = of.worst("holdfast_step_budget_seconds", _STEP.replace("step", "probe, step"))
    limit = Query(f"max by ({_STEP}) ({budget})", "budget of {{step}}")
    made.with_panel(_slowest(took, limit))
    made.with_panel(_usual(took))
    made.with_panel(
        heat(
            About(
                title="$probe: how long all steps took",
                says="How many steps came to their end within each span of time; points are runs, and lead to them.",
                unit="s",
                width=12,
                none=_RARE,
            ),
            Query(fallen(took), "{{le}}", exemplars=True),
        )
    )
    made.with_panel(_table(of, took, limit))


def _slowest(took: str, limit: Query) -> Panel:
    return lines(
        About(
            title="$probe: p99 of each step",
            says="One step in a hundred took this long or longer; the dashes are budgets. Points are runs, and lead to "
            "them.",
            unit="s",
            width=12,
            height=9,
            none=_RARE,
        ),
        Query(quantile(0.99, took, _STEP), _LEGEND, exemplars=True),
        limit=limit,
    )


def _usual(took: str) -> Panel:
    return lines(
        About(
            title="$probe: p50 and p90 of each step",
            says="Half of the steps, and nine in ten, took at most this long.",
            unit="s",
            width=12,
            height=9,
            none=_RARE,
        ),
        Query(quantile(0.5, took, _STEP), f"p50 {_LEGEND}"),
        Query(quantile(0.9, took, _STEP), f"p90 {_LEGEND}"),
    )


def _table(of: Expressions, took: str, limit: Query) -> Panel:
    over = of.of_probe("holdfast_budget_exceeded_total")
    messages = of.of_probe("holdfast_step_messages_total")
    marked = {
        "unit": "none",
        "decimals": 0,
        "custom.cellOptions": {"type": "color-text"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": GOOD, "value": None}, {"color": FAIR, "value": 1}, {"color": BAD, "value": 3}],
        },
    }
    return rows(
        About(
            title="$probe: steps within the time that is shown",
            says="Percentiles of the whole time, the budget, how often it was exceeded, and messages a second where a "
            "step handles some.",
            unit="s",
            width=12,
            none="no run yet",
        ),
        {
            **{f"p{share}": Query(quantile(share / 100, took, _STEP, window="$__range")) for share in (50, 90, 99)},
            "budget": limit,
            "over": Query(f"round(sum by ({_STEP}) (increase({over}[$__range])))"),
            "messages/s": Query(f"sum by ({_STEP}) (rate({messages}[$__range])) > 0"),
        },
        labels={"step": "step", "environment": "environment", "location": "from"},
        looks={"over": marked, "messages/s": {"unit": "short"}},
    )
