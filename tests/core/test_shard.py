"""Which of several daemons watches which environment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.shard import Shard

COUNTS = st.integers(1, 16)
NAMES = [f"environment-{number}" for number in range(1000)]


@given(name=st.text(min_size=1, max_size=40), count=COUNTS)
def test_each_environment_has_exactly_one_shard(name: str, count: int) -> None:
    """None is left out, and none is watched twice."""
    assert sum(Shard(number, count).holds(name) for number in range(1, count + 1)) == 1


@pytest.mark.parametrize("count", [2, 4, 7])
def test_shards_are_about_equal(count: int) -> None:
    """Of a thousand environments none has twice its share, nor half of it."""
    sizes = [sum(map(Shard(number, count).holds, NAMES)) for number in range(1, count + 1)]
    assert sum(sizes) == len(NAMES)
    assert max(sizes) < 2 * len(NAMES) / count
    assert min(sizes) > len(NAMES) / count / 2


def test_where_a_shard_is_added_nothing_moves_but_to_it() -> None:
    """What a daemon still watches it has watched before, with its ledger; only the new one gets something."""
    for number in range(1, 5):
        after = {name for name in NAMES if Shard(number, 5).holds(name)}
        assert after <= {name for name in NAMES if Shard(number, 4).holds(name)}


def test_text_and_back() -> None:
    """What is written is what is read."""
    assert Shard.of(" 2/4 ") == Shard(2, 4)
    assert str(Shard.of("12/12")) == "12/12"
    assert Shard.of("1/1").whole
    assert not Shard.of("1/2").whole


@pytest.mark.parametrize("text", ["", "2", "0/4", "5/4", "2/0", "-1/4", "2/4/8", "a/b", "1/1000", "02/4"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    """The message says what is one."""
    with pytest.raises(ValueError, match="2/4"):
        Shard.of(text)
