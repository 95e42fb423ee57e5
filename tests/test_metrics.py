"""What Holdfast exports: names, labels, zeros before the first run, and the whole page as a golden copy.

Where the page is meant to change, renew the copies in tests/golden/ and read their diff before committing it:

    HOLDFAST_RENEW_GOLDEN=1 pytest tests/test_metrics.py -k golden
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

import monitor.probes
from monitor.core.detail import Detail
from monitor.core.impact import UNUSABLE, Stakes
from monitor.core.ledger.found import Standing
from monitor.core.record import Propagation, RunRecord, StepTiming
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.core.violations import KeptViolation, Stage
from monitor.exposition import render
from monitor.families import EDGES
from monitor.metrics import Metrics
from monitor.ports import Outcome, Place, Store, Surroundings, Way
from monitor.probe import Probe, discover
from monitor.probes.durability import DurabilityProbe
from monitor.probes.history import HistoryProbe
from monitor.probes.session import SessionProbe
from monitor.probes.sync import SyncProbe
from monitor.probes.thread import ThreadProbe

GOLDEN = Path(__file__).parent / "golden"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROBES: tuple[Probe[Any], ...] = (ThreadProbe(), SessionProbe(), SyncProbe(), HistoryProbe(), DurabilityProbe())
STORES = (Store.POSTGRES, Store.REDIS)
PLACES = (Place(Store.POSTGRES), Place(Store.REDIS), Place(Store.POSTGRES, Way.REPLICA, "eu-2"))
LINKS = {("login", "postgres"), ("postgres", "redis"), ("permission", "redis"), ("postgres", "postgres replica eu-2")}
LOST = Violation(kind=Kind.LOST, subject="m", expected="a", actual="b", evidence={"key": "holdfast:production:x"})
FINDINGS = {
    Verdict.OK: Finding.of((), checks=3),
    Verdict.SLOW: Finding.slow("slow", checks=3),
    Verdict.UNKNOWN: Finding.unknown(Reason.TIMEOUT, "postgresql://holdfast:s3cret@db timed out"),
    Verdict.VIOLATED: Finding.of([LOST, LOST], checks=3),
}

CONTRACT = {
    "holdfast_runs": ("counter", {"probe", "verdict"}),
    "holdfast_run_duration_seconds": ("histogram", {"probe"}),
    "holdfast_step_duration_seconds": ("histogram", {"probe", "step"}),
    "holdfast_step_budget_seconds": ("gauge", {"probe", "step"}),
    "holdfast_budget_exceeded": ("counter", {"probe", "step"}),
    "holdfast_step_messages": ("counter", {"probe", "step"}),
    "holdfast_step_suspect": ("counter", {"probe", "step"}),
    "holdfast_violations": ("counter", {"probe", "kind"}),
    "holdfast_open_violations": ("gauge", {"probe", "kind"}),
    "holdfast_unknown": ("counter", {"probe", "reason"}),
    "holdfast_consecutive_failures": ("gauge", {"probe"}),
    "holdfast_last_run_timestamp_seconds": ("gauge", {"probe"}),
    "holdfast_last_success_timestamp_seconds": ("gauge", {"probe"}),
    "holdfast_checks": ("counter", {"probe"}),
    "holdfast_operations": ("counter", {"store", "outcome"}),
    "holdfast_synthetic_items": ("gauge", {"store"}),
    "holdfast_cost_seconds": ("counter", {"store"}),
    "holdfast_cost_bytes": ("counter", {"store"}),
    "holdfast_propagation_seconds": ("histogram", {"source", "target"}),
    "holdfast_propagation_resolution_seconds": ("gauge", {"source", "target"}),
    "holdfast_ledger_records": ("gauge", {"store", "state"}),
    "holdfast_verification_coverage_ratio": ("gauge", {"store"}),
    "holdfast_oldest_verified_age_seconds": ("gauge", {"store"}),
    "holdfast_recovery_point_seconds": ("gauge", {"store"}),
    "holdfast_recovery_time_seconds": ("gauge", {"store"}),
    "holdfast_impact_users": ("gauge", set[str]()),
    "holdfast_impact_revenue": ("counter", set[str]()),
    "holdfast_environment_up": ("gauge", set[str]()),
    "holdfast_paused": ("gauge", set[str]()),
}
"""What the contract promises of an environment; `location` and `environment` stand beside these labels."""

OF_THE_DAEMON = {
    "holdfast_schedule_lag_seconds": "histogram",
    "holdfast_loop_lag_seconds": "histogram",
    "holdfast_config_reload_success": "gauge",
    "holdfast_config_reload_timestamp_seconds": "gauge",
    "holdfast_config_rejected": "counter",
    "holdfast_state_up": "gauge",
    "holdfast_build_info": "gauge",
}


STAKES = Stakes(users=120_000, revenue_per_hour=57)


def watching(
    *environments: str,
    labels: Mapping[str, str] | None = None,
    location: str = "test",
    stakes: Stakes | None = None,
) -> Metrics:
    """Metrics of environments with both stores, a replica and some probes, before any run."""
    metrics = Metrics(location=location, version="0.0.0")
    metrics.shape(location=location, labels=labels or {}, budgets=())
    for environment in environments:
        metrics.expect(
            environment,
            labels=labels or {},
            probes=PROBES,
            stores=STORES,
            around=Surroundings(places=PLACES),
            stakes=stakes,
        )
    return metrics


def ended(verdict: Verdict = Verdict.OK, *, environment: str = "production", probe: str = "thread") -> RunRecord:
    """A run that ended two seconds after noon, with a step that was late and a longer one that failed."""
    reload = "reload" if probe == "thread" else "recover"
    return RunRecord(
        run_id="0190aaaa-0000-7000-8000-000000000000",
        environment=environment,
        probe=probe,
        started=NOON,
        took=timedelta(seconds=2),
        finding=FINDINGS[verdict],
        steps=(
            StepTiming(name="connect", after=timedelta(), took=timedelta(milliseconds=3)),
            StepTiming(name=reload, after=timedelta(), took=timedelta(seconds=2.5)),
            StepTiming(name=reload, after=timedelta(), took=timedelta(seconds=3), failed=True),
        ),
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A sample of the environment `production`, of the thread probe unless it has none or another is named."""
    whole = {"location": "test", "environment": "production", **labels}
    if (
        not {"store", "probe"} & labels.keys()
        and "probe" in CONTRACT.get(re.sub("_(total|count|sum)$", "", name), ("", ()))[1]
    ):
        whole["probe"] = "thread"
    return metrics.registry.get_sample_value(name, whole)


