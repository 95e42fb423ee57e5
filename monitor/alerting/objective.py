"""How fast the error budget of an environment burns, over a long and a short window at once.

The windows and factors are those of the Google SRE workbook, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts", for an
objective over 30 days: the long window shows that it matters, the short one that it still goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from monitor.alerting.policy import Policy
from monitor.alerting.promql import settled, unpaused
from monitor.alerting.rule import Alert, Group, Record, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """A pair of windows; at `factor` times the bearable rate `spent` of the budget is gone within the long one."""

    short: str
    long: str
    factor: float
    severity: Severity
    spent: str


BURNS = (
    Burn(short="5m", long="1h", factor=14.4, severity=Severity.PAGE, spent="2 %"),
    Burn(short="30m", long="6h", factor=6, severity=Severity.PAGE, spent="5 %"),
    Burn(short="2h", long="1d", factor=3, severity=Severity.TICKET, spent="10 %"),
    Burn(short="6h", long="3d", factor=1, severity=Severity.TICKET, spent="10 %"),
)
OBJECTIVE = "holdfast:objective_ratio"
_FEW = 5
"""Bad runs below which a rate says nothing: a daemon's first minutes are few runs, of which one is much."""


def objective(policy: Policy) -> Group:
    """A run is good where it was ok or slow, bad where a promise was broken or nothing could be told.

    What was paused is neither. What was missed since a store is sick is bad: nobody could have used it.
    """
    windows = dict.fromkeys(window for burn in BURNS for window in (burn.short, burn.long))
    return Group(
        name="holdfast-objective",
        every=max(timedelta(seconds=30), policy.scrape),
        rules=(
            Record(name=OBJECTIVE, expr=settled(policy.objectives.selectors())),
            *(record for window in windows for record in _counts(window)),
            *(_alert(burn) for burn in BURNS),
        ),
    )


def _counts(window: str) -> tuple[Record, Record]:
    def runs(verdict: str) -> str:
        metric = f'holdfast_runs_total{{verdict=~"{verdict}"}}'
        return f"sum without (instance, pod, probe, verdict) (increase({metric}[{window}]))"

    untold = (
        f'sum without (instance, pod, probe, reason) (increase(holdfast_unknown_total{{reason!="paused"}}[{window}]))'
    )
    return (
        Record(name=f"holdfast:bad_runs:increase{window}", expr=f"{runs('violated')}\n+\n{untold}"),
        Record(
            name=f"holdfast:runs:increase{window}", expr=f"{runs('ok|slow')}\n+\nholdfast:bad_runs:increase{window}"
        ),
    )


def _alert(burn: Burn) -> Alert:
    def over(window: str) -> str:
        ratio = f"holdfast:bad_runs:increase{window} / holdfast:runs:increase{window}"
        return f"{ratio} > {burn.factor:g} * (1 - {OBJECTIVE})"

    return Alert(
        name="HoldfastErrorBudgetBurn",
        severity=burn.severity,
        labels={"long": burn.long, "short": burn.short},
        expr=unpaused(
            f"{over(burn.long)}\nand {over(burn.short)}\nand holdfast:bad_runs:increase{burn.long} >= {_FEW}"
        ),
        about=("location", "environment"),
        summary=f"{{{{ $labels.environment }}}} burns its error budget at {burn.factor:g} times the bearable rate",
        description="Of the runs in {{ $labels.environment }} {{ $value | humanizePercentage }} went wrong within "
        f"{burn.long}, and it goes on ({burn.short}). At this rate {burn.spent} of the budget of 30 days is spent in "
        f"{burn.long}.",
    )
