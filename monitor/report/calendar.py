"""Every hour of a period as a small square: what was bad, and when nobody looked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from markupsafe import Markup

from monitor.core.rollup import DAY, floor
from monitor.report.availability import Hour
from monitor.report.period import Period

_SIDE, _GAP, _LEFT, _TOP = 9, 2, 40, 16
_STEP = _SIDE + _GAP
_LONGEST = timedelta(days=42)
_WORDS: Mapping[Hour, str] = {
    Hour.GOOD: "without a bad run",
    Hour.BAD: "with bad runs, less than one in ten",
    Hour.WORSE: "in which one run of ten or more was bad",
    Hour.UNTOLD: "in which some probes could tell and others not",
    Hour.PAUSED: "paused",
    Hour.SILENT: "in which nobody looked",
}


def calendar(hours: Mapping[datetime, Hour], period: Period, *, name: str) -> Markup:
    """A column a day, a row an hour of the day (UTC); the latest six weeks."""
    latest = {hour: of for hour, of in hours.items() if hour >= period.until - _LONGEST}
    first = floor(min(latest, default=period.until), DAY)
    days = -(-(period.until - first) // DAY)
    size = (_LEFT + max(days, 10) * _STEP, _TOP + 24 * _STEP + 4)
    pieces = [*_names(first, days), *(_square(hour, first, of) for hour, of in sorted(latest.items()))]
    counted = Counter(latest.values())
    said = ", ".join(f"{counted[of]} hours {words}" for of, words in _WORDS.items() if counted[of])
    return Markup(
        '<svg class="chart calendar" width="{}" height="{}" viewBox="0 0 {} {}" role="img" xmlns="http://www.w3.org/2000/svg">'
        "<title>{}</title><desc>{}</desc>{}</svg>"
    ).format(*size, *size, f"Each hour of {name}", f"{said}.", Markup("").join(pieces))


def _square(hour: datetime, first: datetime, of: Hour) -> Markup:
    x = _LEFT + (hour - first) // DAY * _STEP
    y = _TOP + hour.hour * _STEP
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="2" class="hour {}"/>').format(x, y, _SIDE, _SIDE, of)


def _names(first: datetime, days: int) -> Iterator[Markup]:
    for place in range(0, days, 7 if days > 10 else 4):  # noqa: PLR2004  a name is as wide as four columns
        day = first + timedelta(days=place)
        yield _text(_LEFT + place * _STEP, _TOP - 5, f"{day.day} {day:%b}", look="day")
    for hour in (0, 6, 12, 18):
        yield _text(_LEFT - 6, _TOP + hour * _STEP + 8, f"{hour:02}:00", look="left")


def _text(x: float, y: float, words: str, *, look: str) -> Markup:
    return Markup('<text x="{}" y="{}" class="{}">{}</text>').format(x, y, look, words)