def series(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a page but those that say when a series was made."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def page(metrics: Metrics, *, openmetrics: bool) -> str:
    """The page as a scraper gets it."""
    return (await render(metrics.registry, openmetrics=openmetrics)).decode()


@pytest.mark.parametrize(
    ("file", "openmetrics"), [("metrics.txt", False), ("metrics.openmetrics.txt", True)], ids=["text", "openmetrics"]
)
async def test_the_page_is_its_golden_copy(file: str, *, openmetrics: bool) -> None:
    """One environment with some probes as they come, before the first run: nothing on the page changes unnoticed."""
    found = await page(watching("production", location="golden", stakes=STAKES), openmetrics=openmetrics)
    golden = GOLDEN / file
    if os.environ.get("HOLDFAST_RENEW_GOLDEN"):
        golden.write_text(found)
    assert golden.read_text() == found
    families = list((parse_openmetrics if openmetrics else parse)(found))
    assert len(families) == len(CONTRACT) + len(OF_THE_DAEMON)


def test_names_types_and_labels_are_those_of_the_contract() -> None:
    """Every family has its name, its type and exactly its labels, and there is none beside them."""
    metrics = watching("production", stakes=STAKES)
    metrics.record(ended(Verdict.VIOLATED))
    found = {}
    for family in metrics.registry.collect():
        labels = {frozenset(sample.labels) - {"le", "location", "environment"} for sample in family.samples}
        found[family.name] = (family.type, *labels)
    wanted = {name: (kind, frozenset(labels)) for name, (kind, labels) in CONTRACT.items()}
    wanted |= {name: (kind, frozenset()) for name, kind in OF_THE_DAEMON.items()}
    wanted["holdfast_build_info"] = ("gauge", frozenset({"version", "shard"}))
    assert found == wanted


def test_the_standing_of_a_ledger() -> None:
    """What a ledger says of a store; where nothing was due yet, nothing is verified, and that is shown as nothing."""
    metrics = watching("production")
    standing = Standing(live=7, lost=2, indeterminate=1, expired=3, due=10, verified=9, oldest=timedelta(hours=1))
    metrics.ledger("production", Store.REDIS, standing)
    states = {
        state: value(metrics, "holdfast_ledger_records", store="redis", state=state)
        for state in ("live", "lost", "indeterminate", "expired")
    }
    assert states == {"live": 7, "lost": 2, "indeterminate": 1, "expired": 3}
    assert value(metrics, "holdfast_verification_coverage_ratio", store="redis") == 0.9
    assert value(metrics, "holdfast_oldest_verified_age_seconds", store="redis") == 3600
    assert value(metrics, "holdfast_recovery_time_seconds", store="redis") == 0
    assert value(metrics, "holdfast_verification_coverage_ratio", store="postgres") == 0
    metrics.ledger("production", Store.REDIS, Standing())
    assert value(metrics, "holdfast_verification_coverage_ratio", store="redis") == 0


def test_impact_is_of_environments_that_say_what_they_are_worth() -> None:
    """Users and revenue are there from zero where they are configured, each by itself, and nowhere else."""
    metrics = watching("production", stakes=Stakes(users=120_000))
    assert value(metrics, "holdfast_impact_users") == 0
    assert value(metrics, "holdfast_impact_revenue_total") is None
    metrics = watching("production", "staging", stakes=STAKES)
    metrics.impact("production", users=120_000, revenue=0.5)
    metrics.impact("production", users=120_000, revenue=0.25)
    assert value(metrics, "holdfast_impact_users") == 120_000
    assert value(metrics, "holdfast_impact_revenue_total") == 0.75
    assert value(metrics, "holdfast_impact_revenue_total", environment="staging") == 0
    metrics.expect("production", labels={}, probes=PROBES, stores=STORES, around=Surroundings(places=PLACES))
    metrics.impact("production", users=1, revenue=1)
    assert value(metrics, "holdfast_impact_users") is None
    assert value(metrics, "holdfast_impact_revenue_total") is None


def test_every_series_names_its_place() -> None:
    """What is of an environment names location and environment, what is of the daemon its location only."""
    for name, labels in series(watching("production")):
        family = re.sub("_(total|bucket|count|sum)$", "", name)
        known = dict(labels)
        assert known["location"] == "test"
        assert ("environment" in known) == (family in CONTRACT)


def test_everything_counts_from_zero_before_the_first_run() -> None:
    """Every verdict, reason, kind, step, store and outcome of a watched environment exists, and is zero."""
    metrics = watching("production")
    for probe in PROBES:
        wanted = [
            *(("holdfast_runs_total", {"verdict": each}) for each in Verdict),
            *(("holdfast_unknown_total", {"reason": each}) for each in Reason),
            *(("holdfast_violations_total", {"kind": each}) for each in probe.kinds),
            *(("holdfast_open_violations", {"kind": each}) for each in probe.kinds),
            *(("holdfast_budget_exceeded_total", {"step": each}) for each in probe.steps),
            *(("holdfast_step_duration_seconds_count", {"step": each}) for each in probe.steps),
            *(("holdfast_step_messages_total", {"step": each}) for each in probe.counted),
            *((name, {}) for name in ("holdfast_checks_total", "holdfast_run_duration_seconds_count")),
            *((name, {}) for name in ("holdfast_consecutive_failures", "holdfast_last_success_timestamp_seconds")),
        ]
        assert {value(metrics, name, probe=probe.name, **labels) for name, labels in wanted} == {0.0}
    for source, target in LINKS:
        assert value(metrics, "holdfast_propagation_seconds_count", source=source, target=target) == 0.0
        assert value(metrics, "holdfast_propagation_resolution_seconds", source=source, target=target) == 0.0
    for store in STORES:
        assert {value(metrics, "holdfast_operations_total", store=store, outcome=each) for each in Outcome} == {0.0}
        assert value(metrics, "holdfast_cost_bytes_total", store=store) == 0.0


@pytest.mark.parametrize("verdict", Verdict)
def test_one_run_is_counted_once(verdict: Verdict) -> None:
    """A run counts for its verdict, its kinds once each, its steps that did not fail, its checks and its moment."""
    metrics = watching("production")
    before = series(metrics)
    metrics.record(ended(verdict))
    right = verdict in (Verdict.OK, Verdict.SLOW)
    wrong = verdict is Verdict.VIOLATED
    after = NOON.timestamp() + 2
    assert {each: value(metrics, "holdfast_runs_total", verdict=each) for each in Verdict} == {
        each: float(each is verdict) for each in Verdict
    }
    assert value(metrics, "holdfast_violations_total", kind=Kind.LOST) == float(wrong)
    assert value(metrics, "holdfast_unknown_total", reason=Reason.TIMEOUT) == float(verdict is Verdict.UNKNOWN)
    assert value(metrics, "holdfast_checks_total") == FINDINGS[verdict].checks
    assert value(metrics, "holdfast_run_duration_seconds_sum") == 2
    assert value(metrics, "holdfast_step_duration_seconds_count", step="reload") == 1
    assert value(metrics, "holdfast_budget_exceeded_total", step="reload") == 1
    assert value(metrics, "holdfast_consecutive_failures") == float(not right)
    assert value(metrics, "holdfast_last_run_timestamp_seconds") == after
    assert value(metrics, "holdfast_last_success_timestamp_seconds") == (after if right else 0)
    changed = {key for key, sample in series(metrics).items() if sample != before[key]}
    assert {dict(labels)["probe"] for _, labels in changed} == {"thread"}


def links(metrics: Metrics) -> set[tuple[str, str]]:
    """The sources and targets on the page."""
    found = (dict(labels) for name, labels in series(metrics) if name == "holdfast_propagation_seconds_count")
    return {(labels["source"], labels["target"]) for labels in found}


def test_messages_of_a_step_are_counted_beside_its_time() -> None:
    """What a step wrote or read, by the seconds that it took, is its throughput."""
    metrics = watching("production")
    for size in (50, 250):
        step = StepTiming(name="reload", after=timedelta(), took=timedelta(seconds=0.5), messages=size)
        metrics.record(replace(ended(probe="history"), steps=(step,)))
    assert value(metrics, "holdfast_step_messages_total", probe="history", step="reload") == 300
    assert value(metrics, "holdfast_step_duration_seconds_sum", probe="history", step="reload") == 1.0
    assert value(metrics, "holdfast_step_messages_total", probe="history", step="pages") == 0


def test_every_propagation_of_a_run_is_counted() -> None:
    """What a run timed is observed for its source and target, with the resolution of the latest."""
    metrics = watching("production", "staging")
    arrived = [
        Propagation(source="postgres", target=target, took=timedelta(seconds=took), resolution=timedelta(seconds=0.25))
        for target, took in (("postgres replica eu-2", 1.5), ("postgres replica eu-2", 0.5), ("nowhere", 1.0))
    ]
    metrics.record(replace(ended(probe="sync"), propagations=tuple(arrived)))
    eu = {"source": "postgres", "target": "postgres replica eu-2"}
    assert value(metrics, "holdfast_propagation_seconds_count", **eu) == 2
    assert value(metrics, "holdfast_propagation_seconds_sum", **eu) == 2.0
    assert value(metrics, "holdfast_propagation_resolution_seconds", **eu) == 0.25
    assert value(metrics, "holdfast_propagation_seconds_count", environment="staging", **eu) == 0
    assert links(metrics) == LINKS


def test_a_place_that_left_leaves_no_link() -> None:
    """Where a replica, or the probe, leaves the configuration, the times of what led there go, and only those."""
    metrics = watching("production")
    metrics.expect("production", labels={}, probes=PROBES, stores=STORES, around=Surroundings(places=PLACES[:2]))
    assert links(metrics) == LINKS - {("postgres", "postgres replica eu-2")}
    metrics.expect("production", labels={}, probes=PROBES[:2], stores=STORES, around=Surroundings(places=PLACES))
    assert links(metrics) == set()


def test_failures_count_until_a_run_is_right() -> None:
    """Violated and unknown runs in a row count up; the first that is ok or slow ends the row."""
    metrics, seen = watching("production"), []
    for verdict in ("violated", "unknown", "unknown", "slow", "unknown", "ok"):
        metrics.record(ended(Verdict(verdict)))
        seen.append(value(metrics, "holdfast_consecutive_failures"))
    assert seen == [1, 2, 3, 0, 1, 0]


async def test_a_run_is_the_exemplar_of_what_took_long() -> None:
    """Its id stands beside its own duration and that of its slowest step, in OpenMetrics alone, and in no label."""
    metrics = watching("production")
    metrics.record(ended())
    named = [line for line in (await page(metrics, openmetrics=True)).splitlines() if "0190aaaa" in line]
    assert [
        re.findall(r'^(\w+)_bucket.*,(?:step="(\w+)")?.* # {run_id="0190aaaa[^"]+"} ([\d.]+) ', line) for line in named
    ] == [
        [("holdfast_run_duration_seconds", "", "2.0")],
        [("holdfast_step_duration_seconds", "reload", "2.5")],
    ]
    assert "0190aaaa" not in await page(metrics, openmetrics=False)


def test_a_run_that_did_not_take_place_is_unknown() -> None:
    """What was missed or paused counts as unknown with its reason, and as no run that ended."""
    metrics = watching("production")
    metrics.not_run("production", "thread", Reason.MISSED, times=3)
    metrics.not_run("production", "thread", Reason.PAUSED)
    metrics.not_run("nowhere", "thread", Reason.PAUSED)
    assert value(metrics, "holdfast_runs_total", verdict=Verdict.UNKNOWN) == 4
    assert value(metrics, "holdfast_unknown_total", reason=Reason.MISSED) == 3
    assert value(metrics, "holdfast_unknown_total", reason=Reason.PAUSED) == 1
    assert value(metrics, "holdfast_run_duration_seconds_count") == 0
    assert value(metrics, "holdfast_last_run_timestamp_seconds") == 0


def kept(stage: Stage, kind: Kind = Kind.LOST, probe: str = "thread") -> KeptViolation:
    """A violation in some stage."""
    return KeptViolation(
        id=f"{kind}-{probe}",
        environment="production",
        probe=probe,
        kind=kind,
        stage=stage,
        opened=NOON,
        last_seen=NOON,
        run_id="r",
        last_run_id="r",
        subject="m",
        expected="a",
        actual="b",
        evidence={},
    )


def test_only_open_violations_stand() -> None:
    """A violation shows while it is open, neither when it was acknowledged nor when it has closed."""
    metrics = watching("production", "staging")
    seen = []
    for standing in (
        [kept(Stage.OPEN)],
        [kept(Stage.ACKNOWLEDGED)],
        [kept(Stage.OPEN), kept(Stage.OPEN, Kind.STALE)],
        [],
    ):
        metrics.standing("production", standing)
        seen.append([value(metrics, "holdfast_open_violations", kind=kind) for kind in (Kind.LOST, Kind.STALE)])
        assert value(metrics, "holdfast_open_violations", kind=Kind.LOST, environment="staging") == 0
        assert value(metrics, "holdfast_open_violations", kind=Kind.LOST, probe="session") == 0
    assert seen == [[1, 0], [0, 0], [1, 1], [0, 0]]


def test_requests_are_counted_with_their_cost() -> None:
    """Each request counts for its store by its outcome, with the time and the bytes that it cost."""
    metrics = watching("production")
    tally = metrics.tally("production")
    tally.add(Store.REDIS, Outcome.OK, seconds=0.25, sent_bytes=100)
    tally.add(Store.REDIS, Outcome.INDETERMINATE, seconds=0.25, sent_bytes=11)
    metrics.tally("nowhere").add(Store.REDIS, Outcome.OK, seconds=1, sent_bytes=1)
    metrics.items("production", {Store.REDIS: 7})
    assert [value(metrics, "holdfast_operations_total", store="redis", outcome=each) for each in Outcome] == [1, 0, 1]
    assert value(metrics, "holdfast_cost_seconds_total", store="redis") == 0.5
    assert value(metrics, "holdfast_cost_bytes_total", store="redis") == 111
    assert value(metrics, "holdfast_synthetic_items", store="redis") == 7
    assert value(metrics, "holdfast_operations_total", store="postgres", outcome="ok") == 0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Verdict), st.sampled_from(["thread", "session"])), max_size=30))
