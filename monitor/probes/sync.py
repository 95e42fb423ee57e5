"""Change something at its source, and follow it to every place where it has to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import ClassVar

from pydantic import Field, model_validator

from monitor.core import document, duration, freshness
from monitor.core.document import Document
from monitor.core.freshness import Control, Copied, Failure, Judge, Link, Seen, Trace
from monitor.core.payload import SYNCED, synthetic_user
from monitor.core.verdict import Finding, Kind
from monitor.following import Course, Written, arrived, follow
from monitor.ports import Layers, Place, Store, StoreError, Surroundings, Way
from monitor.ports.copies import Copies, CopySource, RowSource
from monitor.probe import Duration, Probe, Run, Use, together

ROWS, CACHE, API = Place(Store.POSTGRES), Place(Store.REDIS), Place(Store.API)
NAMES = ("login", "profile", "permissions")
INVALIDATED, OVERWRITTEN = Link("postgres", "redis"), Link("permission", "redis")

_NO_API = "API to database, region to region, and log-ins by JWT or OAuth2 are not checked: no API is bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The ways that a change takes in an environment."""

    around: Surroundings

    @property
    def layers(self) -> Layers:
        """Through which stores."""
        return self.around.layers(SyncProbe.name)

    @property
    def holding(self) -> tuple[Place, ...]:
        """Every way into a store that has profiles, or copies of them."""
        return self.around.holding(SyncProbe.name)

    @property
    def source(self) -> Store:
        """Where changes are made."""
        return self.layers.writes

    @property
    def truth(self) -> Store:
        """The store whose primary is asked what there is: that of the rows, where it is known."""
        return Store.POSTGRES if ROWS in self.holding else Store.API

    @property
    def log_in(self) -> Link:
        """From a session to the row of its user."""
        return Link("login", str(self.truth))

    @property
    def invalidates(self) -> bool:
        """Whether whoever writes has to delete the cached copy: an API does that itself."""
        return self.source is Store.POSTGRES and CACHE in self.around.places

    @property
    def followed(self) -> tuple[tuple[Link, Place], ...]:
        """Every place at which a change is waited for, an API's own reads and the copy that it caches included."""
        holding, source = self.holding, self.source
        behind = [place for place in self.around.places if place.store is Store.REDIS and place.way is Way.REPLICA]
        rows = [place for place in holding if place.store is not Store.REDIS and place != ROWS]
        through = [place for place in (ROWS, CACHE) if place in holding] if source is Store.API else []
        return (
            *((Link(str(source), str(place)), place) for place in (*through, *rows)),
            *((Link(str(Store.REDIS), str(place)), place) for place in behind),
        )

    @property
    def links(self) -> tuple[Link, ...]:
        """Between which ends propagation is timed."""
        cached = (self.log_in, OVERWRITTEN) if CACHE in self.around.places else ()
        return (*cached, *((INVALIDATED,) if self.invalidates else ()), *(link for link, _ in self.followed))

    def courses(self) -> list[Course]:
        """Who follows a change."""
        return [self.course(link, place) for link, place in self.followed]

    def course(self, link: Link, place: Place, *, step: str = "propagate") -> Course:
        """Rows behind an API are told by what the API says, a replica of Redis by its primary, all else by the rows."""
        truth = self.source if place == ROWS else self.truth
        if place.store is Store.REDIS and place.way is Way.REPLICA:
            truth = Store.REDIS
        return Course(link=link, place=place, truth=truth, step=step)


@dataclass(slots=True, kw_only=True)
class Story:
    """What a scenario writes, and what it has seen by now."""

    run: Run
    copies: Copies
    paths: Paths
    first: Document
    second: Document
    traces: list[Trace] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    copied: list[Copied] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def key(self, name: str) -> str:
        """Where a copy of this run is cached."""
        return self.copies.key(self.run.run_id, name)

    def tell(self, courses: Collection[Course], store: Store, *, since: float, position: str) -> None:
        """Tell those who follow changes of a store that the second version was acknowledged."""
        written = Written(document=self.second, key=self.key("permissions"), acknowledged=since, position=position)
        for course in courses:
            if course.link.source == store:
                course.written.set_result(written)

    def end(self, controls: Mapping[str, Control]) -> Seen:
        """All that was seen."""
        return Seen(
            traces=tuple(self.traces),
            failures=tuple(self.failures),
            copies=tuple(self.copied),
            controls=controls,
            doubts=tuple(self.doubts),
        )


