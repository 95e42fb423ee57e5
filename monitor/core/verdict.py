"""What a run can end in, which promises can be broken, and why one sometimes cannot tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Self, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
"""A value that JSON can carry; evidence is made of nothing else, so that it can be kept and shown."""


class Verdict(StrEnum):
    """The four ends of a run, in order of gravity. `unknown` is never counted as ok nor as a violation."""

    OK = "ok"
    SLOW = "slow"
    UNKNOWN = "unknown"
    VIOLATED = "violated"

    @property
    def gravity(self) -> int:
        """0 for ok, 3 for violated."""
        return _GRAVITY[self]


_GRAVITY: Mapping[Verdict, int] = {verdict: place for place, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest of some verdicts; of none at all it is `unknown`, for nothing was seen."""
    return max(verdicts, key=lambda verdict: verdict.gravity, default=Verdict.UNKNOWN)


class Kind(StrEnum):
    """The closed set of broken promises."""

    LOST = "lost"
    CORRUPT = "corrupt"
    REORDERED = "reordered"
    DUPLICATED = "duplicated"
    PHANTOM = "phantom"
    TORN = "torn"
    STALE = "stale"
    DIVERGED = "diverged"
    LATE = "late"
    LEAKED = "leaked"
    RESURRECTED = "resurrected"
    TTL_MISSING = "ttl_missing"
    TTL_EARLY = "ttl_early"
    TTL_LATE = "ttl_late"
    EVICTED = "evicted"
    LOST_UPDATE = "lost_update"
    DIRTY_WRITE = "dirty_write"
    ABORTED_READ = "aborted_read"
    INTERMEDIATE_READ = "intermediate_read"
    CIRCULAR_FLOW = "circular_flow"
    READ_SKEW = "read_skew"
    WRITE_SKEW = "write_skew"
    MISROUTED = "misrouted"


class Reason(StrEnum):
    """The closed set of causes for not being able to tell."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    READ_ONLY = "read_only"
    CAPACITY = "capacity"
    MISCONFIGURED = "misconfigured"
    INCONCLUSIVE = "inconclusive"
    PAUSED = "paused"
    MISSED = "missed"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken promise: what, of which thing, and what was expected and found instead.

    `subject` names the thing ("message 3 of 7 after reload"); `expected` and `actual` are sentences or digests
    short enough to read at night; `evidence` holds the rest that somebody needs in order to act. `since` is when it was
    found first, where the probe remembers that: what came after an acknowledgement is not what was acknowledged.
    """

    kind: Kind
    subject: str
    expected: str
    actual: str
    evidence: Mapping[str, Json] = field(default_factory=dict)
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a judge says of one run. Made only by the three constructors below, so that no verdict lacks its ground.

    `place` is the way into a store that could not be asked, where that is why nothing could be told. `left_out` says
    what was not checked and why, a sentence each: an absence is never shown as ok.
    """

    verdict: Verdict
    checks: int = 0
    violations: tuple[Violation, ...] = ()
    reason: Reason | None = None
    message: str = ""
    place: str = ""
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, violations: Iterable[Violation], *, checks: int, left_out: Iterable[str] = ()) -> Self:
        """Violated if there is any violation, each counted once, else ok; `checks` integrity checks were completed."""
        found = tuple({(v.kind, v.subject, v.expected, v.actual): v for v in violations}.values())
        if not found:
            return cls(verdict=Verdict.OK, checks=checks, left_out=tuple(left_out))
        message = "; ".join(f"{v.kind}: {v.subject}: expected {v.expected}, found {v.actual}" for v in found[:3])
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""  # noqa: PLR2004  three fit into a line
        return cls(
            verdict=Verdict.VIOLATED,
            checks=checks,
            violations=found,
            message=message + more,
            left_out=tuple(left_out),
        )

    @classmethod
    def unknown(
        cls, reason: Reason, message: str, *, checks: int = 0, place: str = "", left_out: Iterable[str] = ()
    ) -> Self:
        """Could not tell, and why."""
        return cls(
            verdict=Verdict.UNKNOWN,
            reason=reason,
            message=message,
            checks=checks,
            place=place,
            left_out=tuple(left_out),
        )

    @classmethod
    def slow(cls, message: str, *, checks: int, left_out: Iterable[str] = ()) -> Self:
        """Everything was right, and something took longer than its budget."""
        return cls(verdict=Verdict.SLOW, message=message, checks=checks, left_out=tuple(left_out))