def test_no_run_adds_a_series_or_tells_a_secret(runs: list[tuple[Verdict, str]]) -> None:
    """However many runs ended and however: the series stay those before the first, and no label tells of a run."""
    metrics = watching("production")
    before = series(metrics).keys()
    for verdict, probe in runs:
        metrics.record(ended(verdict, probe=probe))
        metrics.standing("production", [kept(Stage.OPEN, probe=probe)])
    after = series(metrics).keys()
    assert after == before
    text = str(sorted(after))
    assert not any(
        word in text for word in ("run_id", "0190aaaa", "user", "key", "dsn", "s3cret", "postgresql:", "sql")
    )


def in_detail(detail: Detail, *environments: str) -> Metrics:
    """Metrics of environments with both stores and every probe that runs by itself."""
    made = [probe() for probe in discover(monitor.probes).values()]
    probes = [probe for probe in made if probe.enabled]
    metrics = Metrics(location="test", version="0.0.0")
    budgets = {probe.budget_of(step) for probe in probes for step in probe.steps}
    metrics.shape(location="test", labels=(), budgets=budgets, detail=detail)
    around = Surroundings(places=PLACES[:2])
    for environment in environments:
        metrics.expect(environment, labels={}, probes=probes, stores=STORES, around=around)
    return metrics


