"""Publish a burst on each kind of channel, listen on another connection, and compare."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import ClassVar

from pydantic import Field

from monitor.core import delivery
from monitor.core.confirmation import Reading
from monitor.core.delivery import Burst, Delivery, Received, Seen, Sent, text_of
from monitor.core.verdict import Finding, Kind
from monitor.ports import Clock, Place, Store, StoreError, Surroundings, Way
from monitor.ports.notices import Channel, Publisher, Subscriber
from monitor.probe import Duration, Probe, Run, Use, together

BYTES = 140  # of a message, about
_GLANCE = 0.25  # seconds between two looks at whether enough time has passed


class NotifyProbe(Probe[Seen]):
    """A change that is pushed arrives once, in order and in time, and what was rolled back never does.

    By LISTEN/NOTIFY, by pub/sub, by a stream whose consumer vanishes with a message in its hands, and by the events of
    an API that is bound.
    """

    name: ClassVar = "notify"
    kinds: ClassVar = frozenset(
        {Kind.LOST, Kind.DUPLICATED, Kind.REORDERED, Kind.LATE, Kind.PHANTOM, Kind.CORRUPT},
    )
    needs: ClassVar = {Store.POSTGRES: 2, Store.REDIS: 2}
    either: ClassVar = True
    steps: ClassVar = ("connect", "subscribe", "publish", "deliver")

    timeout: Duration = Field(default=timedelta(seconds=28), description="The end of a run, whatever happens.")
    messages: int = Field(default=10, ge=4, le=500, description="Messages that are published on each channel.")
    deadline: Duration = Field(default=timedelta(seconds=5), description="The time within which each must arrive.")
    patience: Duration = Field(
        default=timedelta(seconds=1), description="How much longer to wait, so that what is late is not called lost."
    )

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """What is pushed by other means, by a store that is not there, or through a pooler."""
        if self.name in around.bound and Place(Store.API) in around.places:
            sentences = ["that nothing is pushed of what is rolled back is not checked for events of an API"]
        else:
            sentences = ["events that an API pushes (server-sent events, WebSocket) are not checked: no API is bound"]
        if Place(Store.POSTGRES) not in around.places:
            sentences.append("LISTEN/NOTIFY is not checked: there is no postgres")
        if Place(Store.REDIS) not in around.places:
            sentences.append("pub/sub and streams are not checked: there is no redis")
        if Place(Store.POSTGRES, Way.POOLER) in around.places:
            sentences.append("LISTEN/NOTIFY is checked on direct connections only: a transaction pooler cannot LISTEN")
        return tuple(sentences)

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends."""
        singly, at_once = self._halves
        postgres, redis = partial(Use, store=Store.POSTGRES), partial(Use, store=Store.REDIS)
        return (
            postgres(operation="listen", times=1),
            postgres(operation="notify", times=singly, payload=singly * BYTES),
            postgres(operation="notify_together", times=1, payload=at_once * BYTES),
            postgres(operation="notify_rolled_back", times=1, payload=BYTES),
            postgres(operation="still_listening", times=1),
            redis(operation="subscribe", times=1),
            redis(operation="publish", times=singly, payload=singly * BYTES),
            redis(operation="publish_together", times=1, payload=at_once * BYTES),
            redis(operation="publish_discarded", times=1, payload=BYTES),
            redis(operation="still_subscribed", times=1),
            redis(operation="stream_open", times=1, rows=1),
            redis(operation="stream_add", times=singly, payload=singly * BYTES),
            redis(operation="stream_add_together", times=1, payload=at_once * BYTES),
            redis(operation="stream_add_discarded", times=1, payload=BYTES),
            redis(operation="stream_read", times=2 + self.messages),
            redis(operation="stream_acknowledge", times=1 + self.messages),
            redis(operation="stream_pending", times=1),
            redis(operation="stream_claim", times=1),
            redis(operation="stream_delete", times=1),
        )

    @property
    def _halves(self) -> tuple[int, int]:
        """How many messages are published one by one, and how many in one transaction before the last."""
        at_once = self.messages // 2
        return self.messages - at_once, at_once

    async def observe(self, run: Run) -> Seen:
        """A burst on each channel; where one is not right, another burst on a new channel and new connections."""
        return tuple([await self._delivery(run, channel) for channel in run.environment.notices.channels(run.run_id)])

    async def _delivery(self, run: Run, channel: Channel) -> Delivery:
        first = await self._burst(run, channel)
        if self._right(first, channel):
            return Delivery(channel=channel.name, reading=Reading(first=first))
        second = await self._burst(run, channel.again())
        async with run.connection(channel.publisher) as fresh:
            run.node = await fresh.node()
            await fresh.forget()
        return Delivery(channel=channel.name, reading=Reading(first=first, second=second, node=run.node))

    async def _burst(self, run: Run, channel: Channel) -> Burst:
        texts = [text_of(channel.author, number) for number in range(1, self.messages + 2)]
        async with (
            run.connection(channel.publisher, step="connect") as publisher,
            run.connection(channel.subscriber, step="subscribe") as subscriber,
        ):
            inbox = Inbox(subscriber, run.clock, wanted=frozenset(texts[:-1]))
            sent: list[Sent] = []

            async def publish(*batch: str) -> None:
                async with run.step("publish"):
                    await publisher.publish(*batch)
                sent.extend(Sent(text=text, at=run.clock.monotonic()) for text in batch)

            async def tell() -> None:
                singly, _ = self._halves
                *told, withdrawn = texts
                for text in told[1 : singly - 1]:
                    await publish(text)
                await publisher.withdraw(withdrawn)
                await publish(*told[singly - 1 : -1])
                await publish(told[-1])
                async with run.step("deliver"):
                    await inbox.filled(within=(self.deadline + self.patience).total_seconds())

            await publish(texts[0])
            await subscriber.falter()
            await together(tell(), inbox.fill())
            await inbox.empty()
            await _forget(publisher)
        return Burst(sent=tuple(sent), withdrawn=(texts[-1],), received=tuple(inbox.received))

    def _right(self, burst: Burst, channel: Channel) -> bool:
        wrong = delivery.compare(burst, channel=channel.name, deadline=self.deadline.total_seconds())
        return not any(wrong)

    def judge(self, seen: Seen) -> Finding:
        """Each channel by itself; a kind counts where two bursts on new connections show it."""
        return delivery.judge(seen, deadline=self.deadline.total_seconds())


class Inbox:
    """Collects what arrives while others publish, until all that is wanted is there or time is up."""

    def __init__(self, subscriber: Subscriber, clock: Clock, *, wanted: frozenset[str]) -> None:
        self.received: list[Received] = []
        self._subscriber = subscriber
        self._clock = clock
        self._wanted = wanted
        self._end = asyncio.Event()

    async def fill(self) -> None:
        """Take what arrives."""
        missing = set(self._wanted)
        while missing and not self._end.is_set():
            text = await self._subscriber.next(within=_GLANCE)
            if text is not None:
                self._note(text)
                missing.discard(text)
        self._end.set()

    async def filled(self, *, within: float) -> None:
        """Wait until all is there, for so many seconds at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._end.wait()
        self._end.set()

    async def empty(self) -> None:
        """Take what else was pushed by now. Raises StoreError where the connection has not lived."""
        for text in await self._subscriber.rest():
            self._note(text)

    def _note(self, text: str) -> None:
        self.received.append(Received(text=text, at=self._clock.monotonic()))


async def _forget(publisher: Publisher) -> None:
    """Tidy up. What cannot be removed is left to the sweep: a failure here must not outweigh what was seen."""
    with suppress(StoreError):
        await publisher.forget()
