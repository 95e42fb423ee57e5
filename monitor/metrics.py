"""Every metric family, made on a registry that is given, and the one place that counts a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.core.budget import over_budget
from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.ports import Outcome, Store
from monitor.probe import Probe

EDGES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Bounds of the latency histograms in seconds: from a Redis command on loopback to the longest timeout; they hold
0.1, 2 and 5, the default budgets."""
LAG_EDGES = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)

_PLACE = ("location", "environment")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Children:
    """The series of one environment and probe, looked up once, because looking them up costs more than counting."""

    probe: Probe[Any]
    runs: Mapping[Verdict, Counter]
    duration: Histogram
    steps: Mapping[str, Histogram]
    exceeded: Mapping[str, Counter]
    violations: Mapping[Kind, Counter]
    open: Mapping[Kind, Gauge]
    unknown: Mapping[Reason, Counter]
    failures: Gauge
    last_run: Gauge
    last_success: Gauge
    checks: Counter


class Metrics:
    """All that Holdfast exports. Every series of a watched probe exists, at zero, before its first run."""

    def __init__(
        self, registry: CollectorRegistry, *, location: str, budgets: Iterable[timedelta], version: str
    ) -> None:
        self.registry = registry
        self._location = location
        self._children: dict[tuple[str, str], _Children] = {}
        self._requests: dict[str, tuple[Mapping[tuple[Store, Outcome], Counter], ...]] = {}
        edges = sorted({*EDGES, *(budget.total_seconds() for budget in budgets)})

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, (*_PLACE, *labels), registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, (*_PLACE, *labels), registry=registry)

        def histogram(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(name, text, (*_PLACE, *labels), registry=registry, buckets=edges)

        self.runs = counter("holdfast_runs", "Runs by their verdict.", "probe", "verdict")
        self.run_duration = histogram("holdfast_run_duration_seconds", "How long runs took.", "probe")
        self.step_duration = histogram("holdfast_step_duration_seconds", "How long steps took.", "probe", "step")
        self.step_budget = gauge("holdfast_step_budget_seconds", "How long a step may take.", "probe", "step")
        self.exceeded = counter("holdfast_budget_exceeded", "Steps that took longer than they may.", "probe", "step")
        self.violations = counter("holdfast_violations", "Runs that found a promise broken.", "probe", "kind")
        self.open = gauge("holdfast_open_violations", "Violations that nobody acknowledged.", "probe", "kind")
        self.unknown = counter("holdfast_unknown", "Runs that could not tell, by reason.", "probe", "reason")
        self.failures = gauge(
            "holdfast_consecutive_failures",
            "Runs since the last one that was ok or slow, paused ones left out.",
            "probe",
        )
        self.last_run = gauge("holdfast_last_run_timestamp_seconds", "When a run last ended.", "probe")
        self.last_success = gauge("holdfast_last_success_timestamp_seconds", "When a run was last ok or slow.", "probe")
        self.checks = counter("holdfast_checks", "Integrity checks completed.", "probe")
        self.operations = counter("holdfast_operations", "What was asked of a store.", "store", "outcome")
        self.items = gauge("holdfast_synthetic_items", "Synthetic threads and keys that a store holds now.", "store")
        self.cost_seconds = counter("holdfast_cost_seconds", "Time that a store was busy with probing.", "store")
        self.cost_bytes = counter("holdfast_cost_bytes", "Bytes of content and commands sent to a store.", "store")
        self.up = gauge("holdfast_environment_up", "Whether every store answered in the last round.")
        self.paused = gauge("holdfast_paused", "Whether probing is paused.")

        own = ("location",)
        here = {"location": location}
        self.schedule_lag = Histogram(
            "holdfast_schedule_lag_seconds",
            "How long runs waited behind their scheduled moment.",
            own,
            registry=registry,
            buckets=LAG_EDGES,
        ).labels(**here)
        self.loop_lag = Histogram(
            "holdfast_loop_lag_seconds", "How late the event loop was.", own, registry=registry, buckets=LAG_EDGES
        ).labels(**here)
        self.reload_success = Gauge(
            "holdfast_config_reload_success", "Whether the latest configuration was taken.", own, registry=registry
        ).labels(**here)
        self.reload_time = Gauge(
            "holdfast_config_reload_timestamp_seconds",
            "When a configuration was last taken.",
            own,
            registry=registry,
        ).labels(**here)
        self.rejected = Counter(
            "holdfast_config_rejected", "Configurations that were refused since the start.", own, registry=registry
        ).labels(**here)
        self.state_ok = Gauge(
            "holdfast_state_ok", "Whether the state database takes what it is given.", own, registry=registry
        ).labels(**here)
        build = Gauge("holdfast_build_info", "The version that runs.", ("location", "version"), registry=registry)
        build.labels(location=location, version=version).set(1)

    def expect(self, environment: str, *, probes: Sequence[Probe[Any]], stores: Iterable[Store]) -> None:
        """Make every series of an environment, at zero, and set the budgets of its steps."""
        place = (self._location, environment)
        self.up.labels(*place)
        self.paused.labels(*place)
        for store in stores:
            for outcome in Outcome:
                self.operations.labels(*place, store, outcome)
            for family in (self.items, self.cost_seconds, self.cost_bytes):
                family.labels(*place, store)
        for probe in probes:
            labels = (*place, probe.name)
            for step in probe.steps:
                self.step_budget.labels(*labels, step).set(probe.budget_of(step).total_seconds())
            self._children[environment, probe.name] = _Children(
                probe=probe,
                runs={verdict: self.runs.labels(*labels, verdict) for verdict in Verdict},
                duration=self.run_duration.labels(*labels),
                steps={step: self.step_duration.labels(*labels, step) for step in probe.steps},
                exceeded={step: self.exceeded.labels(*labels, step) for step in probe.steps},
                violations={kind: self.violations.labels(*labels, kind) for kind in probe.kinds},
                open={kind: self.open.labels(*labels, kind) for kind in probe.kinds},
                unknown={reason: self.unknown.labels(*labels, reason) for reason in Reason},
                failures=self.failures.labels(*labels),
                last_run=self.last_run.labels(*labels),
                last_success=self.last_success.labels(*labels),
                checks=self.checks.labels(*labels),
            )

    def forget(self, environment: str) -> None:
        """Remove every series of an environment that is no longer watched."""
        for family in (
            self.runs,
            self.run_duration,
            self.step_duration,
            self.step_budget,
            self.exceeded,
            self.violations,
            self.open,
            self.unknown,
            self.failures,
            self.last_run,
            self.last_success,
            self.checks,
            self.operations,
            self.items,
            self.cost_seconds,
            self.cost_bytes,
            self.up,
            self.paused,
        ):
            family.remove_by_labels({"environment": environment})
        self._children = {place: found for place, found in self._children.items() if place[0] != environment}

    def record(self, record: RunRecord) -> None:
        """Count one run that ended."""
        children = self._children.get((record.environment, record.probe))
        if children is None:  # the environment left the configuration while the run was under way
            return
        finding, ended = record.finding, (record.started + record.took).timestamp()
        children.runs[finding.verdict].inc()
        children.duration.observe(record.took.total_seconds())
        for step in record.steps:
            if step.name in children.steps and not step.failed:
                children.steps[step.name].observe(step.took.total_seconds())
        for step in over_budget(record.steps, children.probe.budget_of):
            children.exceeded[step.name].inc()
        for kind in {violation.kind for violation in finding.violations}:
            children.violations[kind].inc()
        children.checks.inc(finding.checks)
        children.last_run.set(ended)
        if finding.reason is not None:
            children.unknown[finding.reason].inc()
        if finding.verdict in (Verdict.OK, Verdict.SLOW):
            children.last_success.set(ended)
            children.failures.set(0)
        else:
            children.failures.inc()

    def not_run(self, environment: str, probe: str, reason: Reason, *, times: int = 1) -> None:
        """Count runs that were due and did not take place."""
        children = self._children.get((environment, probe))
        if children is not None:
            children.runs[Verdict.UNKNOWN].inc(times)
            children.unknown[reason].inc(times)

    def standing(self, environment: str, probe: str, kept: Iterable[KeptViolation]) -> None:
        """Show which violations of a probe stand open now."""
        children = self._children.get((environment, probe))
        if children is None:
            return
        open_kinds = {each.kind for each in kept if each.stage is Stage.OPEN and each.probe == probe}
        for kind, gauge in children.open.items():
            gauge.set(int(kind in open_kinds))

    def set_up(self, environment: str, *, up: bool) -> None:
        """Show whether every store of an environment answered in the last round."""
        if any(place[0] == environment for place in self._children):
            self.up.labels(self._location, environment).set(int(up))

    def set_paused(self, environment: str, *, paused: bool) -> None:
        """Show whether probing of an environment is paused."""
        self.paused.labels(self._location, environment).set(int(paused))

    def count_items(self, environment: str, found: Mapping[Store, int]) -> None:
        """Show how many synthetic items the stores of an environment hold."""
        for store, count in found.items():
            self.items.labels(self._location, environment, store).set(count)

    def tally(self, environment: str) -> EnvironmentTally:
        """Where the stores of an environment count what they are asked."""
        return EnvironmentTally(self, self._location, environment)


class EnvironmentTally:
    """Counts the requests to the stores of one environment."""

    def __init__(self, metrics: Metrics, location: str, environment: str) -> None:
        place = (location, environment)
        self._operations = {
            (store, outcome): metrics.operations.labels(*place, store, outcome)
            for store in Store
            for outcome in Outcome
        }
        self._seconds = {store: metrics.cost_seconds.labels(*place, store) for store in Store}
        self._bytes = {store: metrics.cost_bytes.labels(*place, store) for store in Store}

    def add(self, store: Store, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        """Count one request."""
        self._operations[store, outcome].inc()
        self._seconds[store].inc(seconds)
        self._bytes[store].inc(sent_bytes)
