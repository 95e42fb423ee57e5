"""Charts are well-formed pictures that say in words what they show, whatever the numbers are."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import monitor.web
from monitor.charts import Part, Series, bars, lines, sparkline, waterfall
from monitor.charts.scale import moments, nice
from monitor.charts.series import LOOKS, thinned

NOON = 1_772_366_400.0  # 2026-03-01 12:00 UTC
SVG = "{http://www.w3.org/2000/svg}"
CSS = (Path(monitor.web.__file__).parent / "static" / "charts.css").read_text()
ANY = st.none() | st.floats() | st.floats(min_value=0, max_value=100)


def read(picture: str) -> ET.Element:
    """A picture as XML; its root is an image with a name, and nothing in it carries a style or a script."""
    root = ET.fromstring(picture)  # noqa: S314  it is our own
    assert (root.tag, root.get("role")) == (f"{SVG}svg", "img")
    assert root.find(f"{SVG}title") is not None
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in {"svg", "title", "desc", "path", "circle", "rect", "text"}
        assert not [name for name in dict(element.items()) if name == "style" or name.startswith("on")]
    return root


def texts(root: ET.Element) -> list[str]:
    """Every text that is drawn."""
    return [each.text or "" for each in root.iter(f"{SVG}text")]


def said(root: ET.Element) -> str:
    """The description."""
    return root.findtext(f"{SVG}desc") or ""


def numbers(picture: str) -> list[str]:
    """Every word of its data."""
    return re.findall(r'(?: d| c?[xy]| width| height)="([^"]*)"', picture)


@settings(deadline=None)
@given(points=st.lists(st.tuples(st.floats(), ANY)), limit=st.none() | st.floats(min_value=1e-9, max_value=1e9))
def test_any_numbers_make_a_picture(points: list[tuple[float, float | None]], limit: float | None) -> None:
    """Gaps, infinities, huge and negative numbers in any order make a well-formed picture without nan or inf."""
    for axis in ("time", "number"):
        picture = lines([Series("a", points), Series("b", points, "points")], title="t", limit=limit, axis=axis)
        read(picture)
        assert not [each for each in numbers(picture) if "nan" in each or "inf" in each or "e+" in each]


@settings(deadline=None)
@given(values=st.lists(ANY), limit=st.floats(min_value=1e-9, max_value=1e9))
def test_any_values_make_a_sparkline_and_bars(values: list[float | None], limit: float) -> None:
    """The same holds for the small pictures."""
    for picture in (
        sparkline(values, limit=limit, label="l"),
        bars([("name", value) for value in values if value is not None], title="t"),
    ):
        read(picture)
        assert not [each for each in numbers(picture) if "nan" in each or "inf" in each]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", '" onload="x', "a\x00b\ud800\u202e", "]]>&amp;"])
def test_words_stay_words(text: str) -> None:
    """Names, titles, labels and marks are text, whatever they are, and hide nothing."""
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    root = read(lines([Series(text, [(0, 1)]), Series("b", [])], title=text, marks=[(0, text)], axis="number"))
    assert root.findtext(f"{SVG}title") == shown
    assert shown in texts(root)
    assert f"{shown} at 0." in said(root)
    assert read(sparkline([0.5], label=text)).findtext(f"{SVG}title") == shown
    assert f"{shown}: 1." in said(read(bars([(text, 1)], title=text)))


def test_a_chart_says_what_it_shows() -> None:
    """Its description has the latest, lowest and highest value, and how many points are over the limit."""
    points = [(NOON, 0.1), (NOON + 60, 2.5), (NOON + 120, None), (NOON + 180, 0.3)]
    root = read(lines([Series("p99", points)], title="thread: reload", limit=2.0))
    assert said(root) == (
        "p99: latest 300 ms, lowest 100 ms, highest 2.5 s at 2026-03-01 12:01 UTC; 1 of 3 points are over the limit. "
        "The limit is 2 s."
    )
    assert [each.get("class") for each in root].count("over") == 1
    assert "limit 2 s" in texts(root)
    assert "UTC" in texts(root)


def test_gaps_part_the_line() -> None:
    """A line is not drawn over a gap, and a point alone is a dot."""
    points = [(0.0, 1.0), (1.0, 2.0), (2.0, None), (3.0, 3.0), (4.0, math.nan), (5.0, 4.0), (6.0, 5.0)]
    root = read(lines([Series("", points)], title="t", axis="number"))
    drawn = [each for each in root if (each.get("class") or "").startswith("series")]
    assert [each.tag.removeprefix(SVG) for each in drawn] == ["path", "circle", "path"]


@pytest.mark.parametrize("points", [[], [(NOON, None)]])
def test_nothing_is_said_to_be_nothing(points: list[tuple[float, float | None]]) -> None:
    """Where nothing was measured the picture says so, and its range can still be given."""
    root = read(lines([Series("p99", points)], title="t", since=NOON, until=NOON + 3600))
    assert "nothing was measured" in texts(root)
    assert said(root) == "p99: nothing was measured."
    assert "12:30" in texts(root)


def test_a_limit_far_above_is_named_outside() -> None:
    """Values of a thousandth of the limit keep their shape; the limit is said above them."""
    root = read(lines([Series("", [(NOON, 0.002), (NOON + 60, 0.003)])], title="t", limit=2.0))
    assert "limit 2 s, far above" in texts(root)
    assert "3 ms" in texts(root)
    assert "limit" not in [each.get("class") for each in root]


def test_what_lies_outside_the_range_is_not_shown() -> None:
    """Points before `since` and after `until` are neither drawn nor told."""
    points = [(NOON - 60, 9.0), (NOON, 1.0), (NOON + 60, 9.0)]
    assert "highest 1 s" in said(read(lines([Series("", points)], title="t", since=NOON, until=NOON + 1)))


@settings(deadline=None)
@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=1e-6, max_value=1e9), st.sampled_from(["s", "%"]))
def test_ticks_are_round_and_cover_the_values(low: float, size: float, unit: str) -> None:
    """The ticks go from at most the lowest to at least the highest value, in equal steps, and are not many."""
    ticks = nice(low, low + size, about=4, unit=unit)
    assert ticks[0] <= low + 1e-6 * size
    assert ticks[-1] >= low + size - 1e-6 * max(size, low)
    assert 2 <= len(ticks) <= 12


@pytest.mark.parametrize(
    ("hours", "words"),
    [
        (0.01, ["12:00:00", "12:00:10", "12:00:20", "12:00:30"]),
        (1, ["12:00", "12:15", "12:30", "12:45", "13:00"]),
        (24, ["12:00", "18:00", "2 Mar", "06:00", "12:00"]),
        (24 * 7, ["2 Mar", "4 Mar", "6 Mar", "8 Mar"]),
        (24 * 30, ["8 Mar", "18 Mar", "28 Mar"]),
        (24 * 800, ["2026-12-18", "2027-12-18"]),
    ],
)
def test_moments_are_round_in_utc(hours: float, words: Sequence[str]) -> None:
    """An axis of time has round moments; a day's first is its date."""
    assert [each for _, each in moments(NOON, NOON + hours * 3600, about=4)] == list(words)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), max_size=300).map(sorted), st.floats(0.1, 10))
