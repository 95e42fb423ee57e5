"""What trouble means to people and money, where the configuration says what an environment is worth."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.dashboards.expressions import Expressions
from monitor.dashboards.panels import BAD, GOOD, About, Query, lines, number

_PLACE = "location, environment"
_HOUR = 3600


def impact(made: dashboard.Dashboard, of: Expressions) -> None:
    """Users and revenue."""
    unset = "no environment has the setting `impact`"
    revenue = of.of_place("holdfast_impact_revenue_total")
    made.with_panel(
        lines(
            About(
                title="Users affected",
                says="All users of an environment (its setting `impact`) while a violation of it stands or a store of "
                "it cannot be used, else none.",
                unit="short",
                width=10,
                none=unset,
            ),
            Query(of.worst("holdfast_impact_users", _PLACE), "{{environment}} from {{location}}"),
        )
    )
    made.with_panel(
        lines(
            About(
                title="Revenue at risk, by the hour",
                says="Revenue per hour (the setting `impact`) times the share of the time in which a violation stood "
                "or a store could not be used.",
                unit="short",
                width=10,
                none=unset,
            ),
            Query(
                f"sum by ({_PLACE}) (rate({revenue}[$__rate_interval])) * {_HOUR}", "{{environment}} from {{location}}"
            ),
        )
    )
    made.with_panel(
        number(
            About(
                title="Revenue at risk",
                says="Revenue per hour (the setting `impact`) times the hours, within the time that is shown, in which "
                "a violation stood or a store could not be used; of several locations the one that saw most.",
                unit="short",
                width=4,
                steps=((None, GOOD), (1, BAD)),
                none=unset,
            ),
            f"sum(max by (environment) (increase({revenue}[$__range])))",
        )
    )
