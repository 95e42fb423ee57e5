"""What was seen of long conversations: the whole, page by page, the newest page, the counts, and what remained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from uuid import UUID

from monitor.core import confirmation, conversation
from monitor.core.confirmation import Judgement, Reading
from monitor.core.conversation import Expected
from monitor.core.payload import Message
from monitor.core.verdict import Finding, Json, Kind, Violation

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Messages in the order in which they came; `asked` is how somebody can ask the same."""

    messages: tuple[Message, ...]
    asked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a thread's header says that it has, None where there is no header, and the messages that are there.

    `asked` is how somebody can ask the same, where a statement or a request of an application was asked.
    """

    header: int | None
    messages: int
    asked: str = field(default="", compare=False)


NOTHING = Counted(header=None, messages=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look(Generic[T]):
    """One way to look at a conversation: what was read, and what that has to be."""

    name: str
    reading: Reading[T]
    check: Callable[[T], Iterable[Violation]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one run saw.

    `gone` is the look at all that was deleted, `sibling_found` whether the thread beside it was still there: the
    control. Neither is there where a look before was not right: the scenario then ends early.
    """

    looks: tuple[Look[Any], ...]
    gone: Look[Any] | None = None
    sibling_found: bool = False


def judge(seen: Seen) -> Finding:
    """Each look against what had to be seen; then what had to be gone, beside what had to stay."""
    judgements = [_judge(look) for look in seen.looks]
    if seen.gone is not None:
        judgements.append(_judge(seen.gone))
        if not seen.sibling_found:
            doubt = "the thread beside the deleted ones is not visible, so absence proves nothing"
            judgements.append(Judgement(doubt=doubt))
    return confirmation.conclude(judgements, checks=len(judgements))


def _judge(look: Look[T]) -> Judgement:
    return confirmation.judge(look.name, look.reading, look.check)


def walked(expected: Expected, read: Page) -> tuple[Violation, ...]:
    """Every difference between a conversation and the pages in which it was read, put end to end.

    A cursor that follows a wrong order skips and repeats messages: that is one cause, and its name is `reordered`.
    """
    found = conversation.compare_messages(expected, read.messages, asked=read.asked)
    reordered = tuple(violation for violation in found if violation.kind is Kind.REORDERED)
    return reordered or found


def newest(expected: Expected, read: Page, *, limit: int) -> tuple[Violation, ...]:
    """Every difference between a conversation's last messages, at most `limit`, and the page that had to hold them.

    Older ones that came too, in their order, only fill the places of those that are missing.
    """
    backwards = read.messages[::-1]
    came = {message.id for message in backwards}
    older, window = expected.messages[:-limit], expected.messages[-limit:]
    surplus = tuple(message for message in older if message.id in came)
    found = walked(replace(expected, messages=(*surplus, *window)), replace(read, messages=backwards))
    if not surplus or any(violation.kind is Kind.REORDERED for violation in found):
        return found
    old = {message.id for message in surplus}
    kept = tuple(message for message in backwards if message.id not in old)
    return walked(replace(expected, messages=window), replace(read, messages=kept))


def counted(expected: Expected, read: Mapping[UUID, Counted]) -> Iterator[Violation]:
    """What the counts of a thread that has all its messages say otherwise."""
    thread, wanted = expected.thread.id, len(expected.messages)
    count = read.get(thread, NOTHING)
    if count.messages != wanted:
        yield Violation(
            kind=Kind.LOST if count.messages < wanted else Kind.PHANTOM,
            subject="the number of a thread's messages",
            expected=str(wanted),
            actual=str(count.messages),
            evidence=_evidence(thread, count),
        )
    if count.header is None:
        yield Violation(kind=Kind.LOST, subject="the thread's header", expected="present", actual="absent")
    elif count.header not in (wanted, count.messages):  # where both agree, they tell of the same
        yield Violation(
            kind=Kind.CORRUPT,
            subject="the thread's own count of messages",
            expected=str(wanted),
            actual=str(count.header),
            evidence=_evidence(thread, count),
        )


def remains(deleted: Iterable[UUID], read: Mapping[UUID, Counted]) -> Iterator[Violation]:
    """What is left of deleted conversations."""
    for thread in deleted:
        count = read.get(thread, NOTHING)
        if count.header is not None or count.messages:
            header = "its header" if count.header is not None else "no header"
            yield Violation(
                kind=Kind.RESURRECTED,
                subject="a deleted thread",
                expected="absent",
                actual=f"{header} and {count.messages} messages",
                evidence=_evidence(thread, count),
            )


def _evidence(thread: UUID, count: Counted) -> dict[str, Json]:
    asked: dict[str, Json] = {"asked": count.asked} if count.asked else {}
    return {"thread": str(thread), **asked}
