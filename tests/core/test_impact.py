"""Who is affected, and what is at risk: checked by hand on small numbers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.impact import Stakes, broken, together, unusable, within
from monitor.core.record import RunRecord
from monitor.core.verdict import Finding, Kind, Reason
from monitor.core.violations import KeptViolation, Stage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(finding: Finding) -> RunRecord:
    """A run with this finding."""
    return RunRecord(
        run_id="r", environment="production", probe="thread", started=NOON, took=timedelta(seconds=1), finding=finding
    )


STANDING = KeptViolation(
    id="v",
    environment="production",
    probe="thread",
    kind=Kind.LOST,
    stage=Stage.OPEN,
    opened=NOON,
    last_seen=NOON,
    run_id="r",
    last_run_id="r",
    subject="message 3",
    expected="a",
    actual="b",
    evidence={},
)


def test_all_users_are_affected_or_none() -> None:
    """While something is wrong it is everybody, and else nobody; nobody said how many stays nobody said."""
    assert Stakes(users=120_000).users_affected(affected=True) == 120_000
    assert Stakes(users=120_000).users_affected(affected=False) == 0
    assert Stakes(revenue_per_hour=57).users_affected(affected=True) is None


def test_revenue_at_risk_is_a_product() -> None:
    """57 an hour for 90 minutes is 85.5."""
    assert Stakes(revenue_per_hour=57).at_risk(timedelta(minutes=90)) == 85.5
    assert Stakes(users=1).at_risk(HOUR) is None


def test_a_violation_that_is_acknowledged_still_counts() -> None:
    """Users are no better off because somebody knows; one of a probe that no longer runs cannot close, and does not."""
    acknowledged = replace(STANDING, stage=Stage.ACKNOWLEDGED)
    assert broken([STANDING], {"thread"})
    assert broken([acknowledged], {"thread"})
    assert not broken([acknowledged], {"session"})
    assert not broken([], {"thread"})


@pytest.mark.parametrize("reason", Reason)
def test_only_what_users_feel_makes_an_environment_unusable(reason: Reason) -> None:
    """A store that rests since it did not answer or was full counts; since it refused our account, it does not."""
    assert unusable([reason], []) == (reason in {"unreachable", "timeout", "capacity", "read_only"})


def test_a_primary_that_takes_no_writes_is_unusable() -> None:
    """It does not rest, so the latest run says it; a replica never takes any."""
    assert unusable([], [run(Finding.unknown(Reason.READ_ONLY, "standby", place="postgres"))])
    assert not unusable([], [run(Finding.unknown(Reason.READ_ONLY, "standby", place="postgres replica eu-2"))])
    assert not unusable([None], [run(Finding.unknown(Reason.TIMEOUT, "once")), run(Finding.of((), checks=1))])


def test_what_several_probes_see_at_once_counts_once() -> None:
    """Two violations of an hour that overlap by half are an hour and a half."""
    spans = [(NOON, NOON + HOUR), (NOON + HOUR / 2, NOON + 1.5 * HOUR), (NOON + 3 * HOUR, NOON + 3 * HOUR)]
    assert within(spans, NOON - HOUR, NOON + 5 * HOUR) == 1.5 * HOUR
    assert within(spans, NOON + HOUR, NOON + 5 * HOUR) == 0.5 * HOUR


MINUTES = st.tuples(st.integers(0, 200), st.integers(0, 40)).map(lambda each: (each[0], each[0] + each[1]))


@given(st.lists(MINUTES, max_size=20))
def test_every_minute_is_counted_once(spans: list[tuple[int, int]]) -> None:
    """The length of times laid together is the number of different minutes in them."""
    minutes = {minute for began, ended in spans for minute in range(began, ended)}
    moments = [(NOON + timedelta(minutes=began), NOON + timedelta(minutes=ended)) for began, ended in spans]
    assert within(moments, NOON, NOON + 10 * HOUR) == timedelta(minutes=len(minutes))
    laid = together(moments)
    assert all(one[1] < next_[0] for one, next_ in pairwise(laid))
