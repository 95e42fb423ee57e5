"""The detail: all that is known of some environments and probes."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.dashboards.daemon import daemon
from monitor.dashboards.expressions import Expressions
from monitor.dashboards.frame import expressions, frame
from monitor.dashboards.given import DETAIL, Given
from monitor.dashboards.impact import impact
from monitor.dashboards.panels import BAD, About, Query, rows, states
from monitor.dashboards.places import cost, ledgers, propagation
from monitor.dashboards.steps import steps

_EACH = "location, environment, probe"
_LABELS = {"environment": "environment", "probe": "probe", "location": "from"}


def detail(given: Given) -> dashboard.Dashboard:
    """One environment or several, one probe or all: what the variables choose."""
    of, made = expressions(DETAIL, given), frame(DETAIL, given)
    made.description("Steps, propagation, the ledger, failovers, and what probing costs: of whatever is chosen above.")
    _runs(made, of)
    steps(made, of)
    if given.propagation:
        made.with_row(dashboard.Row("From one place to another"))
        propagation(made, of)
    if given.ledgers:
        made.with_row(dashboard.Row("Acknowledged writes and failovers"))
        ledgers(made, of)
    made.with_row(dashboard.Row("What probing costs the stores"))
    cost(made, of)
    if given.impact:
        made.with_row(dashboard.Row("What it means to people"))
        impact(made, of)
    made.with_row(dashboard.Row("The daemon about itself"))
    daemon(made)
    return made


def _runs(made: dashboard.Dashboard, of: Expressions) -> None:
    made.with_panel(
        states(
            About(
                title="How each promise stood",
                says="As of the latest run at each moment; `cannot tell` is neither ok nor broken.",
                unit="none",
                width=16,
                height=10,
                none="nothing that is chosen above is watched",
            ),
            Query(of.state(_EACH), "{{probe}} in {{environment}} from {{location}}"),
        )
    )
    found = of.of_probe("holdfast_violations_total")
    made.with_panel(
        rows(
            About(
                title="Violations",
                says="Runs within the time that is shown that found a promise broken, by kind, and whether one is open "
                "now.",
                unit="none",
                width=8,
                height=10,
                none="nothing was broken",
            ),
            {
                "runs": Query(f"round(sum by ({_EACH}, kind) (increase({found}[$__range]))) > 0"),
                "open": Query(f"{of.worst('holdfast_open_violations', f'{_EACH}, kind')} == 1"),
            },
            labels={**_LABELS, "kind": "kind"},
            looks={
                "open": {
                    "custom.cellOptions": {"type": "color-text"},
                    "mappings": [{"type": "value", "options": {"1": {"text": "open", "color": BAD, "index": 0}}}],
                }
            },
        )
    )
    last_run, last_right = (of.worst(f"holdfast_last_{each}_timestamp_seconds", _EACH) for each in ("run", "success"))
    seconds, whole = {"unit": "s", "decimals": 0}, {"decimals": 0}
    made.with_panel(
        rows(
            About(
                title="Runs",
                says="When each probe last ran and was last right, and what it did within the time that is shown.",
                unit="short",
                width=24,
                height=9,
                none="nothing that is chosen above is watched",
            ),
            {
                "last run": Query(f"time() - ({last_run} > 0)"),
                "last right": Query(f"time() - ({last_right} > 0)"),
                "failures in a row": Query(of.worst("holdfast_consecutive_failures", _EACH)),
                "runs": Query(_sum(of, "holdfast_runs_total")),
                "over budget": Query(_sum(of, "holdfast_budget_exceeded_total")),
                "checks": Query(_sum(of, "holdfast_checks_total")),
            },
            labels=_LABELS,
            looks={"last run": seconds, "last right": seconds, "runs": whole, "checks": whole},
        )
    )


def _sum(of: Expressions, metric: str) -> str:
    return f"round(sum by ({_EACH}) (increase({of.of_probe(metric)}[$__range])))"
