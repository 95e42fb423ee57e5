"""The one place that counts: runs, requests to stores, and the daemon itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.core.budget import over_budget, suspect
from monitor.core.detail import Detail
from monitor.core.impact import Stakes
from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.families import BUDGETS, EDGES, FINE_EDGES, Families
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
    suspect: Mapping[str, Counter]
    messages: Mapping[str, Counter]
    violations: Mapping[Kind, Counter]
    open: dict[Kind, Gauge]
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


@dataclass(slots=True, kw_only=True)
class _EnvironmentSeries:
    """The series of one environment. `place` are its label values, before those of a probe or a store."""

    place: tuple[str, ...]
    up: Gauge
    paused: Gauge
    users: Gauge | None = None
    revenue: Counter | None = None
    probes: dict[str, _ProbeSeries] = field(default_factory=dict)
    stores: dict[Store, _StoreSeries] = field(default_factory=dict)
    links: dict[tuple[str, str], _LinkSeries] = field(default_factory=dict)
    ledgers: dict[Store, _LedgerSeries] = field(default_factory=dict)


class Metrics:
    """All that Holdfast exports. Every series of a watched probe exists, at zero, before its first run.

    `registry` is replaced where `shape` changes the labels or the bounds of histograms; for Prometheus that is what
    a restart is.
    """

    def __init__(self, *, location: str, version: str, shard: str = "1/1") -> None:
        self._version, self._shard = version, shard
        self._shape: tuple[str, tuple[str, ...], tuple[float, ...], Detail] | None = None
        self.shape(location=location, labels=(), budgets=())

    def shape(
        self,
        *,
        location: str,
        labels: Iterable[str],
        budgets: Iterable[timedelta],
        detail: Detail = Detail.NORMAL,
    ) -> bool:
        """Fit the families to a configuration: its location, its environments' own labels, its budgets, its detail.

        Returns whether that made them anew, so that nothing is expected any more.
        """
        bounds = {Detail.LOW: BUDGETS, Detail.NORMAL: EDGES, Detail.HIGH: FINE_EDGES}[detail]
        edges = tuple(sorted({*bounds, *(budget.total_seconds() for budget in budgets)}))
        shape = (location, tuple(sorted(set(labels))), edges, detail)
        if shape == self._shape:
            return False
        self._shape = shape
        self._location, self._labels, _, self._detail = shape
        self.registry = CollectorRegistry()
        self._families = Families(self.registry, labels=self._labels, edges=edges)
        self._environments: dict[str, _EnvironmentSeries] = {}
        own = self._families
        self._schedule_lag, self._loop_lag = own.schedule_lag.labels(location), own.loop_lag.labels(location)
        self._reload_success, self._rejected = own.reload_success.labels(location), own.rejected.labels(location)
        self._reload_time, self._state_up = own.reload_time.labels(location), own.state_up.labels(location)
        own.build.labels(location, self._version, self._shard).set(1)
        return True

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
        known = self._environments.get(environment)
        if known is not None and known.place != place:  # series with the old values would stand still for ever
            self.forget(environment)
            known = None
        here = known or _EnvironmentSeries(place=place, up=own.up.labels(*place), paused=own.paused.labels(*place))
        self._environments[environment] = here
        self._expect_impact(environment, here, stakes or Stakes())
        self._expect_stores(environment, here, stores)
        keepers = [store for store in stores if store in KEEPERS and any(map(_keeps_a_ledger, probes))]
        self._expect_ledgers(environment, here, keepers)
        links = {link for probe in probes for link in probe.links(around or Surroundings())}
        self._expect_links(environment, here, links)
        for probe in probes:
            here.probes[probe.name] = self._probe_series(probe, (*place, probe.name))

    def _probe_series(self, probe: Probe[Any], labels: tuple[str, ...]) -> _ProbeSeries:
        own, steps = self._families, () if self._brief else probe.steps
        kinds, reasons = ((), ()) if self._brief else (sorted(probe.kinds), Reason)
        for step in steps:
            own.step_budget.labels(*labels, step).set(probe.budget_of(step).total_seconds())
        return _ProbeSeries(
            probe=probe,
            labels=labels,
            runs={verdict: own.runs.labels(*labels, verdict) for verdict in Verdict},
            duration=own.run_duration.labels(*labels),
            steps={step: own.step_duration.labels(*labels, step) for step in steps},
            exceeded={step: own.exceeded.labels(*labels, step) for step in steps},
            suspect={step: own.suspect.labels(*labels, step) for step in steps},
            messages={step: own.messages.labels(*labels, step) for step in sorted(probe.counted.intersection(steps))},
            violations={kind: own.violations.labels(*labels, kind) for kind in kinds},
            open={kind: own.open.labels(*labels, kind) for kind in kinds},
            unknown={reason: own.unknown.labels(*labels, reason) for reason in reasons},
            failures=own.failures.labels(*labels),
            last_run=own.last_run.labels(*labels),
            last_success=own.last_success.labels(*labels),
            checks=own.checks.labels(*labels),
        )

    @property
    def _brief(self) -> bool:
        """Whether steps have no series, and what never came has none either."""
        return self._detail is Detail.LOW

    def _expect_impact(self, environment: str, here: _EnvironmentSeries, stakes: Stakes) -> None:
        own = self._families
        if stakes.users is None:
            own.impact_users.remove_by_labels({"environment": environment})
        if stakes.revenue_per_hour is None:
            own.impact_revenue.remove_by_labels({"environment": environment})
        here.users = None if stakes.users is None else own.impact_users.labels(*here.place)
        here.revenue = None if stakes.revenue_per_hour is None else own.impact_revenue.labels(*here.place)

    def _expect_stores(self, environment: str, here: _EnvironmentSeries, stores: Collection[Store]) -> None:
        own = self._families
        for store in set(here.stores).difference(stores):
            for family in own.of_store:
                family.remove_by_labels({"environment": environment, "store": store})
            del here.stores[store]
        for store in stores:
            here.stores[store] = _StoreSeries(
                outcomes={outcome: own.operations.labels(*here.place, store, outcome) for outcome in Outcome},
                seconds=own.cost_seconds.labels(*here.place, store),
                sent=own.cost_bytes.labels(*here.place, store),
                items=own.items.labels(*here.place, store),
            )

    def _expect_ledgers(self, environment: str, here: _EnvironmentSeries, stores: Collection[Store]) -> None:
        own = self._families
        for store in set(here.ledgers).difference(stores):
            for family in own.of_ledger:
                family.remove_by_labels({"environment": environment, "store": store})
            del here.ledgers[store]
        for store in stores:
            here.ledgers[store] = _LedgerSeries(
                records={state: own.ledger.labels(*here.place, store, state) for state in LEDGER_STATES},
                coverage=own.coverage.labels(*here.place, store),
                oldest=own.oldest.labels(*here.place, store),
                recovery_point=own.recovery_point.labels(*here.place, store),
                recovery_time=own.recovery_time.labels(*here.place, store),
            )

    def _expect_links(self, environment: str, here: _EnvironmentSeries, wanted: Collection[tuple[str, str]]) -> None:
        own = self._families
        for source, target in set(here.links).difference(wanted):
            for family in own.of_link:
                family.remove_by_labels({"environment": environment, "source": source, "target": target})
            del here.links[source, target]
        for source, target in sorted(wanted):
            here.links[source, target] = _LinkSeries(
                took=own.propagation.labels(*here.place, source, target),
                resolution=own.resolution.labels(*here.place, source, target),
            )

    def forget(self, environment: str) -> None:
        """Remove the series of an environment that is no longer watched."""
        if self._environments.pop(environment, None) is not None:
            for family in self._families.of_environment:
                family.remove_by_labels({"environment": environment})

    def forget_probes(self, environment: str, *, keep: Iterable[str]) -> None:
        """Remove the series of the probes of an environment that no longer run there."""
        if (here := self._environments.get(environment)) is None:
            return
        for probe in set(here.probes).difference(keep):
            for family in self._families.of_probe:
                family.remove_by_labels({"environment": environment, "probe": probe})
            del here.probes[probe]

    def record(self, record: RunRecord) -> None:
        """Count one run that ended."""
        here = self._environments.get(record.environment)
        series = here.probes.get(record.probe) if here else None
        if here is None or series is None:  # it left the configuration while the run was under way
            return
        own = self._families  # asked where a probe timed or found what it did not declare: that counts all the same
        finding, ended = record.finding, (record.started + record.took).timestamp()
        exemplar = {RUN: record.run_id}
        series.runs[finding.verdict].inc()
        series.duration.observe(record.took.total_seconds(), exemplar)
        if not self._brief:
            self._count_steps(series, record.steps, exemplar)
        for kind in {violation.kind for violation in finding.violations}:
            (series.violations.get(kind) or own.violations.labels(*series.labels, kind)).inc()
        for arrived in record.propagations:
            if (link := here.links.get((arrived.source, arrived.target))) is not None:
                link.took.observe(arrived.took.total_seconds())
                link.resolution.set(arrived.resolution.total_seconds())
        series.checks.inc(finding.checks)
        series.last_run.set(ended)
        if finding.reason is not None:
            self._unknown(series, finding.reason).inc()
        if finding.verdict in (Verdict.OK, Verdict.SLOW):
            series.last_success.set(ended)
            series.failures.set(0)
        else:
            series.failures.inc()

    def _unknown(self, series: _ProbeSeries, reason: Reason) -> Counter:
        return series.unknown.get(reason) or self._families.unknown.labels(*series.labels, reason)

    def _count_steps(self, series: _ProbeSeries, steps: Sequence[StepTiming], exemplar: dict[str, str]) -> None:
        own, over = self._families, over_budget(steps, series.probe.budget_of)
        slowest = max((step.took for step in steps if not step.failed), default=None)
        for step in steps:
            if suspect(step, series.probe.budget_of(step.name)):
                (series.suspect.get(step.name) or own.suspect.labels(*series.labels, step.name)).inc()
            elif not step.failed:
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
        here = self._environments.get(environment)
        if here is not None and (series := here.probes.get(probe)) is not None:
            series.runs[Verdict.UNKNOWN].inc(times)
            self._unknown(series, reason).inc(times)

    def standing(self, environment: str, kept: Iterable[KeptViolation]) -> None:
        """Show which violations of an environment stand open now."""
        if (here := self._environments.get(environment)) is None:
            return
        open_now = {(each.probe, each.kind) for each in kept if each.stage is Stage.OPEN}
        for probe, kind in open_now:
            if (series := here.probes.get(probe)) is not None and kind not in series.open:
                series.open[kind] = self._families.open.labels(*series.labels, kind)
        for probe, series in here.probes.items():
            for kind, gauge in series.open.items():
                gauge.set(int((probe, kind) in open_now))

    def up(self, environment: str, *, up: bool) -> None:
        """Show whether every store of an environment answered in the last round."""
        if (here := self._environments.get(environment)) is not None:
            here.up.set(int(up))

    def paused(self, environment: str, *, paused: bool) -> None:
        """Show whether probing of an environment is paused."""
        if (here := self._environments.get(environment)) is not None:
            here.paused.set(int(paused))

    def impact(self, environment: str, *, users: int, revenue: float) -> None:
        """Show how many users are affected now, and add revenue to what was at risk so far."""
        here = self._environments.get(environment)
        if here is not None and here.users is not None:
            here.users.set(users)
        if here is not None and here.revenue is not None:
            here.revenue.inc(revenue)

    def ledger(self, environment: str, store: Store, standing: Standing) -> None:
        """Show how the ledger of a store stands."""
        here = self._environments.get(environment)
        if here is not None and (series := here.ledgers.get(store)) is not None:
            series.show(standing)

    def items(self, environment: str, found: Mapping[Store, int]) -> None:
        """Show how many synthetic items the stores of an environment hold."""
        here = self._environments.get(environment)
        for store, count in found.items():
            if here is not None and store in here.stores:
                here.stores[store].items.set(count)

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
        here = self._environments.get(environment)
        if here is not None and (series := here.stores.get(store)) is not None:
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
