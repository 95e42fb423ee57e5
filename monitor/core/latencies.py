"""Percentiles of a burst, from an HDR histogram: three digits of each value, however long its tail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 100.0)
_LONGEST = 3_600_000_000  # microseconds; an hour is more than anything waits
_DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How long things took, in seconds: how many, their mean, and the value at each of PERCENTILES, the last of all."""

    count: int
    mean: float
    at: tuple[float, ...]


def spread(values: Iterable[float]) -> Spread:
    """The spread of some lengths in seconds; all zero of none."""
    histogram, count = _histogram(values)
    if not count:
        return Spread(count=0, mean=0.0, at=(0.0,) * len(PERCENTILES))
    at = tuple(_at(histogram, count, each) for each in PERCENTILES)
    return Spread(count=count, mean=histogram.get_mean_value() / 1e6, at=at)


def curve(values: Iterable[float], percentiles: Sequence[float]) -> list[tuple[float, float]]:
    """The value in seconds at each percentile, for a picture; empty of none."""
    histogram, count = _histogram(values)
    return [(each, _at(histogram, count, each)) for each in percentiles] if count else []


def _at(histogram: Any, count: int, percentile: float) -> float:  # noqa: ANN401  the library has no types
    """The value that so large a share does not exceed: of few values the library rounds down to one that more do."""
    return float(histogram.get_value_at_percentile(100 * ceil(percentile * count / 100) / count)) / 1e6


def _histogram(values: Iterable[float]) -> tuple[Any, int]:
    """A histogram of microseconds, and how many are in it."""
    from hdrh.histogram import HdrHistogram  # noqa: PLC0415  a daemon that has no burst does not load it

    histogram, count = HdrHistogram(1, _LONGEST, _DIGITS), 0
    for value in values:
        histogram.record_value(min(_LONGEST, max(1, round(value * 1e6))))
        count += 1
    return histogram, count
