"""What an application's API pushes to a user: a request makes an event, and whoever listens is told."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from monitor.bindings import Events
from monitor.bindings.extraction import extracted
from monitor.core.payload import PROFILED, synthetic_user
from monitor.core.record import Node
from monitor.core.verdict import Reason
from monitor.ports import StoreError
from monitor.stores.bound.context import Bound

if TYPE_CHECKING:
    from monitor.stores.api_connection import ApiConnection
    from monitor.stores.bound.feeds import Feed

_LISTENER = synthetic_user(PROFILED)
_FENCE = "fence"
_ATTEMPTS = 2  # an API that says 200 before it is subscribed has missed the first


@dataclass(frozen=True, slots=True)
class EventChannel:
    """The events of one synthetic user. Whatever else the user is told is not ours, and passed over."""

    bound: Bound
    events: Events
    run_id: str
    attempt: str = "a"

    @property
    def name(self) -> str:
        """What people call it."""
        return "server-sent events" if self.events.protocol == "sse" else "WebSocket"

    @property
    def author(self) -> str:
        """What stands before each of its texts."""
        of = f"{self.bound.ways.environment}/{self.bound.ways.instance.mark}/{self.run_id}/{self.attempt}"
        return f"holdfast-{blake2b(of.encode(), digest_size=8).hexdigest()}"

    def again(self) -> EventChannel:
        """The same under another name."""
        return replace(self, attempt="b")

    async def publisher(self, label: str) -> EventPublisher:
        """A connection that makes events."""
        return EventPublisher(self, await self.bound.ways.primary_api.connect(label))

    async def subscriber(self, label: str) -> EventSubscriber:
        """A connection that listens; it is there once an event of its own has come back to it."""
        from monitor.stores.bound.feeds import open_feed  # noqa: PLC0415  a daemon without events needs no WebSockets

        api, who = self.bound.ways.primary_api, self.bound.who(_LISTENER)
        publisher = await self.publisher(label)
        try:
            feed = await open_feed(api, self.events.path, protocol=self.events.protocol, who=who, label=label)
            subscriber = EventSubscriber(self, feed, publisher)
        except BaseException:
            await publisher.close()
            raise
        try:
            await subscriber.subscribed()
        except BaseException:
            await subscriber.close()
            raise
        return subscriber


class EventPublisher:
    """The end that makes events."""

    def __init__(self, channel: EventChannel, api: ApiConnection) -> None:
        self._channel = channel
        self._api = api

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._api.node()

    async def close(self) -> None:
        """Really close it."""
        await self._api.close()

    async def publish(self, *texts: str) -> None:
        """Make events, one after the other: an API has no transaction."""
        request, bound = self._channel.events.publish, self._channel.bound
        for text in texts:
            values = {"user_id": bound.identities.user(_LISTENER), "text": f"{self._channel.author} {text}"}
            answer = await self._api.ask(request, values, user=bound.who(_LISTENER))
            if not answer.found:
                what = f"answered {answer.status}: nothing was published"
                raise self._api.error(request, Reason.MISCONFIGURED, what)

    async def withdraw(self, text: str) -> None:
        """An API has nothing that could be rolled back."""

    async def forget(self) -> None:
        """Nothing is kept."""


class EventSubscriber:
    """The end that listens. What it publishes itself, fences, tells that all that came before has come."""

    def __init__(self, channel: EventChannel, feed: Feed, publisher: EventPublisher) -> None:
        self._channel = channel
        self._feed = feed
        self._publisher = publisher
        self._arrived: asyncio.Queue[str | StoreError] = asyncio.Queue()
        self._fences = count(1)
        self._passed: dict[str, asyncio.Event] = {}
        self._patience = channel.bound.ways.timeout.total_seconds()  # for a fence to come back
        self._pump = asyncio.create_task(self._take())

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._publisher.node()

    async def close(self) -> None:
        """Really close it."""
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        try:
            await self._feed.close()
        finally:
            await self._publisher.close()

    async def subscribed(self) -> None:
        """Wait until an event of its own comes back. Raises StoreError."""
        for _ in range(_ATTEMPTS):
            if await self._fence():
                return
            self._left()
        events = self._channel.events
        what = (
            f"{events.path}: nothing came that {events.publish.shown} had made for the same user within"
            f" {_ATTEMPTS * self._patience:g} s; does `text` ({events.text}) say where the text stands in an event?"
        )
        raise self._channel.bound.ways.primary_api.error(Reason.INCONCLUSIVE, what)

    async def falter(self) -> None:
        """Nothing is kept for a listener that is away, and nothing promised to it."""

    async def next(self, *, within: float) -> str | None:
        """The next message."""
        try:
            async with asyncio.timeout(within):
                taken = await self._arrived.get()
        except TimeoutError:
            return None
        if isinstance(taken, StoreError):
            raise taken
        return taken

    async def rest(self) -> list[str]:
        """What came before a fence; where that does not come, the connection must have lived in the meantime."""
        since = monotonic()
        lived = await self._fence() or await self._feed.lived(since)
        left = self._left()
        if not lived:
            what = f"{self._channel.events.path}: nothing came within {self._patience:g} s, nor any sign of life"
            raise self._channel.bound.ways.primary_api.error(Reason.TIMEOUT, what)
        return left

    def _left(self) -> list[str]:
        """What has come and was not yet taken. Raises StoreError where the stream is no more."""
        texts: list[str] = []
        while not self._arrived.empty():
            taken = self._arrived.get_nowait()
            if isinstance(taken, StoreError):
                raise taken
            texts.append(taken)
        return texts

    async def _fence(self) -> bool:
        """Publish something of one's own, and wait a while until it comes back."""
        name = f"{_FENCE} {next(self._fences)}"
        passed = self._passed[name] = asyncio.Event()
        await self._publisher.publish(name)
        waiting = asyncio.create_task(passed.wait())
        await asyncio.wait({waiting, self._pump}, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return passed.is_set()

    async def _take(self) -> None:
        """Take what comes, as long as it comes; what ends it is for whoever asks next."""
        try:
            async for data in self._feed:
                self._sort(data)
            what = f"{self._channel.events.path}: the server has ended the stream"
            raise self._channel.bound.ways.primary_api.error(Reason.UNREACHABLE, what)
        except StoreError as error:
            self._arrived.put_nowait(error)

    def _sort(self, data: str) -> None:
        text = _text_in(data, self._channel.events.text)
        ours = f"{self._channel.author} "
        if text is None or not text.startswith(ours):
            return
        text = text.removeprefix(ours)
        if text in self._passed:
            self._passed[text].set()
        elif not text.startswith(f"{_FENCE} "):
            self._arrived.put_nowait(text)


def _text_in(data: str, path: str) -> str | None:
    """The text in an event; None where it is one of another kind."""
    try:
        found = extracted(path, json.loads(data))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, str) else None
