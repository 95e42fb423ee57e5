"""Bursts of messages: each way to break one is named, and an unbroken one is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.confirmation import Reading
from monitor.core.delivery import Burst, Delivery, Received, Sent, compare, judge, text_of
from monitor.core.record import Node
from monitor.core.verdict import Finding, Kind, Reason, Verdict

DEADLINE = 5.0
PRIMARY = Node(store="postgres", address="db:5432", primary=True, version="15", position="0/1", identity="7-1")

Break = Callable[[Burst, int], Burst]


def burst(messages: int, *, apart: float = 0.01) -> Burst:
    """A burst in which everything arrived as it should, a little after it was sent."""
    texts = [text_of("run", number) for number in range(1, messages + 2)]
    moments = [100.0 + number * apart for number in range(messages)]
    return Burst(
        sent=tuple(Sent(text=text, at=at) for text, at in zip(texts, moments, strict=False)),
        withdrawn=(texts[-1],),
        received=tuple(Received(text=text, at=at + 0.002) for text, at in zip(texts, moments, strict=False)),
    )


def receiving(change: Callable[[list[Received], int], Iterable[Received]]) -> Break:
    """A break of what arrived, at one place of it."""
    return lambda whole, place: replace(whole, received=tuple(change(list(whole.received), place)))


def late(received: list[Received], place: int) -> list[Received]:
    """One message comes six seconds after the others, and in its place."""
    return [replace(each, at=each.at + 6.0 * (number == place)) for number, each in enumerate(received)]


def arriving(text: Callable[[Burst, int], str]) -> Break:
    """Something more arrives at the end."""
    return lambda whole, place: replace(
        whole, received=(*whole.received, Received(text=text(whole, place), at=whole.received[-1].at))
    )


BREAKS: dict[str, tuple[Kind, Break]] = {
    "dropped": (Kind.LOST, receiving(lambda all_, n: all_[:n] + all_[n + 1 :])),
    "doubled": (Kind.DUPLICATED, receiving(lambda all_, n: [*all_[: n + 1], all_[n], *all_[n + 1 :]])),
    "come again at the end": (Kind.DUPLICATED, receiving(lambda all_, n: [*all_, all_[n]])),
    "first comes last": (Kind.REORDERED, receiving(lambda all_, _: [*all_[1:], all_[0]])),
    "last comes first": (Kind.REORDERED, receiving(lambda all_, _: [all_[-1], *all_[:-1]])),
    "late": (Kind.LATE, receiving(late)),
    "changed": (
        Kind.CORRUPT,
        receiving(lambda all_, n: [*all_[:n], replace(all_[n], text=all_[n].text + "?"), *all_[n + 1 :]]),
    ),
    "cut off": (
        Kind.CORRUPT,
        receiving(lambda all_, n: [*all_[:n], replace(all_[n], text=all_[n].text[:10]), *all_[n + 1 :]]),
    ),
    "rolled back": (Kind.PHANTOM, arriving(lambda whole, _: whole.withdrawn[0])),
    "never published": (Kind.PHANTOM, arriving(lambda whole, _: text_of("another run", len(whole.sent) + 7))),
    "nonsense": (Kind.PHANTOM, arriving(lambda *_: "٣ not a number of ours")),
    "a number without an end": (Kind.PHANTOM, arriving(lambda *_: "9" * 5000)),
}


def kinds(whole: Burst) -> set[Kind]:
    """The kinds of violation in a burst."""
    return {violation.kind for violation in compare(whole, channel="pub/sub", deadline=DEADLINE)}


@given(messages=st.integers(2, 50), apart=st.floats(0, 1))
def test_what_arrived_once_in_order_and_in_time_is_silent(messages: int, apart: float) -> None:
    """However long the burst and however slowly it is sent."""
    assert kinds(burst(messages, apart=apart)) == set()


@pytest.mark.parametrize("name", BREAKS)
@given(data=st.data())
def test_what_is_broken_in_one_way_is_named_so_and_not_otherwise(name: str, data: st.DataObject) -> None:
    """Whichever message it hits."""
    kind, broken = BREAKS[name]
    whole = burst(data.draw(st.integers(2, 20)))
    place = data.draw(st.integers(0, len(whole.sent) - 1))
    assert kinds(broken(whole, place)) == {kind}


def test_evidence_says_what_arrived() -> None:
    """Who acts on a lost message sees the channel, how many were sent, and the numbers of those that came."""
    whole = burst(4)
    (violation,) = compare(replace(whole, received=whole.received[:3]), channel="stream", deadline=DEADLINE)
    assert violation.subject == "message 4 by stream"
    assert violation.evidence == {"channel": "stream", "sent": 4, "arrived": [1, 2, 3], "others": 0}


def judged(first: Burst, second: Burst | None = None, *, node: Node | None = PRIMARY) -> Finding:
    """What is said of one channel."""
    reading = Reading(first=first, second=second, node=node if second else None)
    return judge((Delivery(channel="pub/sub", reading=reading),), deadline=DEADLINE)


DROPPED = receiving(lambda all_, n: all_[:n] + all_[n + 1 :])(burst(4), 1)
DOUBLED = receiving(lambda all_, n: [*all_, all_[n]])(burst(4), 1)
SILENT = replace(burst(4), received=())


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (burst(4), None, (Verdict.OK, None, set())),
        (DROPPED, DROPPED, (Verdict.VIOLATED, None, {Kind.LOST})),
        (DROPPED, burst(4), (Verdict.UNKNOWN, Reason.INCONCLUSIVE, set())),
        (DROPPED, DOUBLED, (Verdict.UNKNOWN, Reason.INCONCLUSIVE, set())),
        (SILENT, SILENT, (Verdict.UNKNOWN, Reason.INCONCLUSIVE, set())),
        (SILENT, DROPPED, (Verdict.VIOLATED, None, {Kind.LOST})),
        (SILENT, burst(4), (Verdict.UNKNOWN, Reason.INCONCLUSIVE, set())),
    ],
    ids=["right", "lost twice", "lost once", "lost, then doubled", "silent", "silent, then lost", "silent once"],
)
def test_only_what_two_bursts_show_counts_and_silence_proves_nothing(
    first: Burst, second: Burst | None, expected: tuple[Verdict, Reason | None, set[Kind]]
) -> None:
    """Where nothing at all arrives, nothing proves that anything could have arrived."""
    finding = judged(first, second)
    assert (finding.verdict, finding.reason, {each.kind for each in finding.violations}) == expected


def test_silence_is_said_with_what_to_look_for() -> None:
    """The doubt names the channel and the likeliest cause."""
    message = judged(SILENT, SILENT).message
    assert message.startswith("pub/sub: nothing at all arrived")
    assert "pooler" in message


def test_a_replica_confirms_nothing() -> None:
    """What was published on a node that is no primary is a doubt."""
    finding = judged(DROPPED, DROPPED, node=replace(PRIMARY, primary=False))
    assert finding.reason is Reason.INCONCLUSIVE
