"""How what was found is told: subjects that name the record, doubts, and what was not checked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, timedelta

from monitor.core.duration import between
from monitor.core.ledger.entries import Entry, Fate, Mark, content_of, digest_of
from monitor.core.ledger.evidence import as_json
from monitor.core.ledger.found import Loss
from monitor.core.ledger.gaps import Gaps
from monitor.core.ledger.look import Look
from monitor.core.ledger.sorting import Sorted
from monitor.core.ledger.splits import named, two_primaries
from monitor.core.verdict import Kind, Violation

LONG = 3600.0
"""After how many seconds without a move the ledger of another daemon counts as given up."""

_KINDS = {Fate.CORRUPT: Kind.CORRUPT, Fate.PHANTOM: Kind.PHANTOM, Fate.RESURRECTED: Kind.RESURRECTED}


def violation(loss: Loss) -> Violation:
    """A loss as a violation: how many writes, why, since when, and for how much time, each where it is known."""
    return Violation(
        kind=Kind.LOST,
        subject=counted(loss),
        expected="there, as acknowledged",
        actual="; ".join(_told(loss)),
        evidence=loss.details,
        since=loss.found,
    )


def counted(loss: Loss) -> str:
    """Which writes were lost: `3 acknowledged writes to postgres, numbers 7 to 9, 1 of them a record`."""
    writes = f"{loss.writes:,} acknowledged write{'s' if loss.writes != 1 else ''} to {loss.store}"
    numbers = f"number {loss.first.n}" if loss.first == loss.last else f"numbers {loss.first.n} to {loss.last.n}"
    return f"{writes}, {numbers}{_records(loss)}"


def damaged(look: Look, entry: Entry, fate: Fate) -> Violation:
    """A record that is there and should not be so."""
    digest = look.first.digests.get(entry.mark, "")
    intact = digest_of(content_of(entry.environment, entry.store, entry.mark))
    expected, actual = {
        Fate.PHANTOM: ("absent: the server had refused it", f"there, with digest {digest}"),
        Fate.RESURRECTED: ("absent: its deletion was acknowledged", f"there, with digest {digest}"),
    }.get(fate, (f"digest {intact}", f"digest {digest}"))
    return Violation(
        kind=_KINDS[fate],
        subject=f"record {entry.mark} of {look.store}",
        expected=expected,
        actual=actual,
        evidence={
            "state": str(entry.state),
            "intended": entry.intended.isoformat(),
            "answered": entry.answered.isoformat() if entry.answered is not None else None,
            "verified": entry.verified.isoformat() if entry.verified is not None else None,
            "weak": entry.weak,
            "server": as_json((look.second or look.first).evidence),
        },
    )


def unintended(look: Look, strays: Iterable[Mark], ahead: Iterable[Mark]) -> Iterable[Violation]:
    """What is there although nobody had intended to write it."""
    for mark in strays:
        digest = look.first.digests[mark]
        yield Violation(
            kind=Kind.PHANTOM,
            subject=f"record {mark} of {look.store}",
            expected="absent: it was never written",
            actual=f"there, with digest {digest}",
            evidence={"server": as_json(look.first.evidence)},
        )
    for mark in ahead:
        yield Violation(
            kind=Kind.PHANTOM,
            subject=f"the register of {look.store}",
            expected="a mark that was written",
            actual=f"{mark}, which was not",
            evidence={"server": as_json(look.first.evidence)},
        )


def diverged(look: Look) -> Iterable[Violation]:
    """Nodes that take writes beside the primary."""
    primary = (look.second or look.first).evidence
    for place, evidence in two_primaries(look) if look.second is not None else ():
        yield Violation(
            kind=Kind.DIVERGED,
            subject=f"{look.store} and {place}",
            expected="one node that takes writes",
            actual=f"two: {named(primary)}; {named(evidence)}",
            evidence={"primary": as_json(primary), place: as_json(evidence)},
        )


def doubt(look: Look, found: Sorted, events: Gaps) -> str:
    """Why something that looked wrong could not be confirmed; empty where nothing was."""
    seen: dict[str, int] = {}
    for _, fate in found.doubtful:
        seen[fate] = seen.get(fate, 0) + 1
    if found.doubtful_strays:
        seen[Fate.PHANTOM] = seen.get(Fate.PHANTOM, 0) + len(found.doubtful_strays)
    said = [f"{count} records of {look.store} looked {fate}, and {_why(look)}" for fate, count in sorted(seen.items())]
    said += [
        f"the register of {look.store} held {broken.first or 'nothing'}, and a new connection "
        + (f"read {broken.second or 'nothing'}" if broken.writable else "did not reach a node that takes writes")
        for broken in events.unsure
    ]
    return "; ".join(said)


def left_out(look: Look, found: Sorted, events: Gaps, *, excused: int) -> Iterable[str]:
    """What was seen and not checked."""
    for series, count in sorted(found.foreign.items()):
        yield f"{count:,} records of {look.store} are of another state file (series {series}): not verified"
    if excused:
        yield (
            f"{excused:,} records of {look.store} whose time ended while another state file was in use are not there: "
            "its daemon may have deleted them"
        )
    for mark in events.foreign:
        yield f"the register of {look.store} held {mark} of another state file: what that one had written is not known"
    for daemon, records, idle in look.first.others:
        if idle >= LONG:
            yield (
                f"{records:,} records of a ledger in {look.store} that nobody keeps any more (daemon {daemon}) "
                "are no longer verified"
            )


def standby(look: Look) -> str:
    """Why nothing can be told of a look at a node that takes no writes."""
    node = look.first.evidence.address
    return f"the look at {look.store} was at {node}, which takes no writes: what is missing there proves nothing"


def _told(loss: Loss) -> Iterable[str]:
    """What happened, at which moment, and what it took; lengths only where both their bounds are known."""
    yield f"gone: {loss.cause.replace('_', ' ')}, found at {loss.found.astimezone(UTC):%H:%M:%S} UTC"
    if loss.suffix:
        which = "all that there were" if loss.details.get("emptied") else "the latest ones"
        yield f"writes of {between(loss.least, loss.most)} are lost, {which}"
    else:
        yield "later ones are kept"
    outages = loss.details.get("rto_seconds")
    match outages.get("write") if isinstance(outages, dict) else None:
        case {"least": float(least), "most": float(most)}:
            yield f"no writes for {between(timedelta(seconds=least), timedelta(seconds=most))}"


def _records(loss: Loss) -> str:
    if not loss.records:
        return ""
    if loss.writes == 1:
        return ", a record"
    which = "all" if loss.records == loss.writes else f"{loss.records:,}"
    return f", {which} of them {'a record' if loss.records == 1 else 'records'}"


def _why(look: Look) -> str:
    if look.second is None:
        return "there was no second look"
    if not look.second.evidence.writable:
        return f"the second look was at {look.second.evidence.address}, which takes no writes"
    return "a second look on a new connection did not confirm it"
