"""The conversations of a burst: what its users write in them, what they get back, and what others get of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from monitor.core import bursts
from monitor.core.bursts import Kept, Look, Reload
from monitor.core.confirmation import Reading
from monitor.core.conversation import Transcript
from monitor.core.openloop import Act, Operation
from monitor.core.payload import Thread, synthetic_user
from monitor.ports import MissingError, Outcome, StoreError, ThreadConnection
from monitor.probe import Run

_PATIENCE = 3  # failures to remove something, after which the rest is left to the sweep


@dataclass(slots=True)
class Chapter:
    """One conversation, which is written until it is full or a write did not end well."""

    number: int
    kept: Kept
    open: bool = True


class Chapters:
    """All conversations of one burst. What was under way is kept only where it was not right.

    `unbound` says whom row-level security does not bind; then, and in an application, nobody looks for what is others'.
    """

    def __init__(self, run: Run, *, users: int) -> None:
        self._run = run
        self._users = users
        self._bound = run.probe in run.environment.surroundings.bound
        self._current: dict[int, Chapter] = {}
        self._all: list[Chapter] = []
        self._perhaps: list[Thread] = []
        self._second = asyncio.Lock()
        self.owners: dict[UUID, str] = {}
        self.reloads: list[Reload] = []
        self.looks: list[Look] = []
        self.under_way = 0
        self.looked_for = 0
        self.doubtful = False
        self.unbound = ""

    def act(self, operation: Operation) -> Act:
        """What is to be done: what was planned, unless there is no conversation to do it in."""
        current = self._current.get(operation.user)
        if current is None or not current.open:
            return Act.CREATE
        if operation.act is Act.LOOK and not self._looks:
            return Act.RELOAD
        return operation.act

    def __len__(self) -> int:
        """How many conversations were begun."""
        return len(self._all)

    @property
    def any(self) -> bool:
        """Whether anything may have been written."""
        return bool(self._all or self._perhaps)

    @property
    def _looks(self) -> bool:
        """Whether users look for what is others'."""
        return not (self._bound or self.unbound)

    async def carry_out(self, act: Act, user: int, connection: ThreadConnection) -> None:
        """Do it as this user. Raises StoreError, by whose outcome it is known what may be there."""
        match act:
            case Act.CREATE:
                await self._create(user, connection)
            case Act.APPEND:
                await self._append(self._current[user], connection)
            case Act.RELOAD:
                self.under_way += 1
                await self._reload(self._current[user].kept, connection)
            case Act.LOOK:
                self.under_way += 1
                await self._look(self._current[user].kept, connection, "under load")

    async def _create(self, user: int, connection: ThreadConnection) -> None:
        number = (len(self._all) + len(self._perhaps)) * self._users + user
        thread = self._run.author.thread(number, user=synthetic_user(user))
        self._current.pop(user, None)
        try:
            await connection.create(thread)
        except BaseException:
            self._perhaps.append(thread)
            raise
        self._current[user] = Chapter(number, Kept(thread=thread))
        self._all.append(self._current[user])

    async def _append(self, chapter: Chapter, connection: ThreadConnection) -> None:
        kept = chapter.kept
        message = self._run.author.message(chapter.number, len(kept.acknowledged) + 1, light=True)
        self.owners[message.id] = kept.thread.user
        chapter.open = False  # until it is known what became of this
        try:
            await connection.append(kept.thread, message)
        except StoreError as error:
            if self._bound or error.outcome is Outcome.INDETERMINATE:
                chapter.kept = replace(kept, perhaps=message)
            else:
                chapter.kept = replace(kept, refused=(message,))
            raise
        chapter.kept = replace(kept, acknowledged=(*kept.acknowledged, message))
        chapter.open = True

    async def _reload(self, kept: Kept, connection: ThreadConnection) -> None:
        """Under load only ids are compared, for digests take time that would be taken for the store's."""
        wanted = [message.id for message in kept.acknowledged]
        reading = await self._reading(
            kept.thread,
            lambda read: read.thread is not None and [message.id for message in read.messages] == wanted,
            connection,
        )
        if reading.doubtful:
            self.reloads.append(Reload(name="a reload under load", kept=kept, reading=reading))
            self.doubtful = True

    async def _look(self, kept: Kept, connection: ThreadConnection, when: str) -> Look:
        """Ask for a conversation as the user who comes after its owner."""
        owner = int(kept.thread.user.rpartition("-")[2])
        other = synthetic_user((owner + 1) % self._users)
        reading = await self._reading(
            replace(kept.thread, user=other), lambda read: not any(bursts.shown(kept, other, read)), connection
        )
        look = Look(name=f"a look of another user {when}", kept=kept, user=other, reading=reading)
        if reading.doubtful:
            self.looks.append(look)
            self.doubtful = True
        return look

    async def _reading(
        self, thread: Thread, right: Callable[[Transcript], bool], connection: ThreadConnection
    ) -> Reading[Transcript]:
        """Read, and where that is not right once more on a new connection, of which there is one at a time."""
        first = await connection.load(thread)
        if right(first):
            return Reading(first=first)
        async with self._second, self._run.connection(self._run.environment.threads.connect) as fresh:
            self._run.node = await fresh.node()
            return Reading(first=first, second=await fresh.load(thread), node=self._run.node)

    async def verify(self) -> None:
        """Read everything once more on a new connection, as its owner and then as another. Raises StoreError."""
        if not self._all:
            return
        async with self._run.connection(self._run.environment.threads.connect) as reader:
            for chapter in self._all:
                kept = chapter.kept
                reading = await self._reading(kept.thread, partial(self._whole, kept), reader)
                self.reloads.append(Reload(name="the reload after the burst", kept=kept, reading=reading))
                self.looked_for += len(kept.acknowledged)
                if self._looks:
                    look = await self._look(kept, reader, "after the burst")
                    self.looks += [] if look.reading.doubtful else [look]

    def _whole(self, kept: Kept, read: Transcript) -> bool:
        return not any(bursts.compare(kept, read, owners=self.owners))

    async def remove(self) -> int:
        """Delete all conversations; -> how many could not be. What is left the sweep finds."""
        threads = [*(chapter.kept.thread for chapter in self._all), *self._perhaps]
        failures, connection = 0, None
        for place, thread in enumerate(threads):
            try:
                if connection is None:
                    connection = await self._run.environment.threads.connect(self._run.probe)
                await connection.delete_thread(thread)
            except StoreError as error:
                failures += not isinstance(error, MissingError)
                if connection is not None:
                    await connection.close()
                    connection = None
                if failures == _PATIENCE:
                    return failures + len(threads) - place - 1
        if connection is not None:
            await connection.close()
        return failures
