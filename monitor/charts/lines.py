"""Values over time, or over another number, with the limit that they should stay below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

from monitor.charts import text
from monitor.charts.scale import Scale, extent, moments, nice
from monitor.charts.series import Series, drawable, stretches, thinned

Unit = Literal["s", "%", "/s", ""]
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 14, 12, 24
_LEGEND = 18
_FAR = 4
"""A limit so many times above every value is named above the drawing: with it inside, the values were one flat line."""
_APART = 1.5  # of a drawing's units, between columns of points that are thinned


@dataclass(frozen=True, slots=True)
class _Frame:
    """The place of everything on one drawing."""

    x: Scale
    y: Scale
    rows: Sequence[float]
    limit: float | None
    far: bool


def lines(
    series: Sequence[Series],
    *,
    title: str,
    unit: Unit = "s",
    limit: float | None = None,
    since: float | None = None,
    until: float | None = None,
    marks: Sequence[tuple[float, str]] = (),
    width: int = 720,
    height: int = 220,
    axis: Literal["time", "number"] = "time",
) -> Markup:
    """Lines over time in UTC (or over a number) with gaps where nothing was seen.

    Points over the limit are marked by triangles, `marks` by upright lines with words. The x that is shown goes from
    `since` to `until`; of what is not given the points tell it.
    """
    kept = [replace(each, points=drawable(each.points)) for each in series]
    if since is not None or until is not None:
        kept = [replace(each, points=_within(each, since, until)) for each in kept]
    named = [each for each in kept if each.name] if len(kept) > 1 else []
    frame = _frame(kept, limit=limit, since=since, until=until, unit=unit, size=(width, height), legend=bool(named))
    pieces = [
        *_rows(frame, unit),
        *_columns(frame, axis),
        *_legend(named, kept),
        *_limit(frame, unit),
        *_marks(frame, marks),
        *(piece for place, each in enumerate(kept) for piece in _series(frame, each, place)),
    ]
    if not any(y is not None for each in kept for _, y in each.points):
        middle = (frame.x.start + frame.x.end) / 2
        pieces.append(text.text(middle, frame.y.start - 12, "nothing was measured", look="empty"))
    said = describe(kept, unit=unit, limit=limit, axis=axis, marks=marks)
    return text.drawing(pieces, look="chart", size=(width, height), title=title, description=said)


def _within(series: Series, since: float | None, until: float | None) -> list[tuple[float, float | None]]:
    return [(x, y) for x, y in series.points if (since is None or x >= since) and (until is None or x <= until)]


def _frame(
    series: Sequence[Series],
    *,
    limit: float | None,
    since: float | None,
    until: float | None,
    unit: Unit,
    size: tuple[int, int],
    legend: bool,
) -> _Frame:
    first, last = extent([x for each in series for x, _ in each.points])
    first, last = first if since is None else since, last if until is None else until
    if last <= first:  # a single point stands in the middle
        first, last = first - 0.5, first + 0.5
    values = [y for each in series for _, y in each.points if y is not None]
    low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
    far = limit is not None and limit > _FAR * high > 0
    if limit is not None and not far:
        high = max(high, limit * 1.05)
    top = _TOP + (_LEGEND if legend or far else 0)
    rows = nice(low, high if high > low else low + 1, about=max(2, (size[1] - top - _BOTTOM) // 40), unit=unit)
    return _Frame(
        x=Scale(first, last, _LEFT, size[0] - _RIGHT),
        y=Scale(rows[0], rows[-1], size[1] - _BOTTOM, top),
        rows=rows,
        limit=limit,
        far=far,
    )


def _rows(frame: _Frame, unit: Unit) -> Iterator[Markup]:
    for value in frame.rows:
        y = frame.y(value)
        yield text.line(frame.x.start, y, frame.x.end, y, look="base" if value == 0 else "row")
        yield text.text(frame.x.start - 6, y + 3.5, text.number(value, unit), look="left")


def _columns(frame: _Frame, axis: str) -> Iterator[Markup]:
    about = max(2, int(frame.x.end - frame.x.start) // 90)
    low, high = frame.x.low, frame.x.high
    bottom = frame.y.start
    if axis == "time":
        places = moments(low, high, about=about)
    else:
        places = [(at, text.number(at, "")) for at in nice(low, high, about=about, unit="") if low <= at <= high]
    for at, words in places:
        x = frame.x(at)
        yield text.line(x, bottom, x, bottom + 4, look="tick")
        edge = min(x, frame.x.end + _RIGHT - text.width(words) / 2)
        yield text.text(edge, bottom + 17, words, look="below")
    if axis == "time":
        yield text.text(24, bottom + 17, "UTC", look="left")  # left of the first moment


def _legend(named: Sequence[Series], series: Sequence[Series]) -> Iterator[Markup]:
    x = float(_LEFT)
    for each in named:
        yield text.line(x, _TOP, x + 16, _TOP, look=_look(each, series.index(each)))
        yield text.text(x + 21, _TOP + 3.5, each.name, look="name")
        x += 21 + text.width(each.name) + 16


def _limit(frame: _Frame, unit: Unit) -> Iterator[Markup]:
    if frame.limit is None:
        return
    words = f"limit {text.number(frame.limit, unit)}"
    if frame.far:
        yield text.text(frame.x.end, _TOP + 3.5, f"{words}, far above", look="limit-far")
        return
    y = frame.y(frame.limit)
    yield text.line(frame.x.start, y, frame.x.end, y, look="limit")
    yield text.text(frame.x.end, y - 4 if y > frame.y.end + _TOP else y + 12, words, look="limit-name")


def _marks(frame: _Frame, marks: Sequence[tuple[float, str]]) -> Iterator[Markup]:
    free = frame.x.start
    for at, words in sorted(marks):
        if not frame.x.low <= at <= frame.x.high:
            continue
        x = frame.x(at)
        yield text.line(x, frame.y.end, x, frame.y.start, look="mark")
        room = x + 4 + text.width(words)
        if x >= free and room <= frame.x.end:
            yield text.text(x + 4, frame.y.end + 9, words, look="mark-name")
            free = room


def _series(frame: _Frame, series: Series, place: int) -> Iterator[Markup]:
    look = _look(series, place)
    for part in stretches(series.points):
        at = [(frame.x(x), frame.y(y)) for x, y in part]
        if series.look != "points" and len(part) > 1:
            yield Markup('<path d="{}" class="{}"/>').format(text.path(thinned(at, apart=_APART)), look)
        if series.look == "points" or len(part) == 1:
            for x, y in thinned(at, apart=_APART):
                yield Markup('<circle cx="{}" cy="{}" r="2" class="{}"/>').format(text.place(x), text.place(y), look)
        over = [point for point, (_, y) in zip(at, part, strict=True) if frame.limit is not None and y > frame.limit]
        yield from (text.above(x, y) for x, y in _spread(over))


def _spread(points: Iterable[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Only as many marks as can be told apart: of those on one place the highest."""
    column: list[tuple[float, float]] = []
    for point in points:
        if column and point[0] - column[0][0] >= 4:  # noqa: PLR2004  half a mark's width
            yield min(column, key=lambda each: each[1])
            column = []
        column.append(point)
    if column:
        yield min(column, key=lambda each: each[1])


def _look(series: Series, place: int) -> str:
    return f"series {series.look} s{place % 6 + 1}"


def describe(
    series: Sequence[Series], *, unit: str, limit: float | None, axis: str, marks: Sequence[tuple[float, str]] = ()
) -> str:
    """What a chart says, in words."""
    sentences = []
    for each in series:
        seen = [(y, x) for x, y in each.points if y is not None]
        name = f"{each.name}: " if each.name else ""
        if not seen:
            sentences.append(f"{name}nothing was measured.")
            continue
        low, (high, at) = min(seen)[0], max(seen)
        where = text.moment(at) if axis == "time" else text.number(at, "")
        over = sum(y > limit for y, _ in seen) if limit is not None else 0
        sentences.append(
            f"{name}latest {text.number(seen[-1][0], unit)}, lowest {text.number(low, unit)}, "
            f"highest {text.number(high, unit)} at {where}"
            + (f"; {over} of {len(seen)} points are over the limit." if over else ".")
        )
    if limit is not None:
        sentences.append(f"The limit is {text.number(limit, unit)}.")
    sentences += [f"{words} at {text.moment(at) if axis == 'time' else text.number(at, '')}." for at, words in marks]
    return " ".join(sentences)
