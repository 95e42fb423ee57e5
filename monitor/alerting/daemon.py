"""The daemon about itself; while it is not there nothing else can be told."""

from __future__ import annotations

from datetime import timedelta

from monitor.alerting.policy import Policy
from monitor.alerting.promql import MERGED, either, latest
from monitor.alerting.rule import Alert, Group, Severity

_KNOWN = "1d"
LAGS = 0.1  # seconds; the least of the default budgets, so that a latency would be the loop's and not the store's
LATE = 1  # seconds; what the gate's patience bounds while a process keeps up, and a bound of the histogram's buckets


def daemon(policy: Policy) -> Group:
    """Whether it is there, takes its configuration, keeps its record, and is not too busy to measure."""
    return Group(
        name="holdfast-daemon",
        every=policy.scrape,
        rules=(
            Alert(
                name="HoldfastDown",
                severity=Severity.PAGE,
                expr=_gone(policy.job),
                wait=4 * policy.scrape,
                about=("location",),
                summary="Holdfast is down{{ with $labels.location }} at {{ . }}{{ end }}",
                description="Prometheus cannot scrape the daemon"
                "{{ with $labels.instance }} at {{ . }}{{ end }}{{ with $labels.location }} of {{ . }}{{ end }}: "
                "what it watches is unwatched from there, and the other alerts stay as they were, or silent.",
            ),
            Alert(
                name="HoldfastConfigReloadFailed",
                severity=Severity.TICKET,
                expr=f"{latest('holdfast_config_reload_success')} == 0",
                about=("location",),
                summary="Holdfast at {{ $labels.location }} refuses its new configuration",
                description="The file was changed and cannot be used, so the old configuration is in force; with this "
                "file the daemon would not start again.",
            ),
            Alert(
                name="HoldfastStateDown",
                severity=Severity.TICKET,
                expr=f"{latest('holdfast_state_up')} == 0",
                wait=timedelta(minutes=1),
                about=("location",),
                summary="Holdfast at {{ $labels.location }} cannot keep its record",
                description="The state database takes nothing: runs and violations would be forgotten at a restart, "
                "and no write is recorded, so that a loss cannot be proved.",
            ),
            Alert(
                name="HoldfastLoopLag",
                severity=Severity.TICKET,
                expr=f"histogram_quantile(0.99, sum {MERGED} (rate(holdfast_loop_lag_seconds_bucket[5m]))) > {LAGS:g}",
                wait=timedelta(minutes=5),
                about=("location",),
                summary="Holdfast at {{ $labels.location }} is too busy to measure",
                description="The event loop is {{ $value | humanizeDuration }} late (p99 of 5 minutes): latencies of "
                "this daemon are partly its own.",
            ),
            Alert(
                name="HoldfastScheduleLag",
                severity=Severity.TICKET,
                expr="histogram_quantile(0.99, "
                f"sum {MERGED} (rate(holdfast_schedule_lag_seconds_bucket[5m]))) > {LATE:g}",
                wait=timedelta(minutes=10),
                about=("location",),
                summary="Holdfast at {{ $labels.location }} watches more than it can",
                description="Runs begin {{ $value | humanizeDuration }} late (p99 of 5 minutes): they wait for the "
                "processor or for connections, and what breaks is seen that much later.",
            ),
        ),
    )


def _gone(job: str) -> str:
    """A location that was there within a day, a target that never answered meanwhile, or no target at all."""
    known = f'last_over_time(holdfast_build_info{{job="{job}"}}[{_KNOWN}])'
    location = (
        f"group by (job, instance, location, shard) ({known})\nunless on (job, location, shard) holdfast_build_info"
    )
    target = f'up{{job="{job}"}} == 0\nunless on (job, instance) {known}'
    return either((location, target, f'absent(up{{job="{job}"}})'))
