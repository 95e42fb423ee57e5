"""What a burst comes to: what was asked and what was done, how long it took, and how that went over time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from monitor.core import latencies
from monitor.core.latencies import Spread
from monitor.core.openloop import Figures, Sample, nearest_rank

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Operations of one kind, or all: how many failed, and how long the others took, from due and from begun."""

    name: str
    failed: int
    latency: Spread
    service: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What ended within one stretch of time: the rate that was asked and that was answered, latencies, failures."""

    since: float
    asked: float
    answered: float
    failed: int
    p50: float | None
    p90: float | None
    p99: float | None
    longest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One burst in figures. `planned` are its operations, `seconds` the time until the last was answered."""

    planned: int
    ended: int
    seconds: float
    asked: float
    answered: float
    parts: tuple[Part, ...]
    errors: Mapping[str, int]
    slices: tuple[Slice, ...]


def summed(samples: Sequence[Sample], figures: Figures) -> Summary:
    """The summary of a burst, as far as it went."""
    seconds = max((sample.ended for sample in samples), default=0.0)
    done = sum(sample.failed is None for sample in samples)
    asked_until = min(seconds, figures.seconds)
    by_act: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_act[sample.act.value].append(sample)
    return Summary(
        planned=figures.operations,
        ended=len(samples),
        seconds=seconds,
        asked=figures.asked(0.0, asked_until) if asked_until else 0.0,
        answered=done / seconds if seconds else 0.0,
        parts=(*(_part(name, by_act[name]) for name in sorted(by_act)), _part(ALL, samples)),
        errors=Counter(str(sample.failed) for sample in samples if sample.failed is not None),
        slices=tuple(_slices(samples, figures, seconds)),
    )


def _part(name: str, samples: Sequence[Sample]) -> Part:
    right = [sample for sample in samples if sample.failed is None]
    return Part(
        name=name,
        failed=len(samples) - len(right),
        latency=latencies.spread(sample.latency for sample in right),
        service=latencies.spread(sample.service for sample in right),
    )


def _slices(samples: Sequence[Sample], figures: Figures, seconds: float) -> Iterable[Slice]:
    """A hundred or fewer, each of a second or more where the burst is long enough."""
    length = max(seconds / 100, min(1.0, seconds / 20)) or 1.0
    ended: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        ended[int(sample.ended / length)].append(sample)
    for place in range(int(seconds / length) + bool(samples)):
        since, until = place * length, min((place + 1) * length, seconds)
        if until - since < length / 2 and place:  # the rest of a stretch tells no rate
            continue
        found = [sample.latency for sample in ended[place] if sample.failed is None]
        yield Slice(
            since=since,
            asked=figures.asked(since, until) if until <= figures.seconds else 0.0,
            answered=len(found) / (until - since),
            failed=len(ended[place]) - len(found),
            p50=nearest_rank(found, 0.5) if found else None,
            p90=nearest_rank(found, 0.9) if found else None,
            p99=nearest_rank(found, 0.99) if found else None,
            longest=max(found, default=None),
        )
