"""LISTEN and NOTIFY of PostgreSQL: a message goes out at COMMIT, to whoever listens at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import ClassVar

from monitor.core.payload import synthetic_user
from monitor.stores.rows import BEGIN_SHOWN, RowConnection
from monitor.stores.ways import Ways

_NOTIFY = "SELECT pg_notify($1, $2)"
_STILL_THERE = "SELECT count(*) FROM pg_listening_channels() AS channel WHERE channel = $1"
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "listen": ('LISTEN "holdfast_…"',),
    "notify": (_NOTIFY,),
    "notify_together": (BEGIN_SHOWN, _NOTIFY, "COMMIT"),
    "notify_rolled_back": (BEGIN_SHOWN, _NOTIFY, "ROLLBACK"),
    "still_listening": (_STILL_THERE,),
}
"""What a probe may ask for, and all that is then sent."""


@dataclass(frozen=True, slots=True)
class OwnListening:
    """A channel whose name is made of the run's id, on direct connections: a transaction pooler cannot LISTEN."""

    ways: Ways
    run_id: str
    attempt: str = "a"
    name: ClassVar = "LISTEN/NOTIFY"

    @property
    def author(self) -> str:
        """The name of the channel; a name in PostgreSQL has at most 63 bytes."""
        of = f"{self.ways.environment}/{self.ways.instance.mark}/{self.run_id}/{self.attempt}"
        return f"holdfast_{blake2b(of.encode(), digest_size=16).hexdigest()}"

    def again(self) -> OwnListening:
        """The same under another name."""
        return OwnListening(self.ways, self.run_id, "b")

    async def publisher(self, label: str) -> NotifyingConnection:
        """A connection that notifies."""
        opened = await NotifyingConnection.open(self.ways, label)
        opened.channel = self.author
        return opened

    async def subscriber(self, label: str) -> ListeningConnection:
        """A connection that listens."""
        opened = await ListeningConnection.open(self.ways, label)
        try:
            await opened.listen(self.author)
        except BaseException:
            await opened.close()
            raise
        return opened


class NotifyingConnection(RowConnection):
    """The end that publishes on `channel`."""

    statements: ClassVar = {"notify": _NOTIFY}
    channel: str

    async def publish(self, *texts: str) -> None:
        """One message is a transaction by itself; several are made one."""
        if len(texts) == 1:
            async with self.postgres.asked(sent_bytes=len(texts[0].encode()), committing=True):
                await self.connection.execute(_NOTIFY, self.channel, *texts)
            return
        async with self.transaction(synthetic_user(0), sent_bytes=sum(len(text.encode()) for text in texts)):
            await self.connection.executemany(_NOTIFY, [(self.channel, text) for text in texts])

    async def withdraw(self, text: str) -> None:
        """Notify and roll back."""
        async with self.transaction(synthetic_user(0), sent_bytes=len(text.encode()), end="ROLLBACK"):
            await self.connection.execute(_NOTIFY, self.channel, text)

    async def forget(self) -> None:
        """PostgreSQL keeps nothing."""


class ListeningConnection(RowConnection):
    """The end that listens."""

    statements: ClassVar = {}
    _channel: str
    _arrived: asyncio.Queue[str]

    async def listen(self, channel: str) -> None:
        """Begin to listen."""
        self._channel, self._arrived = channel, asyncio.Queue()
        async with self.postgres.asked():
            await self.connection.add_listener(channel, lambda *said: self._arrived.put_nowait(str(said[-1])))

    async def falter(self) -> None:
        """Nothing is kept for a listener that is away, and nothing promised to it."""

    async def next(self, *, within: float) -> str | None:
        """The next message."""
        try:
            async with asyncio.timeout(within):
                return await self._arrived.get()
        except TimeoutError:
            return None

    async def rest(self) -> list[str]:
        """What came before the answer to a question on the same connection."""
        async with self.postgres.asked():
            await self.connection.fetchval(_STILL_THERE, self._channel)
        return [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]
