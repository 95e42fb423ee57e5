"""Each operation of a binding once, as a synthetic user: how long it took, and whether the same came back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal, TypeAlias, TypeVar

from monitor.core import conversation
from monitor.core.conversation import Expected
from monitor.core.pages import Counted, Page
from monitor.core.payload import Message, synthetic_user
from monitor.core.residue import Broom, Instance
from monitor.core.verdict import Kind, Verdict, Violation
from monitor.desk import Desk
from monitor.ports import Ability, Store, StoreError, ThreadConnection
from monitor.probe import Probe, Run
from monitor.runner import run_once
from monitor.stores.bound.sweeping import sweep_bound
from monitor.stores.environment import LiveEnvironment

T = TypeVar("T")
Outcome: TypeAlias = Literal["done", "equal", "differs", "failed", "unknown", "left_out"]
WRONG: frozenset[Outcome] = frozenset({"differs", "failed", "unknown"})
_PAGE = 2  # messages; small, so that there are several pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One operation: what it is part of, how long it took, how it ended, and what is to be said of it."""

    part: str
    operation: str
    outcome: Outcome
    took: timedelta | None = None
    message: str = ""


class _StopError(Exception):
    """What follows would stand on what has failed."""


@dataclass(slots=True, kw_only=True)
class _Conversation:
    """One conversation, and what must come back of it."""

    run: Run
    expected: Expected
    said: list[Tried] = field(default_factory=list)

    async def step(self, operation: str, doing: Awaitable[T]) -> T:
        """Carry out one operation. Raises _StopError where the store refuses it, or cannot be asked."""
        began = self.run.clock.monotonic()
        try:
            found = await doing
        except StoreError as error:
            self._say(operation, "failed", since=began, message=str(error))
            raise _StopError from None
        self._say(operation, "done", since=began)
        return found

    def judged(self, violations: tuple[Violation, ...], what: str) -> None:
        """The operation before has read something, which is right, or is not."""
        last = self.said[-1]
        if not violations:
            self.said[-1] = replace(last, outcome="equal", message=what)
            return
        texts = [
            f"{found.kind}: {found.subject}: expected {found.expected}, found {found.actual}" for found in violations
        ]
        self.said[-1] = replace(last, outcome="differs", message="; ".join(texts[:3]))

    def without(self, operation: str) -> None:
        """The binding has no such operation."""
        self.said.append(
            Tried(part="thread", operation=operation, outcome="left_out", message="the binding names none")
        )

    def _say(self, operation: str, outcome: Outcome, *, since: float, message: str = "") -> None:
        took = timedelta(seconds=self.run.clock.monotonic() - since)
        self.said.append(Tried(part="thread", operation=operation, outcome=outcome, took=took, message=message))

    def wrote(self, *messages: Message) -> None:
        """Messages were acknowledged."""
        self.expected = replace(self.expected, messages=(*self.expected.messages, *messages))


async def try_conversation(run: Run) -> AsyncIterator[Tried]:
    """Create, append, read in every way, edit and delete; yields each operation once it is done."""
    thread = run.author.thread(0, user=synthetic_user(0))
    story = _Conversation(run=run, expected=Expected(thread=thread, messages=()))
    connection: ThreadConnection | None = None
    try:
        connection = await story.step("connect", run.environment.threads.connect("bind"))
        for doing in (_create, _append, _read, _change, _delete):
            await doing(story, connection)
            while story.said:
                yield story.said.pop(0)
    except _StopError:
        while story.said:
            yield story.said.pop(0)
    finally:
        if connection is not None:
            with suppress(StoreError):  # it is gone already, or the sweep that follows takes it
                await connection.delete_thread(thread)
            await connection.close()


async def _create(story: _Conversation, on: ThreadConnection) -> None:
    await story.step("create a thread", on.create(story.expected.thread))


async def _append(story: _Conversation, on: ThreadConnection) -> None:
    run, thread = story.run, story.expected.thread
    for number in (1, 2):
        message = run.author.message(0, number, light=True)
        await story.step("append a message", on.append(thread, message))
        story.wrote(message)
    if run.can("replay"):
        await story.step("append it again, as a retry", on.append_again(thread, story.expected.messages[-1]))
    if run.can("batch"):
        batch = [run.author.message(0, number, light=True) for number in (3, 4, 5)]
        await story.step("append three at once", on.append_batch(thread, batch))
        story.wrote(*batch)
    if run.can("roll_back"):
        await story.step("append, and roll back", on.append_and_roll_back(thread, run.author.message(0, 6, light=True)))


async def _load(story: _Conversation, on: ThreadConnection, operation: str) -> None:
    read = await story.step(operation, on.load(story.expected.thread))
    story.judged(conversation.compare(story.expected, read), f"{len(read.messages)} messages came back equal")


async def _read(story: _Conversation, on: ThreadConnection) -> None:
    thread, messages = story.expected.thread, story.expected.messages
    await _load(story, on, "load the thread")
    if story.run.can("page"):
        pages = await story.step("read it page by page", _pages(story, on))
        found = [message for page in pages for message in page.messages]
        wrong = conversation.compare_messages(story.expected, found, asked=pages[0].asked if pages else "")
        story.judged(wrong, f"{len(found)} messages on {len(pages)} pages came back equal")
    else:
        story.without("read it page by page")
    if story.run.can("newest"):
        page = await story.step("read the newest", on.newest_page(thread, limit=_PAGE))
        last = replace(story.expected, messages=messages[-_PAGE:])
        wrong = conversation.compare_messages(last, page.messages[::-1], asked=page.asked)
        story.judged(wrong, f"{len(page.messages)} messages came back equal, the newest first")
    else:
        story.without("read the newest")
    counted = (await story.step("count", on.count(thread.user, [thread.id]))).get(thread.id)
    right = counted is not None and (counted.header, counted.messages) == (len(messages), len(messages))
    told = _told(counted)
    subject = Violation(kind=Kind.LOST, subject="the count", expected=f"{len(messages)} messages", actual=told)
    story.judged(() if right else (subject,), told)


