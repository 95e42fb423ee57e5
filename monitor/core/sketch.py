"""Many values in little space: a histogram whose buckets grow, as in DDSketch (Masson, Rim, Lee; VLDB 2019)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

ERROR = 0.02
"""A quantile is at most this share of itself away from the value that truly stands there."""
NEAREST = 1e-9
"""What is no farther than this from nothing is nothing, and negative lengths are: no clock here is finer."""

_GROWTH = (1 + ERROR) / (1 - ERROR)
_LOG = math.log(_GROWTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """How values are spread, without their order; of all units, as long as it is one.

    Bucket i counts what lies above _GROWTH ** (i - 1) and up to _GROWTH ** i; `zeros` counts what is nothing.
    """

    zeros: int = 0
    buckets: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Iterable[float]) -> Sketch:
        """The sketch of these values, in whatever order they come."""
        # Infinity stands for no bucket: one pass, for this is done for every step of every run.
        counts = Counter(math.ceil(math.log(value) / _LOG) if value > NEAREST else -math.inf for value in values)
        zeros = counts.pop(-math.inf, 0)
        return cls(zeros=zeros, buckets={int(bucket): count for bucket, count in counts.items()})

    @property
    def count(self) -> int:
        """How many values it has seen."""
        return self.zeros + sum(self.buckets.values())

    def quantile(self, q: float) -> float | None:
        """The least value that a share `q` of all do not exceed, 0 to 1, within ERROR of itself; None of none."""
        return quantile_in(self.as_json(), q)

    def spread(self) -> Sequence[tuple[float, int]]:
        """Its buckets from the least: a value that is within ERROR of all in it, and how many they are."""
        zeros = [(0.0, self.zeros)] if self.zeros else []
        return [*zeros, *((_middle(bucket), count) for bucket, count in sorted(self.buckets.items()))]

    def as_json(self) -> list[int]:
        """Short: `zeros`, then bucket and count in turn, from the least; each bucket as its distance to the last."""
        found, last = [self.zeros], 0
        for bucket, count in sorted(self.buckets.items()):
            found += (bucket - last, count)
            last = bucket
        return found

    @classmethod
    def from_json(cls, kept: Sequence[int]) -> Sketch:
        """What `as_json` gave."""
        buckets, last = {}, 0
        for gap, count in zip(kept[1::2], kept[2::2], strict=True):
            last += gap
            buckets[last] = count
        return cls(zeros=kept[0], buckets=buckets)


def quantile_in(kept: Sequence[int], q: float) -> float | None:
    """The quantile of what `as_json` gave: of a year of hours, most of the time would go into making sketches."""
    rank = max(1, math.ceil(q * (kept[0] + sum(kept[2::2])) - NEAREST))
    seen, bucket = kept[0], 0
    if seen >= rank:
        return 0.0
    for gap, count in zip(kept[1::2], kept[2::2], strict=True):
        bucket += gap
        seen += count
        if seen >= rank:
            return _middle(bucket)
    return None


def merged(sketches: Iterable[Sketch]) -> Sketch:
    """The sketch of all that these have seen together: exactly what one sketch of the whole would be."""
    zeros, buckets = 0, Counter[int]()
    for sketch in sketches:
        zeros += sketch.zeros
        buckets.update(sketch.buckets)
    return Sketch(zeros=zeros, buckets=dict(buckets))


def _middle(bucket: int) -> float:
    """The value that is equally far, by share, from both ends of a bucket."""
    return 2 * _GROWTH**bucket / (_GROWTH + 1)