@pytest.mark.parametrize("detail", Detail)
def test_an_environment_has_the_series_that_are_documented(detail: Detail) -> None:
    """How many series an environment has is what docs/how-to-many-environments.md says, to the nearest ten."""
    table = (Path(__file__).parents[1] / "docs" / "how-to-many-environments.md").read_text()
    (row,) = re.findall(r"^\| series \| (.+) \|$", table, re.MULTILINE)
    said = {
        name: int(count.replace(",", ""))
        for count, name in re.findall(r"([\d,]+) at `(?:metrics\.detail: )?(\w+)`", row)
    }
    count = len(series(in_detail(detail, "a", "b"))) - len(series(in_detail(detail, "a")))
    assert round(count, -1) == said[detail]


HOSTILE = st.one_of(st.text(max_size=40), st.sampled_from(['"', "\n", "\\", "%s %d %%", "\u202e", "x" * 5000]))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.uuids(), st.one_of(st.sampled_from(Reason), st.sampled_from(Kind)), HOSTILE),
        min_size=1,
        max_size=60,
    )
)
def test_what_runs_say_adds_words_of_closed_sets_alone(runs: list[tuple[UUID, Reason | Kind, str]]) -> None:
    """At detail low a reason or a kind may get its series when it first comes; no text, id or subject ever does."""
    metrics = in_detail(Detail.LOW, "production")
    before = series(metrics).keys()
    for id_, what, text in runs:
        broken = Violation(kind=what, subject=text, expected=text, actual=text) if isinstance(what, Kind) else None
        finding = Finding.of([broken], checks=1) if broken else Finding.unknown(Reason(what), text)
        metrics.record(replace(ended(), run_id=str(id_), finding=finding, server={"address": text, "version": text}))
        metrics.standing("production", [kept(Stage.OPEN, kind=broken.kind)] if broken else [])
    added = {(name, *labels) for name, labels in series(metrics).keys() - before}
    place = (("environment", "production"), ("location", "test"), ("probe", "thread"))
    allowed = {
        *(("holdfast_unknown_total", *place, ("reason", reason)) for reason in Reason),
        *(("holdfast_violations_total", *sorted((*place, ("kind", kind)))) for kind in Kind),
        *(("holdfast_open_violations", *sorted((*place, ("kind", kind)))) for kind in Kind),
    }
    assert added <= allowed