class SyncProbe(Probe[Seen]):
    """A change arrives in every replica, pooler and cache in time, and nobody who has seen it reads older again.

    Whoever has just logged in is found in the database; what was revoked is gone from the cache. Where an application
    is bound, what is written through one of its layers arrives in the others.
    """

    name: ClassVar = "sync"
    kinds: ClassVar = frozenset({Kind.LATE, Kind.DIVERGED, Kind.STALE, Kind.LOST})
    needs: ClassVar = {Store.POSTGRES: 3}
    steps: ClassVar = ("connect", "write", "log_in", "change", "propagate")

    timeout: Duration = Field(default=timedelta(seconds=25), description="The end of a run, whatever happens.")
    budget: Duration = Field(default=timedelta(seconds=5), description="The time that each step may take.")
    deadline: Duration = Field(
        default=timedelta(seconds=5), description="How long after its acknowledgement a change may be under way."
    )
    patience: Duration = Field(
        default=timedelta(seconds=5), description="How long after the deadline it is waited for, before it never came."
    )
    monotonic: bool = Field(
        default=True, description="Whether a session that comes back to the same address may never read older."
    )

    @model_validator(mode="after")
    def _waits_fit(self) -> SyncProbe:
        if min(self.deadline, self.patience) <= timedelta():
            raise ValueError("deadline and patience must be longer than nothing")
        if self.deadline + self.patience >= self.timeout:
            raise ValueError(
                f"timeout ({duration.text(self.timeout)}) must be longer than deadline and patience together"
            )
        return self

    def wants(self) -> dict[Store, int]:
        """Redis as well, where there is one."""
        return {Store.POSTGRES: 3, Store.REDIS: 3}

    def wants_in(self, around: Surroundings) -> Mapping[Store, int]:
        """The same of every layer that an application has."""
        return dict.fromkeys((*around.layers(self.name).holds, Store.REDIS), 3)

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """What is not followed for want of a place, or because no binding names it."""
        holding = around.holding(self.name)
        found = {(place.store, place.way) for place in around.places}
        rows = {
            (Store.POSTGRES, Way.REPLICA): "primary to replica is not checked for postgres: none is configured",
            (Store.POSTGRES, Way.POOLER): "the pooler is not checked: none is configured",
        }
        keys = {
            (Store.REDIS, Way.PRIMARY): "cache, log-in and permissions are not checked: there is no redis",
            (Store.REDIS, Way.REPLICA): "primary to replica is not checked for redis: none is configured",
        }
        looked_for = {**rows, **keys} if ROWS in holding else keys
        unbound = {
            "rows, their replicas and the pooler are not checked: no profile in postgres is bound": ROWS in holding,
            "what the application caches is not checked: no copy of a profile in redis is bound": (
                self.name not in around.bound or CACHE in holding or CACHE not in around.places
            ),
            _NO_API: API in holding,
            "region to region is not checked: one API is bound": API not in holding,
        }
        return (
            *(sentence for place, sentence in looked_for.items() if place not in found),
            *(sentence for sentence, untrue in unbound.items() if not untrue),
        )

    @classmethod
    def runs_in(cls, around: Surroundings) -> bool:
        """Whether there is what it needs, and a second place at all in which a change has to arrive."""
        return super().runs_in(around) and bool(Paths(around=around).links)

    @classmethod
    def lacks(cls, around: Surroundings) -> str:
        """What is missing, a place to arrive at among it."""
        if not super().runs_in(around):
            return super().lacks(around)
        return "has nothing to follow: a change would have to arrive in a replica, a pooler, Redis or an API as well"

    def links(self, around: Surroundings) -> tuple[tuple[str, str], ...]:
        """Every way that a change takes in such an environment."""
        return tuple((link.source, link.target) for link in Paths(around=around).links)

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends where each store has one replica, and a pooler; a look may take several tries."""
        rows, keys = partial(Use, store=Store.POSTGRES), partial(Use, store=Store.REDIS)
        back = int(self.monotonic)
        return (
            rows(operation="create_document", times=1, rows=1, payload=455),
            rows(operation="change_document", times=1, rows=1, payload=455),
            rows(operation="position", times=1),
            rows(operation="load_document", times=1),
            rows(operation="look_at_row", times=2 + 2 * back),
            rows(operation="look_at_replica", times=1 + back),
            rows(operation="delete_document", times=1),
            keys(operation="put_copy", times=5, rows=5, payload=5 * 635),
            keys(operation="peek_copy", times=6),
            keys(operation="replication_offset", times=1),
            keys(operation="look_at_copy", times=1 + back),
            keys(operation="delete_copies", times=2),
        )

    async def observe(self, run: Run) -> Seen:
        """Write, log in, connect everywhere, change, follow the change; then ask the sources about what is wrong."""
        copies, user = run.environment.copies, synthetic_user(SYNCED)
        first, second = (document.profile(run.author, user=user, version=version) for version in (1, 2))
        story = Story(
            run=run, copies=copies, paths=Paths(around=run.environment.surroundings), first=first, second=second
        )
        async with run.connection(copies.source, step="connect") as source:
            if Store.REDIS in run.environment.stores:
                async with run.connection(copies.cache, step="connect") as cache:
                    return await self._scenario(story, source, cache)
            return await self._scenario(story, source, None)

    async def _scenario(self, story: Story, source: RowSource, cache: CopySource | None) -> Seen:
        async with story.run.step("write"):
            await source.insert(story.first)
        if cache is not None and story.paths.invalidates and CACHE in story.paths.holding:
            await cache.delete(story.key("profile"))  # of an earlier run, for an application has one for each user
        if cache is not None:
            await self._log_in(story, cache)
        if not freshness.wrong(story.traces):
            await _warm(story)
            kept = {} if cache is None else await _fill(story, cache)
            courses = [each for each in story.paths.courses() if each.place != CACHE or kept["profile"]]
            change = self._change(story, courses, source, cache, kept)
            await together(change, *(self._follow(story, course) for course in courses))
        controls = {store: await _control(story, store) for store in sorted(freshness.wrong(story.traces))}
        with suppress(StoreError):  # what cannot be removed is left to the sweep
            await source.remove(story.first)
            if cache is not None:
                await cache.delete(*map(story.key, NAMES))
        return story.end(controls)

    async def _log_in(self, story: Story, cache: CopySource) -> None:
        """Keep a session that names a user's row; who finds the session, on a new connection, must find the row."""
        run, key = story.run, story.key("login")
        await cache.put(key, story.first)
        acknowledged = run.clock.monotonic()
        async with run.connection(story.copies.cache) as reader:
            session = (await reader.peek(key)).document
        if session is None:
            story.doubts.append("the session of a log-in was not to be found; the probe `session` tells more")
            return
        course = story.paths.course(story.paths.log_in, Place(story.paths.truth), step="log_in")
        course.written.set_result(Written(document=session, key=key, acknowledged=acknowledged))
        await self._follow(story, course)

    async def _change(
        self,
        story: Story,
        courses: Collection[Course],
        source: RowSource,
        cache: CopySource | None,
        kept: Mapping[str, bool],
    ) -> None:
        """Once all are connected, change the row, then what is cached of it; tell those who follow either."""
        run = story.run
        await asyncio.gather(*(course.ready.wait() for course in courses))
        async with run.step("change"):
            await source.update(story.second)
        changed = run.clock.monotonic()
        story.tell(courses, story.paths.source, since=changed, position=await source.position())
        if cache is None:
            return
        async with run.connection(story.copies.cache) as reader:
            if story.paths.invalidates:
                await cache.delete(story.key("profile"))
                invalidated = run.clock.monotonic()
                await _read_copy(story, reader, INVALIDATED, name="profile", kept=kept, since=invalidated)
            await cache.put(story.key("permissions"), story.second)
            overwritten = run.clock.monotonic()
            story.tell(courses, Store.REDIS, since=overwritten, position=await cache.position())
            await _read_copy(story, reader, OVERWRITTEN, name="permissions", kept=kept, since=overwritten)

    async def _follow(self, story: Story, course: Course) -> None:
        found = await follow(
            story.run,
            course,
            partial(story.copies.target, course.place),
            patience=self.deadline + self.patience,
            come_back=self.monotonic,
        )
        story.traces.append(found) if isinstance(found, Trace) else story.failures.append(found)

    def judge(self, seen: Seen) -> Finding:
        """Each way that the change took against the deadline, and against what whoever came back had seen."""
        return Judge(deadline=self.deadline.total_seconds())(seen)


