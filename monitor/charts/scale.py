"""From numbers to places on the drawing: ranges, and ticks that are round numbers or round moments in UTC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_MOMENTS = tuple(
    [count * unit for unit in (1, _MINUTE) for count in (1, 2, 5, 10, 15, 30)]
    + [count * _HOUR for count in (1, 2, 3, 6, 12)]
    + [count * _DAY for count in (1, 2, 5, 10, 30, 90, 365, 3650)]
)
_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of numbers, and the stretch of the drawing on which it lies."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a number; what lies outside is put at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def nice(low: float, high: float, *, about: int, unit: str) -> list[float]:
    """Round numbers, about so many, from at most `low` to at least `high`."""
    rough = max(high - low, 1e-9) / max(about, 1)
    size = _step(rough, unit)
    first, last = math.floor(low / size + 1e-9), math.ceil(high / size - 1e-9)
    return [place * size for place in range(first, max(last, first + 1) + 1)]


def _step(rough: float, unit: str) -> float:
    """The round step that is not below this one: 1, 2, 5, and so on; of lengths of time minutes and hours, too."""
    if unit == "s" and rough > 20:  # noqa: PLR2004  seconds; above, tens of seconds make no round minutes
        for step in _MOMENTS:
            if step >= rough and step >= 30:  # noqa: PLR2004  half a minute
                return float(step)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def moments(since: float, until: float, *, about: int) -> list[tuple[float, str]]:
    """Round moments between two, about so many, each with its words in UTC."""
    since, until = max(since, _FIRST), min(until, _LAST)
    rough = max(until - since, 1.0) / max(about, 1)
    step = next((each for each in _MOMENTS if each >= rough), _MOMENTS[-1])
    first, last = math.ceil(since / step), math.floor(until / step)
    return [(place * step, _words(place * step, step, until - since)) for place in range(first, last + 1)]


def _words(at: float, step: int, span: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    if step >= _DAY or at % _DAY == 0:
        return moment.strftime("%Y-%m-%d") if span > 300 * _DAY else f"{moment.day} {moment:%b}"
    return moment.strftime("%H:%M:%S" if step < _MINUTE else "%H:%M")


def extent(values: Sequence[float]) -> tuple[float, float]:
    """The least and the largest of some numbers; 0 and 1 of none."""
    return (min(values), max(values)) if values else (0.0, 1.0)
