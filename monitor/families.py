"""The metric families, by name: what docs/reference lists and dashboards rely on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.columns import Columns

EDGES: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Bounds of latency histograms in seconds, from a Redis command on loopback to a long timeout; 0.1, 2 and 5 are the
default budgets, and configured ones are added."""
BUDGETS: Final = (0.1, 2.0, 5.0)
"""The default budgets alone: enough to tell what was in time."""
FINE_EDGES: Final = tuple(sorted({*EDGES, *(round(edge * 1.5, 6) for edge in EDGES)}))
"""Twice as many, so that a percentile is read off more finely."""
LAG_EDGES: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Families:
    """Every family on one registry. `labels` are the names of the operator's own labels of environments."""

    def __init__(self, registry: CollectorRegistry, *, labels: Sequence[str], edges: Sequence[float]) -> None:
        place = ("location", "environment", *labels)
        own = ("location",)

        def counter(name: str, text: str, *more: str) -> Columns:
            return Columns("counter", name, text, place=place, labels=more, registry=registry)

        def gauge(name: str, text: str, *more: str) -> Columns:
            return Columns("gauge", name, text, place=place, labels=more, registry=registry)

        def histogram(name: str, text: str, *more: str) -> Columns:
            return Columns("histogram", name, text, place=place, labels=more, registry=registry, bounds=edges)

        def lag(name: str, text: str) -> Histogram:
            return Histogram(name, text, own, registry=registry, buckets=LAG_EDGES)

        self.runs = counter("holdfast_runs", "Runs by their verdict.", "probe", "verdict")
        self.run_duration = histogram("holdfast_run_duration_seconds", "How long whole runs of a probe took.", "probe")
        self.step_duration = histogram(
            "holdfast_step_duration_seconds", "How long the timed steps of runs took.", "probe", "step"
        )
        self.step_budget = gauge(
            "holdfast_step_budget_seconds",
            "The latency budget of a step: how long it may take before its run is slow.",
            "probe",
            "step",
        )
        self.exceeded = counter(
            "holdfast_budget_exceeded",
            "Steps that ended well, but took longer than their latency budget (not the error budget).",
            "probe",
            "step",
        )
        self.suspect = counter(
            "holdfast_step_suspect", "Steps whose time may be this process's own lateness.", "probe", "step"
        )
        self.messages = counter("holdfast_step_messages", "Messages that steps wrote or read.", "probe", "step")
        self.violations = counter("holdfast_violations", "Runs that found a promise broken.", "probe", "kind")
        self.open = gauge(
            "holdfast_open_violations", "Violations that stand and that nobody has acknowledged yet.", "probe", "kind"
        )
        self.unknown = counter("holdfast_unknown", "Runs that could not tell, by reason.", "probe", "reason")
        self.failures = gauge(
            "holdfast_consecutive_failures", "Runs in a row that were violated or unknown, up to the latest.", "probe"
        )
        self.last_run = gauge("holdfast_last_run_timestamp_seconds", "When a run last ended, in Unix time.", "probe")
        self.last_success = gauge(
            "holdfast_last_success_timestamp_seconds", "When a run was last ok or slow, in Unix time.", "probe"
        )
        self.checks = counter("holdfast_checks", "Integrity checks completed.", "probe")
        self.of_probe = tuple(vars(self).values())
        self.operations = counter(
            "holdfast_operations",
            "Requests to a store, by whether they took effect; indeterminate where the answer was lost.",
            "store",
            "outcome",
        )
        self.items = gauge("holdfast_synthetic_items", "Synthetic threads and keys that a store holds.", "store")
        self.cost_seconds = counter("holdfast_cost_seconds", "Time that a store was busy with probing.", "store")
        self.cost_bytes = counter("holdfast_cost_bytes", "Bytes of content and commands sent to a store.", "store")
        self.propagation = histogram(
            "holdfast_propagation_seconds",
            "How long changes took from one place to another.",
            "source",
            "target",
        )
        self.resolution = gauge(
            "holdfast_propagation_resolution_seconds",
            "Time between the looks before and after the latest arrival: it is measured no finer than that.",
            "source",
            "target",
        )
        self.of_link = (self.propagation, self.resolution)
        self.ledger = gauge(
            "holdfast_ledger_records",
            "Identified writes in the ledger: live are owed, indeterminate may be there, expired were retired.",
            "store",
            "state",
        )
        self.coverage = gauge(
            "holdfast_verification_coverage_ratio",
            "Looks taken of those that fell due within an hour or are overdue; 0 before any was due.",
            "store",
        )
        self.oldest = gauge(
            "holdfast_oldest_verified_age_seconds", "Age of the oldest write that was found as it should be.", "store"
        )
        self.recovery_point = gauge(
            "holdfast_recovery_point_seconds", "How much time of writes the latest loss took, at the most.", "store"
        )
        self.recovery_time = gauge(
            "holdfast_recovery_time_seconds", "How long the latest outage of writes lasted, at the most.", "store"
        )
        self.of_ledger = (self.ledger, self.coverage, self.oldest, self.recovery_point, self.recovery_time)
        self.up = gauge("holdfast_environment_up", "1 where every store answered in the last round, else 0.")
        self.paused = gauge("holdfast_paused", "1 while probing is paused, else 0.")
        self.impact_users = gauge(
            "holdfast_impact_users", "All users while a violation stands or a store cannot be used, else 0."
        )
        self.impact_revenue = counter(
            "holdfast_impact_revenue", "Revenue per hour times the hours affected, since the start."
        )
        self.of_impact = (self.impact_users, self.impact_revenue)
        self.of_store = (self.operations, self.items, self.cost_seconds, self.cost_bytes)
        self.of_environment = (
            *(*self.of_probe, *self.of_store, *self.of_link, *self.of_ledger, *self.of_impact),
            *(self.up, self.paused),
        )
        self.schedule_lag = lag("holdfast_schedule_lag_seconds", "How late runs started.")
        self.loop_lag = lag("holdfast_loop_lag_seconds", "How late the event loop was.")
        self.reload_success = Gauge(
            "holdfast_config_reload_success",
            "1 where the latest configuration was taken, 0 where it was refused.",
            own,
            registry=registry,
        )
        self.reload_time = Gauge(
            "holdfast_config_reload_timestamp_seconds",
            "When a configuration was last taken, in Unix time.",
            own,
            registry=registry,
        )
        self.rejected = Counter("holdfast_config_rejected", "Configurations that were refused.", own, registry=registry)
        self.state_up = Gauge("holdfast_state_up", "1 while the state database works, else 0.", own, registry=registry)
        self.build = Gauge(
            "holdfast_build_info",
            "The version that runs, and its part of the environments.",
            (*own, "version", "shard"),
            registry=registry,
        )
