"""The overview: which promise holds where, and what is left of the error budgets."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.alerting.latency import STEP
from monitor.dashboards.expressions import Expressions
from monitor.dashboards.figures import FEW, figures
from monitor.dashboards.frame import expressions, firing, frame, to_detail
from monitor.dashboards.given import OVERVIEW, Given
from monitor.dashboards.impact import impact
from monitor.dashboards.panels import BAD, FAIR, GOOD, About, Query, lines, matrix, rows, states

_PLACE = "location, environment"
_LABELS = {"environment": "environment", "location": "from"}
_RULES = "comes some minutes after the start, if Prometheus has loaded the rules of `holdfast rules`"


def overview(given: Given) -> dashboard.Dashboard:
    """All environments and promises on one page."""
    of, made = expressions(OVERVIEW, given), frame(OVERVIEW, given)
    made.description("Which promise about stored data holds where. A cell leads to how it came to that.")
    figures(made, of, given)
    _standing(made, of, given)
    made.with_row(dashboard.Row("Error budgets"))
    _budgets(made, of, given)
    made.with_row(dashboard.Row("Over time"))
    _over_time(made, of)
    if given.impact:
        made.with_row(dashboard.Row("What it means to people"))
        impact(made, of)
    return made


def _standing(made: dashboard.Dashboard, of: Expressions, given: Given) -> None:
    first = "${__data.fields[0]}"
    made.with_panel(
        matrix(
            About(
                title="Which promise holds where",
                says="Each environment and probe as of its latest run, the gravest of all locations. `cannot tell` is "
                "neither ok nor broken, and also where runs fail to come; a violation that somebody acknowledged is "
                "shown so, too.",
                unit="none",
                width=24,
                height=10,
                steps=((None, "transparent"),),
                none="no environment is watched, or no daemon is scraped",
            ),
            Query(of.state("environment, probe")),
            row="environment",
            column="probe",
            cell=to_detail(given, environment=first, probe="${__field.name}"),
            head=to_detail(given, environment=first),
        )
    )
    there = to_detail(given, environment="${__data.fields.environment}", probe="${__data.fields.probe}")
    made.with_panel(
        rows(
            About(
                title="What is open",
                says="What is broken now: the evidence is on the status page.",
                unit="none",
                width=12,
                none="nothing is broken",
            ),
            {"open": Query(f"{of.worst('holdfast_open_violations', f'{_PLACE}, probe, kind')} == 1")},
            labels={**_LABELS, "probe": "probe", "kind": "kind"},
            looks={
                "kind": {"links": [{"title": "Everything about it", "url": there}, _page(given)]},
            },
        )
    )
    named = "severity, alertname, environment, probe, location"
    made.with_panel(
        rows(
            About(
                title="Alerts that fire",
                says="By the rules of `holdfast rules`, as Prometheus has evaluated them.",
                unit="none",
                width=12,
                none="no alert fires",
            ),
            {"alerts": Query(f"count by ({named}) ({firing(given, probed=False)})")},
            labels={"severity": "severity", "alertname": "alert", **_LABELS, "probe": "probe"},
        )
    )


def _page(given: Given) -> dict[str, object]:
    return {"title": "Evidence on the status page", "url": given.page, "targetBlank": True}


def _budgets(made: dashboard.Dashboard, of: Expressions, given: Given) -> None:
    burning = [{"color": GOOD, "value": None}, {"color": FAIR, "value": 1}, {"color": BAD, "value": 14.4}]
    left = [{"color": colour, "value": value} for value, colour in FEW]
    text = {"custom.cellOptions": {"type": "color-text"}}
    burn = {"unit": "none", "decimals": 1, "thresholds": {"mode": "absolute", "steps": burning}, **text}
    made.with_panel(
        rows(
            About(
                title="Error budgets",
                says="Of the runs of 30 days that may go wrong, the share that is left, and how many times faster than "
                "bearable it goes: 1 spends it in 30 days, 14.4 spends 2 % in an hour. What is left is told some "
                "minutes after the start.",
                unit="percentunit",
                width=12,
                height=9,
                none=_RULES,
            ),
            {
                "left": Query(of.budget_left()),
                "objective": Query(of.worst("holdfast:objective_ratio", _PLACE)),
                "burn, 1 h": Query(of.burn("1h")),
                "burn, 6 h": Query(of.burn("6h")),
            },
            labels=_LABELS,
            looks={
                "environment": {
                    "links": [
                        {
                            "title": "Everything about it",
                            "url": to_detail(given, environment="${__data.fields.environment}"),
                        }
                    ]
                },
                "left": {"decimals": 1, "thresholds": {"mode": "absolute", "steps": left}, **text},
                "objective": {"decimals": 3},
                "burn, 1 h": burn,
                "burn, 6 h": burn,
            },
        )
    )
    made.with_panel(
        lines(
            About(
                title="Runs that went wrong",
                says="The share of the runs of the hour before that found a violation or could not tell; the dashes "
                "are what objectives bear.",
                unit="percentunit",
                width=12,
                height=9,
                none=_RULES,
            ),
            Query(of.went_wrong("1h"), "{{environment}} from {{location}}"),
            limit=Query(f"1 - {of.worst('holdfast:objective_ratio', _PLACE)}", "{{environment}} may"),
        )
    )


def _over_time(made: dashboard.Dashboard, of: Expressions) -> None:
    made.with_panel(
        states(
            About(
                title="The gravest state of each environment",
                says="Of all its promises, from all locations.",
                unit="none",
                width=24,
                height=9,
                none="no environment is watched, or no daemon is scraped",
            ),
            Query(of.state("environment"), "{{environment}}"),
        )
    )
    reasons = f"increase({of.of_probe('holdfast_unknown_total')}[$__rate_interval])"
    made.with_panel(
        lines(
            About(
                title="Why runs could not tell",
                says="Runs by the reason for which they ended `unknown`.",
                unit="short",
                width=8,
                none="every run could tell",
            ),
            Query(f"sum by (environment, reason) ({reasons}) > 0", "{{reason}} in {{environment}}"),
            area=True,
        )
    )
    budget = of.worst("holdfast_step_budget_seconds", f"{_PLACE}, probe, step")
    slowest = f"max by ({_PLACE}) ({of.worst(STEP, f'{_PLACE}, probe, step')} / {budget})"
    made.with_panel(
        lines(
            About(
                title="The slowest step against its budget",
                says="The p99 of the hour before as a share of the step's budget; over the dashes it is too slow.",
                unit="percentunit",
                width=8,
                none=_RULES,
            ),
            Query(slowest, "{{environment}} from {{location}}"),
            limit=Query("vector(1)", "budget"),
        )
    )
    made.with_panel(
        lines(
            About(
                title="Coverage",
                says="The share of looks at acknowledged writes that were taken when they were due; 0 before any was.",
                unit="percentunit",
                width=8,
                none="no ledger is kept",
            ),
            Query(
                of.worst("holdfast_verification_coverage_ratio", f"{_PLACE}, store"),
                "{{store}} of {{environment}} from {{location}}",
            ),
        )
    )
