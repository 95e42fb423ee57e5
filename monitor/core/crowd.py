"""Many users at once through one pool: what each found in its server connection, and what it read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from monitor.core import confirmation
from monitor.core.confirmation import Reading
from monitor.core.verdict import Finding, Json, Kind, Reason, Verdict, Violation

CUT = 1_000_000
"""Registers from this number on were written by transactions whose connections were cut before COMMIT."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One register as it was read: its number, whose it is, and its value."""

    number: int
    user: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one transaction of a user read: its own nonce, who the server took it for, every register that it saw.

    `unbound` says why row-level security does not bind the role, where that is so: all see everything then.
    """

    nonce: str
    acting_as: str
    registers: tuple[Register, ...]
    unbound: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One user's connection from its beginning to its end.

    `dirt` is what others had left in the server connection, in words, read before anything was set; if there is any,
    nothing else was asked, for it would prove nothing. `expected` is how often the user's own register, of number
    `number`, had been counted up by acknowledged transactions.
    """

    number: int
    user: str
    dirt: tuple[str, ...]
    nonce: str
    answer: Answer | None
    expected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """All users at the same time. `at_once` is how many of them had a server connection at one moment."""

    at_once: int
    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Two waves, between which connections were cut, each with another wave on new connections where it was wrong."""

    before: Reading[Wave]
    after: Reading[Wave] | None


def judge(seen: Seen) -> Finding:
    """Both waves, and whether the pool was large enough for the crowd."""
    readings = {"users at once": seen.before, "users at once after a cut": seen.after}
    judgements = [
        confirmation.judge(name, reading, compare) for name, reading in readings.items() if reading is not None
    ]
    fewest = min(reading.first.at_once for reading in readings.values() if reading is not None)
    users = len(seen.before.first.visits)
    small = f"the pool gave only {fewest} of {users} users a connection at the same time"
    left_out = [small] if fewest < users else []
    finding = confirmation.conclude(judgements, checks=len(judgements), left_out=left_out)
    if finding.verdict is not Verdict.VIOLATED and (unbound := _unbound(readings.values())):
        why = f"{unbound}, whom row-level security does not bind, so that nothing tells what users see of each other"
        advice = "name a role of its own in the configuration; see `holdfast setup ENVIRONMENT --print`"
        return Finding.unknown(Reason.MISCONFIGURED, f"{why} ({advice})", checks=len(judgements), left_out=left_out)
    return finding


def _unbound(readings: Iterable[Reading[Wave] | None]) -> str:
    """Why row-level security does not bind the role, if it does not."""
    waves = [wave for reading in readings if reading is not None for wave in (reading.first, reading.second) if wave]
    answers = [visit.answer for wave in waves for visit in wave.visits if visit.answer is not None]
    return next((answer.unbound for answer in answers if answer.unbound), "")


def compare(wave: Wave) -> Iterator[Violation]:
    """All that is wrong with a wave."""
    for visit in wave.visits:
        if visit.dirt:
            yield Violation(
                kind=Kind.LEAKED,
                subject="the session state of a pooled server connection",
                expected="as role and database set it, for nobody had set anything yet",
                actual=f"left by another client: {', '.join(visit.dirt)}",
                evidence={"user": visit.user, "left": [*visit.dirt]},
            )
        if visit.answer is None:
            continue
        if visit.answer.nonce != visit.nonce:
            yield Violation(
                kind=Kind.MISROUTED,
                subject=f"a reply to user {visit.number}",
                expected=f"nonce {visit.nonce}",
                actual=f"nonce {visit.answer.nonce[:60]}",
            )
        else:
            yield from _compare_answer(visit, visit.answer)


def _compare_answer(visit: Visit, answer: Answer) -> Iterator[Violation]:
    mine: Mapping[str, Json] = {"user": visit.user, "register": visit.number}
    if answer.acting_as != visit.user:
        yield Violation(
            kind=Kind.LEAKED,
            subject=f"the transaction of user {visit.number}",
            expected=f"acts as {visit.user}",
            actual="acts as somebody else",
            evidence=mine,
        )
    own: int | None = None
    for register in answer.registers:
        if register.number >= CUT:
            yield Violation(
                kind=Kind.PHANTOM,
                subject=f"register {register.number}",
                expected="absent, for its connection was cut before COMMIT",
                actual="present",
                evidence=mine,
            )
        elif register.user != visit.user:
            if answer.unbound:
                continue
            yield Violation(
                kind=Kind.LEAKED,
                subject=f"register {register.number} of {register.user}",
                expected=f"not visible to {visit.user}",
                actual="visible",
                evidence=mine,
            )
        elif register.number == visit.number:
            own = register.value
    if own is None:
        yield Violation(
            kind=Kind.LOST,
            subject=f"register {visit.number}",
            expected="present",
            actual="absent",
            evidence=mine,
        )
    elif own != visit.expected:
        yield Violation(
            kind=Kind.LOST_UPDATE if own < visit.expected else Kind.DUPLICATED,
            subject=f"register {visit.number}",
            expected=f"{visit.expected} acknowledged increments",
            actual=str(own),
            evidence=mine,
        )
