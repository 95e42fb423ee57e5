"""What was seen of some sessions against what had to be: presence, absence, leases, updates, and the controls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from monitor.core import confirmation, session
from monitor.core.confirmation import Judgement, Reading
from monitor.core.expiry import Lease, Removals, Sight, judge_lease
from monitor.core.session import Session
from monitor.core.verdict import Finding, Kind, Violation

CLOCK_GAP = 1.0  # seconds; a clock that is slewed moves by milliseconds in a run, one that is stepped by more
NOTHING_REMOVED = Removals(evicted=0, expired=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at some keys in one pipeline: the raw values in the order asked, each with its sight."""

    values: tuple[bytes | None, ...]
    sights: tuple[Sight, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """What a look at one key has to find: this session, under this lease, with so many acknowledged increments."""

    session: Session
    lease: Lease
    increments: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One look at some sessions: what had to be there, and what was."""

    name: str
    musts: tuple[Must, ...]
    reading: Reading[Look]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The last part of a scenario, which is reached where all before it was right.

    `damaged` is the value after this run damaged it, the control of the detector. `expired` and `deleted` look first
    at a key that must be gone, then at one that must be there, the control of absence.
    """

    own: Session
    damaged: Look
    brief: Lease
    expired: Reading[Look]
    deleted: Reading[Look]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one run saw. `removals` happened on the server meanwhile.

    `clock_gap` is by how many seconds the server's clock ran ahead of the monotonic one during the run.
    """

    sightings: tuple[Sighting, ...]
    removals: Removals
    clock_gap: float
    ending: Ending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Misrouting:
    """Replies that belonged to other requests; the second scenario was carried out on new connections."""

    first: str
    second: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Judges what a run saw. `counter` is the one that was incremented; `tolerance` of expiries is in seconds."""

    counter: str
    tolerance: float

    def __call__(self, seen: Seen | Misrouting) -> Finding:
        """Each look against what had to be there; then what had to be gone, beside what had to stay."""
        if isinstance(seen, Misrouting):
            return confirmation.conclude([_judge_misrouting(seen)], checks=1)
        judgements = [
            confirmation.judge(sighting.name, sighting.reading, partial(self.wrong, sighting.musts, seen.removals))
            for sighting in seen.sightings
        ]
        if seen.ending is not None:
            judgements += self._judge_ending(seen.ending)
        if abs(seen.clock_gap) > CLOCK_GAP:
            doubt = (
                f"the server's clock moved by {seen.clock_gap:+.1f} s against a monotonic one, so times prove nothing"
            )
            judgements = [Judgement(doubt=doubt)]
        return confirmation.conclude(judgements, checks=len(judgements))

    def _judge_ending(self, ending: Ending) -> Iterator[Judgement]:
        outlived = partial(self._outlived, ending.brief)
        for name, reading, check in (
            ("after its time", ending.expired, outlived),
            ("after deletion", ending.deleted, partial(_resurrected, ending.own)),
        ):
            yield confirmation.judge(name, reading, check)
            if not reading.first.sights[1].present:
                yield Judgement(doubt=f"{name}: the session beside is not visible, so absence proves nothing")
        damaged = ending.damaged.values[0]
        if damaged is None or not any(session.compare(ending.own, damaged)):
            yield Judgement(doubt="the damage that was done on purpose was not seen")

    def wrong(self, musts: tuple[Must, ...], removals: Removals, look: Look) -> Iterator[Violation]:
        """All that one look at some sessions shows to be wrong."""
        for must, value, sight in zip(musts, look.values, look.sights, strict=True):
            yield from judge_lease(must.lease, sight, removals, tolerance=self.tolerance)
            if value is None:
                continue
            differences = tuple(session.compare(must.session, value))
            yield from differences
            if not differences:  # the counters of a value that is damaged, or somebody else's, prove nothing
                yield from session.compare_counter(must.session, value, self.counter, acknowledged=must.increments)

    def _outlived(self, brief: Lease, look: Look) -> Iterator[Violation]:
        return judge_lease(brief, look.sights[0], NOTHING_REMOVED, tolerance=self.tolerance)


def _resurrected(deleted: Session, look: Look) -> Iterator[Violation]:
    if look.sights[0].present:
        yield Violation(
            kind=Kind.RESURRECTED,
            subject="the deleted session",
            expected="absent",
            actual="present",
            evidence={"key": deleted.key},
        )


def _judge_misrouting(seen: Misrouting) -> Judgement:
    if seen.second is None:
        return Judgement(doubt=f"{seen.first}; on new connections it did not happen again")
    violation = Violation(
        kind=Kind.MISROUTED,
        subject="a reply of Redis",
        expected="the nonce of its own request",
        actual=seen.first,
        evidence={"again": seen.second},
    )
    return Judgement(violations=(violation,))
