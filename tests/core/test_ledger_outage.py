"""Bounds of an outage, told from attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.ledger.found import Outage
from monitor.core.ledger.outage import Attempt, Watch

START = datetime(2026, 7, 1, tzinfo=UTC)


def attempt(began: float, ended: float, *, ok: bool) -> Attempt:
    """One attempt to write."""
    return Attempt(operation="write", began=began, ended=ended, at=START + timedelta(seconds=ended), ok=ok)


def told(*attempts: tuple[float, float, bool]) -> list[Outage | None]:
    """What each attempt in turn says of an outage."""
    watch, found = Watch(), []
    for began, ended, ok in attempts:
        each = attempt(began, ended, ok=ok)
        found.append(watch.outage("postgres", each))
        watch = watch.after(each)
    return found


def bounds(outage: Outage | None) -> tuple[float, float, float, float | None]:
    """Its bounds, and when it began and ended, in seconds."""
    assert outage is not None
    ended = None if outage.ended is None else (outage.ended - START).total_seconds()
    return outage.least.total_seconds(), outage.most.total_seconds(), (outage.began - START).total_seconds(), ended


def test_where_all_succeeds_there_is_no_outage() -> None:
    """Nothing is told of what works."""
    assert told((0, 1, True), (2, 3, True)) == [None, None]


FAILS, WORKS = False, True
TABLE = {
    "one failure": ([(0, 1, WORKS), (2, 3, FAILS)], (0, 3, 0, None)),
    "one failure between two successes": ([(0, 1, WORKS), (2, 3, FAILS), (4, 5, WORKS)], (0, 5, 0, 5)),
    "two failures": ([(0, 1, WORKS), (2, 3, FAILS), (4, 5, FAILS)], (1, 5, 0, None)),
    "four failures, then success": (
        [(0, 1, WORKS), (2, 3, FAILS), (4, 5, FAILS), (6, 7, FAILS), (8, 9, FAILS), (10, 11, WORKS)],
        (5, 11, 0, 11),
    ),
    "nothing had ever worked": ([(2, 3, FAILS), (4, 5, FAILS), (6, 7, WORKS)], (1, 5, 2, 7)),
    "the latest success counts": ([(0, 1, WORKS), (2, 3, WORKS), (4, 5, FAILS), (6, 7, WORKS)], (0, 5, 2, 7)),
    "an outage after an outage": (
        [(0, 1, WORKS), (2, 3, FAILS), (4, 5, WORKS), (6, 7, FAILS), (8, 9, FAILS), (9, 10, WORKS)],
        (1, 6, 4, 10),
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_the_bounds_of_an_outage(name: str) -> None:
    """At the most from the last success to the next, at least from the first failure's end to the last's beginning."""
    attempts, expected = TABLE[name]
    assert bounds(told(*attempts)[-1]) == expected


@given(
    gaps=st.lists(st.tuples(st.floats(0.001, 3), st.floats(0.001, 3)), min_size=3, max_size=40),
    down=st.floats(0.5, 20),
    up_after=st.floats(0.001, 60),
)
def test_the_bounds_contain_the_truth(gaps: list[tuple[float, float]], down: float, up_after: float) -> None:
    """Whenever the thing really breaks and comes back, the ended outage's bounds contain how long that was."""
    up = down + up_after
    now, attempts = 0.0, []
    for wait, took in gaps:
        began, ended = now + wait, now + wait + took
        now = ended
        attempts.append((began, ended, not (began < up and ended > down)))  # fails if any of it fell into the outage
    (*_, last) = attempts
    attempts += [(last[1] + up + 1, last[1] + up + 2, True)]
    for outage in filter(None, told((-2, -1, True), *attempts)):
        if outage.ended is not None:
            assert outage.least.total_seconds() <= up_after + 1e-6
            assert outage.most.total_seconds() >= up_after - 1e-6
            assert outage.least <= outage.most
