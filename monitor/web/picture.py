"""What is known of an environment at this moment: the one picture that the page, the API and health all show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from monitor.core import duration
from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord
from monitor.core.slo import ErrorBudget
from monitor.core.verdict import Reason, Verdict, worst
from monitor.core.violations import KeptViolation
from monitor.exposition import Turns
from monitor.ports import Store
from monitor.probe import Probe
from monitor.web.answers import Fault, missing, moment
from monitor.web.daemon import Daemon, Resting, Watched
from monitor.web.listing import Entry, Listing, Wanted, listed

_RIGHT = (Verdict.OK, Verdict.SLOW)
OVERDUE = 3
"""A verdict is called overdue when no run has replaced it for so many intervals: one may be late, two are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePicture:
    """One probe of one environment. What has not run is unknown, never ok.

    `resting` is the store that it needs and that is left alone: an ok from before says nothing of it. `overdue` is a
    verdict that is older than it should be, though nobody paused probing; `outdated` an ok that counts no more.
    """

    probe: Probe[Any]
    latest: RunRecord | None
    age: timedelta | None
    paused: bool
    resting: tuple[Store, Resting] | None
    overdue: bool
    outdated: bool

    @property
    def verdict(self) -> Verdict:
        """The verdict of the latest run; that all was right counts only as long as somebody keeps looking."""
        return Verdict.UNKNOWN if self.latest is None or self.outdated else self.latest.finding.verdict

    @property
    def reason(self) -> Reason | None:
        """Why one cannot tell."""
        if self.outdated and self.resting and not self.paused:
            return self.resting[1].reason
        if self.outdated:
            return Reason.PAUSED if self.paused else Reason.MISSED
        return self.latest.finding.reason if self.latest else None

    @property
    def message(self) -> str:
        """The latest run in words, where there is something to say."""
        if self.latest is None:
            return "has not run yet, because probing is paused" if self.paused else "has not run yet"
        if self.outdated and self.resting and not self.paused:
            store, rest = self.resting
            return f"{store} is left alone, because a run failed: {rest.message}"
        if self.outdated:
            why = "probing is paused" if self.paused else "no run has ended for too long"
            return f"{why}; the latest was {self.latest.verdict}"
        return self.latest.finding.message

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the latest run did not check, and why: an absence is never shown as ok."""
        return self.latest.finding.left_out if self.latest else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One environment: its probes, the violations that stand, the latest opened first, its pause, and what rests.

    `resting` has the stores that are left alone because runs against them failed, `ledgers` what the ledgers say,
    `budget` what is left of the error budget, where an objective is set.
    """

    watched: Watched
    probes: Mapping[str, ProbePicture]
    violations: tuple[KeptViolation, ...]
    paused_until: datetime | None
    resting: Mapping[Store, Resting]
    ledgers: Mapping[Store, Standing]
    budget: ErrorBudget | None

    @property
    def verdict(self) -> Verdict:
        """The worst of its probes' verdicts; unknown where no probe runs at all."""
        return worst(probe.verdict for probe in self.probes.values())

    @property
    def worst_first(self) -> Sequence[tuple[str, ProbePicture]]:
        """Its probes, as somebody wants to read them; by name where they stand alike."""
        return sorted(self.probes.items(), key=lambda each: (-each[1].verdict.gravity, each[0]))

    @property
    def well(self) -> bool:
        """Whether every promise was kept by the latest runs, however slowly."""
        return self.verdict in _RIGHT


async def overview(daemon: Daemon, wanted: Wanted, turns: Turns) -> tuple[Listing, list[Watched]]:
    """Which environments a page shows; others have their turns meanwhile."""
    environments, verdicts, entries = daemon.environments(), Verdicts(daemon), []
    for name, watched in environments.items():
        entries.append(Entry(name=name, verdict=verdicts.of(watched), labels=watched.labels))
        await turns.give()
    listing = listed(entries, wanted)
    return listing, [environments[name] for name in listing.names]


