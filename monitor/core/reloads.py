"""What was seen of a conversation: reloads, a transaction under the eyes of a reader, and what remained in the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from monitor.core import confirmation, conversation
from monitor.core.confirmation import Judgement, Reading
from monitor.core.conversation import Expected, Transcript
from monitor.core.verdict import Finding, Kind, Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How many of a transaction's `size` messages a concurrent reader saw before COMMIT, around it, and after it."""

    size: int
    uncommitted: int
    around: tuple[int, ...]
    after: int

    @property
    def torn(self) -> bool:
        """Whether a part was visible although the whole came in the end; if it did not, the reload judges that."""
        partly = self.uncommitted > 0 or any(0 < seen < self.size for seen in self.around)
        return partly and self.after == self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Reload:
    """One reload: what had to come back, and what did."""

    name: str
    expected: Expected
    reading: Reading[Transcript]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that one run saw.

    `gone` is the deleted thread, `sibling_found` the one beside it that stays: the control. Neither is there where a
    reload before was not right: the scenario then ends early. `watched` is empty where it ended before the batch.
    """

    reloads: tuple[Reload, ...]
    watched: tuple[Watched, ...]
    gone: Reading[Transcript] | None = None
    sibling_found: bool = False


def judge(seen: Seen) -> Finding:
    """Each reload against what had to come back; then what had to be gone, beside what had to stay."""
    judgements = [
        confirmation.judge(reload.name, reload.reading, partial(conversation.compare, reload.expected))
        for reload in seen.reloads
    ]
    judgements.append(_judge_watched(*seen.watched))
    if seen.gone is not None:
        judgements.append(confirmation.judge("reload after deletion", seen.gone, remains))
        if not seen.sibling_found:
            doubt = "the thread beside the deleted one is not visible, so absence proves nothing"
            judgements.append(Judgement(doubt=doubt))
    return confirmation.conclude(judgements, checks=len(judgements))


def _judge_watched(first: Watched | None = None, second: Watched | None = None) -> Judgement:
    if first is None or not first.torn:
        return Judgement()
    if second is None or not second.torn:
        return Judgement(doubt="a part of a transaction was visible once, and not when it was tried again")
    violation = Violation(
        kind=Kind.TORN,
        subject=f"a transaction of {first.size} messages",
        expected="none visible before its COMMIT, all after",
        actual=f"{first.uncommitted} visible before it, then {[*first.around]}",
        evidence={"again": [second.uncommitted, *second.around], "after": second.after},
    )
    return Judgement(violations=(violation,))


def remains(read: Transcript) -> Iterator[Violation]:
    """What is left of a deleted conversation."""
    if read.thread is not None or read.messages:
        header = "its header" if read.thread is not None else "no header"
        yield Violation(
            kind=Kind.RESURRECTED,
            subject="the deleted thread",
            expected="absent",
            actual=f"{header} and {len(read.messages)} messages",
            evidence={"asked": read.asked},
        )