def test_what_alerts_count_is_there_at_every_detail() -> None:
    """A store that cannot be used is counted from zero also at detail low: `increase()` sees the first such run."""
    metrics = in_detail(Detail.LOW, "production")
    assert {value(metrics, "holdfast_unknown_total", reason=reason) for reason in UNUSABLE} == {0}
    assert value(metrics, "holdfast_unknown_total", reason=Reason.MISCONFIGURED) is None


def test_a_forgotten_environment_leaves_no_series() -> None:
    """Nothing of it stays, everything of the others does, and a run that ends late is not counted."""
    metrics, other = watching("production", "staging"), series(watching("staging"))
    metrics.record(ended(Verdict.VIOLATED))
    metrics.forget("production")
    metrics.record(ended())
    metrics.not_run("production", "thread", Reason.MISSED)
    metrics.tally("production").add(Store.REDIS, Outcome.OK, seconds=1, sent_bytes=1)
    metrics.up("production", up=True)
    metrics.paused("production", paused=True)
    metrics.standing("production", [kept(Stage.OPEN)])
    metrics.items("production", {Store.REDIS: 1})
    assert series(metrics) == other
    metrics.expect("production", labels={}, probes=PROBES, stores=STORES, around=Surroundings(places=PLACES))
    assert series(metrics) == series(watching("production", "staging"))


