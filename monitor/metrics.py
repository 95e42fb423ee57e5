"""The one place that counts: runs, requests to stores, and the daemon itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from monitor.core.budget import over_budget, suspect
from monitor.core.detail import Detail
from monitor.core.impact import UNUSABLE, Stakes
from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord
from monitor.core.verdict import Reason, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.families import BUDGETS, EDGES, FINE_EDGES, Families
from monitor.ports import KEEPERS, Outcome, Store, Surroundings, Tally
from monitor.probe import Probe

LEDGER_STATES = ("live", "lost", "indeterminate", "expired")


@dataclass(slots=True, kw_only=True)
class _Watched:
    """What has series in one environment. `place` are its label values, before those of a probe or a store."""

    place: tuple[str, ...]
    probes: dict[str, Probe[Any]] = field(default_factory=dict)
    stores: frozenset[Store] = frozenset()
    ledgers: frozenset[Store] = frozenset()
    links: frozenset[tuple[str, str]] = frozenset()
    stakes: Stakes = field(default_factory=Stakes)


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
        self._environments: dict[str, _Watched] = {}
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
        here = self._environments.get(environment)
        if here is not None and here.place != place:  # series with the old values would stand still for ever
            self.forget(environment)
            here = None
        if here is None:
            here = self._environments[environment] = _Watched(place=place)
        for family in (own.up, own.paused):
            family.expect(place, [()])
        self._expect_impact(here, stakes or Stakes())
        self._expect_stores(here, list(stores))
        keepers = [store for store in stores if store in KEEPERS and any(map(_keeps_a_ledger, probes))]
        self._expect_ledgers(here, keepers)
        self._expect_links(here, {link for probe in probes for link in probe.links(around or Surroundings())})
        here.probes |= {probe.name: probe for probe in probes}
        self._expect_probes(here, probes)

    def _expect_probes(self, here: _Watched, probes: Sequence[Probe[Any]]) -> None:
        own, place = self._families, here.place
        names = [(probe.name,) for probe in probes]
        for family in (own.run_duration, own.failures, own.last_run, own.last_success, own.checks):
            family.expect(place, names)
        own.runs.expect(place, [(*name, verdict) for name in names for verdict in Verdict])
        # What alerts count begins at zero at every detail, or a sum with it would be nothing until it first came.
        reasons = sorted(UNUSABLE) if self._brief else Reason
        own.unknown.expect(place, [(*name, reason) for name in names for reason in reasons])
        if self._brief:
            return
        steps = [(probe.name, step) for probe in probes for step in probe.steps]
        for family in (own.step_budget, own.step_duration, own.exceeded, own.suspect):
            family.expect(place, steps)
        for probe in probes:
            for step in probe.steps:
                own.step_budget.set(place, probe.name, step, to=probe.budget_of(step).total_seconds())
        counted = [(probe.name, step) for probe in probes for step in sorted(probe.counted.intersection(probe.steps))]
        own.messages.expect(place, counted)
        for family in (own.violations, own.open):
            family.expect(place, [(probe.name, kind) for probe in probes for kind in sorted(probe.kinds)])

    @property
    def _brief(self) -> bool:
        """Whether steps have no series, nor most of what never came."""
        return self._detail is Detail.LOW

    def _expect_impact(self, here: _Watched, stakes: Stakes) -> None:
        here.stakes = stakes
        own = self._families
        for family, stake in ((own.impact_users, stakes.users), (own.impact_revenue, stakes.revenue_per_hour)):
            family.forget(here.place) if stake is None else family.expect(here.place, [()])

    def _expect_stores(self, here: _Watched, stores: Sequence[Store]) -> None:
        own = self._families
        for store in here.stores.difference(stores):
            for family in own.of_store:
                family.forget(here.place, store)
        for family in (own.cost_seconds, own.cost_bytes, own.items):
            family.expect(here.place, [(store,) for store in stores])
        own.operations.expect(here.place, [(store, outcome) for store in stores for outcome in Outcome])
        here.stores = frozenset(stores)

    def _expect_ledgers(self, here: _Watched, stores: Sequence[Store]) -> None:
        own = self._families
        for store in here.ledgers.difference(stores):
            for family in own.of_ledger:
                family.forget(here.place, store)
        for family in (own.coverage, own.oldest, own.recovery_point, own.recovery_time):
            family.expect(here.place, [(store,) for store in stores])
        own.ledger.expect(here.place, [(store, state) for store in stores for state in LEDGER_STATES])
        here.ledgers = frozenset(stores)

    def _expect_links(self, here: _Watched, wanted: Collection[tuple[str, str]]) -> None:
        for family in self._families.of_link:
            for link in here.links.difference(wanted):
                family.forget(here.place, *link)
            family.expect(here.place, sorted(wanted))
        here.links = frozenset(wanted)

    def forget(self, environment: str) -> None:
        """Remove the series of an environment that is no longer watched."""
        if (here := self._environments.pop(environment, None)) is not None:
            for family in self._families.of_environment:
                family.forget(here.place)

    def forget_probes(self, environment: str, *, keep: Iterable[str]) -> None:
        """Remove the series of the probes of an environment that no longer run there."""
        if (here := self._environments.get(environment)) is None:
            return
        for probe in set(here.probes).difference(keep):
            for family in self._families.of_probe:
                family.forget(here.place, probe)
            del here.probes[probe]

    def record(self, record: RunRecord) -> None:
        """Count one run that ended."""
        here = self._environments.get(record.environment)
        probe = here.probes.get(record.probe) if here else None
        if here is None or probe is None:  # it left the configuration while the run was under way
            return
        # Where a probe timed or found what it did not declare, that counts all the same.
        own, place, name, finding = self._families, here.place, probe.name, record.finding
        ended = (record.started + record.took).timestamp()
        own.runs.add(place, name, finding.verdict)
        own.run_duration.observe(place, name, took=record.took.total_seconds(), run_id=record.run_id)
        if not self._brief:
            self._count_steps(place, probe, record)
        for kind in {violation.kind for violation in finding.violations}:
            own.violations.add(place, name, kind)
        for arrived in record.propagations:
            if (link := (arrived.source, arrived.target)) in here.links:
                own.propagation.observe(place, *link, took=arrived.took.total_seconds())
                own.resolution.set(place, *link, to=arrived.resolution.total_seconds())
        own.checks.add(place, name, by=finding.checks)
        own.last_run.set(place, name, to=ended)
        if finding.reason is not None:
            own.unknown.add(place, name, finding.reason)
        if finding.verdict in (Verdict.OK, Verdict.SLOW):
            own.last_success.set(place, name, to=ended)
            own.failures.set(place, name, to=0)
        else:
            own.failures.add(place, name)

    def _count_steps(self, place: tuple[str, ...], probe: Probe[Any], record: RunRecord) -> None:
        own, name, over = self._families, probe.name, over_budget(record.steps, probe.budget_of)
        slowest = max((step.took for step in record.steps if not step.failed), default=None)
        for step in record.steps:
            if suspect(step, probe.budget_of(step.name)):
                own.suspect.add(place, name, step.name)
            elif not step.failed:
                # Each exemplar makes every scrape longer; whoever follows one asks why a run was slow.
                telling = record.run_id if step.took == slowest or step in over else None
                own.step_duration.observe(place, name, step.name, took=step.took.total_seconds(), run_id=telling)
            if step.messages:
                own.messages.add(place, name, step.name, by=step.messages)
        for step in over:
            own.exceeded.add(place, name, step.name)

    def not_run(self, environment: str, probe: str, reason: Reason, *, times: int = 1) -> None:
        """Count runs that were due and did not take place."""
        here = self._environments.get(environment)
        if here is not None and probe in here.probes:
            self._families.runs.add(here.place, probe, Verdict.UNKNOWN, by=times)
            self._families.unknown.add(here.place, probe, reason, by=times)

    def standing(self, environment: str, kept: Iterable[KeptViolation]) -> None:
        """Show which violations of an environment stand open now."""
        if (here := self._environments.get(environment)) is None:
            return
        shown = self._families.open
        open_now = {(each.probe, each.kind) for each in kept if each.stage is Stage.OPEN and each.probe in here.probes}
        for row in {*shown.rows(here.place), *open_now}:
            shown.set(here.place, *row, to=int(row in open_now))

    def up(self, environment: str, *, up: bool) -> None:
        """Show whether every store of an environment answered in the last round."""
        if (here := self._environments.get(environment)) is not None:
            self._families.up.set(here.place, to=int(up))

    def paused(self, environment: str, *, paused: bool) -> None:
        """Show whether probing of an environment is paused."""
        if (here := self._environments.get(environment)) is not None:
            self._families.paused.set(here.place, to=int(paused))

    def impact(self, environment: str, *, users: int, revenue: float) -> None:
        """Show how many users are affected now, and add revenue to what was at risk so far."""
        if (here := self._environments.get(environment)) is None:
            return
        if here.stakes.users is not None:
            self._families.impact_users.set(here.place, to=users)
        if here.stakes.revenue_per_hour is not None:
            self._families.impact_revenue.add(here.place, by=revenue)

    def ledger(self, environment: str, store: Store, standing: Standing) -> None:
        """Show how the ledger of a store stands."""
        here = self._environments.get(environment)
        if here is None or store not in here.ledgers:
            return
        own = self._families
        for state in LEDGER_STATES:
            own.ledger.set(here.place, store, state, to=getattr(standing, state))
        own.coverage.set(here.place, store, to=standing.verified / standing.due if standing.due else 0)
        for length, shown in (
            (standing.oldest, own.oldest),
            (standing.recovery_point, own.recovery_point),
            (standing.recovery_time, own.recovery_time),
        ):
            shown.set(here.place, store, to=length.total_seconds() if length is not None else 0)

    def items(self, environment: str, found: Mapping[Store, int]) -> None:
        """Show how many synthetic items the stores of an environment hold."""
        here = self._environments.get(environment)
        for store, count in found.items():
            if here is not None and store in here.stores:
                self._families.items.set(here.place, store, to=count)

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
        if here is not None and store in here.stores:
            own = self._families
            own.operations.add(here.place, store, outcome)
            own.cost_seconds.add(here.place, store, by=seconds)
            own.cost_bytes.add(here.place, store, by=sent_bytes)


def _keeps_a_ledger(probe: Probe[Any]) -> bool:
    return probe.name == "durability"


@dataclass(frozen=True, slots=True)
class _EnvironmentTally:
    metrics: Metrics
    environment: str

    def add(self, store: Store, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        self.metrics.asked(self.environment, store, outcome, seconds=seconds, sent_bytes=sent_bytes)
