"""A promise was broken: how grave that is follows from the kind."""

from __future__ import annotations

from datetime import timedelta

from monitor.alerting.policy import Policy
from monitor.alerting.promql import PAUSED, latest, unpaused
from monitor.alerting.rule import Alert, Group, Record, Severity
from monitor.core.advice import GONE
from monitor.core.runbooks import LATE, LEAKED
from monitor.core.verdict import Kind

OPEN = "holdfast:open_violations"

LOST = GONE
WRONG = frozenset(Kind) - LEAKED - LOST - LATE
"""Whatever is added to the closed set wakes somebody until it is said that it need not."""

_SETTLED = timedelta(minutes=5)  # in which every location has had its turn


def violations(policy: Policy) -> Group:
    """Integrity pages at once; what is merely late can wait until tomorrow."""
    return Group(
        name="holdfast-violations",
        every=policy.scrape,
        rules=(
            Record(name=PAUSED, expr=latest("holdfast_paused")),
            Record(name=OPEN, expr=latest("holdfast_open_violations")),
            _alert(
                "HoldfastDataLeaked",
                Severity.PAGE,
                LEAKED,
                "one user's data reached another in {{ $labels.environment }}",
                "may be reading each other's data now. Treat it as a privacy incident until it is explained.",
            ),
            _alert(
                "HoldfastDataLost",
                Severity.PAGE,
                LOST,
                "acknowledged data is gone in {{ $labels.environment }}",
                "lose what they were told was saved. Do not fail over or restore before the evidence is kept.",
            ),
            _alert(
                "HoldfastDataWrong",
                Severity.PAGE,
                WRONG,
                "stored data is wrong in {{ $labels.environment }}",
                "read something else than was written: another order, another content, parts, or two truths.",
            ),
            _alert(
                "HoldfastDataLate",
                Severity.TICKET,
                LATE,
                "data is old or late in {{ $labels.environment }}",
                "see old data for a while, or sessions that outlive their time. Nothing is lost.",
            ),
            Alert(
                name="HoldfastSeenFromOneLocation",
                severity=Severity.INFO,
                expr=unpaused(
                    f"{OPEN} == 1\n"
                    f"and on (environment, probe, kind) count by (environment, probe, kind) ({OPEN}) > 1\n"
                    f"and on (environment, probe, kind) sum by (environment, probe, kind) ({OPEN}) == 1"
                ),
                wait=_SETTLED,
                summary="only {{ $labels.location }} sees {{ $labels.environment }} broken",
                description="{{ $labels.kind }} by {{ $labels.probe }} is open at {{ $labels.location }} and at no "
                "other location that watches {{ $labels.environment }}: look at what is between, such as a regional "
                "replica, pooler or cache, before the store itself.",
            ),
        ),
    )


def _alert(name: str, severity: Severity, kinds: frozenset[Kind], summary: str, users: str) -> Alert:
    return Alert(
        name=name,
        severity=severity,
        expr=unpaused(f'{OPEN}{{kind=~"{"|".join(sorted(kinds))}"}} == 1'),
        summary="{{ $labels.kind }}: " + summary,
        description="The probe {{ $labels.probe }} at {{ $labels.location }} has proved `{{ $labels.kind }}` in "
        f"{{{{ $labels.environment }}}}; it is open until a run passes or somebody acknowledges it. Users {users}",
    )
