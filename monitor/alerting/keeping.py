"""What Holdfast keeps in the stores: its ledger, what that tells of losses, what lies about, and what it costs."""

from __future__ import annotations

from datetime import timedelta

from monitor.alerting.policy import Policy
from monitor.alerting.promql import MERGED, PAUSED, latest, span, unpaused
from monitor.alerting.rule import Alert, Group, Record, Severity
from monitor.alerting.violations import OPEN

RESIDUE = "holdfast:residue_items"
_COVERAGE = "holdfast_verification_coverage_ratio"
LEAST = 0.9  # of the looks that are due; a batch that is put off is not yet a gap
_MANY = 20  # live records; with fewer, as after the start, few looks are due, and one that is put off weighs much
_A_WHILE = timedelta(minutes=10)
_SWEEPS = timedelta(minutes=30)  # three of them: one alone may come in the midst of runs


def keeping(policy: Policy) -> Group:
    """Losses that exceed what was agreed page; that Holdfast itself looks less, or weighs more, can wait."""
    return Group(
        name="holdfast-keeping",
        every=policy.scrape,
        rules=(
            # The rows that are counted are those of all daemons, and a ledger's are meant to be there; keys are a
            # daemon's own, without its ledger's.
            Record(
                name=RESIDUE,
                expr="max without (instance, pod, location) (holdfast_synthetic_items)\n"
                "- (\n"
                "  sum without (instance, pod, location, state)"
                ' (holdfast_ledger_records{store="postgres",state=~"live|indeterminate"})\n'
                "  or max without (instance, pod, location) (holdfast_synthetic_items) * 0\n"
                ")",
            ),
            Alert(
                name="HoldfastCoverageFalling",
                severity=Severity.TICKET,
                # 0 is also what it is before anything was due.
                expr=unpaused(
                    f"{latest(_COVERAGE)} < {LEAST}\n"
                    f"and max {MERGED} (max_over_time({_COVERAGE}[7d])) > 0\n"
                    "and max without (instance, pod, state)"
                    f' (last_over_time(holdfast_ledger_records{{state="live"}}[10m])) > {_MANY}'
                ),
                wait=_A_WHILE,
                about=("location", "environment"),
                summary="acknowledged writes are not looked for in {{ $labels.environment }}",
                description="Only {{ $value | humanizePercentage }} of the looks at {{ $labels.store }} that were due "
                "were taken: a loss of older writes would be seen late, or not at all.",
            ),
            Alert(
                name="HoldfastRecoveryPointExceeded",
                severity=Severity.PAGE,
                # The gauge tells of the latest loss for ever; the violation, until somebody has acknowledged it.
                expr=unpaused(
                    f"{latest('holdfast_recovery_point_seconds')} > {policy.recovery_point.total_seconds():g}\n"
                    f'and on (location, environment) {OPEN}{{probe="durability",kind="lost"}} == 1'
                ),
                about=("location", "environment"),
                summary="up to {{ $value | humanizeDuration }} of writes are lost in {{ $labels.environment }}",
                description="The latest loss in {{ $labels.store }} took up to {{ $value | humanizeDuration }} of "
                f"acknowledged writes; {span(policy.recovery_point)} is what was agreed (RPO).",
            ),
            Alert(
                name="HoldfastResidueGrowing",
                severity=Severity.TICKET,
                expr=f"min_over_time({RESIDUE}[{span(_SWEEPS)}]) > {policy.residue}\n"
                f"unless on (environment) {PAUSED} == 1",
                wait=_A_WHILE,
                about=("environment",),
                summary="synthetic data piles up in {{ $labels.environment }}",
                description="{{ $labels.store }} holds {{ $value | humanize }} synthetic items besides the ledger "
                f"({policy.residue} may be): what runs leave is not swept.",
            ),
            _cost(
                "holdfast_cost_seconds_total",
                policy.cost_seconds,
                "busy for {{ $value | humanize }} seconds a second",
            ),
            _cost("holdfast_cost_bytes_total", policy.cost_bytes, "sent {{ $value | humanize }}B a second"),
        ),
    )


def _cost(metric: str, most: float, is_: str) -> Alert:
    return Alert(
        name="HoldfastCostOverBudget",
        severity=Severity.TICKET,
        labels={"cost": metric.split("_")[2]},
        expr=unpaused(f"sum {MERGED} (rate({metric}[30m])) > {most:g}"),
        wait=_A_WHILE,
        about=("location", "environment"),
        summary="probing weighs on {{ $labels.store }} of {{ $labels.environment }}",
        description=f"{{{{ $labels.store }}}} is {is_} by the probes ({most:g} was agreed): it answers slowly, or runs "
        "are more frequent or larger than was thought.",
    )
