"""What a chart shows, and what of it can be drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

LOOKS = ("line", "thin", "dashed", "points")
"""How a series may be drawn: apart from its colour, so that it is told apart without one."""

LARGEST = 1e15
"""A value beyond it is drawn at it: an axis of such numbers says nothing, and floats still add up below."""

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: points of (x, y) in the order of x, a time in seconds since 1970 or any number. None is a gap."""

    name: str
    points: Sequence[Point]
    look: str = "line"

    def __post_init__(self) -> None:
        """Refuse a look that the style sheet does not know."""
        if self.look not in LOOKS:
            raise ValueError(f"look: expected one of {', '.join(LOOKS)}, found {self.look!r}")


def drawable(points: Iterable[Point]) -> list[Point]:
    """The same, where what is no number is a gap and what is too large is the largest."""
    return [(max(-LARGEST, min(LARGEST, x)), _value(y)) for x, y in points if math.isfinite(x)]


def stretches(points: Iterable[Point]) -> Iterator[list[tuple[float, float]]]:
    """The parts between the gaps, each of one point or more."""
    part: list[tuple[float, float]] = []
    for x, y in points:
        if y is not None:
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part


def thinned(part: Sequence[tuple[float, float]], *, apart: float) -> list[tuple[float, float]]:
    """At most four points for each so much of x: the first, the lowest, the highest and the last. No peak is lost."""
    kept: list[tuple[float, float]] = []
    column: list[tuple[float, float]] = []
    for point in part:
        if column and point[0] - column[0][0] >= apart:
            kept += _corners(column)
            column = []
        column.append(point)
    return kept + _corners(column)


def _corners(column: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(column) <= 4:  # noqa: PLR2004  a corner each
        return list(column)
    places = {0, len(column) - 1}
    places.add(min(range(len(column)), key=lambda place: column[place][1]))
    places.add(max(range(len(column)), key=lambda place: column[place][1]))
    return [column[place] for place in sorted(places)]


def _value(y: float | None) -> float | None:
    return None if y is None or not math.isfinite(y) else max(-LARGEST, min(LARGEST, y))