async def _pages(story: _Conversation, on: ThreadConnection) -> list[Page]:
    """All pages; an application that never ends is stopped at twice as many as there can be."""
    found: list[Page] = []
    while len(found) <= len(story.expected.messages):
        after = found[-1].messages[-1] if found else None
        page = await on.page(story.expected.thread, after=after, limit=_PAGE)
        if not page.messages:
            break
        found.append(page)
    return found


async def _change(story: _Conversation, on: ThreadConnection) -> None:
    run, thread, (first, second, *others) = story.run, story.expected.thread, story.expected.messages
    changes: tuple[tuple[Ability, str], ...] = (("edit", "edit a message"), ("delete_message", "delete a message"))
    for ability, operation in changes:
        if not run.can(ability):
            story.without(operation)
        elif ability == "edit":
            edited = run.author.message(0, 1, version=1, light=True)
            await story.step(operation, on.edit(thread, edited))
            first = edited
        else:
            await story.step(operation, on.delete_message(thread, second))
            story.expected = replace(story.expected, absent={second.id: Kind.RESURRECTED})
    kept = () if run.can("delete_message") else (second,)
    story.expected = replace(story.expected, messages=(first, *kept, *others))
    await _load(story, on, "load it again")


async def _delete(story: _Conversation, on: ThreadConnection) -> None:
    thread = story.expected.thread
    await story.step("delete the thread", on.delete_thread(thread))
    read = await story.step("look for it", on.load(thread))
    shown = {"load": read.thread is not None, "messages": bool(read.messages)}
    story.judged(_resurrected(*(name for name, there in shown.items() if there)), "it is gone")
    counted = (await story.step("count it", on.count(thread.user, [thread.id]))).get(thread.id)
    still = counted is not None and (counted.messages or counted.header is not None)
    story.judged(_resurrected("count") if still else (), "it is gone")
    if story.run.can("page"):
        page = await story.step("read its first page", on.page(thread, after=None, limit=_PAGE))
        story.judged(_resurrected("page") if page.messages else (), "it is gone")
    if story.run.can("newest"):
        page = await story.step("read its newest", on.newest_page(thread, limit=_PAGE))
        story.judged(_resurrected("newest") if page.messages else (), "it is gone")


def _resurrected(*operations: str) -> tuple[Violation, ...]:
    """A deleted thread is shown by these operations of the binding."""
    return tuple(
        Violation(
            kind=Kind.RESURRECTED,
            subject="the deleted thread",
            expected="absent",
            actual=f"shown by `{operation}` (say there what `load` says of deleted threads, such as deleted_at IS NULL)"
            if operation != "load"
            else "shown by `load`",
        )
        for operation in operations
    )


def _told(counted: Counted | None) -> str:
    """How many there are; the thread's own count where it says otherwise, for not every application keeps one."""
    if counted is None:
        return "no thread"
    if counted.header == counted.messages:
        return f"{counted.messages} messages"
    own = "no header" if counted.header is None else f"{counted.header} by the thread's own count"
    return f"{counted.messages} messages, {own}"


async def try_probe(probe: Probe[object], environment: LiveEnvironment, desk: Desk) -> AsyncIterator[Tried]:
    """One run of a probe: its steps with their times, and its verdict."""
    record = await run_once(probe, environment, desk)
    for name in dict.fromkeys(step.name for step in record.steps):
        times = [step for step in record.steps if step.name == name]
        outcome: Outcome = "failed" if any(step.failed for step in times) else "done"
        yield Tried(
            part=probe.name,
            operation=name.replace("_", " "),
            outcome=outcome,
            took=max(step.took for step in times),
            message=f"the longest of {len(times)}" if len(times) > 1 else "",
        )
    finding = record.finding
    ends: dict[Verdict, Outcome] = {Verdict.VIOLATED: "differs", Verdict.UNKNOWN: "unknown"}
    texts = [
        f"{found.kind}: {found.subject}: expected {found.expected}, found {found.actual}"
        for found in finding.violations
    ]
    said = (
        "; ".join(texts[:3])
        or finding.message
        or (f"{finding.checks} checks" if finding.checks else "nothing to check")
    )
    yield Tried(
        part=probe.name,
        operation="the whole promise",
        outcome=ends.get(record.verdict, "equal" if finding.checks else "left_out"),
        took=record.took,
        message=said,
    )
    for sentence in finding.left_out:
        yield Tried(part=probe.name, operation="", outcome="left_out", message=sentence)


async def tidied(environment: LiveEnvironment, instance: Instance, stores: frozenset[Store]) -> int:
    """Remove whatever the trial has left, by the binding's `clean`; -> how many things are left all the same.

    In Redis each probe removes its own; what it has not is counted by the daemon's index. Where users are accounts,
    what a daemon may be at work with as the same ones is neither removed nor counted.
    """
    age = environment.longest_run if environment.bound.identities.shared else timedelta()
    broom = Broom(environment=environment.name, instance=instance, own_age=age, any_age=age)
    left = 0
    for store in sorted(stores):
        if store is Store.REDIS:
            left += await environment.left(store)
        else:
            await environment.tidy(store)
            left += await sweep_bound(environment.bound, store, broom, dry_run=True)
    return left
