"""How much a loss took away and how long work was not possible: recovery point and recovery time, as bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.ledger.entries import Entry
from monitor.core.ledger.found import Outage
from monitor.core.ledger.gaps import Gap
from monitor.core.ledger.ladder import since
from monitor.core.verdict import Json

NONE = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much a gap took away: `records` is exact, `writes` counts them and the moves of the register.

    `least` and `most` bound the recovery point: the time between the last acknowledged write that is kept and the last
    that is lost. A write of somebody else, acknowledged between two of ours, may be the one or the other. Both are
    nothing where later writes are kept, for then nothing went back to a point in time.
    """

    records: int
    writes: int
    weak: int
    least: timedelta
    most: timedelta


def extent(gap: Gap) -> Extent:
    """What a gap comes to."""
    first, last = gap.lost[0], gap.lost[-1]
    kept = first.intended if gap.kept is None else kept_at(gap.kept)
    return Extent(
        records=sum(entry.identified for entry in gap.lost),
        writes=len(gap.lost),
        weak=sum(entry.weak for entry in gap.lost),
        least=since(last) - since(first) if gap.suffix else NONE,
        most=max(since(last) - kept, NONE) if gap.suffix else NONE,
    )


def recovery_time(outages: Iterable[Outage], *, since_last: datetime, found: datetime) -> dict[str, Json]:
    """For each operation the longest outage that touches the time between the last write that is lost and its finding.

    `least` is how long it surely did not work, `most` the time between the last moment at which it surely worked and
    the first at which it did again; `most` is None while it lasts.
    """
    longest: dict[str, Outage] = {}
    for outage in outages:
        touches = outage.began <= found and (outage.ended is None or outage.ended >= since_last)
        if touches and (outage.operation not in longest or outage.most > longest[outage.operation].most):
            longest[outage.operation] = outage
    return {
        operation: {
            "least": longest[operation].least.total_seconds(),
            "most": None if longest[operation].ended is None else longest[operation].most.total_seconds(),
        }
        for operation in sorted(longest)
    }


def kept_at(kept: Entry) -> datetime:
    """When what is kept was surely not yet lost; of a write whose answer was lost only its intent is known."""
    return since(kept) if kept.owed else kept.intended
