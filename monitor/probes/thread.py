"""Write a conversation, go away, come back, and compare."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from pydantic import Field

from monitor.core import conversation, reloads
from monitor.core.confirmation import Reading
from monitor.core.conversation import Expected, Transcript
from monitor.core.payload import Message, Thread, synthetic_user
from monitor.core.reloads import Reload, Seen, Watched
from monitor.core.verdict import Finding, Kind
from monitor.ports import Ability, MissingError, Store, StoreError, Surroundings, ThreadConnection
from monitor.probe import Probe, Run, Use, together

_WITHOUT: Mapping[Ability, str] = {
    "edit": "whether an edit stays is not checked: the binding names no way to edit a message",
    "delete_message": "whether a deleted message stays away is not checked: the binding names no way to delete one",
    "roll_back": "whether what was rolled back stays away is not checked: writes do not go through a transaction",
    "batch": "whether several messages come all or not at all is not checked: the binding names no way to append many",
    "watch": "whether a reader sees a part of a transaction is not checked: writes do not go through one",
}
AVERAGE_BYTES = 6500  # of one message with its metadata, over all kinds of content; one in eleven has 64 KiB


@dataclass(slots=True, kw_only=True)
class Story:
    """How far a scenario has come: what was acknowledged of the thread by now, and what was seen."""

    expected: Expected
    sibling: Thread
    reloads: list[Reload] = field(default_factory=list)
    watched: list[Watched] = field(default_factory=list)

    def wrote(self, *messages: Message, together: bool = False) -> None:
        """Messages were acknowledged; `together` by one transaction."""
        ids = frozenset(message.id for message in messages) if together else frozenset()
        self.expected = replace(
            self.expected, messages=(*self.expected.messages, *messages), atomic=self.expected.atomic | ids
        )

    def end(self, *, gone: Reading[Transcript] | None = None, sibling_found: bool = False) -> Seen:
        """All that was seen."""
        return Seen(reloads=tuple(self.reloads), watched=tuple(self.watched), gone=gone, sibling_found=sibling_found)


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

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """What the application's binding cannot do."""
        return tuple(sentence for ability, sentence in _WITHOUT.items() if not around.can(self.name, ability))

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
        """Write and go away; come back and reload; edit, delete and reload; delete everything and look again.

        A write that finds nothing where something was acknowledged ends the scenario with one more reload.
        """
        author = run.author
        user = synthetic_user(author.id("user").int)
        thread, sibling = author.thread(0, user=user), author.thread(1, user=user)
        story = Story(expected=Expected(thread=thread, messages=()), sibling=sibling)
        try:
            await self._write(run, story)
            return await self._come_back(run, story)
        except MissingError:
            async with run.connection(run.environment.threads.connect) as reader:
                if await _right(run, reader, "reload after a write that found nothing", story):
                    raise
                await _remove(reader, thread, sibling)
            return story.end()

    async def _write(self, run: Run, story: Story) -> None:
        author, thread = run.author, story.expected.thread
        async with run.connection(run.environment.threads.connect, step="connect") as writer:
            for header in (thread, story.sibling):
                async with run.step("create_thread"):
                    await writer.create(header)
            for number in range(1, self.messages + 1):
                message = author.message(0, number)
                async with run.step("append_message"):
                    await writer.append(thread, message)
                story.wrote(message)
            if run.can("replay"):
                await writer.append_again(thread, story.expected.messages[-1])
            if run.can("roll_back"):
                reverted = author.message(0, self.messages + 1)
                await writer.append_and_roll_back(thread, reverted)
                story.expected = replace(story.expected, absent={reverted.id: Kind.PHANTOM})
            if run.can("watch"):
                await self._append_watched(run, writer, story)
            elif run.can("batch"):
                batch = self._batch(run, 0)
                await writer.append_batch(thread, batch)
                story.wrote(*batch, together=True)

    async def _come_back(self, run: Run, story: Story) -> Seen:
        connect, thread, sibling = run.environment.threads.connect, story.expected.thread, story.sibling
        async with run.connection(connect, step="reconnect") as reader:
            if not await _right(run, reader, "reload", story):
                await _remove(reader, thread, sibling)
                return story.end()

            await self._change(run, reader, story)
            if not await _right(run, reader, "reload after edit and delete", story):
                await _remove(reader, thread, sibling)
                return story.end()

            async with run.step("delete"):
                await reader.delete_thread(thread)
            gone = await run.reading(
                lambda on: on.load(thread), lambda read: not any(reloads.remains(read)), on=reader, connect=connect
            )
            control = await reader.load(sibling)
            await _remove(reader, sibling)
        found = control.thread is not None and control.thread.digest == sibling.digest
        return story.end(gone=gone, sibling_found=found)

    async def _change(self, run: Run, writer: ThreadConnection, story: Story) -> None:
        """Edit the first message, and delete the second."""
        thread, (original, deleted, *others) = story.expected.thread, story.expected.messages
        if run.can("edit"):
            edited = run.author.message(0, 1, version=1)
            async with run.step("edit"):
                await writer.edit(thread, edited)
            story.expected = replace(
                story.expected, messages=(edited, deleted, *others), earlier={edited.id: original.digest}
            )
        if run.can("delete_message"):
            async with run.step("delete"):
                await writer.delete_message(thread, deleted)
            story.expected = replace(
                story.expected,
                messages=(story.expected.messages[0], *others),
                absent={**story.expected.absent, deleted.id: Kind.RESURRECTED},
            )

    def _batch(self, run: Run, attempt: int) -> list[Message]:
        """What one transaction appends, after the messages that came one by one and the one that was taken back."""
        start = self.messages + 2 + attempt * self.batch
        return [run.author.message(0, number) for number in range(start, start + self.batch)]

    async def _append_watched(self, run: Run, writer: ThreadConnection, story: Story) -> None:
        """Append a batch before a concurrent reader; if it came in parts, a second batch before a new reader."""
        for attempt in range(2):
            batch = self._batch(run, attempt)
            async with run.connection(run.environment.threads.connect) as reader:
                story.watched.append(await _watch(writer, reader, story.expected.thread, batch))
            story.wrote(*batch, together=True)
            if not story.watched[0].torn:
                return
            run.node = await writer.node()

    def judge(self, seen: Seen) -> Finding:
        """Each reload against what had to come back; then what had to be gone, beside what had to stay."""
        return reloads.judge(seen)


async def _remove(reader: ThreadConnection, *threads: Thread) -> None:
    """Tidy up. What cannot be removed is left to the sweep: a failure here must not outweigh what was seen."""
    with suppress(StoreError):
        for thread in threads:
            await reader.delete_thread(thread)


async def _right(run: Run, reader: ThreadConnection, name: str, story: Story) -> bool:
    """Reload, and note what was seen. False if a second look was needed."""
    expected = story.expected
    reading = await run.reading(
        lambda on: on.load(expected.thread),
        lambda read: not conversation.compare(expected, read),
        on=reader,
        connect=run.environment.threads.connect,
        step="reload",
    )
    story.reloads.append(Reload(name=name, expected=expected, reading=reading))
    return not reading.doubtful


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
