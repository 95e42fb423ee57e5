"""Write a conversation, go away, come back, and compare."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from pydantic import Field

from monitor.core import confirmation, conversation
from monitor.core.confirmation import Judgement, Reading
from monitor.core.conversation import Expected, Transcript
from monitor.core.payload import Message, Thread, synthetic_user
from monitor.core.verdict import Finding, Kind, Violation
from monitor.ports import Store, ThreadConnection
from monitor.probe import Probe, Run, Use, together

AVERAGE_BYTES = 6500  # of one message with its metadata, over all kinds of content; one in eleven has 64 KiB


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
    reload before was not right: the scenario then ends early.
    """

    reloads: tuple[Reload, ...]
    watched: tuple[Watched, ...]
    gone: Reading[Transcript] | None = None
    sibling_found: bool = False


class ThreadProbe(Probe[Seen]):
    """A conversation that was acknowledged comes back whole, in order and unchanged, on a new connection.

    Edits stay, deletions stay, what was rolled back never shows, and a reader sees all of a transaction or nothing.
    """

    name: ClassVar = "thread"
    kinds: ClassVar = frozenset(
        {
            Kind.LOST,
            Kind.CORRUPT,
            Kind.REORDERED,
            Kind.DUPLICATED,
            Kind.PHANTOM,
            Kind.TORN,
            Kind.STALE,
            Kind.RESURRECTED,
        }
    )
    needs: ClassVar = {Store.POSTGRES: 2}
    steps: ClassVar = ("connect", "create_thread", "append_message", "reconnect", "reload", "edit", "delete")

    messages: int = Field(default=4, ge=2, le=50, description="Messages that are appended one by one.")
    batch: int = Field(default=3, ge=2, le=50, description="Messages that one transaction appends.")

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends."""
        use = partial(Use, store=Store.POSTGRES)
        return (
            use(operation="create_thread", times=2, rows=2, payload=2 * 120),
            use(
                operation="append_message",
                times=self.messages,
                rows=self.messages,
                payload=self.messages * AVERAGE_BYTES,
            ),
            use(operation="append_rolled_back", times=1, rows=1, payload=AVERAGE_BYTES),
            use(operation="append_batch", times=1, rows=self.batch, payload=self.batch * AVERAGE_BYTES),
            use(operation="watch_batch", times=1),
            use(operation="load_thread", times=4),
            use(operation="edit_message", times=1, rows=1, payload=AVERAGE_BYTES),
            use(operation="delete_message", times=1),
            use(operation="delete_thread", times=2),
        )

    async def observe(self, run: Run) -> Seen:
        """Write and go away; come back and reload; edit, delete and reload; delete everything and look again."""
        connect, author = run.environment.threads.connect, run.author
        user = synthetic_user(author.id("user").int)
        thread, sibling = author.thread(0, user=user), author.thread(1, user=user)
        singles = [author.message(0, number) for number in range(1, self.messages + 1)]
        reverted = author.message(0, self.messages + 1)

        async with run.connection(connect, step="connect") as writer:
            for header in (thread, sibling):
                async with run.step("create_thread"):
                    await writer.create(header)
            for message in singles:
                async with run.step("append_message"):
                    await writer.append(thread, message)
            await writer.append_and_roll_back(thread, reverted)
            watched, batch = await self._append_watched(run, writer, thread)

        written = Expected(
            thread=thread,
            messages=(*singles, *batch),
            absent={reverted.id: Kind.PHANTOM},
            atomic=frozenset(message.id for message in batch),
        )
        async with run.connection(connect, step="reconnect") as reader:
            first = await _reload(run, reader, "reload", written)
            if first.reading.doubtful:
                await _remove(reader, thread, sibling)
                return Seen(reloads=(first,), watched=watched)

            edited, deleted = author.message(0, 1, version=1), singles[1]
            async with run.step("edit"):
                await reader.edit(thread, edited)
            async with run.step("delete"):
                await reader.delete_message(thread, deleted)
            changed = replace(
                written,
                messages=(edited, *singles[2:], *batch),
                earlier={edited.id: singles[0].digest},
                absent={**written.absent, deleted.id: Kind.RESURRECTED},
            )
            second = await _reload(run, reader, "reload after edit and delete", changed)
            if second.reading.doubtful:
                await _remove(reader, thread, sibling)
                return Seen(reloads=(first, second), watched=watched)

            async with run.step("delete"):
                await reader.delete_thread(thread)
            gone = await run.reading(
                lambda on: on.load(thread), lambda read: not any(_remains(read)), on=reader, connect=connect
            )
            control = await reader.load(sibling)
            await reader.delete_thread(sibling)
        found = control.thread is not None and control.thread.digest == sibling.digest
        return Seen(reloads=(first, second), watched=watched, gone=gone, sibling_found=found)

    async def _append_watched(
        self, run: Run, writer: ThreadConnection, thread: Thread
    ) -> tuple[tuple[Watched, ...], tuple[Message, ...]]:
        """Append a batch before a concurrent reader; if it came in parts, a second batch before a new reader."""
        watched: list[Watched] = []
        written: list[Message] = []
        for attempt in range(2):
            start = self.messages + 2 + attempt * self.batch
            batch = [run.author.message(0, number) for number in range(start, start + self.batch)]
            async with run.connection(run.environment.threads.connect) as reader:
                watched.append(await _watch(writer, reader, thread, batch))
            written += batch
            if not watched[0].torn:
                break
        return tuple(watched), tuple(written)

    def judge(self, seen: Seen) -> Finding:
        """Each reload against what had to come back; then what had to be gone, beside what had to stay."""
        judgements = [
            confirmation.judge(reload.name, reload.reading, partial(conversation.compare, reload.expected))
            for reload in seen.reloads
        ]
        judgements.append(_judge_watched(*seen.watched))
        if seen.gone is not None:
            judgements.append(confirmation.judge("reload after deletion", seen.gone, _remains))
            if not seen.sibling_found:
                doubt = "the thread beside the deleted one is not visible, so absence proves nothing"
                judgements.append(Judgement(doubt=doubt))
        return confirmation.conclude(judgements, checks=len(judgements))


async def _remove(reader: ThreadConnection, *threads: Thread) -> None:
    for thread in threads:
        await reader.delete_thread(thread)


async def _reload(run: Run, reader: ThreadConnection, name: str, expected: Expected) -> Reload:
    reading = await run.reading(
        lambda on: on.load(expected.thread),
        lambda read: not conversation.compare(expected, read),
        on=reader,
        connect=run.environment.threads.connect,
        step="reload",
    )
    return Reload(name=name, expected=expected, reading=reading)


async def _watch(writer: ThreadConnection, reader: ThreadConnection, thread: Thread, batch: list[Message]) -> Watched:
    """Append a batch while a reader counts what it can see of it."""
    uncommitted, around = 0, list[int]()
    committing, committed = asyncio.Event(), asyncio.Event()

    async with reader.watch(thread, batch) as count:

        async def before_commit() -> None:
            nonlocal uncommitted
            uncommitted = await count()
            committing.set()

        async def write() -> None:
            await writer.append_batch(thread, batch, before_commit=before_commit)
            committed.set()

        async def look() -> None:
            await committing.wait()
            while not committed.is_set():
                around.append(await count())

        await together(write(), look())
        after = await count()
    return Watched(size=len(batch), uncommitted=uncommitted, around=tuple(around), after=after)


def _judge_watched(first: Watched, second: Watched | None = None) -> Judgement:
    if not first.torn:
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


def _remains(read: Transcript) -> Iterator[Violation]:
    """What is left of a deleted conversation."""
    if read.thread is not None or read.messages:
        header = "its header" if read.thread is not None else "no header"
        yield Violation(
            kind=Kind.RESURRECTED,
            subject="the deleted thread",
            expected="absent",
            actual=f"{header} and {len(read.messages)} messages",
        )
