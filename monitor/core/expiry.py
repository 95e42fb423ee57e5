"""A lease on a key: the expiry that was asked for against what the server's own clock shows.

All moments are seconds since the epoch *of the server that holds the key* (Redis TIME), so that neither the
network nor this machine's clock can raise a false alarm. Every observation has a moment before and a moment after,
taken in the same pipeline; the truth lies between.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from monitor.core.verdict import Kind, Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A key was set to expire `ttl` seconds after a moment between `after` and `before`."""

    key: str
    ttl: float
    after: float
    before: float

    @property
    def earliest(self) -> float:
        """The earliest moment at which the key may vanish."""
        return self.after + self.ttl

    @property
    def latest(self) -> float:
        """The latest moment at which the key must have vanished."""
        return self.before + self.ttl


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """One look at a key. `remaining` is its time to live in seconds, None if it has none."""

    after: float
    before: float
    present: bool
    remaining: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removals:
    """What the server counted between the write and the look: keys evicted for memory and keys expired."""

    evicted: int
    expired: int


def judge_lease(lease: Lease, sight: Sight, removals: Removals, *, tolerance: float) -> Iterator[Violation]:
    """Whether the key lives exactly as long as it was told to. `tolerance` is in seconds."""
    if not sight.present:
        if sight.before < lease.earliest - tolerance:
            yield _gone(lease, sight, removals)
        return
    if sight.remaining is None:
        yield _violation(
            Kind.TTL_MISSING,
            lease,
            f"expiry in at most {lease.latest - sight.after:.3f} s",
            "no expiry",
            sight,
        )
        return
    if sight.after > lease.latest + tolerance:
        yield _violation(
            Kind.TTL_LATE,
            lease,
            "gone",
            f"present {sight.after - lease.latest:.3f} s after its expiry",
            sight,
        )
        return
    # The key expires at some moment in [after + remaining, before + remaining].
    if sight.before + sight.remaining < lease.earliest - tolerance:
        missing = lease.earliest - (sight.before + sight.remaining)
        yield _violation(Kind.TTL_EARLY, lease, f"{lease.ttl:g} s to live", f"expiry {missing:.3f} s too early", sight)
    elif sight.after + sight.remaining > lease.latest + tolerance:
        surplus = sight.after + sight.remaining - lease.latest
        yield _violation(Kind.TTL_LATE, lease, f"{lease.ttl:g} s to live", f"expiry {surplus:.3f} s too late", sight)


def _gone(lease: Lease, sight: Sight, removals: Removals) -> Violation:
    """A key that vanished before its time: the server's own counters tell the likeliest cause."""
    if removals.evicted:
        kind, cause = Kind.EVICTED, f"the server evicted {removals.evicted} keys meanwhile"
    elif removals.expired:
        kind, cause = Kind.TTL_EARLY, f"the server expired {removals.expired} keys meanwhile"
    else:
        kind, cause = Kind.LOST, "the server evicted and expired nothing meanwhile"
    left = lease.earliest - sight.before
    return _violation(kind, lease, f"present for {left:.3f} s more", f"absent; {cause}", sight)


def _violation(kind: Kind, lease: Lease, expected: str, actual: str, sight: Sight) -> Violation:
    return Violation(
        kind=kind,
        subject=f"key {lease.key}",
        expected=expected,
        actual=actual,
        evidence={
            "key": lease.key,
            "ttl_seconds": lease.ttl,
            "server_time": sight.after,
            "expires_not_before": lease.earliest,
            "remaining_seconds": sight.remaining,
        },
    )
