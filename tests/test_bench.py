"""The frame of the bench: figures, ratios, goals, and two runs beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from bench.frame import Figure, Goal, Row, change, compared, in_turn, number, table

OWN, ANCHOR = Figure.of([2.0, 4.0, 9.0]), Figure.of([1.0, 4.0, 3.0])
ROW = Row(number="1", what="reload", unit="ms", own=OWN, anchor=ANCHOR, beside="pgbench", goal=Goal(most=1.5))


def test_a_figure_is_its_median_and_its_spread() -> None:
    """The quartiles where there are enough values for them, else all that was seen."""
    assert (OWN.median, OWN.low, OWN.high) == (4.0, 2.0, 9.0)
    many = Figure.of([1, 2, 3, 4, 100])
    assert (many.median, many.low, many.high) == (3, 2, 4)


def test_a_ratio_is_taken_turn_by_turn() -> None:
    """What slowed a whole turn down is in both sides of its ratio."""
    assert OWN.over(ANCHOR) == Figure((2.0, 1.0, 3.0))
    assert ROW.ratio == Figure((2.0, 1.0, 3.0))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (ROW, False),
        (replace(ROW, goal=Goal(most=2)), True),
        (replace(ROW, goal=Goal(least=0.6)), True),
        (replace(ROW, goal=Goal()), None),
        (replace(ROW, anchor=None, goal=Goal(most=4)), True),
        (replace(ROW, own=None, anchor=None), None),
    ],
)
def test_a_goal_speaks_of_the_ratio_where_there_is_an_anchor(row: Row, expected: bool | None) -> None:  # noqa: FBT001
    """Else of the figure; and of nothing where nothing was measured, or nothing promised."""
    assert row.met is expected


def test_a_row_that_was_not_measured_says_why() -> None:
    """It neither fails nor passes for met."""
    lines = table([Row(number="8", what="beside psql", goal=Goal(most=1), note="apt-get install it")]).splitlines()
    assert lines[2].split(" | ")[-1].strip(" |") == "not measured"
    assert lines[-1] == "- 8, beside psql: apt-get install it"


def test_what_was_kept_comes_back() -> None:
    """Through JSON, figures and goals included."""
    assert Row.from_json(json.loads(json.dumps(ROW.as_json()))) == ROW


def test_a_change_is_told_where_the_spreads_do_not_meet() -> None:
    """What lies within them may be chance."""
    assert change(OWN, Figure.of([8, 9, 10])) == "within the spread"
    assert change(OWN, Figure.of([10, 12, 14])) == "+200 %"
    slower = replace(ROW, own=Figure.of([20.0, 40.0, 90.0]))
    assert compared([ROW], [slower]).splitlines()[2].endswith("| +900 % |")


def test_a_row_that_is_new_has_nothing_before_it() -> None:
    """It stands in the comparison all the same."""
    assert compared([], [ROW]).count("reload") == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (0.1234, "0.12"),
        (3.0, "3"),
        (3.14159, "3.14"),
        (12.34, "12.3"),
        (1234.5, "1,234"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_the_digits_that_say_something(value: float, expected: str) -> None:
    """Three, or fewer."""
    assert number(value) == expected


async def test_sides_take_their_turns() -> None:
    """A B A B, after one turn of each that only warms."""
    seen: list[str] = []

    async def side(name: str) -> Mapping[str, float]:
        seen.append(name)
        return {"ms": float(len(seen))}

    own, anchor = await in_turn(2, lambda: side("a"), lambda: side("b"))
    assert seen == ["a", "b"] * 3
    assert (own["ms"].values, anchor["ms"].values) == ((3.0, 5.0), (4.0, 6.0))
