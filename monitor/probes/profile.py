"""Write a profile and a tool's result by one service; read them by others, from the rows and from the cache."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from monitor.core import document, rereads
from monitor.core.document import Document
from monitor.core.payload import PROFILED, synthetic_user
from monitor.core.rereads import THE_ROW, Copy, Row, Seen
from monitor.core.verdict import Finding, Kind
from monitor.ports import Place, Store, StoreError, Surroundings, Way
from monitor.ports.profiles import CacheConnection, ProfileConnection
from monitor.probe import Probe, Run, Use

ROWS, API = Place(Store.POSTGRES), Place(Store.API)
POOLER = Place(Store.POSTGRES, Way.POOLER)
_READ: Mapping[Place, str] = {
    API: "the profile as the API reads it",
    POOLER: "the row of a profile as it is read through the pooler",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Readers:
    """Who can read a profile in an environment, and who makes its copies."""

    around: Surroundings

    @property
    def bound(self) -> bool:
        """Whether it is an application's."""
        return ProfileProbe.name in self.around.bound

    @property
    def holding(self) -> tuple[Place, ...]:
        """Every way into a store that has it."""
        return self.around.holding(ProfileProbe.name)

    @property
    def caches(self) -> bool:
        """Whether there are copies to look at."""
        return not self.bound or Place(Store.REDIS) in self.holding

    @property
    def invalidates(self) -> bool:
        """Whether the probe has to delete a copy whose row it changes: an API does that itself."""
        return self.around.layers(ProfileProbe.name).writes is Store.POSTGRES

    @property
    def mends(self) -> bool:
        """Whether the probe may damage a copy: no API will stumble over it."""
        return API not in self.holding

    @property
    def usual(self) -> Place:
        """Where it is read all along."""
        return Place(self.around.layers(ProfileProbe.name).reads)

    @property
    def others(self) -> Mapping[Place, str]:
        """Whoever reads besides the one that reads all along."""
        names = {POOLER: "read through the pooler", API: "read through the API", ROWS: "read from the rows"}
        return {place: name for place, name in names.items() if place in self.holding and place != self.usual}


@dataclass(slots=True, kw_only=True)
class Story:
    """How far a scenario has come: what was acknowledged last, and what was seen."""

    run: Run
    around: Readers
    profile: Document
    result: Document
    rows: list[Row] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def written(self) -> tuple[Document, ...]:
        """All that has a place: an application has one for a profile, and none for the result of a tool."""
        return (self.profile,) if self.around.bound else (self.profile, self.result)

    @property
    def cached(self) -> Document:
        """What is cached, and has its copy taken away: a result, which is dear to ask for again, if it has a place."""
        return self.profile if self.around.bound else self.result

    def change(self) -> None:
        """Let what is cached be the next version of itself."""
        author, old = self.run.author, self.cached
        if self.around.bound:
            self.profile = document.profile(author, user=old.user, version=old.version + 1)
        else:
            self.result = document.tool_result(author, user=old.user, version=old.version + 1)

    async def invalidate(self, cache: CacheConnection | None) -> None:
        """Delete an application's copy of the profile that was changed, as whoever changes its rows has to."""
        if cache is not None and self.around.bound and self.around.invalidates:
            await cache.delete(self.key(self.profile))

    def key(self, what: Document) -> str:
        """Where a document is cached."""
        name = "profile" if what.id == self.profile.id else "tool-result"
        return self.run.environment.profiles.key(self.run.run_id, name)

    async def row(
        self,
        name: str,
        on: ProfileConnection,
        expected: Document,
        *,
        earlier: tuple[Document, ...] = (),
        place: Place | None = None,
    ) -> bool:
        """Read a row, by the usual way or at a place, and note what was seen. False if a second look was needed."""

        async def read(connection: ProfileConnection) -> tuple[Document, ...]:
            found = await connection.load(expected)
            return () if found is None else (found,)

        reading = await self.run.reading(
            read,
            lambda found: not any(rereads.compare(expected, found, earlier=earlier)),
            on=on,
            connect=self.run.environment.profiles.connect,
            step="read",
        )
        what = _READ.get(place or self.around.usual, THE_ROW)
        self.rows.append(Row(name=name, expected=expected, reading=reading, earlier=earlier, what=what))
        return not reading.doubtful

    async def copy(self, name: str, on: CacheConnection, expected: Document) -> bool:
        """Read a cached copy, and note what was seen. False if a second look was needed."""
        reading = await self.run.reading(
            lambda connection: connection.peek(self.key(expected)),
            lambda found: not any(rereads.compare_copy(expected, found)),
            on=on,
            connect=self.run.environment.profiles.cache,
            step="read_copy",
        )
        by_api = not self.around.mends
        self.copies.append(Copy(name=name, expected=expected, reading=reading, by_api=by_api))
        return not reading.doubtful


