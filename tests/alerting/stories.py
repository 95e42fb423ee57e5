"""What happens to a store or a daemon, and which alerts fire when: at least once, and not before, and not for ever."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from monitor.alerting.violations import LOST, WRONG
from monitor.core.runbooks import LATE, LEAKED
from tests.alerting.promtool import Story

# 15 s apart, in promtool's notation: 1x8 is nine samples of 1. `stale` is what Prometheus notes where a scrape fails.
CALM, GOING_ON = "0x240", "0+1x240"


def _open(kind: str, values: str, probe: str = "thread", **more: str) -> dict[str, str]:
    labels = "".join(f',{name}="{value}"' for name, value in more.items())
    return {f'holdfast_open_violations{{probe="{probe}",kind="{kind}"{labels}}}': values}


def _of_violations(alert: str, kinds: frozenset[str], other: str) -> list[Story]:
    first = min(kinds)
    return [
        *(
            Story(
                alert=alert,
                tells=f"{kind} fires at once, and resolves as soon as it is closed",
                series=_open(kind, "0x8 1x20 0x40"),
                firing={"2m": 0, "2m15s": 1, "7m": 1, "7m30s": 0},
            )
            for kind in sorted(kinds)
        ),
        Story(
            alert=alert,
            tells="a restart neither resolves it nor fires it again",
            series=_open(first, "1x8 stale _x12 1x20"),
            firing={"2m": 1, "3m": 1, "5m": 1, "8m": 1},
        ),
        Story(
            alert=alert,
            tells="a pod that is replaced is the same daemon",
            series={
                **_open(first, "1x8 stale", instance="a"),
                **_open(first, "_x10 1x20", instance="b"),
            },
            firing={"2m": 1, "5m": 1},
        ),
        Story(
            alert=alert,
            tells="nothing fires while the environment is paused",
            series={**_open(first, "1x80"), "holdfast_paused": "0x8 1x20 0x20"},
            firing={"2m": 1, "3m": 0, "7m": 0, "8m": 1},
        ),
        Story(
            alert=alert,
            tells="another environment's pause changes nothing",
            series={**_open(first, "1x80"), 'holdfast_paused{environment="staging"}': "1x80"},
            firing={"2m": 1},
        ),
        Story(alert=alert, tells=f"{other} is another's", series=_open(other, "1x20"), firing={"3m": 0}),
    ]


VIOLATIONS = (
    *_of_violations("HoldfastDataLeaked", frozenset(LEAKED), "lost"),
    *_of_violations("HoldfastDataLost", frozenset(LOST), "leaked"),
    *_of_violations("HoldfastDataWrong", frozenset(WRONG), "late"),
    *_of_violations("HoldfastDataLate", frozenset(LATE), "corrupt"),
    Story(
        alert="HoldfastSeenFromOneLocation",
        tells="one of two locations sees it for minutes, and then the other does, too",
        series={**_open("lost", "0x8 1x200"), **_open("lost", "0x40 1x200", location="us", instance="b")},
        firing={"3m": 0, "7m": 0, "7m30s": 1, "10m": 1, "10m30s": 0},
    ),
    Story(
        alert="HoldfastSeenFromOneLocation",
        tells="where there is one location nothing is to be compared",
        series=_open("lost", "1x200"),
        firing={"20m": 0},
    ),
    Story(
        alert="HoldfastSeenFromOneLocation",
        tells="locations are compared by probe and kind",
        series={**_open("lost", "1x200"), **_open("late", "0x200", location="us", instance="b")},
        firing={"20m": 0},
    ),
    Story(
        alert="HoldfastSeenFromOneLocation",
        tells="what both locations see, or neither, is not one location's",
        series={
            **_open("lost", "1x200"),
            **_open("lost", "1x200", location="us", instance="b"),
            **_open("late", "0x200"),
            **_open("late", "0x200", location="us", instance="b"),
        },
        firing={"20m": 0},
    ),
    Story(
        alert="HoldfastSeenFromOneLocation",
        tells="nothing fires while the environment is paused",
        series={
            **_open("lost", "1x200"),
            **_open("lost", "0x200", location="us", instance="b"),
            "holdfast_paused": "0x40 1x200",
        },
        firing={"10m": 1, "11m": 0},
    ),
)

_LAST = 'holdfast_last_run_timestamp_seconds{probe="thread"}'
_RAN = 'holdfast_run_duration_seconds_count{probe="thread"}'
_TOLD = 'holdfast_runs_total{probe="thread",verdict="ok"}'
_WROTE = 'holdfast_step_duration_seconds_count{probe="thread",step="append_message"}'
_READ = 'holdfast_step_duration_seconds_count{probe="thread",step="reload"}'
_CONNECTED = 'holdfast_step_duration_seconds_count{probe="thread",step="connect"}'
_UP = "holdfast_environment_up"
_REFUSED = {'holdfast_unknown_total{probe="thread",reason="read_only"}': GOING_ON}
_ONCE_IN_30_S = "1 1 " + " ".join(f"{n} {n}" for n in range(2, 100))
"""A counter of something that takes place every 30 s, scraped every 15."""


def _turns(ticks: str, *, until: int = 100) -> str:
    """A counter that counts for so many samples, and then stands still."""
    counts = ticks.split()[:until]
    return " ".join([*counts, *([counts[-1]] * (200 - until))])


RUNNING = (
    Story(
        alert="HoldfastEnvironmentUnreachable",
        tells="an environment that is down for two scrapes pages, until it is back",
        series={_UP: "1x8 0x12 1x40", _LAST: "0+15x80"},
        firing={"2m": 0, "2m30s": 0, "2m45s": 1, "5m": 1, "5m30s": 0},
    ),
    Story(
        alert="HoldfastEnvironmentUnreachable",
        tells="one bad round is not yet an outage",
        series={_UP: "1x8 0x1 1x40", _LAST: "0+15x80"},
        firing={"2m30s": 0, "2m45s": 0, "3m": 0},
    ),
    Story(
        alert="HoldfastEnvironmentUnreachable",
        tells="before the first run nothing is known",
        series={_UP: "0x80", _LAST: "0x80"},
        firing={"15m": 0},
    ),
    Story(
        alert="HoldfastEnvironmentUnreachable",
        tells="a restart in the midst of it changes nothing",
        series={_UP: "0x8 stale _x3 0x20", _LAST: "1+15x8 stale _x3 0x2 200+15x20"},
        firing={"2m": 1, "2m30s": 1, "3m": 1, "3m30s": 1, "5m": 1},
    ),
    Story(
        alert="HoldfastEnvironmentUnreachable",
        tells="nothing fires while the environment is paused",
        series={_UP: "0x200", _LAST: "1+15x200", "holdfast_paused": "0x8 1x100"},
        firing={"2m": 1, "3m": 0},
    ),
    Story(
        alert="HoldfastProbeNotRunning",
        tells="no run for three intervals and a minute is told, until one ends",
        series={_LAST: "0+15x8 120x40 735+15x40"},
        firing={"2m": 0, "4m": 0, "4m45s": 1, "12m": 1, "13m": 0},
    ),
    Story(
        alert="HoldfastProbeNotRunning",
        tells="a probe that never ran is told, too",
        series={_LAST: "0x80"},
        firing={"1m": 0, "3m15s": 1},
    ),
    Story(
        alert="HoldfastProbeNotRunning",
        tells="its own interval counts where an environment has one",
        series={'holdfast_last_run_timestamp_seconds{probe="thread",environment="staging"}': "0+15x8 120x80"},
        firing={"4m45s": 0, "9m45s": 1},
    ),
    Story(
        alert="HoldfastProbeNotRunning",
        tells="a restart forgets when the last run was, and that alone is no gap",
        series={_LAST: "0+15x40 stale 0x6 720+15x40"},
        firing={"11m": 0, "11m30s": 0, "12m": 0},
    ),
    Story(
        alert="HoldfastProbeNotRunning",
        tells="a probe that was taken out of the configuration is not missed",
        series={_LAST: "0+15x40 stale"},
        firing={"15m": 0, "30m": 0},
    ),
    Story(
        alert="HoldfastProbeNotRunning",
        tells="nothing fires while the environment is paused",
        series={_LAST: "0+15x8 120x80", "holdfast_paused": "0x30 1x80"},
        firing={"7m": 1, "8m": 0},
    ),
    Story(
        alert="HoldfastWritesNotRunning",
        tells="runs without a write for three intervals page, until one is acknowledged",
        series={**_REFUSED, _RAN: _ONCE_IN_30_S, _WROTE: "0+1x20 20x20 20+1x100"},
        firing={"5m": 0, "6m": 0, "6m45s": 1, "10m": 1, "10m45s": 0},
    ),
    Story(
        alert="HoldfastWritesNotRunning",
        tells="where nothing runs at all that is another alert",
        series={**_REFUSED, _RAN: _turns(_ONCE_IN_30_S, until=20), _WROTE: "20x200"},
        firing={"4m": 1, "8m": 0},
    ),
    Story(
        alert="HoldfastWritesNotRunning",
        tells="a step that neither writes nor reads is no write",
        series={**_REFUSED, _RAN: _ONCE_IN_30_S, _WROTE: "20x200", _CONNECTED: GOING_ON},
        firing={"6m": 1},
    ),
    Story(
        alert="HoldfastWritesNotRunning",
        tells="a restart begins to count anew, and nothing fires because of it",
        series={**_REFUSED, _RAN: "0+1x40 stale _x2 0+1x40", _WROTE: "0+1x40 stale _x2 0+1x40"},
        firing={"10m30s": 0, "11m": 0, "11m30s": 0, "12m": 0},
    ),
    Story(
        alert="HoldfastWritesNotRunning",
        tells="nothing fires while the environment is paused",
        series={**_REFUSED, _RAN: _ONCE_IN_30_S, _WROTE: "20x200", "holdfast_paused": "0x40 1x80"},
        firing={"9m": 1, "11m": 0},
    ),
    Story(
        alert="HoldfastReadsNotRunning",
        tells="writes of which none is read for three intervals page, until one is",
        series={**_REFUSED, _WROTE: GOING_ON, _READ: "0+1x20 20x20 20+1x100"},
        firing={"5m": 0, "6m": 0, "6m45s": 1, "10m": 1, "10m45s": 0},
    ),
    *(
        Story(
            alert=alert,
            tells="what may be Holdfast's own set-up wakes nobody",
            series={
                'holdfast_unknown_total{probe="thread",reason="misconfigured"}': GOING_ON,
                'holdfast_unknown_total{probe="thread",reason="read_only"}': "9x240",
                **series,
            },
            firing={"6m": 0, "20m": 0},
        )
        for alert, series in (
            ("HoldfastWritesNotRunning", {_RAN: _ONCE_IN_30_S, _WROTE: "20x200"}),
            ("HoldfastReadsNotRunning", {_WROTE: GOING_ON, _READ: "20x200"}),
        )
    ),
    Story(
        alert="HoldfastReadsNotRunning",
        tells="where nothing is written there is nothing to read",
        series={**_REFUSED, _WROTE: "20x200", _READ: "20x200"},
        firing={"6m": 0},
    ),
    Story(
        alert="HoldfastReadsNotRunning",
        tells="nothing fires while the environment is paused",
        series={**_REFUSED, _WROTE: GOING_ON, _READ: "20x200", "holdfast_paused": "0x40 1x80"},
        firing={"9m": 1, "11m": 0},
    ),
    Story(
        alert="HoldfastProbeCannotTell",
        tells="three intervals of nothing but unknown are told, until one run knows",
        series={_RAN: _ONCE_IN_30_S, _TOLD: "0+1x20 20x20 20+1x100"},
        firing={"5m": 0, "6m": 0, "7m": 1, "10m": 1, "10m45s": 0},
    ),
    Story(
        alert="HoldfastProbeCannotTell",
        tells="unknown now and then is weather",
        series={_RAN: GOING_ON, _TOLD: "0 0 0 1 1 1 2 2 2 3 3 3 4 4 4 5 5 5 6 6 6 7 7 7"},
        firing={"3m": 0, "5m": 0},
    ),
    Story(
        alert="HoldfastProbeCannotTell",
        tells="a violation is not a failure to tell, and unknown is",
        series={
            _RAN: _ONCE_IN_30_S,
            'holdfast_runs_total{probe="thread",verdict="violated"}': GOING_ON,
            'holdfast_runs_total{probe="thread",verdict="ok"}': "5x240",
            'holdfast_runs_total{probe="session",verdict="ok"}': "5x240",
            'holdfast_runs_total{probe="session",verdict="unknown"}': GOING_ON,
            'holdfast_run_duration_seconds_count{probe="session"}': GOING_ON,
        },
        firing={"10m": 1},
    ),
    Story(
        alert="HoldfastProbeCannotTell",
        tells="where nothing runs at all that is another alert",
        series={_RAN: "20x200", _TOLD: "20x200"},
        firing={"8m": 0},
    ),
    Story(
        alert="HoldfastProbeCannotTell",
        tells="it takes a scrape more before it is told",
        series={_RAN: "0+1x200", _TOLD: "0+1x20 20x5 26+1x100"},
        firing={"6m30s": 0, "6m45s": 0},
    ),
    Story(
        alert="HoldfastProbeCannotTell",
        tells="nothing fires while the environment is paused",
        series={_RAN: _ONCE_IN_30_S, _TOLD: "20x200", "holdfast_paused": "0x40 1x80"},
        firing={"9m": 1, "11m": 0},
    ),
    *(
        Story(
            alert=alert,
            tells="one run, as one that tries whether a store is back, says nothing yet",
            series=series,
            firing={"2m15s": 0, "3m": 0, "5m": 0},
        )
        for alert, series in (
            ("HoldfastWritesNotRunning", {**_REFUSED, _RAN: "0x8 1x60", _WROTE: "0x80"}),
            ("HoldfastReadsNotRunning", {**_REFUSED, _WROTE: "0x8 1x60", _READ: "0x80"}),
            ("HoldfastProbeCannotTell", {_RAN: "0x8 1x60", _TOLD: "0x80"}),
        )
    ),
    Story(
        alert="HoldfastPauseForgotten",
        tells="a pause of a day is told, until it is ended",
        series={"holdfast_paused": "1x300 0x20"},
        firing={"23h55m": 0, "24h10m": 1, "25h10m": 0},
        scrape="5m",
        every="5m",
    ),
    Story(
        alert="HoldfastPauseForgotten",
        tells="nights that are paused are none",
        series={"holdfast_paused": "1x100 0x10 1x280"},
        firing={"24h10m": 0, "32h": 0},
        scrape="5m",
        every="5m",
    ),
    Story(
        alert="HoldfastEnvironmentNotWatched",
        tells="an environment of the configuration that no daemon exports is told",
        series={_UP: "1x40 stale"},
        firing={"4m": 0, "6m": 1, "24m": 1, "26m": 2},
    ),
    Story(
        alert="HoldfastEnvironmentNotWatched",
        tells="what comes late is watched",
        series={_UP: "1x240", 'holdfast_environment_up{environment="staging"}': "_x10 0x100"},
        firing={"6m": 0, "20m": 0},
    ),
)

_BUILD = 'holdfast_build_info{version="1"}'
_LATE_RUNS = {
    **{
        f'holdfast_schedule_lag_seconds_bucket{{le="{edge}"}}': "0+60x20 1200+30x60 3000+60x80"
        for edge in ("0.5", "1.0")
    },
    **{f'holdfast_schedule_lag_seconds_bucket{{le="{edge}"}}': "0+60x200" for edge in ("5.0", "+Inf")},
}
_SLOW_LOOP = {
    **{f'holdfast_loop_lag_seconds_bucket{{le="{edge}"}}': "0+60x20 1200+30x30 2100+60x80" for edge in ("0.05", "0.1")},
    **{f'holdfast_loop_lag_seconds_bucket{{le="{edge}"}}': "0+60x200" for edge in ("0.5", "+Inf")},
}

DAEMON = (
    Story(
        alert="HoldfastDown",
        tells="a target that does not answer for a minute pages, until it does",
        series={"up": "1x8 0x10 1x20", _BUILD: "1x8 stale _x10 1x20"},
        firing={"2m": 0, "3m": 0, "3m15s": 1, "4m45s": 1, "5m": 0},
    ),
    Story(
        alert="HoldfastDown",
        tells="a restart is no outage",
        series={"up": "1x8 0x2 1x20", _BUILD: "1x8 stale _x2 1x20"},
        firing={"3m": 0, "4m": 0, "5m": 0},
    ),
    Story(
        alert="HoldfastDown",
        tells="a location whose target is gone from the discovery pages by its name",
        series={
            "up": "1x8 stale",
            'up{location="us",instance="b"}': "1x200",
            _BUILD: "1x8 stale",
            'holdfast_build_info{location="us",instance="b",version="1"}': "1x200",
        },
        firing={"3m": 0, "3m15s": 1, "4m": 1, "30m": 1},
        where='location="eu"',
    ),
    Story(
        alert="HoldfastDown",
        tells="no target at all pages, and does so for ever",
        series={'up{job="node"}': "1x600"},
        firing={"45s": 0, "1m": 1, "2h": 1},
    ),
    Story(
        alert="HoldfastDown",
        tells="another job's target is not ours",
        series={'up{job="node"}': "0x100", "up": "1x100", _BUILD: "1x100"},
        firing={"20m": 0},
    ),
    Story(
        alert="HoldfastDown",
        tells="one that is down is told once, by its location",
        series={"up": "0x600", _BUILD: "1x8 stale"},
        firing={"10m": 1, "2h": 1},
    ),
    Story(
        alert="HoldfastDown",
        tells="a target that never answered pages, too",
        series={"up": "0x40 1x40", _BUILD: "_x40 1x40"},
        firing={"45s": 0, "1m": 1, "9m": 1, "10m30s": 0},
    ),
    Story(
        alert="HoldfastDown",
        tells="a target that answers is up, whatever it exports",
        series={"up": "1x100"},
        firing={"10m": 0},
    ),
    Story(
        alert="HoldfastDown",
        tells="a pod that is replaced takes its location over",
        series={
            'up{instance="a"}': "1x8 stale",
            'up{instance="b"}': "_x10 1x200",
            'holdfast_build_info{version="1",instance="a"}': "1x8 stale",
            'holdfast_build_info{version="1",instance="b"}': "_x10 1x200",
        },
        firing={"3m": 0, "10m": 0, "30m": 0},
    ),
    Story(
        alert="HoldfastConfigReloadFailed",
        tells="a refused configuration is told at once, until one is taken",
        series={"holdfast_config_reload_success": "1x8 0x8 1x20"},
        firing={"2m": 0, "2m15s": 1, "4m": 1, "4m30s": 0},
    ),
    Story(
        alert="HoldfastStateDown",
        tells="a state database that takes nothing for a minute is told, until it does",
        series={"holdfast_state_up": "1x8 0x12 1x20"},
        firing={"2m": 0, "3m": 0, "3m15s": 1, "5m": 1, "5m30s": 0},
    ),
    *(
        Story(
            alert=alert,
            tells="while the daemon is away it stays as it was",
            series={series: "0x8 stale"},
            firing={"2m": 1, "5m": 1, "13m": 0},
        )
        for alert, series in (
            ("HoldfastConfigReloadFailed", "holdfast_config_reload_success"),
            ("HoldfastStateDown", "holdfast_state_up"),
        )
    ),
    Story(
        alert="HoldfastLoopLag",
        tells="a loop that lags for five minutes is told, until it turns in time",
        series=_SLOW_LOOP,
        firing={"5m": 0, "8m": 0, "11m": 1, "12m": 1, "20m": 0},
    ),
    Story(
        alert="HoldfastScheduleLag",
        tells="runs that begin late for ten minutes are told, until they begin in time",
        series=_LATE_RUNS,
        firing={"5m": 0, "14m": 0, "16m": 1, "20m": 1, "29m": 0},
    ),
)


def _of_steps(*, over: str) -> dict[str, str]:
    """A step of 2 s at most that took place every 15 s; `over` counts those that took longer."""
    labels = 'probe="thread",step="reload"'
    within = {"2": "0+1x20 20x4 24+1x500", "5": "0+1x600", "+Inf": "0+1x600"}
    if over == CALM:
        within["2"] = "0+1x600"
    return {
        f"holdfast_step_budget_seconds{{{labels}}}": "2x600",
        f"holdfast_budget_exceeded_total{{{labels}}}": over,
        **{f'holdfast_step_duration_seconds_bucket{{{labels},le="{edge}"}}': text for edge, text in within.items()},
    }


def _of_arrivals(environment: str) -> dict[str, str]:
    labels = f'environment="{environment}",source="postgres",target="redis"'
    on_time, all_ = "0+1x40 40x20 41+1x300", "0+1x400"
    return {
        f'holdfast_environment_up{{environment="{environment}"}}': "1x400",
        f'holdfast_propagation_seconds_bucket{{{labels},le="5"}}': on_time,
        f'holdfast_propagation_seconds_bucket{{{labels},le="10"}}': all_,
        f'holdfast_propagation_seconds_bucket{{{labels},le="+Inf"}}': all_,
    }


LATENCY = (
    Story(
        alert="HoldfastBudgetExceeded",
        tells="a p99 over the budget is told, and resolves an hour later",
        series=_of_steps(over="0x20 1+1x3 4x500"),
        firing={"5m": 0, "6m15s": 1, "30m": 1, "1h10m": 0},
    ),
    Story(
        alert="HoldfastBudgetExceeded",
        tells="one slow step among few is not yet a trend",
        series={**_of_steps(over="0x20 1x500")},
        firing={"6m15s": 0, "10m": 0},
    ),
    Story(
        alert="HoldfastBudgetExceeded",
        tells="within the budget nothing is told",
        series=_of_steps(over=CALM),
        firing={"30m": 0},
    ),
    Story(
        alert="HoldfastBudgetExceeded",
        tells="three of thousands are no slowest percent",
        series={
            **_of_steps(over="0x20 1+1x3 4x500"),
            **{
                f'holdfast_step_duration_seconds_bucket{{probe="thread",step="reload",le="{edge}"}}': text
                for edge, text in {
                    "2": "0+100x20 2099+100x3 2496+100x500",
                    "5": "0+100x600",
                    "+Inf": "0+100x600",
                }.items()
            },
        },
        firing={"7m": 0, "30m": 0},
    ),
    Story(
        alert="HoldfastBudgetExceeded",
        tells="nothing fires while the environment is paused",
        series={**_of_steps(over="0x20 1+1x3 4x500"), "holdfast_paused": "0x40 1x80"},
        firing={"9m": 1, "11m": 0},
    ),
    Story(
        alert="HoldfastPropagationLate",
        tells="changes that arrive late are told, until half an hour later",
        series=_of_arrivals("production"),
        firing={"10m": 0, "11m": 0, "12m30s": 1, "30m": 1, "50m": 0},
    ),
    Story(
        alert="HoldfastPropagationLate",
        tells="its own deadline counts where an environment has one",
        series=_of_arrivals("staging"),
        firing={"12m30s": 0, "30m": 0},
    ),
    Story(
        alert="HoldfastPropagationLate",
        tells="nothing fires while the environment is paused",
        series={**_of_arrivals("production"), "holdfast_paused": "0x60 1x80"},
        firing={"14m": 1, "16m": 0},
    ),
)

_COVERED = 'holdfast_verification_coverage_ratio{store="postgres"}'
_POINT = 'holdfast_recovery_point_seconds{store="postgres"}'
_ITEMS = 'holdfast_synthetic_items{store="postgres"}'
_LEDGER = 'holdfast_ledger_records{store="postgres",state="live"}'
_BUSY = 'holdfast_cost_seconds_total{store="postgres"}'
_SENT = 'holdfast_cost_bytes_total{store="postgres"}'

_MANY = {_LEDGER: "21x300"}

KEEPING = (
    Story(
        alert="HoldfastCoverageFalling",
        tells="looks that are not taken for ten minutes are told, until they are",
        series={**_MANY, _COVERED: "1x20 0.5x60 1x40"},
        firing={"5m": 0, "15m": 0, "15m30s": 1, "20m": 1, "20m30s": 0},
    ),
    Story(
        alert="HoldfastCoverageFalling",
        tells="before anything was due nothing is told",
        series={**_MANY, _COVERED: "0x200"},
        firing={"40m": 0},
    ),
    Story(
        alert="HoldfastCoverageFalling",
        tells="none at all is told, too, and a restart does not hide it",
        series={**_MANY, _COVERED: "1x20 0x40 stale _x4 0x100"},
        firing={"15m30s": 1, "16m": 1, "20m": 1},
    ),
    Story(
        alert="HoldfastCoverageFalling",
        tells="soon after the start, with few records, one look that is put off is no gap",
        series={_COVERED: "1x20 0.5x200", _LEDGER: "1x20 20x200"},
        firing={"40m": 0},
    ),
    Story(
        alert="HoldfastCoverageFalling",
        tells="a batch that is put off is no gap",
        series={**_MANY, _COVERED: "1x20 0.95x200"},
        firing={"40m": 0},
    ),
    Story(
        alert="HoldfastCoverageFalling",
        tells="nothing fires while the environment is paused",
        series={**_MANY, _COVERED: "1x20 0.5x200", "holdfast_paused": "0x80 1x80"},
        firing={"19m": 1, "21m": 0},
    ),
    Story(
        alert="HoldfastRecoveryPointExceeded",
        tells="a loss of more than was agreed pages, until it is acknowledged, although the gauge stays",
        series={_POINT: "0x8 3x200", **_open("lost", "0x8 1x20 0x80", "durability")},
        firing={"2m": 0, "2m15s": 1, "7m": 1, "7m30s": 0, "20m": 0},
    ),
    Story(
        alert="HoldfastRecoveryPointExceeded",
        tells="a loss that was agreed upon is none of its business, nor is another probe's",
        series={
            _POINT: "0.5x200",
            **_open("lost", "1x200", "durability"),
            'holdfast_recovery_point_seconds{store="postgres",environment="staging"}': "3x200",
            **_open("lost", "1x200", "thread", environment="staging"),
        },
        firing={"10m": 0},
    ),
    Story(
        alert="HoldfastRecoveryPointExceeded",
        tells="while the daemon is away it stays as it was",
        series={_POINT: "3x8 stale", **_open("lost", "1x8 stale", "durability")},
        firing={"2m": 1, "5m": 1},
    ),
    Story(
        alert="HoldfastRecoveryPointExceeded",
        tells="nothing fires while the environment is paused",
        series={_POINT: "3x200", **_open("lost", "1x200", "durability"), "holdfast_paused": "0x8 1x200"},
        firing={"2m": 1, "3m": 0},
    ),
    Story(
        alert="HoldfastResidueGrowing",
        tells="what lies about beside the ledger is told, until it is swept",
        series={_ITEMS: "10x20 12000x180 100x100", _LEDGER: "0x20 10000x300"},
        firing={"5m": 0, "35m": 0, "46m": 1, "50m": 1, "52m": 0},
    ),
    Story(
        alert="HoldfastResidueGrowing",
        tells="a ledger of ten thousand records is meant to be there, at each location",
        series={
            _ITEMS: "20500x400",
            _LEDGER: "10000x400",
            'holdfast_synthetic_items{store="postgres",location="us"}': "20500x400",
            'holdfast_ledger_records{store="postgres",state="live",location="us"}': "10000x400",
        },
        firing={"90m": 0},
    ),
    Story(
        alert="HoldfastResidueGrowing",
        tells="runs under way are no residue",
        series={_ITEMS: "10x100 5000x3 10x200"},
        firing={"26m": 0, "50m": 0, "70m": 0},
    ),
    Story(
        alert="HoldfastResidueGrowing",
        tells="it is told where there is no ledger, and not while the environment is paused",
        series={'holdfast_synthetic_items{store="redis"}': "2000x400", "holdfast_paused": "0x80 1x100"},
        firing={"5m": 0, "15m": 1, "25m": 0},
    ),
    *(
        Story(
            alert="HoldfastCostOverBudget",
            tells=f"what costs more {unit} than was agreed is told, until it does not",
            series={series: f"0+{much}x120 {much * 120}+{little}x300"},
            firing={"20m": 0, "30m": 1, "35m": 1, "65m": 0},
            where=f'cost="{unit}"',
        )
        for unit, series, much, little in (("seconds", _BUSY, 15, 1), ("bytes", _SENT, 3_000_000, 100_000))
    ),
    Story(
        alert="HoldfastCostOverBudget",
        tells="within the budget nothing is told",
        series={_BUSY: "0+5x400", _SENT: "0+200000x400"},
        firing={"90m": 0},
    ),
    *(
        Story(
            alert="HoldfastCostOverBudget",
            tells=f"nothing fires for {unit} while the environment is paused",
            series={series: f"0+{much}x400", "holdfast_paused": "0x120 1x100"},
            firing={"29m": 1, "31m": 0},
            where=f'cost="{unit}"',
        )
        for unit, series, much in (("seconds", _BUSY, 15), ("bytes", _SENT, 3_000_000))
    ),
)


def _runs(*, good: str, bad: str, paused: str = "0x9000") -> Mapping[str, str]:
    return {
        _UP: "1x9000",
        _TOLD: good,
        'holdfast_runs_total{probe="thread",verdict="violated"}': "0x9000",
        'holdfast_unknown_total{probe="thread",reason="timeout"}': bad,
        'holdfast_unknown_total{probe="thread",reason="paused"}': paused,
    }


_EVERY = {"1h": "10m", "6h": "10m", "1d": "30m", "3d": "1h"}


def _burning(long: str, *, bad: str, good: str, firing: Mapping[str, int], tells: str, **more: str) -> Story:
    return Story(
        alert="HoldfastErrorBudgetBurn",
        tells=tells,
        series={**_runs(good=good, bad=bad), **more},
        firing=firing,
        where=f'long="{long}"',
        scrape="2m",
        every=_EVERY[long],
    )


# Ten runs in two minutes. The bearable rate is one bad run in a thousand.
OBJECTIVE = (
    _burning(
        "1h",
        tells="three in a hundred go wrong for two hours, then few: it fires, and resolves by the short window",
        good="0+10x60 600+9.7x60 1192+10x300",
        bad="0x60 0.3+0.3x60 18.3+0.058x300",
        firing={"2h": 0, "3h50m": 1, "4h20m": 0, "8h": 0},
    ),
    _burning(
        "6h",
        tells="eight in a thousand go wrong for six hours, then few",
        good="0+10x60 600+9.92x240 2991+10x300",
        bad="0x60 0.08+0.08x240 19.28+0.024x300",
        firing={"2h": 0, "9h": 1, "10h50m": 0, "20h": 0},
    ),
    _burning(
        "1d",
        tells="four in a thousand go wrong for a day, then few",
        good="0+10x60 600+9.96x720 7782+10x300",
        bad="0x60 0.04+0.04x720 28.84+0.012x300",
        firing={"2h": 0, "25h": 1, "28h30m": 0, "35h": 0},
    ),
    _burning(
        "3d",
        tells="two in a thousand go wrong for three days, then few",
        good="0+10x60 600+9.98x2160 22167+10x400",
        bad="0x60 0.02+0.02x2160 43.22+0.004x400",
        firing={"2h": 0, "73h": 1, "81h": 0, "86h": 0},
    ),
    *(
        _burning(
            long,
            tells=f"half the bearable rate burns nothing in {long}",
            good="0+10x2600",
            bad="0+0.005x2600",
            firing={"20h": 0, "80h": 0},
        )
        for long in ("1h", "6h", "1d", "3d")
    ),
    *(
        _burning(
            long,
            tells=f"a few bad runs in a daemon's first hours say nothing in {long}",
            good="0+1x90",
            bad="0 0 0 0 3x90",
            firing={"10m": 0, "30m": 0, "1h": 0, "2h": 0, "3h": 0},
        )
        for long in ("1h", "6h", "1d", "3d")
    ),
    *(
        _burning(
            long,
            tells=f"a burst of half as long again as the short window is little in {long}",
            good="0+100x1000",
            bad=f"0x360 {bad}+{bad}x{ticks} {bad * (ticks + 1):g}x400",
            firing={"12h10m": 0, "12h40m": 0, "13h": 0, "13h30m": 0, "14h": 0, "15h": 0, "18h": 0, "20h": 0},
        )
        for long, ticks, bad in (("1h", 3, 3), ("6h", 22, 1.2), ("1d", 90, 0.6), ("3d", 270, 0.2))
    ),
    *(
        _burning(
            long,
            tells=f"what is run by hand while the environment is paused is nobody's alarm in {long}",
            good="0+5x200",
            bad="0+5x200",
            holdfast_paused="0x32 1x200",
            firing={"1h": 1, "2h": 0, "4h": 0},
        )
        for long in ("1h", "6h", "1d", "3d")
    ),
    *(
        Story(
            alert="HoldfastErrorBudgetBurn",
            tells=f"what did not take place because of a pause is neither good nor bad in {long}",
            series=_runs(good="0+5x30 155x100", bad="0x131", paused="0x30 0+10x100"),
            firing={"1h": 0, "2h": 0, "3h": 0},
            where=f'long="{long}"',
            scrape="2m",
            every=_EVERY[long],
        )
        for long in ("1h", "6h", "1d", "3d")
    ),
    Story(
        alert="HoldfastErrorBudgetBurn",
        tells="its own objective counts where an environment has one",
        series={
            'holdfast_environment_up{environment="staging"}': "1x400",
            'holdfast_runs_total{probe="thread",verdict="ok",environment="staging"}': "0+9.5x400",
            'holdfast_runs_total{probe="thread",verdict="violated",environment="staging"}': "0+0.5x400",
            'holdfast_unknown_total{probe="thread",reason="timeout",environment="staging"}': "0x400",
        },
        firing={"3h": 0, "10h": 0},
        scrape="2m",
        every="10m",
    ),
)

STORIES = tuple(chain(VIOLATIONS, RUNNING, DAEMON, LATENCY, KEEPING, OBJECTIVE))