def _caches(around: Surroundings) -> list[Place]:
    return [place for place in around.places if place.store is Store.REDIS]


async def _warm(story: Story) -> None:
    """Read what was written through an API, where there is one, so that what it caches is there, and can be old."""
    if API in (place for _, place in story.paths.followed):
        with suppress(StoreError):  # whoever follows it will say so
            async with story.run.connection(partial(story.copies.target, API)) as api:
                await api.look(story.first, key="", position="")


async def _fill(story: Story, cache: CopySource) -> dict[str, bool]:
    """Cache the first version, unless an API has done so; -> for each copy whether the cache has kept it."""
    kept, by_api = {}, CACHE in (place for _, place in story.paths.followed)
    for name in ("profile", "permissions"):
        key = story.key(name)
        if not (by_api and name == "profile" and (await cache.peek(key)).present):
            await cache.put(key, story.first)
        held = (await cache.peek(key)).document
        kept[name] = held is not None and held.digest == story.first.digest
    if by_api and not kept["profile"]:
        story.doubts.append(
            "the copy that the application caches was not there before the change, or not as the binding says, so that"
            " nothing could be told of it"
        )
    return kept


async def _read_copy(
    story: Story, reader: CopySource, link: Link, *, name: str, kept: Mapping[str, bool], since: float
) -> None:
    """Read a cached copy as an application does: where there is none, it is made from the row, and read again."""
    run, key, written = story.run, story.key(name), story.second.version

    async def read() -> Copied:
        reading = await run.reading(
            lambda on: on.peek(key),
            lambda cached: cached.document is None or cached.document.version >= written,
            on=reader,
            connect=story.copies.cache,
            step="propagate",
        )
        return Copied(link=link, written=written, kept=kept[name], reading=reading)

    copied = await read()
    if not copied.reading.doubtful:
        took = run.clock.monotonic() - since
        arrived(run, link, took=took, resolution=took)
    if copied.reading.first.document is None:
        async with run.connection(partial(story.copies.witness, story.paths.truth)) as rows:
            row = await rows.load(story.second)
        if row is not None:
            await reader.put(key, row)
            copied = await read()
    story.copied.append(copied)


async def _control(story: Story, store: str) -> Control:
    """Ask the primary of a store, on a new connection, who it is and which version it has."""
    if store != Store.REDIS:
        async with story.run.connection(partial(story.copies.witness, Store(store))) as rows:
            story.run.node = await rows.node()
            row = await rows.load(story.second)
            return Control(node=story.run.node, version=row.version if row else None, origin=await rows.origin())
    async with story.run.connection(story.copies.cache) as cache:
        story.run.node = await cache.node()
        copy = (await cache.peek(story.key("permissions"))).document
        return Control(node=story.run.node, version=copy.version if copy else None, origin=await cache.origin())
