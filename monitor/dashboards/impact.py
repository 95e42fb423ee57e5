"""What trouble means to people and money, where the configuration says what an environment is worth."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.dashboards.expressions import Expressions
from monitor.dashboards.panels import About, Query, lines

_PLACE = "location, environment"


def impact(made: dashboard.Dashboard, of: Expressions) -> None:
    """Users and revenue."""
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
