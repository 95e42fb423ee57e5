"""Whether a step became slower or faster than a week before, told so that chance and habit do not pass for change.

Runs that follow each other are alike, and nights are not like days; a test that takes thousands of runs for thousands
of witnesses finds a change every week. So the medians of hours are compared, each with the same hour a week earlier,
and put together to blocks of four hours: a week has 42 witnesses. On the logarithms of their ratios stands Student's
paired test, with as many degrees of freedom as the blocks are worth that are still alike: n (1 - r) / (1 + r), as of
an AR(1) process. (A test on ranks would be the natural choice, but it is at its end where all 42 point one way, and
with that correction finds no change, however large.) Of many steps some look changed by chance: Benjamini and
Hochberg's procedure (JRSS B 1995) bounds the share of false ones among those that are told. What is less than a tenth
is not told, however sure it is.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TypeVar

from monitor.core.rollup import floor

K = TypeVar("K")

WEEK = timedelta(days=7)
BLOCK = timedelta(hours=4)
LEAST_BLOCKS = 12
"""Two days of hours that can be compared; with fewer nothing is told."""
LEAST_CHANGE = 0.10
FALSE_SHARE = 0.05
"""Of the changes that are told at most so many are chance, on average."""
METHOD = (
    "The median of each hour is compared with that of the same hour a week before, in blocks of four hours, by "
    "Student's paired test on their logarithms, corrected for how alike neighbouring blocks are. A change is told from "
    "10 % on, and where Benjamini and Hochberg's procedure over all steps of this report keeps chance below 5 % of "
    "what is told."
)
_KNOWN_TO = 0.02
"""A sketch tells a median within so much: blocks are never surer than that."""


class Turn(StrEnum):
    """What became of a step."""

    SLOWER = "slower"
    FASTER = "faster"
    STEADY = "no change"
    UNTOLD = "too little data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A step this week and the week before, over the same hours.

    `before` and `after` are medians of the hours' medians in seconds, None where no hour can be compared. `share` is
    the typical change (0.2: a fifth slower), `p` the chance that no change at all looks like this, None where `blocks`
    are too few.
    """

    before: float | None = None
    after: float | None = None
    share: float | None = None
    p: float | None = None
    blocks: int = 0


def compared(medians: Mapping[datetime, float], until: datetime) -> Comparison:
    """The week that ends at `until` against the one before; `medians` has an hour's median by its start."""
    since, blocks = until - WEEK, defaultdict[datetime, list[float]](list)
    before, after = [], []
    for start, value in sorted(medians.items()):
        earlier = medians.get(start - WEEK)
        if since <= start < until and earlier and value > 0:
            before.append(earlier)
            after.append(value)
            blocks[floor(start, BLOCK)].append(math.log(value / earlier))
    if not before:
        return Comparison()
    changes = {start: statistics.fmean(found) for start, found in blocks.items()}
    told = len(changes) >= LEAST_BLOCKS
    return Comparison(
        before=statistics.median(before),
        after=statistics.median(after),
        share=math.expm1(statistics.median(changes.values())),
        p=chance([*changes.values()], alike=_alike(changes)) if told else None,
        blocks=len(changes),
    )


def turns(comparisons: Mapping[K, Comparison]) -> dict[K, Turn]:
    """What became of each of many steps, judged together."""
    sure = _discoveries({key: each.p for key, each in comparisons.items() if each.p is not None})
    return {key: _turn(each, sure=key in sure) for key, each in comparisons.items()}


def chance(changes: Sequence[float], *, alike: float = 0.0) -> float:
    """The two-sided p that the mean of so many changes is none; `alike` is how alike neighbours are, 0 to below 1.

    Student's distribution by Wallace's approximation (Annals of Mathematical Statistics 1959), right to three digits.
    """
    worth = max(2.0, len(changes) * (1 - alike) / (1 + alike))
    spread = max(_KNOWN_TO, statistics.stdev(changes))
    free = worth - 1
    t = statistics.fmean(changes) / spread * math.sqrt(worth)
    z = (8 * free + 1) / (8 * free + 3) * math.sqrt(free * math.log1p(t * t / free))
    return math.erfc(z / math.sqrt(2))


def _turn(each: Comparison, *, sure: bool) -> Turn:
    if each.p is None or each.share is None:
        return Turn.UNTOLD
    least = math.log1p(LEAST_CHANGE)  # a tenth more and a tenth less are as far apart both ways
    if not sure or abs(math.log1p(each.share)) < least:
        return Turn.STEADY
    return Turn.SLOWER if each.share > 0 else Turn.FASTER


def _discoveries(found: Mapping[K, float]) -> Collection[K]:
    ascending = sorted(found, key=lambda key: found[key])
    last = max(
        (place for place, key in enumerate(ascending, 1) if found[key] <= FALSE_SHARE * place / len(ascending)),
        default=0,
    )
    return set(ascending[:last])


def _alike(changes: Mapping[datetime, float]) -> float:
    """How alike neighbouring blocks are, 0 to 0.95, freed of the bias of so short a series (Marriott, Pope 1954)."""
    mean = statistics.fmean(changes.values())
    apart = {start: change - mean for start, change in changes.items()}
    whole = sum(each * each for each in apart.values())
    beside = sum(apart[one] * apart[other] for one, other in pairwise(sorted(apart)) if other - one == BLOCK)
    seen = beside / whole if whole > 0 else 0.0
    return min(0.95, max(0.0, seen + (1 + 3 * seen) / len(changes)))
