"""The pure parts of the bench: figures, ratios, goals, two runs beside each other, and what others' programs say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bench.comparison import change, compared
from bench.drivers import Sent
from bench.frame import Figure, Goal, Row, in_turn, number, table
from bench.latency import medians
from bench.progress import SHORT, Progress, failed
from bench.start import compiled
from bench.thousand import PULSE, Window, due, in_proportion
from bench.transcript import Transcript

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
        (replace(ROW, anchor=None, beside="", goal=Goal(most=4)), True),
        (replace(ROW, anchor=None, goal=Goal(most=4)), None),
        (replace(ROW, own=None, anchor=None), None),
        (replace(ROW, goal=Goal(most=4), absolute=True), True),
        (replace(ROW, goal=Goal(most=3), absolute=True), False),
    ],
)
def test_a_goal_speaks_of_the_ratio_where_there_is_an_anchor(row: Row, expected: bool | None) -> None:  # noqa: FBT001
    """Else, and where it says so, of the figure; and of nothing where one is missing, or nothing promised."""
    assert row.met is expected


def test_a_row_that_was_not_measured_says_why() -> None:
    """It neither fails nor passes for met."""
    lines = table([Row(number="8", what="beside psql", goal=Goal(most=1), note="apt-get install it")]).splitlines()
    assert lines[2].split(" | ")[-1].strip(" |") == "not measured"
    assert lines[-1] == "- 8, beside psql: apt-get install it"


def test_what_was_kept_comes_back() -> None:
    """Through JSON, figures and goals included."""
    for row in (ROW, replace(ROW, absolute=True), replace(ROW, own=None)):
        assert Row.from_json(json.loads(json.dumps(row.as_json()))) == row


@pytest.mark.parametrize(
    ("was", "now", "goal", "expected"),
    [
        (OWN, Figure.of([8, 9, 10]), Goal(most=1), "within the spread"),
        (OWN, Figure.of([10, 12, 14]), Goal(), "+200 %"),
        (OWN, Figure.of([10, 12, 14]), Goal(most=1), "+200 %, **worse**"),
        (OWN, Figure.of([10, 12, 14]), Goal(least=1), "+200 %, better"),
        (Figure.of([0, 0]), Figure.of([3, 3]), Goal(most=0), "from 0 to 3, **worse**"),
        (OWN, Figure.of([12]), Goal(most=1), "+200 %, measured once"),
        (Figure.of([12]), Figure.of([12]), Goal(most=1), "the same"),
    ],
)
def test_a_change_is_told_where_the_spreads_do_not_meet(was: Figure, now: Figure, goal: Goal, expected: str) -> None:
    """What lies within them may be chance, and of what was measured once nobody knows."""
    assert change(was, now, goal=goal) == expected


def test_two_runs_stand_beside_each_other() -> None:
    """With what changed, what is new, and what is no longer measured of a number that is."""
    slower = replace(ROW, own=Figure.of([20.0, 40.0, 90.0]))
    new, gone, other = replace(ROW, what="edit"), replace(ROW, what="delete"), replace(ROW, number="2")
    lines = compared([ROW, gone, other], [slower, new], titles=("a1", "b2")).splitlines()
    assert lines[0] == "| # | figure | a1 | b2 | change |"
    assert [line.split(" | ")[1] for line in lines[2:]] == ["reload", "edit", "delete"]
    assert [line.rpartition(" | ")[2] for line in lines[2:]] == ["+900 %, **worse** |", "new |", "no longer measured |"]


def test_what_cannot_be_compared_is_said() -> None:
    """A ratio is not held against a figure that has lost its anchor."""
    assert "not comparable" in compared([ROW], [replace(ROW, anchor=None, beside="")])
    assert compared([ROW], [replace(ROW, own=None)]).splitlines()[2].endswith("| not measured |")


def test_a_module_that_failed_has_a_short_row() -> None:
    """The last line of the error, and what may help."""
    assert failed("cpu", ValueError("first\nsecond\n")).note.startswith("not measured: ValueError: second; ")
    assert len(failed("cpu", ValueError("x" * 9999)).note) < 2 * SHORT
    assert "python3 dev.py bench" in failed("cpu", ModuleNotFoundError("no psutil")).note


def test_progress_learns_how_fast_the_machine_is() -> None:
    """Half as fast as usual so far is taken for half as fast to the end."""
    said: list[str] = []
    moments = iter([0.0, 0.0, 60.0, 60.0, 120.0, 120.0])
    progress = Progress({"one": 30, "two": 45}, clock=lambda: next(moments), say=said.append)
    for part in ("one", "two"):
        progress.begin(part)
    assert said == [
        "one (1 of 2), 0:00 so far, about 1:15 to go",
        "  one took 60 s",
        "two (2 of 2), 1:00 so far, about 1:30 to go",
    ]


def test_a_thousand_are_told_in_proportion() -> None:
    """What 40 take, 25 times; and what the drivers alone would for as many runs and moves."""
    assert in_proportion(0.4, environments=40) == 1000.0
    window = Window(runs={"thread": 2.0, "session": 4.0}, moves=80.0, cpu=0.4)
    assert window.alone({"thread": 10.0, "session": 5.0, PULSE: 0.5}) == 0.08
    assert due(40, [timedelta(seconds=10), timedelta(seconds=40)]) == 5.0


def test_what_redis_benchmark_says_is_read() -> None:
    """Its medians by command; what an old one says has none, and that is told."""
    head = '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms"\n'
    assert medians(f'{head}"SET","9","0.04","0.01","0.031","0.1"\n"GET","9","0.04","0.01","0.023","0.1"\n') == {
        "SET": 0.031,
        "GET": 0.023,
    }
    with pytest.raises(RuntimeError, match=r"6\.2 or newer"):
        medians('"SET","81234.5"\n"GET","91234.5"\n')


def test_the_start_is_measured_with_compiled_modules(tmp_path: Path) -> None:
    """Where nothing says where they are kept, in a folder of its own."""
    assert compiled({"PYTHONDONTWRITEBYTECODE": "1", "A": "b"}, at=tmp_path) == {
        "A": "b",
        "PYTHONPYCACHEPREFIX": str(tmp_path),
    }
    assert compiled({"PYTHONPYCACHEPREFIX": "/kept"}, at=tmp_path) == {"PYTHONPYCACHEPREFIX": "/kept"}


async def test_a_transcript_is_sent_again_in_its_order() -> None:
    """Nothing begins before what had ended when it began; what waited for another waits again."""
    seen: list[str] = []
    released = asyncio.Event()

    async def send(one: Sent) -> None:
        seen.append(f"{one.call} begins")
        if one.call == "wait":
            await released.wait()
        if one.call == "release":
            released.set()
        seen.append(f"{one.call} ends")

    calls = [Sent(number, call, (), None) for number, call in enumerate(("first", "wait", "release"))]
    order = [(0, True), (0, False), (1, True), (2, True), (2, False), (1, False)]
    await Transcript(sent=calls, order=order).by(send)
    expected = ["first begins", "first ends", "wait begins", "release begins", "release ends", "wait ends"]
    assert seen == expected


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
