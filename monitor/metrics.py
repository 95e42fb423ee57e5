"""The one place that counts: runs, requests to stores, and the daemon itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.core.budget import over_budget
from monitor.core.impact import Stakes
from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.families import EDGES, Families
from monitor.ports import KEEPERS, Outcome, Store, Surroundings, Tally
from monitor.probe import Probe

LEDGER_STATES = ("live", "lost", "indeterminate", "expired")
RUN = "run_id"
"""The label of exemplars, by which a point on a dashboard leads to the run that made it; no series has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProbeSeries:
    """The series of one environment and probe, looked up once, because looking them up costs more than counting."""

    probe: Probe[Any]
    labels: tuple[str, ...]
    runs: Mapping[Verdict, Counter]
    duration: Histogram
    steps: Mapping[str, Histogram]
    exceeded: Mapping[str, Counter]
    messages: Mapping[str, Counter]
    violations: Mapping[Kind, Counter]
    open: Mapping[Kind, Gauge]
    unknown: Mapping[Reason, Counter]
    failures: Gauge
    last_run: Gauge
    last_success: Gauge
    checks: Counter


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoreSeries:
    outcomes: Mapping[Outcome, Counter]
    seconds: Counter
    sent: Counter
    items: Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class _LinkSeries:
    took: Histogram
    resolution: Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class _LedgerSeries:
    records: Mapping[str, Gauge]
    coverage: Gauge
    oldest: Gauge
    recovery_point: Gauge
    recovery_time: Gauge

    def show(self, standing: Standing) -> None:
        for state, gauge in self.records.items():
            gauge.set(getattr(standing, state))
        self.coverage.set(standing.verified / standing.due if standing.due else 0)
        for length, shown in (
            (standing.oldest, self.oldest),
            (standing.recovery_point, self.recovery_point),
            (standing.recovery_time, self.recovery_time),
        ):
            shown.set(length.total_seconds() if length is not None else 0)