def test_a_forgotten_probe_leaves_the_others() -> None:
    """Probes that no longer run in an environment lose their series there and nowhere else."""
    metrics = watching("production", "staging")
    metrics.record(ended(probe="session"))
    metrics.forget_probes("production", keep=["session"])
    left = {(dict(labels).get("environment"), dict(labels).get("probe")) for _, labels in series(metrics)}
    assert ("production", "thread") not in left
    assert {("production", "session"), ("staging", "thread"), ("staging", "session")} <= left
    assert value(metrics, "holdfast_runs_total", probe="session", verdict="ok") == 1


def test_labels_of_the_operator_stand_on_every_series_of_the_environment() -> None:
    """An environment's own labels are everywhere in it, and empty where another environment has them."""
    metrics = watching("production", labels={"tier": "critical", "team": "data"})
    metrics.expect("staging", labels={"tier": "low"}, probes=PROBES, stores=STORES, around=Surroundings(places=PLACES))
    found = {
        (known.get("environment"), known.get("tier"), known.get("team"))
        for known in (dict(labels) for _, labels in series(metrics))
    }
    assert found == {("production", "critical", "data"), ("staging", "low", ""), (None, None, None)}


def test_a_label_with_a_new_value_leaves_nothing_of_the_old() -> None:
    """Where an operator changes a label, the series with the old value do not stand still beside the new ones."""
    metrics = watching("production", labels={"tier": "critical"})
    metrics.record(ended(Verdict.VIOLATED))
    metrics.expect(
        "production", labels={"tier": "low"}, probes=PROBES, stores=STORES, around=Surroundings(places=PLACES)
    )
    assert {dict(labels).get("tier") for _, labels in series(metrics)} == {"low", None}