class ProfileProbe(Probe[Seen]):
    """A profile that one service wrote is read unchanged by the others, and a cached result is always that of its row.

    A copy that was evicted, damaged or invalidated is made anew from the row, and versions never go backwards. Where an
    application is bound, it is its profile and its copies, through each of its layers.
    """

    name: ClassVar = "profile"
    kinds: ClassVar = frozenset({Kind.LOST, Kind.CORRUPT, Kind.STALE, Kind.DIVERGED})
    needs: ClassVar = {Store.POSTGRES: 3, Store.REDIS: 3}
    steps: ClassVar = ("connect", "write", "read", "update", "rebuild", "read_copy")

    def wants_in(self, around: Surroundings) -> Mapping[Store, int]:
        """The same of every layer that an application has."""
        return dict.fromkeys(around.layers(self.name).holds | {Store.REDIS}, 3)

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """What is not read for want of a place, or because an application has none for it."""
        around_it = Readers(around=around)
        sentences = {
            "reading through a pooler is not checked: none is configured": (
                POOLER in around.places or ROWS not in around_it.holding
            ),
            "rows are not read: no profile in postgres is bound": ROWS in around_it.holding,
            "what services read by an API is not checked: no API is bound": API in around_it.holding,
            "cached copies are not checked: no copy of a profile in redis is bound": around_it.caches,
            "the result of a tool is not written: what is bound is one profile for each user": not around_it.bound,
            "a damaged copy is not checked: an API makes and reads the copies": around_it.mends or not around_it.caches,
        }
        return tuple(sentence for sentence, untrue in sentences.items() if not untrue)

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends where there is a pooler."""
        rows, keys = partial(Use, store=Store.POSTGRES), partial(Use, store=Store.REDIS)
        return (
            rows(operation="create_document", times=2, rows=2, payload=2 * 710),
            rows(operation="change_document", times=2, rows=2, payload=2 * 710),
            rows(operation="load_document", times=9),
            rows(operation="delete_document", times=2),
            keys(operation="evictions", times=2),
            keys(operation="peek_copy", times=12),
            keys(operation="put_copy", times=5, rows=5, payload=5 * 1045),
            keys(operation="damage_copy", times=1, rows=1, payload=9),
            keys(operation="delete_copies", times=3),
        )

    async def observe(self, run: Run) -> Seen:
        """Write as one service and read as others; then cache, evict, damage and change, reading after each.

        What is not right ends the scenario, for what follows would stand on sand.
        """
        profiles, user = run.environment.profiles, synthetic_user(PROFILED)
        around = Readers(around=run.environment.surroundings)
        story = Story(
            run=run,
            around=around,
            profile=document.profile(run.author, user=user, version=1),
            result=document.tool_result(run.author, user=user, version=1),
        )
        async with AsyncExitStack() as stack:
            writer = await stack.enter_async_context(run.connection(profiles.connect, step="connect"))
            cache = None
            if around.caches:
                cache = await stack.enter_async_context(run.connection(profiles.cache, step="connect"))
            evicted = 0 if cache is None else await cache.evictions()
            for each in story.written:
                async with run.step("write"):
                    await writer.insert(each)
            await story.invalidate(cache)
            async with run.connection(profiles.connect, step="connect") as reader:
                right = await self._read_rows(story, writer, reader, cache)
                if right and cache is not None:
                    right = await self._read_copies(story, writer, reader, cache)
            for place, name in around.others.items() if right else ():
                async with run.connection(partial(profiles.connect, place=place), step="connect") as other:
                    await story.row(name, other, story.profile, place=place)
            if cache is not None:
                evicted = await cache.evictions() - evicted
            with suppress(StoreError):  # what cannot be removed is left to the sweep
                await writer.remove(*story.written)
                if cache is not None:
                    await cache.delete(*{story.key(each): None for each in (story.profile, story.result)})
        return Seen(
            rows=tuple(story.rows),
            copies=tuple(story.copies),
            doubts=tuple(story.doubts),
            evicted=max(0, evicted),
        )

    async def _read_rows(
        self, story: Story, writer: ProfileConnection, reader: ProfileConnection, cache: CacheConnection | None
    ) -> bool:
        """Read both rows as another service, then the profile after an update. False if a second look was needed."""
        run, first = story.run, story.profile
        for each in story.written:
            if not await story.row("read by another service", reader, each):
                return False
        story.profile = document.profile(run.author, user=first.user, version=2)
        async with run.step("update"):
            await writer.update(story.profile)
        await story.invalidate(cache)
        return await story.row("read again after an update", reader, story.profile, earlier=(first,))

    async def _read_copies(
        self, story: Story, writer: ProfileConnection, reader: ProfileConnection, cache: CacheConnection
    ) -> bool:
        """Cache the result; take the copy away, damage it, change its row: each time it is made anew."""
        run, first = story.run, story.cached
        key = story.key(first)
        async with run.connection(run.environment.profiles.cache, step="connect") as other:
            rebuilt = partial(_rebuilt, story, reader=reader, cache=cache, other=other)
            if not await rebuilt("cached", first):
                return False

            await cache.delete(key)  # as an eviction does
            if (await other.peek(key)).present:
                story.doubts.append("a copy that was deleted was still there, so that nothing had to be made anew")
            if not await rebuilt("made anew after its eviction", first):
                return False

            if story.around.mends:
                await cache.damage(key)
                if not (await other.peek(key)).damaged:
                    story.doubts.append("the damage that was done to a copy on purpose was not seen")
                if not await rebuilt("made anew after damage", first):
                    return False

            story.change()
            async with run.step("update"):
                await writer.update(story.cached)
            if story.around.invalidates:
                await cache.delete(key)
            if not await rebuilt("made anew after a change", story.cached, earlier=(first,)):
                return False
            return story.around.bound or await rebuilt("cached", story.profile)

    def judge(self, seen: Seen) -> Finding:
        """Each row and each copy against what was acknowledged last."""
        return rereads.judge(seen)


async def _rebuilt(
    story: Story,
    name: str,
    expected: Document,
    *,
    reader: ProfileConnection,
    cache: CacheConnection,
    other: CacheConnection,
    earlier: tuple[Document, ...] = (),
) -> bool:
    """Ask the cache as a service does, which makes a copy from the row where there is none that is whole.

    Then look at the copy as another service. False if a second look was needed.
    """
    key = story.key(expected)
    async with story.run.step("rebuild"):
        cached = await cache.peek(key)
    if cached.document is None:
        if not await story.row(f"row of what was {name}", reader, expected, earlier=earlier):
            return False
        (row,) = story.rows[-1].reading.first
        if story.around.mends or not (await cache.peek(key)).present:  # else an API has made it while it read
            await cache.put(key, row)
    return await story.copy(name, other, expected)
