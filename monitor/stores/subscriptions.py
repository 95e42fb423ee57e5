"""Pub/sub of Redis: a message goes to whoever is subscribed at that moment, and is kept for nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from monitor.core.residue import key_of
from monitor.core.verdict import Reason
from monitor.ports import Store, StoreError
from monitor.stores.keys import KeyConnection
from monitor.stores.redis import RedisConnection, Reply
from monitor.stores.ways import Ways

_PATIENCE = 2.0  # seconds for the acknowledgement of a subscription, or for the answer to PING
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "subscribe": ("SUBSCRIBE {channel}",),
    "publish": ("ECHO NONCE", "PUBLISH {channel} TEXT"),
    "publish_together": ("ECHO NONCE", "MULTI", "PUBLISH {channel} TEXT …", "EXEC"),
    "publish_discarded": ("ECHO NONCE", "MULTI", "PUBLISH {channel} TEXT", "DISCARD"),
    "still_subscribed": ("PING NONCE",),
}
"""What a probe may ask for, and all that is then sent."""


@dataclass(frozen=True, slots=True)
class OwnSubscription:
    """A channel under Holdfast's prefix. It is no key: nothing of it is left behind."""

    ways: Ways
    run_id: str
    attempt: str = "a"
    name: ClassVar = "pub/sub"

    @property
    def author(self) -> str:
        """The name of the channel."""
        return key_of(self.ways.environment, self.ways.instance, self.run_id, self.attempt, kind="channel")

    def again(self) -> OwnSubscription:
        """The same under another name."""
        return OwnSubscription(self.ways, self.run_id, "b")

    async def publisher(self, label: str) -> PublishingConnection:
        """A connection that publishes."""
        opened = await PublishingConnection.open(self.ways, label)
        opened.channel = self.author
        return opened

    async def subscriber(self, label: str) -> SubscribedConnection:
        """A connection that is subscribed."""
        opened = await SubscribedConnection.open(self.ways, label)
        try:
            await opened.subscribe(self.author)
        except BaseException:
            await opened.close()
            raise
        return opened


class PublishingConnection(KeyConnection):
    """The end that publishes on `channel`."""

    channel: str

    async def publish(self, *texts: str) -> None:
        """One message by itself; several between MULTI and EXEC."""
        commands = [("PUBLISH", self.channel, text) for text in texts]
        await self.ask(*(commands if len(texts) == 1 else (("MULTI",), *commands, ("EXEC",))), writing=True)

    async def withdraw(self, text: str) -> None:
        """Publish between MULTI and DISCARD."""
        await self.ask(("MULTI",), ("PUBLISH", self.channel, text), ("DISCARD",))

    async def forget(self) -> None:
        """Redis keeps nothing of a channel."""


class SubscribedConnection(KeyConnection):
    """The end that is subscribed. The server speaks unasked from then on, so no ECHO can stand before an answer."""

    async def subscribe(self, channel: str) -> None:
        """Subscribe, and wait until that is acknowledged."""
        await self.connection.say(("SUBSCRIBE", channel))
        heard = await self.connection.hear(within=_PATIENCE)
        if not (isinstance(heard, list) and heard[:2] == [b"subscribe", channel.encode()]):
            raise _unanswered(self.connection, "SUBSCRIBE", heard)

    async def falter(self) -> None:
        """Nothing is kept for a subscriber that is away, and nothing promised to it."""

    async def next(self, *, within: float) -> str | None:
        """The next message."""
        return _text(await self.connection.hear(within=within))

    async def rest(self) -> list[str]:
        """What came before the answer to a PING on the same connection."""
        await self.connection.say(("PING", "rest"))
        texts: list[str] = []
        while True:
            heard = await self.connection.hear(within=_PATIENCE)
            if heard is None or heard == [b"pong", b"rest"]:
                break
            text = _text(heard)
            texts += [] if text is None else [text]
        if heard is None:
            raise _unanswered(self.connection, "PING", heard)
        return texts


def _text(heard: Reply) -> str | None:
    match heard:
        case [b"message", bytes(), bytes() as text]:
            return text.decode("utf-8", "replace")
        case _:
            return None


def _unanswered(connection: RedisConnection, command: str, heard: Reply) -> StoreError:
    if heard is None:
        message = f"Redis at {connection.address} did not answer {command} within {_PATIENCE:g} s"
        return StoreError(Reason.TIMEOUT, message, store=Store.REDIS)
    message = f"Redis at {connection.address} answered {command} by {heard!r}"
    return StoreError(Reason.INCONCLUSIVE, message, store=Store.REDIS)
