"""What became of the lab's own writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.truth import Attempt, Truth, truth


def rows(*answered: float, refused: tuple[int, ...] = ()) -> list[Attempt]:
    """One row a moment, numbered from 1; those that are named got no answer."""
    return [
        Attempt(n=n, sent=moment, answered=moment, acked=n not in refused) for n, moment in enumerate(answered, start=1)
    ]


def test_nothing_is_lost_where_all_that_was_acknowledged_is_there() -> None:
    """Rows whose answer was lost may be there or not."""
    attempts = rows(1, 2, 3, 7, 8, refused=(3,))
    without = truth(attempts, {1, 2, 4, 5}, since=2.5)
    assert without == truth(attempts, {1, 2, 3, 4, 5}, since=2.5)
    assert without == Truth(acked=4, lost=0, alien=0, recovery_point=0.0, recovery_time=5.0, tick=1.0)


def test_the_recovery_point_spans_from_the_last_that_is_kept_to_the_last_that_is_lost() -> None:
    """What was acknowledged after the failover does not shorten it."""
    found = truth(rows(1, 2, 3, 4, 9, 10), {1, 2, 5, 6}, since=4.5)
    assert found == Truth(acked=6, lost=2, alien=0, recovery_point=2.0, recovery_time=5.0, tick=1.0)


def test_rows_that_nobody_wrote_show_that_the_lab_is_wrong() -> None:
    """They are counted by themselves."""
    assert truth(rows(1, 2), {1, 2, 3}, since=9).alien == 1


@given(st.integers(1, 30), st.data())
def test_every_acknowledged_row_that_is_taken_away_is_counted(count: int, data: st.DataObject) -> None:
    """Whichever rows are lost, their number is exact, and none is without a loss."""
    attempts = rows(*range(1, count + 1))
    lost = data.draw(st.sets(st.integers(1, count)))
    found = truth(attempts, set(range(1, count + 1)) - lost, since=0)
    assert found.lost == len(lost)


@pytest.mark.parametrize("since", [0, 99])
def test_no_acknowledgement_at_all_has_no_figures(since: float) -> None:
    """An empty history divides by nothing and waits for nothing."""
    assert truth([], (), since=since) == Truth(
        acked=0, lost=0, alien=0, recovery_point=0.0, recovery_time=0.0, tick=0.0
    )
