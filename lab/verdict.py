"""Whether what Holdfast says is what happened. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from lab.said import Entry, Said
from lab.truth import Truth

ONCE_ACKED = frozenset({"acked", "retiring", "retired"})
HEADINGS = (
    "scenario",
    "lost acks: truth",
    "Holdfast's writes lost: truth",
    "said",
    "cause",
    "RPO s: truth",
    "said",
    "RTO s: truth",
    "said",
    "tick of the truth, s",
    "right?",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What became of Holdfast's own writes, by the marks that a trigger of the lab noted and by SQL.

    `writes` were acknowledged and their marks are not there, `records` are the identified ones of these. `differing`
    are those records that still should be there and are lost and not called so, or the other way round.
    """

    writes: int
    records: int
    differing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One scenario: the truth, what was said, and each difference as a sentence."""

    title: str
    truth: Truth
    own: Own
    said: Said
    complaints: tuple[str, ...]


def own_writes(entries: Sequence[Entry], *, marks: Collection[str], records: Collection[str]) -> Own:
    """Hold the ledger against the marks and the records that are there. What came before the first mark is unknown."""
    marked, there = set(marks), set(records)
    first = min((entry.n for entry in entries if entry.mark in marked), default=0)
    # One whose answer was lost is retired in the end, too, but it has no moment of an answer.
    acked = [
        entry for entry in entries if entry.state in ONCE_ACKED and entry.answered is not None and entry.n >= first
    ]
    owed = [entry for entry in acked if entry.identified and entry.state == "acked"]
    return Own(
        writes=sum(entry.mark not in marked for entry in acked),
        records=sum(entry.mark not in marked for entry in acked if entry.identified),
        differing=sum((entry.mark in there) == (entry.fate == "lost") for entry in owed),
    )


def complaints(truth: Truth, own: Own, said: Said, *, lossless: bool, tick: float) -> tuple[str, ...]:
    """What is not as it should be. `tick` is the time between two moves of Holdfast's register, in seconds."""
    grain = tick + truth.tick
    return (*_of_the_lab(truth, own, lossless=lossless), *_of_what(own, said), *_of_time(truth, said, grain=grain))


def _of_the_lab(truth: Truth, own: Own, *, lossless: bool) -> Iterator[str]:
    if truth.alien:
        yield f"{truth.alien} rows are there that nobody wrote: the lab itself is wrong"
    if lossless and (truth.lost or own.writes):
        yield f"{truth.lost} rows and {own.writes} of Holdfast's writes are lost, where nothing acknowledged may be"


def _of_what(own: Own, said: Said) -> Iterator[str]:
    if more := set(said.kinds) - {"lost"}:
        yield f"violations were reported that did not happen: {', '.join(sorted(more))}"
    if bool(own.writes) != ("lost" in said.kinds):
        yield f"{own.writes} of Holdfast's writes are lost, and its violations are: {', '.join(said.kinds) or 'none'}"
    if own.differing:
        yield f"{own.differing} records are lost and not called so, or the other way round"
    if said.writes != own.writes:
        yield f"{own.writes} of Holdfast's writes are lost, and it counts {said.writes}"
    if said.records != own.records:
        yield f"{own.records} records are lost, and it counts {said.records}"
    for loss in said.losses:
        if loss.cause != "failover":
            yield f"the cause is a failover, and it says {loss.cause}"


def _of_time(truth: Truth, said: Said, *, grain: float) -> Iterator[str]:
    if not said.losses and truth.recovery_point > grain:
        yield f"rows of {truth.recovery_point:.2f} s are lost, and it says nothing of that"
    for loss in said.losses:
        if not loss.least - grain <= truth.recovery_point <= loss.most + grain:
            yield f"RPO is {truth.recovery_point:.2f} s, not {loss.least:.2f} to {loss.most:.2f}"
    if said.outage is None:
        if truth.recovery_time > 2 * grain:
            yield f"no write was possible for {truth.recovery_time:.2f} s, and it says nothing of that"
    elif not said.outage.least - grain <= truth.recovery_time <= said.outage.most + grain:
        yield f"RTO is {truth.recovery_time:.2f} s, not {said.outage.least:.2f} to {said.outage.most:.2f}"


def table(results: Sequence[Result]) -> str:
    """The results as a table of Markdown."""
    rows = [HEADINGS, tuple("---" for _ in HEADINGS), *(_row(result) for result in results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(result: Result) -> tuple[str, ...]:
    truth, own, said = result.truth, result.own, result.said
    return (
        result.title,
        f"{truth.lost} of {truth.acked}",
        f"{own.writes} ({own.records} records)",
        f"{said.writes} ({said.records} records)",
        ", ".join(loss.cause for loss in said.losses) or "none",
        f"{truth.recovery_point:.2f}",
        ", ".join(f"{loss.least:.2f}-{loss.most:.2f}" for loss in said.losses) or "none",
        f"{truth.recovery_time:.2f}",
        f"{said.outage.least:.2f}-{said.outage.most:.2f}" if said.outage else "none",
        f"{truth.tick:.2f}",
        "no" if result.complaints else "yes",
    )
