"""Where each of many begins."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.spread import evenly, share


@given(count=st.integers(2, 500))
def test_however_many_they_are_none_crowd_and_no_gap_is_left(count: int) -> None:
    """The first begins at once, and the widest gap is less than three times the narrowest, round the end as well."""
    starts = sorted(evenly(number) for number in range(count))
    gaps = [later - earlier for earlier, later in pairwise([*starts, 1.0])]
    assert starts[0] == 0.0
    assert max(gaps) < 3 * min(gaps)


@given(names=st.lists(st.text(min_size=1), min_size=1))
def test_a_share_is_a_fraction_that_stays(names: list[str]) -> None:
    """The same names have the same part of an interval, always within it."""
    assert 0.0 <= share(*names) < 1.0
    assert share(*names) == share(*names)


def test_the_share_of_an_environments_probe_is_what_it_was() -> None:
    """Starts lie where those of earlier versions lay, so that an upgrade moves no series of runs."""
    assert round(share("production", "thread"), 6) == 0.486942