class Metrics:
    """All that Holdfast exports. Every series of a watched probe exists, at zero, before its first run.

    `registry` is replaced where `shape` changes the labels or the bounds of histograms; for Prometheus that is what
    a restart is.
    """

    def __init__(self, *, location: str, version: str, shard: str = "1/1") -> None:
        self._version, self._shard = version, shard
        self._shape: tuple[str, tuple[str, ...], tuple[float, ...]] = ("", (), ())
        self.shape(location=location, labels=(), budgets=())

    def shape(self, *, location: str, labels: Iterable[str], budgets: Iterable[timedelta]) -> None:
        """Fit the families to a configuration: its location, its environments' own labels, its budgets."""
        edges = tuple(sorted({*EDGES, *(budget.total_seconds() for budget in budgets)}))
        shape = (location, tuple(sorted(set(labels))), edges)
        if shape == self._shape:
            return
        self._shape = shape
        self._location, self._labels, _ = shape
        self.registry = CollectorRegistry()
        self._families = Families(self.registry, labels=self._labels, edges=edges)
        self._probes: dict[tuple[str, str], _ProbeSeries] = {}
        self._stores: dict[tuple[str, Store], _StoreSeries] = {}
        self._links: dict[tuple[str, str, str], _LinkSeries] = {}
        self._ledgers: dict[tuple[str, Store], _LedgerSeries] = {}
        self._places: dict[str, tuple[str, ...]] = {}
        self._users: dict[str, Gauge] = {}
        self._revenue: dict[str, Counter] = {}
        self._up: dict[str, Gauge] = {}
        self._paused: dict[str, Gauge] = {}
        own = self._families
        self._schedule_lag, self._loop_lag = own.schedule_lag.labels(location), own.loop_lag.labels(location)
        self._reload_success, self._rejected = own.reload_success.labels(location), own.rejected.labels(location)
        self._reload_time, self._state_up = own.reload_time.labels(location), own.state_up.labels(location)
        own.build.labels(location, self._version, self._shard).set(1)

    def expect(
        self,
        environment: str,
        *,
        labels: Mapping[str, str],
        probes: Sequence[Probe[Any]],
        stores: Collection[Store],
        around: Surroundings | None = None,
        stakes: Stakes | None = None,
    ) -> None:
        """Make every series of an environment, at zero, and set the budgets of its steps."""
        own = self._families
        place = (self._location, environment, *(labels.get(name, "") for name in self._labels))
        if self._places.get(environment, place) != place:  # series with the old values would stand still for ever
            self.forget(environment)
        self._places[environment] = place
        self._forget_stores(environment, keep=stores)
        self._up[environment] = own.up.labels(*place)
        self._paused[environment] = own.paused.labels(*place)
        self._expect_impact(environment, place, stakes or Stakes())
        for store in stores:
            self._stores[environment, store] = _StoreSeries(
                outcomes={outcome: own.operations.labels(*place, store, outcome) for outcome in Outcome},
                seconds=own.cost_seconds.labels(*place, store),
                sent=own.cost_bytes.labels(*place, store),
                items=own.items.labels(*place, store),
            )
        keepers = [store for store in stores if store in KEEPERS and any(map(_keeps_a_ledger, probes))]
        self._expect_ledgers(environment, place, keepers)
        self._expect_links(
            environment, place, {link for probe in probes for link in probe.links(around or Surroundings())}
        )
        for probe in probes:
            here = (*place, probe.name)
            for step in probe.steps:
                own.step_budget.labels(*here, step).set(probe.budget_of(step).total_seconds())
            self._probes[environment, probe.name] = _ProbeSeries(
                probe=probe,
                labels=here,
                runs={verdict: own.runs.labels(*here, verdict) for verdict in Verdict},
                duration=own.run_duration.labels(*here),
                steps={step: own.step_duration.labels(*here, step) for step in probe.steps},
                exceeded={step: own.exceeded.labels(*here, step) for step in probe.steps},
                messages={step: own.messages.labels(*here, step) for step in sorted(probe.counted)},
                violations={kind: own.violations.labels(*here, kind) for kind in sorted(probe.kinds)},
                open={kind: own.open.labels(*here, kind) for kind in sorted(probe.kinds)},
                unknown={reason: own.unknown.labels(*here, reason) for reason in Reason},
                failures=own.failures.labels(*here),
                last_run=own.last_run.labels(*here),
                last_success=own.last_success.labels(*here),
                checks=own.checks.labels(*here),
            )

    def _expect_impact(self, environment: str, place: tuple[str, ...], stakes: Stakes) -> None:
        own = self._families
        if stakes.users is None:
            own.impact_users.remove_by_labels({"environment": environment})
            self._users.pop(environment, None)
        else:
            self._users[environment] = own.impact_users.labels(*place)
        if stakes.revenue_per_hour is None:
            own.impact_revenue.remove_by_labels({"environment": environment})
            self._revenue.pop(environment, None)
        else:
            self._revenue[environment] = own.impact_revenue.labels(*place)

    def _expect_ledgers(self, environment: str, place: tuple[str, ...], stores: Collection[Store]) -> None:
        own = self._families
        for name, store in [key for key in self._ledgers if key[0] == environment and key[1] not in stores]:
            for family in own.of_ledger:
                family.remove_by_labels({"environment": name, "store": store})
            del self._ledgers[name, store]
        for store in stores:
            self._ledgers[environment, store] = _LedgerSeries(
                records={state: own.ledger.labels(*place, store, state) for state in LEDGER_STATES},
                coverage=own.coverage.labels(*place, store),
                oldest=own.oldest.labels(*place, store),
                recovery_point=own.recovery_point.labels(*place, store),
                recovery_time=own.recovery_time.labels(*place, store),
            )

    def _expect_links(self, environment: str, place: tuple[str, ...], wanted: Collection[tuple[str, str]]) -> None:
        own = self._families
        for name, source, target in [link for link in self._links if link[0] == environment and link[1:] not in wanted]:
            for family in own.of_link:
                family.remove_by_labels({"environment": name, "source": source, "target": target})
            del self._links[name, source, target]
        for source, target in sorted(wanted):
            self._links[environment, source, target] = _LinkSeries(
                took=own.propagation.labels(*place, source, target),
                resolution=own.resolution.labels(*place, source, target),
            )

    def forget(self, environment: str) -> None:
        """Remove the series of an environment that is no longer watched."""
        for family in self._families.of_environment:
            family.remove_by_labels({"environment": environment})
        self._probes = {place: series for place, series in self._probes.items() if place[0] != environment}
        self._stores = {place: series for place, series in self._stores.items() if place[0] != environment}
        self._links = {link: series for link, series in self._links.items() if link[0] != environment}
        self._ledgers = {place: series for place, series in self._ledgers.items() if place[0] != environment}
        self._places.pop(environment, None)
        self._users.pop(environment, None)
        self._revenue.pop(environment, None)
        self._up.pop(environment, None)
        self._paused.pop(environment, None)

    def _forget_stores(self, environment: str, *, keep: Collection[Store]) -> None:
        for store in [store for name, store in self._stores if name == environment and store not in keep]:
            for family in self._families.of_store:
                family.remove_by_labels({"environment": environment, "store": store})
            del self._stores[environment, store]

    def forget_probes(self, environment: str, *, keep: Iterable[str]) -> None:
        """Remove the series of the probes of an environment that no longer run there."""
        kept = set(keep)
        for probe in [probe for name, probe in self._probes if name == environment and probe not in kept]:
            for family in self._families.of_probe:
                family.remove_by_labels({"environment": environment, "probe": probe})
            del self._probes[environment, probe]

    def record(self, record: RunRecord) -> None:
        """Count one run that ended."""
        series = self._probes.get((record.environment, record.probe))
        if series is None:  # the environment left the configuration while the run was under way
            return
        own = self._families  # asked where a probe timed or found what it did not declare: that counts all the same
        finding, ended = record.finding, (record.started + record.took).timestamp()
        exemplar = {RUN: record.run_id}
        series.runs[finding.verdict].inc()
        series.duration.observe(record.took.total_seconds(), exemplar)
        self._count_steps(series, record.steps, exemplar)
        for kind in {violation.kind for violation in finding.violations}:
            (series.violations.get(kind) or own.violations.labels(*series.labels, kind)).inc()
        for arrived in record.propagations:
            if (link := self._links.get((record.environment, arrived.source, arrived.target))) is not None:
                link.took.observe(arrived.took.total_seconds())
                link.resolution.set(arrived.resolution.total_seconds())
        series.checks.inc(finding.checks)
        series.last_run.set(ended)
        if finding.reason is not None:
            series.unknown[finding.reason].inc()
        if finding.verdict in (Verdict.OK, Verdict.SLOW):
            series.last_success.set(ended)
            series.failures.set(0)
        else:
            series.failures.inc()

    def _count_steps(self, series: _ProbeSeries, steps: Sequence[StepTiming], exemplar: dict[str, str]) -> None:
        own, over = self._families, over_budget(steps, series.probe.budget_of)
        slowest = max((step.took for step in steps if not step.failed), default=None)
        for step in steps:
            if not step.failed:
                known = series.steps.get(step.name) or own.step_duration.labels(*series.labels, step.name)
                # Each exemplar makes every scrape longer; whoever follows one asks why a run was slow.
                telling = step.took == slowest or step in over
                known.observe(step.took.total_seconds(), exemplar if telling else None)
            if step.messages:
                (series.messages.get(step.name) or own.messages.labels(*series.labels, step.name)).inc(step.messages)
        for step in over:
            (series.exceeded.get(step.name) or own.exceeded.labels(*series.labels, step.name)).inc()

    def not_run(self, environment: str, probe: str, reason: Reason, *, times: int = 1) -> None:
        """Count runs that were due and did not take place."""
        series = self._probes.get((environment, probe))
        if series is not None:
            series.runs[Verdict.UNKNOWN].inc(times)
            series.unknown[reason].inc(times)

    def standing(self, environment: str, kept: Iterable[KeptViolation]) -> None:
        """Show which violations of an environment stand open now."""
        open_now = {(each.probe, each.kind) for each in kept if each.stage is Stage.OPEN}
        for (name, probe), series in self._probes.items():
            if name == environment:
                for kind, gauge in series.open.items():
                    gauge.set(int((probe, kind) in open_now))

    def up(self, environment: str, *, up: bool) -> None:
        """Show whether every store of an environment answered in the last round."""
        if environment in self._up:
            self._up[environment].set(int(up))

    def paused(self, environment: str, *, paused: bool) -> None:
        """Show whether probing of an environment is paused."""
        if environment in self._paused:
            self._paused[environment].set(int(paused))

    def impact(self, environment: str, *, users: int, revenue: float) -> None:
        """Show how many users are affected now, and add revenue to what was at risk so far."""
        if environment in self._users:
            self._users[environment].set(users)
        if environment in self._revenue:
            self._revenue[environment].inc(revenue)

    def ledger(self, environment: str, store: Store, standing: Standing) -> None:
        """Show how the ledger of a store stands."""
        if (series := self._ledgers.get((environment, store))) is not None:
            series.show(standing)

    def items(self, environment: str, found: Mapping[Store, int]) -> None:
        """Show how many synthetic items the stores of an environment hold."""
        for store, count in found.items():
            if (environment, store) in self._stores:
                self._stores[environment, store].items.set(count)

    def started_late(self, lag: timedelta) -> None:
        """Count how late a run started."""
        self._schedule_lag.observe(max(0.0, lag.total_seconds()))

    def turned_late(self, seconds: float) -> None:
        """Count how late the event loop turned."""
        self._loop_lag.observe(max(0.0, seconds))

    def reloaded(self, moment: datetime) -> None:
        """A configuration was taken."""
        self._reload_success.set(1)
        self._reload_time.set(moment.timestamp())

    def rejected(self) -> None:
        """A configuration was refused, and the old one stays."""
        self._reload_success.set(0)
        self._rejected.inc()

    def state(self, *, up: bool) -> None:
        """Show whether the state database takes what it is given."""
        self._state_up.set(int(up))

    def tally(self, environment: str) -> Tally:
        """Where the stores of an environment count what they are asked."""
        return _EnvironmentTally(self, environment)

    def asked(self, environment: str, store: Store, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        """Count one request to a store."""
        series = self._stores.get((environment, store))
        if series is not None:
            series.outcomes[outcome].inc()
            series.seconds.inc(seconds)
            series.sent.inc(sent_bytes)


def _keeps_a_ledger(probe: Probe[Any]) -> bool:
    return probe.name == "durability"


@dataclass(frozen=True, slots=True)
class _EnvironmentTally:
    metrics: Metrics
    environment: str

    def add(self, store: Store, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        self.metrics.asked(self.environment, store, outcome, seconds=seconds, sent_bytes=sent_bytes)
