"""Right, but not in time: steps over their budget, and changes that arrive after their deadline."""

from __future__ import annotations

from datetime import timedelta

from monitor.alerting.policy import Policy
from monitor.alerting.promql import MERGED, settled, unpaused
from monitor.alerting.rule import Alert, Group, Record, Severity

STEP = "holdfast:step_duration_seconds:p99_1h"
ARRIVAL = "holdfast:propagation_seconds:p95_30m"
DEADLINE = "holdfast:propagation_deadline_seconds"
_OFTEN = 3  # times over budget within the hour; of few runs the slowest percent is a single one


def latency(policy: Policy) -> Group:
    """The p99 is exact where it is compared: every configured budget is a bound of the histogram."""
    return Group(
        name="holdfast-latency",
        every=policy.scrape,
        rules=(
            Record(
                name=STEP,
                expr=f"histogram_quantile(0.99, sum {MERGED} (rate(holdfast_step_duration_seconds_bucket[1h])))",
            ),
            Record(
                name=ARRIVAL,
                expr=f"histogram_quantile(0.95, sum {MERGED} (rate(holdfast_propagation_seconds_bucket[30m])))",
            ),
            Record(
                name=DEADLINE,
                expr=settled((value.total_seconds(), selectors) for value, selectors in policy.deadlines.selectors()),
            ),
            Alert(
                name="HoldfastBudgetExceeded",
                severity=Severity.TICKET,
                expr=unpaused(
                    f"{STEP} > max {MERGED} (holdfast_step_budget_seconds)\n"
                    f"and sum {MERGED} (increase(holdfast_budget_exceeded_total[1h])) >= {_OFTEN}"
                ),
                summary="{{ $labels.step }} is over its budget in {{ $labels.environment }}",
                description="Of the step {{ $labels.step }} of {{ $labels.probe }} in {{ $labels.environment }} one in "
                "a hundred takes {{ $value | humanizeDuration }} or more (p99 of the past hour), which is over its "
                "budget. The data is right; users wait.",
            ),
            Alert(
                name="HoldfastPropagationLate",
                severity=Severity.TICKET,
                expr=unpaused(f"{ARRIVAL} > ignoring (source, target) group_left () {DEADLINE}"),
                wait=timedelta(minutes=1),
                summary="changes reach {{ $labels.target }} late in {{ $labels.environment }}",
                description="Of changes from {{ $labels.source }} to {{ $labels.target }} one in twenty takes "
                "{{ $value | humanizeDuration }} or more (p95 of 30 minutes), which is over the deadline. Whoever "
                "reads there sees what was.",
            ),
        ),
    )
