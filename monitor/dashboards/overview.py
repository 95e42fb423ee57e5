"""The overview: which promise holds where, and what is left of the error budgets."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.alerting.latency import STEP
from monitor.dashboards.expressions import Expressions
from monitor.dashboards.frame import expressions, firing, frame, to_detail
from monitor.dashboards.given import OVERVIEW, Given
from monitor.dashboards.panels import BAD, FAIR, GOOD, About, Query, lines, matrix, number, rows, states

_PLACE = "location, environment"
_LABELS = {"environment": "environment", "location": "from"}
_ZERO, _FEW = ((None, GOOD), (1, BAD)), ((None, BAD), (0.25, FAIR), (0.5, GOOD))
_RULES = "no runs yet, or Prometheus has not loaded the rules of `holdfast rules`"


def overview(given: Given) -> dashboard.Dashboard:
    """All environments and promises on one page."""
    of, made = expressions(OVERVIEW, given), frame(OVERVIEW, given)
    made.description("Which promise about stored data holds where. A cell leads to how it came to that.")
    _figures(made, of, given)
    _standing(made, of, given)
    made.with_row(dashboard.Row("Error budgets"))
    _budgets(made, of, given)
    made.with_row(dashboard.Row("Over time"))
    _over_time(made, of)
    if given.impact:
        made.with_row(dashboard.Row("What it means to people"))
        impact(made, of)
    return made


def _figures(made: dashboard.Dashboard, of: Expressions, given: Given) -> None:
    up, last_run = (
        of.worst(metric, _PLACE) for metric in ("holdfast_environment_up", "holdfast_last_run_timestamp_seconds")
    )
    failing = of.worst("holdfast_consecutive_failures", f"{_PLACE}, probe")
    figures = (
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
            'count(count by (location) (holdfast_build_info{location=~"$location"}))',
            ((None, BAD), (1, GOOD)),
        ),
    )
    for title, says, expr, steps in figures:
        about = About(title=title, says=says, unit="none", width=3, height=4, steps=steps, none="no daemon")
        made.with_panel(number(about, expr))
    least = About(
        title="Least budget left",
        says="The least share of an error budget of 30 days that is left to an environment; below 0 it is overdrawn.",
        unit="percentunit",
        width=3,
        height=4,
        steps=_FEW,
        none="no rules yet",
    )
    made.with_panel(number(least, f"min({of.budget_left()})"))
    coverage = of.worst("holdfast_verification_coverage_ratio", f"{_PLACE}, store")
    looked = About(
        title="Least coverage",
        says="Of all stores the least share of acknowledged writes that were looked for when that was due.",
        unit="percentunit",
        width=3,
        height=4,
        steps=((None, BAD), (0.9, GOOD)),
        none="nothing due yet",
    )
    made.with_panel(number(looked, f"min({coverage} > 0)"))


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
                title="Open violations",
                says="What is broken now: the evidence is on the status page.",
                unit="none",
                width=12,
                none="nothing is broken",
            ),
            {"open": Query(f"{of.worst('holdfast_open_violations', f'{_PLACE}, probe, kind')} == 1")},
            labels={**_LABELS, "probe": "probe", "kind": "kind"},
            looks={
                "open": {"custom.hidden": True},
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
    left = [{"color": colour, "value": value} for value, colour in _FEW]
    text = {"custom.cellOptions": {"type": "color-text"}}
    burn = {"unit": "none", "decimals": 1, "thresholds": {"mode": "absolute", "steps": burning}, **text}
    made.with_panel(
        rows(
            About(
                title="Error budgets",
                says="Of the runs of 30 days that may go wrong, the share that is left, and how many times faster than "
                "bearable it goes: 1 spends it in 30 days, 14.4 spends 2 % in an hour.",
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


def impact(made: dashboard.Dashboard, of: Expressions) -> None:
    """Users and revenue, where the configuration says what an environment is worth."""
    unset = "no environment has the setting `impact`"
    made.with_panel(
        lines(
            About(
                title="Users affected",
                says="How many people are affected now, by the impact that is configured.",
                unit="short",
                width=12,
                none=unset,
            ),
            Query(of.worst("holdfast_impact_users", _PLACE), "{{environment}} from {{location}}"),
        )
    )
    made.with_panel(
        lines(
            About(
                title="Revenue at risk",
                says="Within the time that is shown, in the currency of the setting `impact`.",
                unit="short",
                width=12,
                none=unset,
            ),
            Query(
                f"sum by ({_PLACE}) (increase({of.of_place('holdfast_impact_revenue_total')}[$__range]))",
                "{{environment}} from {{location}}",
            ),
        )
    )
