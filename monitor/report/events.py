"""What happened within a period: violations, losses, outages, servers that changed, restores; and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median
from typing import TypeVar

from monitor.core.impact import UNUSABLE, Span, Stakes, within
from monitor.core.ledger.evidence import Epoch, PostgresEvidence, RedisEvidence
from monitor.core.ledger.found import Loss, Outage, Restore
from monitor.core.verdict import Kind
from monitor.core.violations import KeptViolation, Stage
from monitor.ports import Store
from monitor.report import words
from monitor.report.availability import STALE, looked_last, took_place
from monitor.report.gather import Gathered
from monitor.report.period import Period

T = TypeVar("T")
_NOW = timedelta(minutes=2)
"""While an environment cannot be used a daemon renews that every minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Another server answered at a place, or the same one anew."""

    at: datetime
    place: str
    what: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The latest first; only what is in the period, or reached into it."""

    violations: Sequence[KeptViolation] = ()
    losses: Sequence[Loss] = ()
    outages: Sequence[Outage] = ()
    restores: Sequence[Restore] = ()
    changes: Sequence[Change] = ()

    @property
    def standing(self) -> list[KeptViolation]:
        """Violations that are not closed."""
        return [kept for kept in self.violations if kept.stage is not Stage.CLOSED]

    @property
    def absent(self) -> str:
        """What of losses, outages and failovers was not seen, as a sentence; empty where each of them was.

        A loss here is of the ledger's own records; what other probes found lost is a violation, and named beside it.
        """
        seen = ("none of its own records lost", self.losses), ("no outage", self.outages), ("no failover", self.changes)
        none = " and ".join(what for what, found in seen if not found)
        if self.losses:
            return f"In this period the ledger saw {none}." if none else ""
        stand = sum(kept.kind is Kind.LOST for kept in self.standing)
        closed = sum(kept.kind is Kind.LOST for kept in self.violations) - stand
        counts = ((stand, "stand" if stand > 1 else "stands"), (closed, "are closed" if closed > 1 else "is closed"))
        they = " and ".join(f"{words.several(n, 'violation')} of kind lost {does}" for n, does in counts if n)
        return f"In this period the ledger saw {none}{f'; {they}: see above' if they else ''}."

    @property
    def to_close(self) -> timedelta | None:
        """The median of how long closed violations stood."""
        lengths = [(kept.closed - kept.opened).total_seconds() for kept in self.violations if kept.closed is not None]
        return timedelta(seconds=median(lengths)) if lengths else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """Who was affected, by core.impact's formula: for how long within the period, whether now, and what it may cost.

    `usable` is whether all stores can be used now, as far as is known. `watched` is whether any run took place in the
    period, `current` whether one did lately: else nobody knows.
    """

    stakes: Stakes
    time: timedelta
    now: bool
    usable: bool
    watched: bool
    current: bool

    @property
    def users_now(self) -> int | None:
        """How many are affected now; None where nobody knows or nobody said how many they are."""
        if not (self.now or self.current):
            return None
        return self.stakes.users_affected(affected=self.now)

    @property
    def revenue(self) -> float | None:
        """What was at risk within the period; None where nobody knows or nobody said what an hour is worth."""
        if not (self.time or self.watched):
            return None
        return self.stakes.at_risk(self.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What probing asked of a store in the period, from the plan and the runs that took place."""

    store: Store
    operations: float
    rows: float
    payload: float


def events(found: Gathered) -> Events:
    """What happened."""
    period = found.period
    return Events(
        violations=_latest(
            [kept for kept in found.violations if _reaches(kept.opened, kept.closed, period)], lambda kept: kept.opened
        ),
        losses=_latest([loss for loss in found.losses if loss.found >= period.since], lambda loss: loss.found),
        outages=_latest(
            [each for each in found.outages if _reaches(each.began, each.ended, period)], lambda o: o.began
        ),
        restores=_latest([each for each in found.restores if each.declared >= period.since], lambda r: r.declared),
        changes=_latest([each for each in _changes(found.epochs) if each.at >= period.since], lambda each: each.at),
    )


def affected(found: Gathered) -> Affected:
    """For how long users were affected, each moment once."""
    period = found.period
    # Of a probe that no longer runs nobody would see that all is right again: core.impact.broken says the same.
    counts = [kept for kept in found.violations if kept.closed is not None or kept.probe in found.subject.budgets]
    spans: list[Span] = [(kept.opened, kept.closed or period.until) for kept in counts]
    last = looked_last(found)
    unusable = sorted(found.unusable)
    lasts = bool(unusable) and period.until - unusable[-1][1] < _NOW and not _recovered(found)
    if lasts:
        unusable.append(_lasting(found, unusable[-1]))
    return Affected(
        stakes=found.subject.stakes,
        time=within([*spans, *unusable], period.since, period.until),
        now=any(kept.closed is None for kept in counts) or lasts,
        usable=not lasts,
        watched=last is not None,
        current=last is not None and period.until - last <= STALE,
    )


def _lasting(found: Gathered, known: Span) -> Span:
    """A time that lasts, up to now: its end is renewed each minute only, and the ledger saw its beginning sooner."""
    sooner = (each.began for each in found.outages if each.ended is None and known[0] - each.began < _NOW)
    return min([known[0], *sooner]), found.period.until


def _recovered(found: Gathered) -> bool:
    """Whether the stores can be used again, as far as the latest runs say."""
    return bool(found.latest) and all(run.finding.reason not in UNUSABLE for run in found.latest.values())


def costs(found: Gathered) -> list[Cost]:
    """What the runs that took place sent, by store."""
    ran = Counter[str]()
    for rollup in found.counts:
        ran[rollup.probe] += took_place(rollup)
    sent = [(use, ran[probe] * use.share) for probe, uses in found.subject.uses.items() for use in uses]
    return [
        Cost(
            store=store,
            operations=sum(use.times * runs for use, runs in sent if use.store is store),
            rows=sum(use.rows * runs for use, runs in sent if use.store is store),
            payload=sum(use.payload * runs for use, runs in sent if use.store is store),
        )
        for store in sorted({use.store for use, _ in sent})
    ]


def _latest(found: Iterable[T], key: Callable[[T], datetime]) -> list[T]:
    return sorted(found, key=key, reverse=True)


def _reaches(began: datetime, ended: datetime | None, period: Period) -> bool:
    return began < period.until and (ended is None or ended > period.since)


def _changes(epochs: Iterable[Epoch]) -> list[Change]:
    by_place: dict[str, list[Epoch]] = {}
    for epoch in epochs:
        by_place.setdefault(epoch.place, []).append(epoch)
    return [
        Change(at=new.first, place=place, what=_what(old, new), address=new.evidence.address)
        for place, some in by_place.items()
        for old, new in pairwise(some)
    ]


def _what(old: Epoch, new: Epoch) -> str:
    match old.evidence, new.opening or new.evidence:
        case PostgresEvidence() as before, PostgresEvidence() as after if before.system != after.system:
            return "another cluster answered"
        case PostgresEvidence() as before, PostgresEvidence() as after if before.timeline != after.timeline:
            return f"timeline {before.timeline} → {after.timeline}: promoted or restored"
        case RedisEvidence() as before, RedisEvidence() as after if before.run_id != after.run_id:
            return "another process answered, or the same server restarted"
        case RedisEvidence() as before, RedisEvidence() as after if after.flushes > before.flushes:
            return "flushed"
        case RedisEvidence() as before, RedisEvidence() as after if before.replid != after.replid:
            return "its replication history changed: promoted"
        case _:
            return "the server was restarted"
