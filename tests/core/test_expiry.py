"""Leases on keys, seen from outside with two moments around each look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.expiry import Lease, Removals, Sight, judge_lease
from monitor.core.verdict import Kind

NOTHING = Removals(evicted=0, expired=0)
NOW = 1_790_000_000.0
TOLERANCE = 0.25
LEASE = Lease(key="k", ttl=10.0, after=NOW, before=NOW + 0.01)
SMALL = st.floats(0, 0.5)


def kinds(lease: Lease, sight: Sight, removals: Removals = NOTHING, *, tolerance: float = TOLERANCE) -> list[Kind]:
    """What is reported of a look."""
    return [violation.kind for violation in judge_lease(lease, sight, removals, tolerance=tolerance)]


def look(at: float, remaining: float | None, *, present: bool = True) -> Sight:
    """A look that took a millisecond, so many seconds after the lease began."""
    return Sight(after=NOW + at, before=NOW + at + 0.001, present=present, remaining=remaining)


@pytest.mark.parametrize(
    ("sight", "removals", "wanted"),
    [
        (look(1, 9.0), NOTHING, []),
        (look(1, 8.9), NOTHING, []),
        (look(1, None), NOTHING, [Kind.TTL_MISSING]),
        (look(1, 8.0), NOTHING, [Kind.TTL_EARLY]),
        (look(1, 10.0), NOTHING, [Kind.TTL_LATE]),
        (look(10.1, 0.0), NOTHING, []),
        (look(10.5, 0.0), NOTHING, [Kind.TTL_LATE]),
        (look(20, None), NOTHING, [Kind.TTL_MISSING]),
        (look(5, None, present=False), NOTHING, [Kind.LOST]),
        (look(5, None, present=False), Removals(evicted=0, expired=2), [Kind.TTL_EARLY]),
        (look(5, None, present=False), Removals(evicted=1, expired=2), [Kind.EVICTED]),
        (look(9.9, None, present=False), NOTHING, []),
        (look(11, None, present=False), Removals(evicted=5, expired=5), []),
    ],
)
def test_each_departure_from_a_lease_has_its_name(sight: Sight, removals: Removals, wanted: list[Kind]) -> None:
    """A key must live exactly as long as it was told to; the server's counters name the cause of a loss."""
    assert kinds(LEASE, sight, removals) == wanted


@given(
    ttl=st.floats(0.5, 3600),
    at=st.floats(0, 4000),
    writing=st.tuples(SMALL, SMALL),
    looking=st.tuples(SMALL, SMALL),
)
def test_a_key_that_obeys_is_never_accused(
    ttl: float, at: float, writing: tuple[float, float], looking: tuple[float, float]
) -> None:
    """However long the pipelines took, and wherever in them the server acted, an obedient key is no violation."""
    lease = Lease(key="k", ttl=ttl, after=NOW, before=NOW + sum(writing))
    expires = NOW + writing[0] + ttl
    moment = NOW + writing[0] + at
    remaining = expires - moment
    sight = Sight(
        after=moment - looking[0],
        before=moment + looking[1],
        present=remaining > 0,
        remaining=remaining if remaining > 0 else None,
    )
    assert kinds(lease, sight, tolerance=0.001) == []


@given(ttl=st.floats(2, 3600), error=st.floats(0.02, 3000), at=st.floats(0, 1), early=st.booleans())
def test_an_expiry_that_is_off_is_always_seen(ttl: float, error: float, at: float, *, early: bool) -> None:
    """A time to live that is off by more than tolerance and pipelines is reported, with the right direction."""
    lease = Lease(key="k", ttl=ttl, after=NOW, before=NOW + 0.001)
    remaining = ttl - at + (-error if early else error)
    if remaining <= 0:
        sight = look(at, None, present=False)
        wanted = [Kind.LOST] if at + 0.001 < ttl - 0.01 else []
    else:
        sight, wanted = look(at, remaining), [Kind.TTL_EARLY if early else Kind.TTL_LATE]
    assert kinds(lease, sight, tolerance=0.01) == wanted


def test_evidence_holds_the_times_of_the_server() -> None:
    """Whoever reads the evidence sees what was asked and what the server's clock showed."""
    (violation,) = judge_lease(LEASE, look(5, None, present=False), NOTHING, tolerance=TOLERANCE)
    assert violation.evidence == {
        "key": "k",
        "ttl_seconds": 10.0,
        "server_time": NOW + 5,
        "expires_not_before": NOW + 10,
        "remaining_seconds": None,
    }
    assert violation.actual == "absent; the server evicted and expired nothing meanwhile"
