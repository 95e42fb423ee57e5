"""What was acknowledged of a conversation against what a reload brought back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from monitor.core.payload import Message, Thread, canonical
from monitor.core.verdict import Json, Kind, Violation

SHOWN = 20
"""How many violations of one kind are told one by one; ten thousand alike tell no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must come back, exactly.

    `messages` were acknowledged and are in order. `earlier` holds digests of versions that an acknowledged edit has
    replaced. `absent` names ids that must not be there, with the kind of violation if one is: deleted messages are
    `resurrected`, rolled-back ones `phantom`. `atomic` are the ids that one transaction wrote.
    """

    thread: Thread
    messages: tuple[Message, ...]
    earlier: Mapping[UUID, str] = field(default_factory=dict)
    absent: Mapping[UUID, Kind] = field(default_factory=dict)
    atomic: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What one reload brought: the header, its own count of messages, and the messages in the order of the store.

    Of an application that keeps no count it is how many messages came.

    `asked` is how somebody can ask the same: the statement and as whom.
    """

    thread: Thread | None
    count: int | None
    messages: tuple[Message, ...]
    asked: str = ""


def compare(expected: Expected, read: Transcript) -> tuple[Violation, ...]:
    """Every difference, each named once, with its first place. Nothing if the conversation came back as it was.

    One cause has one name: a message that is missing or doubled is not also misplaced, and missing parts of a batch
    are `torn` only where everything else came back (else it is plain loss). Linear in the number of messages.
    """
    found = (*_header(expected, read), *_differences(expected, read.messages))
    return _asked(found, expected, read.asked)


def compare_messages(expected: Expected, messages: Sequence[Message], *, asked: str) -> tuple[Violation, ...]:
    """The same for messages that were read without their header, such as pages of a conversation."""
    return _asked(_differences(expected, messages), expected, asked)


def _asked(found: Iterable[Violation], expected: Expected, asked: str) -> tuple[Violation, ...]:
    """The first of each kind, each with how many there are in all and how to ask the same."""
    times = Counter[Kind]()
    shown = list[Violation]()
    for violation in found:
        times[violation.kind] += 1
        if times[violation.kind] <= SHOWN:
            shown.append(violation)
    how: dict[str, Json] = {"thread": str(expected.thread.id), "asked": asked}
    return tuple(
        replace(violation, evidence={**violation.evidence, "in_all": times[violation.kind], **how})
        for violation in shown
    )


def _differences(expected: Expected, messages: Sequence[Message]) -> Iterator[Violation]:
    if _as_it_was(expected.messages, messages):
        return
    wanted = {message.id: message for message in expected.messages}
    first: dict[UUID, Message] = {}
    strangers: list[Message] = []
    copies: list[Message] = []
    for message in messages:
        if message.id not in wanted:
            strangers.append(message)
        elif message.id in first:
            copies.append(message)
        else:
            first[message.id] = message

    yield from _missing(expected, first)
    yield from _changed(expected, first)
    yield from _strange(expected, strangers, copies)
    copied = {message.id for message in copies}  # which of its places is the right one, nobody can say
    yield from _order(expected, [message for message in first.values() if message.id not in copied])


def _as_it_was(wanted: Sequence[Message], seen: Sequence[Message]) -> bool:
    """Whether each is in its place and says the same, as in nearly every run; else it is asked what differs."""
    return len(wanted) == len(seen) and all(
        found == should or (found.id == should.id and found.number in (0, should.number) and found.says(should))
        for should, found in zip(wanted, seen, strict=True)
    )


def _header(expected: Expected, read: Transcript) -> Iterator[Violation]:
    if read.thread is None:
        yield Violation(kind=Kind.LOST, subject="the thread's header", expected="present", actual="absent")
        return
    if read.thread != expected.thread and read.thread.digest != expected.thread.digest:
        yield _altered(expected.thread, read.thread, Kind.CORRUPT, subject="the thread's header")
    # A count that agrees with what is there tells of the same loss or the same surplus once more.
    if read.count not in (len(expected.messages), len(read.messages)):
        yield Violation(
            kind=Kind.CORRUPT,
            subject="the thread's own count of messages",
            expected=str(len(expected.messages)),
            actual=str(read.count),
        )


def _missing(expected: Expected, first: Mapping[UUID, Message]) -> Iterator[Violation]:
    missing = [message for message in expected.messages if message.id not in first]
    if not missing:
        return
    batch_only = all(message.id in expected.atomic for message in missing)
    torn = batch_only and len(missing) < len(expected.atomic)
    numbers = [message.number for message in missing]
    whole = len(expected.atomic if torn else expected.messages)
    what = "messages of one transaction" if torn else "acknowledged messages"
    yield Violation(
        kind=Kind.TORN if torn else Kind.LOST,
        subject=f"{len(missing)} of {whole} {what} {'is' if len(missing) == 1 else 'are'} missing",
        expected="all of them or none" if torn else f"all {whole}",
        actual=f"{whole - len(missing)}, without {_listed(numbers)}" + ("" if torn else _of_which(expected, numbers)),
        evidence={"missing": [str(message.id) for message in missing[:20]], "numbers": [*numbers[:100]]},
    )