def test_thinning_loses_no_peak(part: list[tuple[float, float]], apart: float) -> None:
    """Of many points on one place the highest and the lowest stay; the ends stay."""
    kept = thinned(part, apart=apart)
    assert kept == sorted(kept, key=lambda each: each[0])
    assert [fn(y for _, y in kept) for fn in (min, max) if part] == [
        fn(y for _, y in part) for fn in (min, max) if part
    ]
    assert kept[:1] + kept[-1:] == part[:1] + part[-1:]


def test_ten_thousand_points_are_a_small_picture() -> None:
    """A chart of a month of runs weighs no more than one of an hour."""
    points = [(NOON + 30 * place, 0.001 * (place % 977)) for place in range(10_000)]
    assert len(lines([Series("p99", points)], title="t", limit=0.5)) < 40_000


def test_a_sparkline_marks_what_is_over() -> None:
    """One mark for each value over the limit, which is drawn, too."""
    root = read(sparkline([0.2, 1.5, None, 0.3, 9.0], label="thread, p99 of 5 runs"))
    marks = next(each for each in root if each.get("class") == "over")
    assert (marks.get("d") or "").count("M") == 1
    assert [each.get("class") for each in root].count("over") == 2
    assert [each.get("class") for each in root].count("limit") == 1


def test_a_waterfall_says_when_and_how_long() -> None:
    """Each part with its begin, its length and its limit; what was over is marked, what failed is called so."""
    parts = [
        Part(name="connect", after=0, took=0.02, limit=0.1),
        Part(name="reload", after=0.02, took=0.5, limit=0.1),
        Part(name="<x>", after=0.6, took=0.2, limit=0.1, failed=True),
    ]
    root = read(waterfall(parts, title="thread"))
    assert said(root) == (
        "connect: began after 0 and took 20 ms of 100 ms. "
        "reload: began after 20 ms and took 500 ms of 100 ms, over its budget. "
        "<x>: began after 600 ms and took 200 ms of 100 ms, and failed."
    )
    assert [each.get("class") for each in root].count("over") == 1
    assert said(read(waterfall([], title="t"))) == "No step was timed."


def test_every_look_has_its_style() -> None:
    """Each class that a picture uses stands in the style sheet."""
    series = [Series(look, [(NOON, 1.0), (NOON + 9, 3.0), (NOON + 10, None), (NOON + 11, 1.0)], look) for look in LOOKS]
    pictures = [
        lines(series, title="t", limit=2.0, marks=[(NOON + 1, "here")]),
        lines(series[:1], title="t", limit=99.0),
        lines([], title="t"),
        bars([("a", -1), ("b", 2)], title="t"),
        sparkline([0.5, None, 2.0], label="l"),
        waterfall([Part(name="a", after=0, took=1, failed=True)], title="t"),
    ]
    used = {name for each in pictures for names in re.findall(r'class="([^"]*)"', each) for name in names.split()}
    plain = {"chart", "spark", "bars", "waterfall", "line", "points", "s1"}  # the series' own look is the common one
    styled = set(re.findall(r"[.]([a-z0-9-]+)", CSS))
    assert used - plain <= styled
    with pytest.raises(ValueError, match="expected one of line, thin, dashed, points, found 'bold'"):
        Series("a", [], "bold")
