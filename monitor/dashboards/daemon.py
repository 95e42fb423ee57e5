"""The daemon about itself: whether its figures can be trusted."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from monitor.alerting.daemon import LAGS
from monitor.dashboards.expressions import quantile
from monitor.dashboards.panels import BAD, GOOD, About, Query, lines, rows

_WHERE = 'location=~"$location"'


def daemon(made: dashboard.Dashboard) -> None:
    """Versions, configuration, record, and how late it is itself."""

    def least(metric: str) -> str:
        return f"min by (location) ({metric}{{{_WHERE}}})"

    yes = {
        "custom.cellOptions": {"type": "color-text"},
        "mappings": [
            {
                "type": "value",
                "options": {
                    "0": {"text": "no", "color": BAD, "index": 0},
                    "1": {"text": "yes", "color": GOOD, "index": 1},
                },
            }
        ],
    }
    made.with_panel(
        rows(
            About(
                title="Daemons",
                says="How many run at a location, and which version; whether all took the latest configuration, when, "
                "and whether all can keep their record.",
                unit="none",
                width=24,
                height=5,
                none="no daemon is scraped",
            ),
            {
                "daemons": Query(f"count by (location, version) (holdfast_build_info{{{_WHERE}}})"),
                "took the configuration": Query(least("holdfast_config_reload_success")),
                "that was": Query(f"time() - {least('holdfast_config_reload_timestamp_seconds')}"),
                "refused ones": Query(f"sum by (location) (holdfast_config_rejected_total{{{_WHERE}}})"),
                "keeps its record": Query(least("holdfast_state_up")),
            },
            labels={"location": "location", "version": "version"},
            looks={
                "took the configuration": yes,
                "keeps its record": yes,
                "that was": {"unit": "s", "decimals": 0},
            },
        )
    )
    for title, says, metric, bound in (
        (
            "How late the event loop is",
            "The p99 and the median: latencies are wrong by up to this much. Over the dashes there is an alert.",
            "holdfast_loop_lag_seconds",
            f"vector({LAGS:g})",
        ),
        (
            "How late runs start",
            "The p99 and the median: beyond a few seconds this machine is too small for its work.",
            "holdfast_schedule_lag_seconds",
            None,
        ),
    ):
        buckets = f"{metric}_bucket{{{_WHERE}}}"
        made.with_panel(
            lines(
                About(title=title, says=says, unit="s", width=8, none="no daemon is scraped"),
                Query(quantile(0.99, buckets, "location"), "p99, {{location}}"),
                Query(quantile(0.5, buckets, "location"), "p50, {{location}}"),
                limit=Query(bound, "alert") if bound else None,
            )
        )
    suspect = f"sum by (location, probe) (increase(holdfast_step_suspect_total{{{_WHERE}}}[$__rate_interval]))"
    made.with_panel(
        lines(
            About(
                title="Steps whose time may be the daemon's own",
                says="They took long while the event loop was late, and are left out of percentiles and budgets.",
                unit="short",
                width=8,
                none="no daemon is scraped",
            ),
            Query(suspect, "{{probe}} from {{location}}"),
        )
    )
