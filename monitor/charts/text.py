"""Numbers as a chart writes them, and the pieces of SVG."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from markupsafe import Markup, escape

_LETTER = 6.9
"""The width of a letter on the drawing, on average and in a wide font: charts.css sets text at 11."""


def number(value: float, unit: str) -> str:
    """A number with its unit: `12 ms`, `1.5 s`, `3 min`, `99.9 %`, `1.2k /s`, `250`."""
    if unit == "s":
        return _length(value)
    shown = _short(value)
    return f"{shown} {unit}" if unit else shown


def _length(seconds: float) -> str:
    size = abs(seconds)
    for limit, factor, unit in ((1, 1000, "ms"), (120, 1, "s"), (7200, 1 / 60, "min"), (172800, 1 / 3600, "h")):
        if size < limit:
            return f"{seconds * factor:.3g} {unit}" if seconds else "0"
    return f"{_short(seconds / 86400)} d"


def _short(value: float) -> str:
    size = abs(value)
    for limit, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):.3g}{letter}"
    return f"{value:.4g}"


def moment(at: float) -> str:
    """A time on the axis, for the description."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return f"{at:g}"


def width(text: str) -> float:
    """How wide a text is on the drawing, about."""
    return _LETTER * len(text)


def place(value: float) -> str:
    """A coordinate, as short as it can be."""
    return f"{value:.1f}".removesuffix(".0")


def path(points: Iterable[tuple[float, float]]) -> str:
    """The data of a path through some points."""
    return "M" + "L".join(f"{place(x)} {place(y)}" for x, y in points)


def text(x: float, y: float, words: str, *, look: str) -> Markup:
    """Words at a place."""
    return _made(f'<text x="{place(x)}" y="{place(y)}" class="{escape(look)}">{printable(words)}</text>')


def line(x1: float, y1: float, x2: float, y2: float, *, look: str) -> Markup:
    """A straight line."""
    return _made(f'<path d="{path([(x1, y1), (x2, y2)])}" class="{escape(look)}"/>')


def above(x: float, y: float) -> Markup:
    """The mark of a point over the limit: a triangle, so that it is seen without its colour."""
    return _made(f'<path d="M{place(x)} {place(y - 4)}l3.5 6h-7z" class="over"/>')


def drawing(pieces: Iterable[Markup], *, look: str, size: tuple[int, int], title: str, description: str) -> Markup:
    """A whole picture with its name and what it says, for whoever does not see it."""
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" role="img" xmlns="http://www.w3.org/2000/svg">'
        "<title>{}</title><desc>{}</desc>{}</svg>"
    ).format(look, *size, printable(title), printable(description), Markup("").join(pieces))


def printable(words: str) -> Markup:
    """Words in which nothing hides and that XML can carry."""
    if not words.isprintable():
        words = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in words)
    return escape(words)


def _made(markup: str) -> Markup:
    """What is made of coordinates and of what was escaped; Markup.format would look at each of them again."""
    return Markup(markup)  # noqa: S704  see above
