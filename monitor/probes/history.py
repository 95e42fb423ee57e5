"""Write long conversations at once, and read them back whole, page by page, newest first, and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import Field

from monitor.core import conversation, pages
from monitor.core.confirmation import Reading
from monitor.core.conversation import Expected
from monitor.core.pages import Look, Page, Seen
from monitor.core.payload import Message, Thread, synthetic_user
from monitor.core.verdict import Finding, Kind, Violation
from monitor.ports import Ability, MissingError, Store, StoreError, Surroundings, ThreadConnection
from monitor.probe import Duration, Probe, Run, Use

AVERAGE_BYTES = 350  # of one message with its metadata, over all kinds of content but the one of 64 KiB
T = TypeVar("T")
_WITHOUT: Mapping[Ability, str] = {
    "page": "page by page is not read: the binding names no way to read a page",
    "newest": "the newest page is not read: the binding names no way to read it",
}


@dataclass(slots=True, kw_only=True)
class Story:
    """How far a scenario has come: the thread that stays, what was acknowledged of the others, and what was seen."""

    sibling: Thread
    written: list[Expected] = field(default_factory=list)
    looks: list[Look[Any]] = field(default_factory=list)


class HistoryProbe(Probe[Seen]):
    """A history of any length comes back whole, in order and unchanged: at once, page by page, and newest first.

    What holds at 50 messages holds at 250, the counts agree with what is there, and a deleted thread takes all its
    messages with it.
    """

    name: ClassVar = "history"
    kinds: ClassVar = frozenset(
        {Kind.LOST, Kind.CORRUPT, Kind.REORDERED, Kind.DUPLICATED, Kind.PHANTOM, Kind.RESURRECTED}
    )
    needs: ClassVar = {Store.POSTGRES: 2}
    steps: ClassVar = ("connect", "insert", "reconnect", "reload", "pages", "newest", "count", "delete")
    counted: ClassVar = frozenset({"insert", "reload", "pages", "newest"})

    every: Duration = Field(default=timedelta(minutes=1), description="One run each so often.")
    timeout: Duration = Field(default=timedelta(seconds=20), description="The end of a run, whatever happens.")
    sizes: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        default=(50, 100, 250), min_length=1, max_length=8, description="The lengths of the histories, in messages."
    )
    page: int = Field(default=50, ge=1, le=1000, description="Messages on one page.")

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """What the application's binding cannot do."""
        return tuple(sentence for ability, sentence in _WITHOUT.items() if not around.can(self.name, ability))

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends."""
        use, several, messages = partial(Use, store=Store.POSTGRES), len(self.sizes), sum(self.sizes)
        return (
            use(operation="create_thread", times=several + 1, rows=several + 1, payload=(several + 1) * 120),
            use(operation="append_batch", times=several, rows=messages, payload=messages * AVERAGE_BYTES),
            use(operation="load_thread", times=several),
            use(operation="page_thread", times=sum(size // self.page + 1 for size in self.sizes)),
            use(operation="newest_page", times=several),
            use(operation="count_threads", times=several + 1),
            use(operation="delete_thread", times=several + 1),
        )

    async def observe(self, run: Run) -> Seen:
        """Write every history by one connection; by another read each in all ways, delete all, and look again.

        The first look that is not right ends the scenario: what follows would show the same cause under other names.
        A write that finds nothing where something was acknowledged ends it with one more reload.
        """
        connect = run.environment.threads.connect
        user = synthetic_user(run.author.id("user").int)
        story = Story(sibling=run.author.thread(len(self.sizes), user=user))
        try:
            await self._write(run, story)
            async with run.connection(connect, step="reconnect") as reader:
                if await self._right(run, reader, story):
                    return await self._delete(run, reader, story)
        except MissingError:
            async with run.connection(connect) as reader:
                if await self._right(run, reader, story):
                    raise
        return Seen(looks=tuple(story.looks))

    async def _write(self, run: Run, story: Story) -> None:
        author, user = run.author, story.sibling.user
        async with run.connection(run.environment.threads.connect, step="connect") as writer:
            await writer.create(story.sibling)
            for number, size in enumerate(self.sizes):
                thread = author.thread(number, user=user)
                messages = tuple(author.message(number, place, light=True) for place in range(1, size + 1))
                await writer.create(thread)
                story.written.append(Expected(thread=thread, messages=()))
                async with run.step("insert", messages=size):
                    await writer.append_batch(thread, messages)
                story.written[-1] = replace(story.written[-1], messages=messages)

    async def _right(self, run: Run, reader: ThreadConnection, story: Story) -> bool:
        """Read every history that was written, as far as all is right; where it is not, tidy up."""
        for expected in story.written:
            if not await self._read(run, reader, story, expected):
                await _remove(reader, story)
                return False
        return True

    async def _read(self, run: Run, reader: ThreadConnection, story: Story, expected: Expected) -> bool:
        """Read one history in all ways, and note what was seen. False as soon as a second look was needed."""
        thread, size = expected.thread, len(expected.messages)

        async def look(
            step: str,
            read: Callable[[ThreadConnection], Awaitable[T]],
            check: Callable[[T], Iterable[Violation]],
            *,
            messages: int = size,
        ) -> Reading[T]:
            reading = await run.reading(
                read,
                lambda seen: not any(check(seen)),
                on=reader,
                connect=run.environment.threads.connect,
                step=step,
                messages=messages,
            )
            story.looks.append(Look(name=f"{step} of {size} messages", reading=reading, check=check))
            return reading

        whole = await look("reload", lambda on: on.load(thread), partial(conversation.compare, expected))
        if whole.doubtful:
            return False
        expected = replace(expected, messages=whole.first.messages)  # the same, in the spelling of the store
        if run.can("page"):
            walked = await look("pages", lambda on: self._walk(on, thread, size), partial(pages.walked, expected))
            if walked.doubtful:
                return False
        if run.can("newest"):
            newest = await look(
                "newest",
                lambda on: on.newest_page(thread, limit=self.page),
                partial(pages.newest, expected, limit=self.page),
                messages=min(size, self.page),
            )
            if newest.doubtful:
                return False
        count = await look(
            "count", lambda on: on.count(thread.user, [thread.id]), partial(pages.counted, expected), messages=0
        )
        return not count.doubtful

    async def _walk(self, reader: ThreadConnection, thread: Thread, size: int) -> Page:
        """Read page after page as a client does: until one is not full, or the next would not get on."""
        found, after, asked = list[Message](), None, ""
        while len(found) <= size:
            page = await reader.page(thread, after=after, limit=self.page)
            come = {message.id for message in found}
            found += page.messages
            asked = page.asked
            if len(page.messages) < self.page or page.messages[-1].id in come:
                break
            after = page.messages[-1]
        return Page(messages=tuple(found), asked=asked)

    async def _delete(self, run: Run, reader: ThreadConnection, story: Story) -> Seen:
        deleted = list[Thread]()
        while story.written:
            thread = story.written[-1].thread
            async with run.step("delete"):
                await reader.delete_thread(thread)
            story.written.pop()
            deleted.append(thread)
        ids = [thread.id for thread in deleted]
        check = partial(pages.remains, ids)
        gone = await run.reading(
            lambda on: on.count(story.sibling.user, [*ids, story.sibling.id]),
            lambda read: not any(check(read)),
            on=reader,
            connect=run.environment.threads.connect,
        )
        await _remove(reader, story)
        found = gone.first.get(story.sibling.id, pages.NOTHING).header is not None
        return Seen(
            looks=tuple(story.looks),
            gone=Look(name="count after deletion", reading=gone, check=check),
            sibling_found=found,
        )

    def judge(self, seen: Seen) -> Finding:
        """Each look against what had to be seen; then what had to be gone, beside what had to stay."""
        return pages.judge(seen)


async def _remove(reader: ThreadConnection, story: Story) -> None:
    """Tidy up. What cannot be removed is left to the sweep: a failure here must not outweigh what was seen."""
    with suppress(StoreError):
        for thread in (*(expected.thread for expected in story.written), story.sibling):
            await reader.delete_thread(thread)
