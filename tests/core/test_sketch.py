"""Sketches: quantiles are near the truth, and parts are as good as the whole."""

from __future__ import annotations

import json
import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.sketch import ERROR, NEAREST, Sketch, merged

SECONDS = st.one_of(
    st.floats(min_value=0, max_value=3600, allow_subnormal=False),
    st.floats(min_value=1e-6, max_value=10),
    st.sampled_from([0.0, -0.5, 0.002, 0.1, 2.0]),
)
VALUES = st.lists(SECONDS, max_size=60)


@given(st.lists(SECONDS, min_size=1, max_size=60), st.floats(0, 1))
def test_quantiles_are_within_the_error(values: list[float], q: float) -> None:
    """Each quantile is within 2 % of the value that stands at its rank."""
    true = max(0.0, sorted(values)[max(1, math.ceil(q * len(values) - NEAREST)) - 1])
    found = Sketch.of(values).quantile(q)
    assert found is not None
    assert abs(found - true) <= max(ERROR * true * (1 + 1e-9), NEAREST)


@given(VALUES, VALUES, VALUES)
def test_merging_is_associative_and_equals_the_whole(a: list[float], b: list[float], c: list[float]) -> None:
    """However parts are put together, the sketch is that of all the values."""
    x, y, z = map(Sketch.of, (a, b, c))
    whole = Sketch.of([*c, *a, *b])
    assert merged([x, merged([y, z])]) == merged([merged([x, y]), z]) == merged([z, y, x]) == whole
    assert whole.count == len(a) + len(b) + len(c)


@given(VALUES)
def test_a_sketch_comes_back_from_json(values: list[float]) -> None:
    """What was kept is what comes back."""
    sketch = Sketch.of(values)
    assert Sketch.from_json(json.loads(json.dumps(sketch.as_json()))) == sketch


@given(VALUES)
def test_the_spread_is_ordered_and_whole(values: list[float]) -> None:
    """The buckets come from the least, each once, and hold every value."""
    sketch = Sketch.of(values)
    spread = sketch.spread()
    assert all(one < other for (one, _), (other, _) in pairwise(spread))
    assert sum(count for _, count in spread) == sketch.count


def test_nothing_has_no_quantile() -> None:
    """Of no values there is no quantile, and nothing of it is merged."""
    assert Sketch.of([]).quantile(0.5) is None
    assert merged([]) == Sketch() == Sketch.from_json(Sketch().as_json())
