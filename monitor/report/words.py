"""Numbers, lengths and moments as a report writes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from monitor.core import duration
from monitor.report.availability import Gap

_FEW_TIMES = 9


def seconds(value: float | None) -> str:
    """How long a step took: `12 ms`, `1.25 s`."""
    if value is None:
        return "–"  # noqa: RUF001  an empty cell
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


length, precise = duration.in_words, duration.took
"""A length, and one that may be short."""


def lengths(parts: Iterable[Gap]) -> timedelta:
    """How long some gaps are together."""
    return sum((part.length for part in parts), timedelta())


def whole(value: float) -> str:
    """A number without its fraction."""
    return f"{value:,.0f}"


def percent(share: float | None) -> str:
    """A share as percent, with as many digits as tell it from a whole: `99.97 %`."""
    if share is None:
        return "–"  # noqa: RUF001  an empty cell
    value = 100 * share
    digits = 3 if abs(100 - value) < 0.1 else 2 if abs(100 - value) < 1 else 1  # noqa: PLR2004  nines are what counts
    shown = math.floor(value * 10**digits + 1e-6) / 10**digits  # a bad run in a million is not 100 %
    return f"{shown:.{digits}f}".rstrip("0").rstrip(".") + " %"


def left(share: float) -> str:
    """What is left of a budget: `62 %`, `-40 %`, `spent 170 times`."""
    return f"spent {times(1 - share)}" if share < -_FEW_TIMES else percent(share)


def times(count: float) -> str:
    """How often: `1.4 times`, `170 times`."""
    return f"{count:,.0f} times" if count > _FEW_TIMES else f"{count:.2g} times"


def change(share: float | None) -> str:
    """A change: `+21 %`."""
    return "–" if share is None else f"{100 * share:+.0f} %"  # noqa: RUF001  an empty cell


def number(value: float) -> str:
    """A number with its thousands apart: `120,000`, `68.40`."""
    return f"{value:,.0f}" if value == round(value) or value >= 1000 else f"{value:,.2f}"  # noqa: PLR2004  cents


def several(count: int, what: str) -> str:
    """So many of them: `1 violation`, `1,200 violations`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Bytes: `1.2 MB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.0f} B"


def when(moment: datetime) -> str:
    """A moment in UTC, to the minute."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def day(moment: datetime) -> str:
    """A day in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d")


def visible(text: str) -> str:
    """A text in which nothing hides."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def chance(p: float | None) -> str:
    """A p: `0.003`, `< 0.001`."""
    if p is None:
        return "–"  # noqa: RUF001  an empty cell
    return "< 0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004  what is less says nothing more


FILTERS: dict[str, Callable[..., object]] = {
    "seconds": seconds,
    "lasting": length,
    "precise": precise,
    "lengths": lengths,
    "whole": whole,
    "percent": percent,
    "left": left,
    "change": change,
    "number": number,
    "size": size,
    "when": when,
    "day": day,
    "visible": visible,
    "chance": chance,
}
