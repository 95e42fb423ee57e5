"""What a burst wrote against what came back: every acknowledged message once, in order, and to its owner only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from monitor.core import confirmation, conversation
from monitor.core.confirmation import Judgement, Reading
from monitor.core.conversation import Expected, Transcript
from monitor.core.openloop import Cause, Sample, Stop, nearest_rank
from monitor.core.payload import Message, Thread
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation

_LATE = 0.05  # seconds; beyond that a latency says as much of the machine that asks as of the store


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One conversation as it must come back: what was acknowledged, refused, and, at its end, perhaps written.

    After a write that did not end well a conversation takes no more, so that whatever comes of it is its last.
    """

    thread: Thread
    acknowledged: tuple[Message, ...] = ()
    refused: tuple[Message, ...] = ()
    perhaps: Message | None = None

    def expected(self, read: Transcript) -> Expected:
        """What must have come back, given whether what was perhaps written is there."""
        messages = self.acknowledged
        if self.perhaps is not None and any(message.id == self.perhaps.id for message in read.messages):
            messages = (*messages, self.perhaps)
        absent = {message.id: Kind.PHANTOM for message in self.refused}
        return Expected(thread=self.thread, messages=messages, absent=absent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """A conversation that its owner read, by whatever was acknowledged of it at that moment."""

    name: str
    kept: Kept
    reading: Reading[Transcript]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What another user got of a conversation."""

    name: str
    kept: Kept
    user: str
    reading: Reading[Transcript]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one burst saw.

    `reloads` and `looks` hold each conversation at the end, and of those under way what was not right. `owners` says
    whose each message of the burst is. `stop` is why it ended early, if it did. `waited` are the seconds that it waited
    for connections or gave way to other probes; `left` how many conversations could not be removed again.
    """

    samples: tuple[Sample, ...]
    reloads: tuple[Reload, ...]
    looks: tuple[Look, ...]
    owners: Mapping[UUID, str]
    stop: Stop | None = None
    under_way: int = 0
    unbound: str = ""
    unwatched: tuple[str, ...] = ()
    waited: float = 0.0
    left: int = 0

    @property
    def looked_for(self) -> int:
        """How many acknowledged messages were looked for at the end."""
        return sum(len(reload.kept.acknowledged) for reload in self.reloads)


def judge(seen: Seen) -> Finding:
    """What came back against what was acknowledged; then what others saw of it; then why it ended, if it did early."""
    judgements = [
        confirmation.judge(reload.name, reload.reading, partial(compare, reload.kept, owners=seen.owners))
        for reload in seen.reloads
    ]
    if not seen.unbound:
        judgements += [_judge_look(look) for look in seen.looks]
    checks = len(judgements) + seen.under_way
    left_out = tuple(_left_out(seen))
    finding = confirmation.conclude(_merged(judgements), checks=checks, left_out=left_out)
    if finding.verdict is not Verdict.OK:
        return finding
    if seen.stop is not None and seen.stop.cause is not Cause.HAND:
        return _stopped(seen.stop, checks=checks, left_out=left_out)
    if not seen.looked_for:
        why = "nothing was acknowledged, so that nothing could be verified"
        return Finding.unknown(Reason.INCONCLUSIVE, why, checks=checks, left_out=left_out)
    return finding


def compare(kept: Kept, read: Transcript, *, owners: Mapping[UUID, str]) -> Iterator[Violation]:
    """Every difference; a message of another user's that came along was leaked, and is no invention.

    Each says of which conversation it is: what is alike in two of them is not one difference.
    """
    where = f"in conversation {str(kept.thread.id)[:8]} of {kept.thread.user}"
    for different in conversation.compare(kept.expected(read), read):
        found = replace(different, subject=f"{different.subject}, {where}")
        owner = owners.get(_id(found)) if found.kind is Kind.PHANTOM else None
        if owner is None or owner == kept.thread.user:
            yield found
        else:
            actual = f"present, and it is of {owner}"
            yield replace(found, kind=Kind.LEAKED, expected=f"none but those of {kept.thread.user}", actual=actual)


def _id(found: Violation) -> UUID:
    return UUID(str(found.evidence.get("id", UUID(int=0))))


def shown(kept: Kept, user: str, read: Transcript) -> Iterator[Violation]:
    """What another user got of a conversation."""
    if read.thread is not None or read.messages:
        header = "its header" if read.thread is not None else "no header"
        yield Violation(
            kind=Kind.LEAKED,
            subject=f"a conversation of {kept.thread.user}",
            expected=f"not visible to {user}",
            actual=f"{header} and {len(read.messages)} messages",
            evidence={"thread": str(kept.thread.id), "asked": read.asked},
        )


def _judge_look(look: Look) -> Judgement:
    return confirmation.judge(look.name, look.reading, partial(shown, look.kept, look.user))


def _merged(judgements: list[Judgement]) -> Iterator[Judgement]:
    """Violations as they are; of doubts, one that stands for all that are alike."""
    doubts: dict[str, int] = Counter()
    for judgement in judgements:
        if judgement.doubt:
            doubts[judgement.doubt] += 1
        elif judgement.violations:
            yield judgement
    for doubt, times in list(doubts.items())[:3]:
        yield Judgement(doubt=doubt if times == 1 else f"{doubt} ({times} times)")


def _stopped(stop: Stop, *, checks: int, left_out: tuple[str, ...]) -> Finding:
    """A limit that was passed breaks no promise: what was answered in time was right."""
    message = f"stopped: {stop.message}"
    match stop.cause:
        case Cause.ERRORS:
            reason = stop.reason or Reason.INCONCLUSIVE
            return Finding.unknown(reason, message, checks=checks, left_out=left_out)
        case Cause.CROWDED:
            return Finding.unknown(Reason.MISSED, message, checks=checks, left_out=left_out)
        case Cause.EVIDENCE:
            doubt = f"{message}, and a second look did not confirm it"
            return Finding.unknown(Reason.INCONCLUSIVE, doubt, checks=checks, left_out=left_out)
        case _:
            return Finding.slow(message, checks=checks, left_out=left_out)


def _left_out(seen: Seen) -> Iterator[str]:
    if seen.unbound:
        yield f"whether users see each other's is not checked: {seen.unbound}, whom row-level security does not bind"
    yield from seen.unwatched
    if seen.stop is not None and seen.stop.cause is Cause.HAND:
        yield f"what would have come later was not asked: {seen.stop.message}"
    failed = Counter(sample.failed for sample in seen.samples if sample.failed is not None)
    if failed:
        reasons = ", ".join(f"{count} {reason}" for reason, count in failed.most_common())
        yield f"{failed.total()} of {len(seen.samples)} operations failed and say nothing of data: {reasons}"
    if (late := nearest_rank([sample.late for sample in seen.samples], 0.99)) > _LATE:
        yield (
            f"latencies hold Holdfast's own: it began one operation in a hundred {late * 1000:.0f} ms late or more,"
            " so the machine that it runs on is too busy for this rate"
        )
    if seen.waited >= _LATE:
        yield f"the burst waited {seen.waited:.1f} s for connections that other probes had; that time is in no latency"
    if seen.left:
        yield f"{seen.left} conversations could not be removed; the sweep takes them"