def test_the_same_configuration_again_keeps_what_was_counted() -> None:
    """A reload that changes nothing resets nothing."""
    metrics = watching("production", labels={"tier": "critical"})
    metrics.record(ended(Verdict.VIOLATED))
    before, registry = series(metrics), metrics.registry
    metrics.shape(location="test", labels=["tier"], budgets=[timedelta(seconds=2)])
    metrics.expect(
        "production", labels={"tier": "critical"}, probes=PROBES, stores=STORES, around=Surroundings(places=PLACES)
    )
    assert series(metrics) == before
    assert metrics.registry is registry


def test_a_store_that_left_leaves_no_series() -> None:
    """An environment that gave up its Redis shows nothing of it any more."""
    metrics = watching("production")
    metrics.forget_probes("production", keep=["thread"])
    metrics.expect("production", labels={}, probes=PROBES[:1], stores=[Store.POSTGRES])
    assert {dict(labels).get("store") for _, labels in series(metrics)} == {"postgres", None}


def edges(metrics: Metrics, name: str) -> set[float]:
    """The bounds of a histogram."""
    return {float(dict(labels)["le"]) for found, labels in series(metrics) if found == f"{name}_bucket"}


@pytest.mark.parametrize("name", ["holdfast_step_duration_seconds", "holdfast_run_duration_seconds"])
def test_every_budget_is_an_edge(name: str) -> None:
    """The edges hold 0.1, 2 and 5 seconds, and every budget that is configured: how many were late can be counted."""
    metrics = watching("production")
    assert {0.1, 2.0, 5.0} <= edges(metrics, name) == {*EDGES, float("inf")}
    metrics.shape(location="test", labels=(), budgets=[timedelta(milliseconds=123), timedelta(seconds=2)])
    metrics.expect("production", labels={}, probes=PROBES, stores=STORES, around=Surroundings(places=PLACES))
    assert edges(metrics, name) == {*EDGES, 0.123, float("inf")}


