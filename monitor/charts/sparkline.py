"""A line in the size of a word: how the latest values stood against their limit."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from monitor.charts.series import stretches
from monitor.charts.text import printable

_WIDTH, _HEIGHT = 96, 22
_PAD = 3.0
_TALLEST = 2.0
"""Values above so many limits are drawn at it: what was over is seen by its mark, and the rest keeps its shape."""


def sparkline(values: Sequence[float | None], *, limit: float = 1.0, label: str) -> Markup:
    """The latest values from left to right, with a gap for None, and a mark on each that is over the limit.

    The limit is a dashed line in the upper part, at the same height in every sparkline without a value over it, so
    that those below one another can be compared.
    """
    known = [None if value is None or not math.isfinite(value) else max(0.0, value / limit) for value in values]
    tall = min(_TALLEST, max((value for value in known if value is not None), default=0.0))
    top = max(1.25, tall * 1.05)
    across = (_WIDTH - 2 * _PAD) / max(len(known) - 1, 1)

    floor, scale = _HEIGHT - _PAD, (_HEIGHT - 2 * _PAD) / top
    pieces = [f'<path d="M0 {floor - scale:.1f}h{_WIDTH}" class="limit"/>']
    points = [(_PAD + place * across, value) for place, value in enumerate(known)]
    for part in stretches(points):
        drawn = [(x, floor - min(y, tall) * scale, y > 1) for x, y in part]
        if len(drawn) == 1:
            pieces.append(f'<circle cx="{drawn[0][0]:.1f}" cy="{drawn[0][1]:.1f}" r="1.2" class="dot"/>')
        else:
            route = "L".join([f"{x:.1f} {y:.1f}" for x, y, _ in drawn])
            pieces.append(f'<path d="M{route}" class="line"/>')
        over = "".join([f"M{x - 2:.1f} {y - 2:.1f}h4v4h-4z" for x, y, beyond in drawn if beyond])
        if over:
            pieces.append(f'<path d="{over}" class="over"/>')
    name = printable(label)
    return Markup(  # noqa: S704  made of numbers and of what was escaped
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="xMinYMid" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{name}</title>{''.join(pieces)}</svg>"
    )
