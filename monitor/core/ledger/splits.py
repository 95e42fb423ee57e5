"""Two nodes of one system that take writes at the same time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from monitor.core.ledger.entries import Entry
from monitor.core.ledger.evidence import Epoch, Evidence, PostgresEvidence, RedisEvidence
from monitor.core.ledger.look import Look


def two_primaries(look: Look) -> tuple[tuple[str, Evidence], ...]:
    """Places other than the primary's that take writes of the same system while the primary does."""
    primary = (look.second or look.first).evidence
    if not (look.first.evidence.writable and primary.writable and same_process(look.first.evidence, primary)):
        return ()
    return tuple(
        (place, evidence)
        for place, evidence in sorted(look.elsewhere.items())
        if evidence.writable and related(primary, evidence) and not same_process(primary, evidence)
    )


def split_between(look: Look, before: Epoch | None, after: Epoch | None) -> str:
    """The evidence that the server before and the one after took writes at overlapping times; empty where none is."""
    if before is None or after is None or same_process(before.evidence, after.evidence):
        return ""
    if not related(before.evidence, after.evidence):
        return ""
    for place, evidence in two_primaries(look):
        return f"{place} ({named(evidence)}) takes writes while the primary ({named(after.evidence)}) does"
    ended = _last(look, before.evidence)
    begun = min((epoch.first for epoch in _seen_as(look, after.evidence)), default=after.first)
    if ended is None or ended <= begun:
        return ""
    seconds = (ended - begun).total_seconds()
    late = f"{seconds:.2g} s after {named(after.evidence)} was seen to take them"
    return f"{named(before.evidence)} still took writes {late}"


def same_process(one: Evidence, other: Evidence) -> bool:
    """Whether both are one server between two of its starts, and on one history."""
    match one, other:
        case PostgresEvidence(), PostgresEvidence():
            return (one.system, one.timeline, one.started) == (other.system, other.timeline, other.started)
        case RedisEvidence(), RedisEvidence():
            return (one.run_id, one.replid) == (other.run_id, other.replid)
    return False


def related(one: Evidence, other: Evidence) -> bool:
    """Whether both come from one set of data."""
    match one, other:
        case PostgresEvidence(), PostgresEvidence():
            return one.system == other.system
        case RedisEvidence(), RedisEvidence():
            return bool({one.replid, one.replid2} & {other.replid, other.replid2} - {"", "0" * 40})
    return False


def named(evidence: Evidence) -> str:
    """A node, as a person on call looks for it."""
    if isinstance(evidence, PostgresEvidence):
        return f"{evidence.address}, timeline {evidence.timeline}"
    return f"{evidence.address}, run {evidence.run_id[:8]}"


def _seen_as(look: Look, evidence: Evidence) -> Iterable[Epoch]:
    return (epoch for epoch in look.epochs if epoch.evidence.writable and same_process(epoch.evidence, evidence))


def _last(look: Look, evidence: Evidence) -> datetime | None:
    """When a node was last known to take writes: seen to, or by an acknowledgement."""
    epochs = {epoch.id: epoch for epoch in _seen_as(look, evidence)}
    writes: Iterable[Entry] = (*look.entries, *look.moves)
    acknowledged = [e.answered for e in writes if e.owed and e.epoch in epochs and e.answered is not None]
    return max((*(epoch.last for epoch in epochs.values()), *acknowledged), default=None)
