"""Numbers side by side, each with its name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from monitor.charts import text
from monitor.charts.lines import Unit
from monitor.charts.scale import Scale
from monitor.charts.series import drawable

_ROW = 24
_PAD = 6
_NAMES = 0.45
"""The names take at most this share of the width; what is longer is cut, and whole in the description."""


def bars(values: Sequence[tuple[str, float]], *, title: str, unit: Unit = "", width: int = 720) -> Markup:
    """A bar for each value from the top to the bottom in the given order; below zero it goes to the left."""
    shown = [(name, y or 0.0) for (name, _), (_, y) in zip(values, drawable([(0, v) for _, v in values]), strict=True)]
    left = min(_NAMES * width, max((text.width(name) for name, _ in shown), default=0) + 2 * _PAD)
    right = max((text.width(text.number(value, unit)) for _, value in shown), default=0) + 2 * _PAD
    low, high = min((value for _, value in shown), default=0), max((value for _, value in shown), default=0)
    scale = Scale(min(low, 0.0), max(high, 0.0) if (low, high) != (0, 0) else 1.0, left, max(width - right, left + 1))
    pieces = [piece for place, each in enumerate(shown) for piece in _bar(each, place, scale, unit)]
    if not shown:
        pieces = [text.text(width / 2, _ROW * 0.65, "nothing was measured", look="empty")]
    said = " ".join(f"{name}: {text.number(value, unit)}." for name, value in shown) or "Nothing was measured."
    size = (width, max(1, len(shown)) * _ROW + _PAD)
    return text.drawing(pieces, look="chart bars", size=size, title=title, description=said)


def _bar(each: tuple[str, float], place: int, scale: Scale, unit: Unit) -> Iterator[Markup]:
    name, value = each
    top = place * _ROW
    zero, end = scale(0), scale(value)
    yield text.text(scale.start - _PAD, top + 16, _cut(name, scale.start - 2 * _PAD), look="left")
    yield Markup('<rect x="{}" y="{}" width="{}" height="{}" class="bar{}"/>').format(
        text.place(min(zero, end)),
        top + 4,
        text.place(max(abs(end - zero), 1)),
        _ROW - 8,
        " below-zero" if value < 0 else "",
    )
    yield text.text(max(zero, end) + _PAD, top + 16, text.number(value, unit), look="name")


def _cut(name: str, room: float) -> str:
    letters = max(1, int(room / text.width("m")))
    return name if len(name) <= letters else f"{name[: letters - 1]}…"
