"""What was published on a channel against what arrived: all of it, once, in order, in time, and nothing taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

from monitor.core import confirmation
from monitor.core.confirmation import Judgement, Reading
from monitor.core.payload import noise
from monitor.core.verdict import Finding, Json, Kind, Violation

_BYTES = 120  # of a message: more than a packet's rounding, and far below the 8000 that NOTIFY carries


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message whose publication was acknowledged at a moment of the monotonic clock, in seconds."""

    text: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message that arrived, and when."""

    text: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One burst on one channel, by a subscriber whose connection lived until the end.

    `sent` is in order; `withdrawn` was published in a transaction that was rolled back.
    """

    sent: tuple[Sent, ...]
    withdrawn: tuple[str, ...]
    received: tuple[Received, ...]

    @property
    def silent(self) -> bool:
        """Whether nothing at all came, so that nothing proves that anything could have come."""
        return not self.received


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What one run saw of one channel: a burst and, where that was not right, another one on new connections."""

    channel: str
    reading: Reading[Burst]


Seen = tuple[Delivery, ...]


def text_of(author: str, number: int) -> str:
    """The message with this number, from 1, as `author` (a word for run, channel and attempt) writes it."""
    return f"{number} ünï🙂 {noise(f'{author}/{number}', _BYTES)}"


def judge(seen: Seen, *, deadline: float) -> Finding:
    """Each channel by itself; `deadline` is in seconds."""
    judgements = [_judge(delivery, deadline) for delivery in seen]
    return confirmation.conclude(judgements, checks=len(judgements))


def _judge(delivery: Delivery, deadline: float) -> Judgement:
    bursts = (delivery.reading.first, delivery.reading.second)
    if all(burst is None or burst.silent for burst in bursts):
        doubt = (
            f"{delivery.channel}: nothing at all arrived, although the subscription was acknowledged and its connection"
            " lived; is there a pooler or a proxy in between that does not pass on what is pushed?"
        )
        return Judgement(doubt=doubt)
    check = partial(compare, channel=delivery.channel, deadline=deadline)
    return confirmation.judge(delivery.channel, delivery.reading, check)


def compare(burst: Burst, *, channel: str, deadline: float) -> Iterator[Violation]:
    """All that is wrong with a burst. A message that came damaged is corrupt, and neither lost nor a phantom."""
    numbers = {sent.text: number for number, sent in enumerate(burst.sent, start=1)}
    known = [(numbers[received.text], received.at) for received in burst.received if received.text in numbers]
    strange = [received.text for received in burst.received if received.text not in numbers]
    evidence: dict[str, Json] = {
        "channel": channel,
        "sent": len(numbers),
        "arrived": [number for number, _ in known],
        "others": len(strange),
    }

    def told(kind: Kind, number: int, *, expected: str, actual: str) -> Violation:
        subject = f"message {number or 'of no number'} by {channel}"
        return Violation(kind=kind, subject=subject, expected=expected, actual=actual, evidence=evidence)

    for text in strange:
        yield _stranger(told, text, burst)
    yield from _once_in_order(told, [number for number, _ in known])
    yield from _in_time(told, burst, dict(reversed(known)), {_claimed(text) for text in strange}, deadline)


class _Told(Protocol):
    def __call__(self, kind: Kind, number: int, *, expected: str, actual: str) -> Violation:
        """One violation that concerns the message with this number."""


def _stranger(told: _Told, text: str, burst: Burst) -> Violation:
    """What a message that was not published, or not so, is a sign of."""
    number = _claimed(text)
    if text in burst.withdrawn:
        return told(Kind.PHANTOM, number, expected="never, for its transaction was rolled back", actual="delivered")
    if 1 <= number <= len(burst.sent):
        return told(Kind.CORRUPT, number, expected="the text that was published", actual="another")
    return told(Kind.PHANTOM, number, expected="none but those that were published", actual="another one")


def _claimed(text: str) -> int:
    """Which message a text says it is; 0 where it says nothing."""
    number = text[:9].partition(" ")[0]
    return int(number) if number.isascii() and number.isdecimal() else 0


def _once_in_order(told: _Told, arrived: Sequence[int]) -> Iterator[Violation]:
    for number, times in Counter(arrived).items():
        if times > 1:
            yield told(Kind.DUPLICATED, number, expected="delivered once", actual=f"{times} times")
    for before, after in pairwise(dict.fromkeys(arrived)):
        if after < before:
            yield told(Kind.REORDERED, after, expected=f"before message {before}", actual="after it")


def _in_time(
    told: _Told, burst: Burst, moments: Mapping[int, float], damaged: Collection[int], deadline: float
) -> Iterator[Violation]:
    for number, sent in enumerate(burst.sent, start=1):
        if number not in moments and number not in damaged:
            yield told(Kind.LOST, number, expected="delivered", actual="not delivered")
        elif number in moments and (took := moments[number] - sent.at) > deadline:
            yield told(Kind.LATE, number, expected=f"within {deadline:g} s", actual=f"after {took:.3f} s")