class Verdicts:
    """The verdicts of environments' pictures at one moment, without the pictures: of a thousand in some 10 ms."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon, self._now = daemon, daemon.clock.now()
        self._since: dict[int, datetime] = {}  # by a probe's id, for environments share probes: what is older is stale

    def of(self, watched: Watched) -> Verdict:
        """The verdict of one environment."""
        latest, resting = self._daemon.journal.latest(watched.name), self._daemon.resting(watched.name)
        paused, gravest = self._daemon.paused_until(watched.name) is not None, None
        for name, probe in watched.probes.items():
            record = latest.get(name)
            verdict = Verdict.UNKNOWN if record is None else record.finding.verdict
            if (
                record is not None
                and verdict in _RIGHT
                and (paused or self._is_stale(probe, record) or _rests(probe, watched, resting))
            ):
                verdict = Verdict.UNKNOWN
            if gravest is None or (verdict is not gravest and verdict.gravity > gravest.gravity):
                gravest = verdict
        return gravest or Verdict.UNKNOWN

    def _is_stale(self, probe: Probe[Any], record: RunRecord) -> bool:
        since = self._since.get(id(probe))
        if since is None:
            since = self._since[id(probe)] = self._now - _patience(probe)
        return record.started + record.took < since


def _patience(probe: Probe[Any]) -> timedelta:
    """The age beyond which a verdict is stale."""
    return OVERDUE * probe.every + probe.timeout


def _rests(probe: Probe[Any], watched: Watched, resting: Mapping[Store, Resting]) -> tuple[Store, Resting] | None:
    """The store that a probe needs and that is left alone."""
    if not resting:
        return None
    return next(((store, resting[store]) for store in probe.needs_in(watched.around) if store in resting), None)


def _probe(
    probe: Probe[Any], latest: RunRecord | None, now: datetime, *, paused: bool, resting: tuple[Store, Resting] | None
) -> ProbePicture:
    age, overdue, outdated = None, False, False
    if latest is not None:
        age = max(timedelta(), now - latest.started - latest.took)
        verdict = latest.finding.verdict
        overdue = not paused and verdict is not Verdict.UNKNOWN and age > _patience(probe)
        outdated = verdict in _RIGHT and (paused or overdue or resting is not None)
    return ProbePicture(
        probe=probe, latest=latest, age=age, paused=paused, resting=resting, overdue=overdue, outdated=outdated
    )


def picture(daemon: Daemon, watched: Watched) -> Picture:
    """What is known of an environment now."""
    now = daemon.clock.now()
    paused_until = daemon.paused_until(watched.name)
    latest = daemon.journal.latest(watched.name)
    resting = daemon.resting(watched.name)
    paused = paused_until is not None
    probes = {
        name: _probe(probe, latest.get(name), now, paused=paused, resting=_rests(probe, watched, resting))
        for name, probe in watched.probes.items()
    }
    standing = tuple(daemon.journal.standing(watched.name))
    return Picture(
        watched=watched,
        probes=probes,
        violations=standing,
        paused_until=paused_until,
        resting=resting,
        ledgers=daemon.ledgers(watched.name),
        budget=daemon.budget(watched.name),
    )


def find_environment(daemon: Daemon, name: str) -> Watched:
    """A watched environment by its name. Raises Fault, which names the nearest one."""
    environments = daemon.environments()
    if name not in environments:
        raise missing("environment", name, environments)
    return environments[name]


def find_probe(watched: Watched, name: str) -> Probe[Any]:
    """A probe that runs against an environment. Raises Fault, which says why it does not, or names the nearest one."""
    if name in watched.left_out:
        why = f"{name} does not run against {watched.name}: {watched.left_out[name]}"
        raise Fault(404, why, do=f"probes that run there: {', '.join(sorted(watched.probes)) or 'none'}")
    if name not in watched.probes:
        raise missing(f"probe of {watched.name}", name, watched.probes)
    return watched.probes[name]


async def find_violation(daemon: Daemon, id_: str) -> KeptViolation:
    """A violation by its id or the beginning of it. Raises Fault, and StateError if only the state database knows.

    One that stands and is named in full is found even while the state database does not answer.
    """
    for kept in daemon.journal.standing():
        if kept.id == id_:
            return kept
    found = [kept for kept in await daemon.journal.violations() if kept.id.startswith(id_)]
    if len(found) == 1:
        return found[0]
    if found:
        raise Fault(404, f"{len(found)} violations begin with {id_[:64]!r}", do="give more characters of the id")
    raise Fault(
        404,
        f"there is no violation {id_[:64]!r}",
        do="GET /api/v1/violations lists all; closed ones are forgotten after a while",
    )


def pause_text(until: datetime, now: datetime) -> str:
    """A pause in words."""
    left = timedelta(seconds=max(0, round((until - now).total_seconds())))
    return f"paused for another {duration.text(left)}, until {moment(until)}"
