"""When each part of something began, how long it took, and which took longer than it may."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from monitor.charts import text
from monitor.charts.scale import Scale, nice
from monitor.charts.series import LARGEST

_ROW, _PAD, _AXIS = 22, 6, 22
_NAMES = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part: seconds after the beginning of the whole, seconds that it took, and that it may take."""

    name: str
    after: float
    took: float
    limit: float | None = None
    failed: bool = False


def waterfall(parts: Sequence[Part], *, title: str, width: int = 720) -> Markup:
    """A bar for each part on one axis of time; what failed is hatched by its look, what was over has the mark."""
    end = min(LARGEST, max((each.after + each.took for each in parts), default=0.0)) or 0.001
    left = min(_NAMES * width, max((text.width(each.name) for each in parts), default=0) + 2 * _PAD)
    ticks = nice(0, end, about=5, unit="s")
    scale = Scale(0, ticks[-1], left, width - 60)
    bottom = max(1, len(parts)) * _ROW
    pieces = [piece for tick in ticks for piece in _tick(scale(tick), tick, bottom)]
    pieces += [piece for place, each in enumerate(parts) for piece in _part(each, place * _ROW, scale)]
    said = " ".join(f"{each.name}: {_said(each)}." for each in parts) or "No step was timed."
    return text.drawing(pieces, look="chart waterfall", size=(width, bottom + _AXIS), title=title, description=said)


def over(part: Part) -> bool:
    """Whether it took longer than it may; of what failed that is not asked."""
    return not part.failed and part.limit is not None and part.took > part.limit


def _tick(x: float, value: float, bottom: float) -> Iterator[Markup]:
    yield text.line(x, 0, x, bottom, look="row")
    yield text.text(x, bottom + 15, text.number(value, "s"), look="below")


def _part(part: Part, top: float, scale: Scale) -> Iterator[Markup]:
    begin, end = scale(part.after), scale(part.after + part.took)
    yield text.text(scale.start - _PAD, top + 15, part.name, look="left")
    yield Markup('<rect x="{}" y="{}" width="{}" height="{}" class="bar{}"/>').format(
        text.place(begin),
        text.place(top + 4),
        text.place(max(end - begin, 1.5)),
        _ROW - 8,
        " failed" if part.failed else "",
    )
    mark = 12 if over(part) else 0
    if mark:
        yield text.above(end + _PAD + 3, top + 12)
    words = text.number(part.took, "s") + (", failed" if part.failed else "")
    after = end + _PAD + mark
    if after + text.width(words) > scale.end + 60:  # no room behind it
        yield text.text(begin - _PAD, top + 15, words, look="left")
    else:
        yield text.text(after, top + 15, words, look="name")


def _said(part: Part) -> str:
    words = f"began after {text.number(part.after, 's')} and took {text.number(part.took, 's')}"
    limit = f" of {text.number(part.limit, 's')}" if part.limit is not None else ""
    return words + limit + (", over its budget" if over(part) else "") + (", and failed" if part.failed else "")