def _of_which(expected: Expected, missing: Sequence[int]) -> str:
    """Why a number can be higher than there are messages: one that was rolled back or deleted had a number, too."""
    kept = {message.number for message in expected.messages}
    if max(missing) <= len(kept):
        return ""
    first, last = min(kept), max(kept)
    others = [number for number in range(first, last) if number not in kept]
    said = f" of {first} to {last}"
    if 0 < len(others) <= len(expected.absent):
        said += f"; {_listed(others)} {'was' if len(others) == 1 else 'were'} not to stay"
    return said


def _changed(expected: Expected, first: Mapping[UUID, Message]) -> Iterator[Violation]:
    for message in expected.messages:
        seen = first.get(message.id)
        if seen is None or seen.says(message):
            continue
        stale = expected.earlier.get(message.id) == seen.digest
        kind, why = (Kind.STALE, ", the version before an acknowledged edit") if stale else (Kind.CORRUPT, "")
        found = _altered(message, seen, kind, subject=f"message {message.number}")
        yield replace(found, actual=found.actual + why, evidence={"id": str(message.id), **found.evidence})


def _altered(expected: Message | Thread, seen: Message | Thread, kind: Kind, *, subject: str) -> Violation:
    """Two that should be the same, by the first place where they differ; their digests are for machines."""
    place, wanted, found = _parting(_spoken(expected), _spoken(seen))
    return Violation(
        kind=kind,
        subject=subject,
        expected=f"{wanted!r} at character {place}",
        actual=repr(found),
        evidence={
            "first_difference": difference(_spoken(expected), _spoken(seen)),
            "expected_digest": expected.digest,
            "found_digest": seen.digest,
        },
    )


def _strange(expected: Expected, strangers: Sequence[Message], copies: Sequence[Message]) -> Iterator[Violation]:
    authored = {message.digest for message in expected.messages} if strangers else frozenset[str]()
    for message in copies:
        yield _extra(message, Kind.DUPLICATED, "once", "again, under the same id")
    for message in strangers:
        kind = expected.absent.get(message.id)
        if kind is not None:
            what = "deleted" if kind is Kind.RESURRECTED else "rolled back"
            yield _extra(message, kind, f"absent, for it was {what}", "present")
        elif message.digest in authored:
            yield _extra(message, Kind.DUPLICATED, "once", "again, under another id")
        else:
            yield _extra(message, Kind.PHANTOM, "absent, for it was never written", "present")


def _extra(message: Message, kind: Kind, wanted: str, found: str) -> Violation:
    return Violation(
        kind=kind,
        subject=f"message {message.number}",
        expected=wanted,
        actual=found,
        evidence={"id": str(message.id)},
    )


def _order(expected: Expected, seen: Sequence[Message]) -> Iterator[Violation]:
    numbers = Counter(message.number for message in seen if message.number)
    shared = [number for number, times in numbers.items() if times > 1]
    if shared:  # the order of ties is nobody's promise, so nothing more is said of it
        yield Violation(
            kind=Kind.DUPLICATED,
            subject=f"sequence number {shared[0]}",
            expected="one message",
            actual=f"{numbers[shared[0]]} messages",
        )
        return
    present = {message.id for message in seen}
    wanted = [message for message in expected.messages if message.id in present]
    for place, (should, found) in enumerate(zip(wanted, seen, strict=True)):
        if should.id != found.id:
            yield Violation(
                kind=Kind.REORDERED,
                subject=f"place {place + 1} of {len(wanted)}",
                expected=f"message {should.number} ({should.id})",
                actual=f"message with number {found.number} ({found.id})",
            )
            return
        if found.number and should.number != found.number:
            yield Violation(
                kind=Kind.CORRUPT,
                subject=f"the sequence number of message {should.number}",
                expected=str(should.number),
                actual=str(found.number),
            )
            return


def _spoken(thing: Message | Thread) -> str:
    if isinstance(thing, Thread):
        return f"user={thing.user} name={thing.name} metadata={canonical(thing.metadata)}"
    content = "null" if thing.content is None else f"text:{thing.content}"
    return f"role={thing.role} type={thing.type} content={content} metadata={canonical(thing.metadata)}"


def difference(expected: str, actual: str) -> str:
    """Where two texts part, with a little of each side. Both are synthetic, so that they may be shown."""
    place, wanted, found = _parting(expected, actual)
    return f"at character {place}: expected {wanted!r} (length {len(expected)}), found {found!r} (length {len(actual)})"


def _parting(expected: str, actual: str) -> tuple[int, str, str]:
    """The first place where two texts differ, and what stands around it in each."""
    pairs = enumerate(zip(expected, actual, strict=False))
    place = next((i for i, (a, b) in pairs if a != b), min(len(expected), len(actual)))
    window = slice(max(0, place - 12), place + 28)
    return place, expected[window], actual[window]


def _listed(numbers: Sequence[int]) -> str:
    """`number 3`, `numbers 2 and 8`, `numbers 1, 2, 3 and 96 more`."""
    if len(numbers) == 1:
        return f"number {numbers[0]}"
    shown, rest = numbers[:8], len(numbers) - 8  # eight fit into a line
    *first, last = map(str, shown) if rest <= 0 else (*map(str, shown), f"{rest} more")
    return f"numbers {', '.join(first)} and {last}"