def test_budgets_are_shown() -> None:
    """Every step shows the time that it may take, its own or that of its probe."""
    metrics = Metrics(location="test", version="0")
    probe = ThreadProbe(budget=timedelta(seconds=3), budgets={"reload": timedelta(milliseconds=150)})
    metrics.expect("production", labels={}, probes=[probe], stores=[Store.POSTGRES])
    assert value(metrics, "holdfast_step_budget_seconds", step="connect") == 3
    assert value(metrics, "holdfast_step_budget_seconds", step="reload") == 0.15


def test_the_daemon_tells_about_itself() -> None:
    """Version, configuration, state and lags are on the page, under the daemon's location."""
    metrics = watching()
    metrics.reloaded(NOON)
    metrics.rejected()
    metrics.state(up=True)
    metrics.started_late(timedelta(milliseconds=-3))
    metrics.started_late(timedelta(milliseconds=30))
    metrics.turned_late(0.002)
    own = {"location": "test"}
    found = {
        name: metrics.registry.get_sample_value(name, own)
        for name in (
            "holdfast_config_reload_success",
            "holdfast_config_reload_timestamp_seconds",
            "holdfast_config_rejected_total",
            "holdfast_state_up",
            "holdfast_schedule_lag_seconds_count",
            "holdfast_schedule_lag_seconds_sum",
            "holdfast_loop_lag_seconds_count",
        )
    }
    assert list(found.values()) == [0, NOON.timestamp(), 1, 1, 2, 0.03, 1]
    assert metrics.registry.get_sample_value("holdfast_build_info", {**own, "version": "0.0.0", "shard": "1/1"}) == 1


def test_pauses_and_health_are_shown_per_environment() -> None:
    """Both gauges are of one environment, and go up and down."""
    metrics = watching("production", "staging")
    metrics.up("production", up=True)
    metrics.paused("staging", paused=True)
    seen = [
        value(metrics, name, environment=environment)
        for name in ("holdfast_environment_up", "holdfast_paused")
        for environment in ("production", "staging")
    ]
    assert seen == [1, 0, 0, 1]
