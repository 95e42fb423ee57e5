"""Whether probing goes on and can tell: an environment that is away, and probes that do not get to their point."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from monitor.alerting.policy import Policy
from monitor.alerting.promql import REMEMBERED, either, latest, span, unpaused
from monitor.alerting.rule import Alert, Group, Record, Severity
from monitor.core.impact import UNUSABLE

WRITES = (
    "append_message",
    "change",
    "commit",
    "create_thread",
    "insert",
    "publish",
    "save",
    "settle",
    "settle_through_api",
    "touch",
    "update",
    "write",
    "write_record",
)
READS = (
    "count",
    "deliver",
    "look",
    "look_at_keys",
    "look_through_api",
    "look_through_pooler",
    "newest",
    "pages",
    "propagate",
    "read",
    "read_copy",
    "recover",
    "reload",
)
"""Steps after which something was acknowledged, or was read; a step that failed is in no histogram."""

_THE_STORES = sorted(UNUSABLE)
"""Why a store does not do what it is asked; the other reasons may well be Holdfast's own, and wake nobody."""
_LAST = "holdfast_last_run_timestamp_seconds"
_TURNS = 3  # intervals without any is no coincidence
_BY = "by the probe {{ $labels.probe }} at {{ $labels.location }}"
_DAY = timedelta(days=1)


def running(policy: Policy) -> Group:
    """An environment that does not answer pages; so does one that takes no writes or gives none back."""
    return Group(
        name="holdfast-running",
        every=policy.scrape,
        rules=(
            *_recent(policy),
            Alert(
                name="HoldfastEnvironmentUnreachable",
                severity=Severity.PAGE,
                # Before the first run nobody knows: the gauge is 0 then, and so is the moment of the last run.
                expr=unpaused(
                    f"{latest('holdfast_environment_up')} == 0\nand on (location, environment) "
                    f"max by (location, environment) (max_over_time({_LAST}[{REMEMBERED}])) > 0"
                ),
                wait=2 * policy.scrape,
                about=("location", "environment"),
                summary="{{ $labels.environment }} does not answer",
                description="From {{ $labels.location }} at least one store of {{ $labels.environment }} cannot be "
                "used: nobody listens, no answer comes in time, credentials are refused or it is full. While that "
                "lasts nothing can be told about its data.",
            ),
            Alert(
                name="HoldfastProbeNotRunning",
                severity=Severity.TICKET,
                # The latest moment within the hour: a daemon that has just started has none yet, and does no harm.
                expr=unpaused(
                    f"time() - max_over_time({_LAST}[{_looked_back(policy)}]) > {_TURNS} * holdfast:interval_seconds"
                ),
                wait=max(timedelta(minutes=1), 4 * policy.scrape),
                summary="{{ $labels.probe }} does not run in {{ $labels.environment }}",
                description=f"No run {_BY} has ended for {{{{ $value | humanizeDuration }}}}, more than "
                f"{_TURNS} intervals: what it promises of {{{{ $labels.environment }}}} is not being checked.",
            ),
            _nothing(
                "HoldfastWritesNotRunning",
                "holdfast:recent_writes == 0\nand holdfast:recent_runs > 1.5",
                "{{ $labels.environment }} acknowledges no write",
                f"Runs {_BY} take place, and for {_TURNS} intervals not one of their writes to "
                "{{ $labels.environment }} was acknowledged: a standby, a full disk, a lock.",
            ),
            _nothing(
                "HoldfastReadsNotRunning",
                "holdfast:recent_reads == 0\nand holdfast:recent_writes > 1.5",
                "{{ $labels.environment }} gives nothing back",
                f"Writes {_BY} are acknowledged, and for {_TURNS} intervals not one read of them in "
                "{{ $labels.environment }} came to its end: nobody can tell what became of what was written.",
            ),
            Alert(
                name="HoldfastProbeCannotTell",
                severity=Severity.TICKET,
                expr=unpaused("holdfast:recent_told == 0\nand holdfast:recent_runs > 1.5"),
                wait=policy.scrape,
                summary="{{ $labels.probe }} cannot tell in {{ $labels.environment }}",
                description=f"For {_TURNS} intervals every run {_BY} ended `unknown`: whether its promise holds in "
                "{{ $labels.environment }} is not known. holdfast_unknown_total has the reasons.",
            ),
            Alert(
                name="HoldfastPauseForgotten",
                severity=Severity.TICKET,
                expr="holdfast:paused == 1",
                wait=_DAY,
                about=("location", "environment"),
                summary="{{ $labels.environment }} has been paused for a day",
                description="Probing of {{ $labels.environment }} at {{ $labels.location }} is paused, and no alert "
                "can come of it. If nobody is at work there, resume it.",
            ),
            *(_not_watched(name) for name in policy.environments),
        ),
    )


def _recent(policy: Policy) -> tuple[Record, ...]:
    """What took place within the latest intervals, which differ from probe to probe: alerts then need not know."""
    shortest = 4 * policy.scrape  # within which a counter is seen to move
    windows = [
        (each, span(max(_TURNS * interval, shortest)))
        for interval, selectors in policy.intervals.selectors()
        for each in selectors
    ]

    def counted(metric: str, *, over: str = "", more: str = "") -> str:
        return either(
            f"sum without (instance, pod{over}) (increase({metric}{{{each}{more}}}[{window}]))"
            for each, window in windows
        )

    def steps(names: Iterable[str]) -> str:
        return counted("holdfast_step_duration_seconds_count", over=", step", more=f',step=~"{"|".join(names)}"')

    return (
        Record(
            name="holdfast:interval_seconds",
            expr=either(
                f"{_LAST}{{{each}}} * 0 + {interval.total_seconds():g}"
                for interval, selectors in policy.intervals.selectors()
                for each in selectors
            ),
        ),
        Record(name="holdfast:recent_runs", expr=counted("holdfast_run_duration_seconds_count")),
        Record(
            name="holdfast:recent_told",
            expr=counted("holdfast_runs_total", over=", verdict", more=',verdict!="unknown"'),
        ),
        Record(
            name="holdfast:recent_refusals",
            expr=counted("holdfast_unknown_total", over=", reason", more=f',reason=~"{"|".join(_THE_STORES)}"'),
        ),
        Record(name="holdfast:recent_writes", expr=steps(WRITES)),
        Record(name="holdfast:recent_reads", expr=steps(READS)),
    )


def _looked_back(policy: Policy) -> str:
    return span(max(timedelta(hours=1), (_TURNS + 1) * policy.intervals.longest()))


def _nothing(name: str, expr: str, summary: str, description: str) -> Alert:
    of_the_store = f"{expr}\nand holdfast:recent_refusals > 0"
    return Alert(
        name=name, severity=Severity.PAGE, expr=unpaused(of_the_store), summary=summary, description=description
    )


def _not_watched(environment: str) -> Alert:
    """What is in the configuration and in no metric would else be silent for ever."""
    return Alert(
        name="HoldfastEnvironmentNotWatched",
        severity=Severity.TICKET,
        expr=f'absent_over_time(holdfast_environment_up{{environment="{environment}"}}[{REMEMBERED}])',
        wait=timedelta(minutes=5),
        about=("environment",),
        summary="nobody watches {{ $labels.environment }}",
        description="The rules were made for {{ $labels.environment }}, and no daemon exports anything about it: its "
        "configuration, or the scrape, lacks it.",
    )
