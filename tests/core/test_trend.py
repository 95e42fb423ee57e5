"""Week over week: chance, habit and correlation do not pass for change, and a fifth slower does not pass unseen."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.trend import LEAST_BLOCKS, WEEK, Comparison, Turn, chance, compared, turns

UNTIL = datetime(2026, 3, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)


def fortnight(
    seeded: random.Random, *, slower: float = 1.0, memory: float = 0.8, noise: float = 0.15
) -> dict[datetime, float]:
    """Medians of two weeks of hours: slow days, quick nights, noise that remembers, known as roughly as by a sketch."""
    found, drift = {}, 0.0
    for hour in range(2 * 168):
        start = UNTIL - 2 * WEEK + hour * HOUR
        drift = memory * drift + noise * math.sqrt(1 - memory**2) * seeded.gauss(0, 1)
        value = 0.02 * math.exp(drift + 0.5 * math.sin(2 * math.pi * hour / 24)) * (slower if hour >= 168 else 1)
        found[start] = math.exp(round(math.log(value) / 0.04) * 0.04)
    return found


@pytest.mark.parametrize(("memory", "most"), [(0.0, 0), (0.8, 2), (0.95, 4)])
def test_where_nothing_changed_hardly_anything_is_told(memory: float, most: int) -> None:
    """Of fifteen reports of fifteen steps hardly one tells of any change; of noise that lasts for days a few do."""
    told = 0
    for seed in range(15):
        seeded = random.Random(seed)  # noqa: S311  a simulation
        steps = {step: compared(fortnight(seeded, memory=memory), UNTIL) for step in range(15)}
        told += any(turn is not Turn.STEADY for turn in turns(steps).values())
    assert told <= most


@pytest.mark.parametrize(("slower", "turn"), [(1.2, Turn.SLOWER), (1 / 1.2, Turn.FASTER)])
def test_a_fifth_is_told(slower: float, turn: Turn) -> None:
    """One step of twelve that became a fifth slower, or faster, is told in at least 14 of 15 reports."""
    told = 0
    for seed in range(15):
        seeded = random.Random(seed)  # noqa: S311  a simulation
        steps = {step: compared(fortnight(seeded), UNTIL) for step in range(11)}
        changed = compared(fortnight(seeded, slower=slower, noise=0.05), UNTIL)
        told += turns({**steps, 11: changed})[11] is turn
    assert told >= 14


def test_what_is_sure_but_small_is_not_told() -> None:
    """Four percent each hour of a week is certain, and nobody's trouble."""
    medians = fortnight(random.Random(1), noise=0)  # noqa: S311  a simulation
    small = compared({start: v * (1.04 if start >= UNTIL - WEEK else 1) for start, v in medians.items()}, UNTIL)
    assert small.p is not None
    assert small.p < 1e-4
    assert turns({"step": small}) == {"step": Turn.STEADY}


def test_too_few_hours_tell_nothing() -> None:
    """Hours that only one of the weeks has are left out; below two days of common ones it is said so."""
    medians = fortnight(random.Random(1), slower=3)  # noqa: S311  a simulation
    cut = {start: value for start, value in medians.items() if start >= UNTIL - WEEK - (LEAST_BLOCKS - 1) * 4 * HOUR}
    short = compared(cut, UNTIL)
    assert (short.blocks, short.p) == (LEAST_BLOCKS - 1, None)
    assert turns({"step": short}) == {"step": Turn.UNTOLD}
    assert compared({}, UNTIL) == Comparison()
    assert turns({"step": Comparison()}) == {"step": Turn.UNTOLD}


def test_the_change_is_that_of_the_same_hours() -> None:
    """Twice as slow is told as twice as slow, with the medians of both weeks."""
    found = compared(fortnight(random.Random(1), slower=2, noise=0), UNTIL)  # noqa: S311  a simulation
    assert found.before == pytest.approx(0.02, rel=0.05)
    assert found.after == pytest.approx(0.04, rel=0.05)
    assert found.share == pytest.approx(1, abs=0.05)
    assert found.blocks == 42


def test_chance_is_students() -> None:
    """For t = 2.262 with 9 degrees of freedom p is 0.05, and alike neighbours are fewer witnesses."""
    spread = [1.0, -1.0] * 5
    shift = 2.262 / math.sqrt(10) * statistics.stdev(spread)
    changes = [shift + each for each in spread]
    assert chance(changes) == pytest.approx(0.05, abs=0.0005)
    assert chance([-each for each in changes]) == pytest.approx(chance(changes))
    assert chance(changes, alike=0.5) > 0.15
    assert chance([0.0, 0.0]) == 1.0


def test_of_many_by_chance_only_so_many_are_told() -> None:
    """A p of one in a hundred is no discovery among a hundred, and is one alone."""
    by_chance = {n: Comparison(share=0.5, p=(n + 1) / 100, blocks=42) for n in range(100)}
    assert set(turns(by_chance).values()) == {Turn.STEADY}
    assert turns({0: by_chance[0]}) == {0: Turn.SLOWER}
    few = {n: Comparison(share=0.5, p=0.001 if n < 10 else 0.9, blocks=42) for n in range(100)}
    assert Counter(turns(few).values()) == {Turn.SLOWER: 10, Turn.STEADY: 90}
