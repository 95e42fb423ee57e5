"""When records are looked for again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.ledger.entries import Fate, State
from monitor.core.ledger.ladder import after_look, climbed, due, over, spent
from tests.core.remembered import BEGIN, LADDER, entry

MICRO = timedelta(microseconds=1)


@pytest.mark.parametrize("rung", range(4))
def test_a_rung_is_taken_from_its_moment_on(rung: int) -> None:
    """A look a microsecond before a rung has not taken it, one at its moment has."""
    assert climbed(BEGIN, BEGIN + LADDER[rung] - MICRO, LADDER) == rung
    assert climbed(BEGIN, BEGIN + LADDER[rung], LADDER) == rung + 1


def test_each_look_is_due_at_its_rung_and_none_after_the_last() -> None:
    """The moments are counted from the acknowledgement, whatever was looked for in between."""
    assert [due(BEGIN, rung, LADDER) for rung in range(5)] == [*(BEGIN + length for length in LADDER), None]


@given(st.lists(st.integers(0, 9 * 86400), max_size=20))
def test_the_ladder_forgets_no_rung_however_often_it_is_looked(moments: list[int]) -> None:
    """Looks at any moments, over any restarts, lead to the rung that the last of them has passed."""
    written = entry(0)
    for seconds in sorted(moments):
        moment = written.answered + timedelta(seconds=seconds) if written.answered else BEGIN
        found = after_look(written, Fate.FOUND, at=moment, ladder=LADDER)
        written = replace(written, rung=found.rung, due=found.due)
    passed = sum(max(moments, default=0) >= length.total_seconds() for length in LADDER)
    assert (written.rung, written.due) == (passed, due(written.answered or BEGIN, passed, LADDER))


def test_after_its_last_rung_a_record_is_to_be_deleted() -> None:
    """The look at 7 days is the last; what it looked at is retired."""
    written = entry(0)
    assert written.answered is not None
    last = after_look(written, Fate.FOUND, at=written.answered + LADDER[-1], ladder=LADDER)
    assert (last.rung, last.due, spent(written, last)) == (4, None, True)
    early = after_look(written, Fate.FOUND, at=written.answered + LADDER[-1] - MICRO, ladder=LADDER)
    assert spent(written, early) is False


def test_what_was_retired_is_looked_for_once_more() -> None:
    """It is due a minute after its deletion, and nothing is to be deleted when it was found to be gone."""
    written = replace(entry(0, State.RETIRED), rung=4)
    assert written.answered is not None
    early = after_look(written, Fate.ABSENT, at=written.answered, ladder=LADDER)
    then = after_look(written, Fate.ABSENT, at=written.answered + LADDER[0], ladder=LADDER)
    assert (early.due, then.due, spent(written, then)) == (written.answered + LADDER[0], None, False)


@pytest.mark.parametrize("fate", [Fate.LOST, Fate.CORRUPT])
def test_what_is_wrong_is_due_at_once_until_its_ladder_ends(fate: Fate) -> None:
    """It is looked for in each run; even what is found to be wrong by the last look is looked for once again."""
    written = entry(0)
    assert written.answered is not None
    soon, end = written.answered + LADDER[0], written.answered + LADDER[-1]
    assert after_look(written, fate, at=soon, ladder=LADDER).due == soon
    assert after_look(written, fate, at=end, ladder=LADDER).due == end
    again = replace(written, fate=fate)
    assert after_look(again, fate, at=end - MICRO, ladder=LADDER).due == end - MICRO
    assert after_look(again, fate, at=end, ladder=LADDER).due is None
    assert (over(again, end - MICRO, LADDER), over(again, end, LADDER)) == (False, True)


def test_what_was_accepted_goes_its_ladder_again() -> None:
    """A loss that somebody has settled is not looked for in every run."""
    written = entry(0)
    moment = (written.answered or BEGIN) + LADDER[0]
    assert after_look(written, Fate.LOST, at=moment, ladder=LADDER, accepted=moment).due == due(
        written.answered or BEGIN, 1, LADDER
    )
