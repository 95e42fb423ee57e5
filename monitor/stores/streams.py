"""Streams of Redis: messages are kept, each goes to one consumer of a group, and is its own until acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from monitor.core.residue import key_of
from monitor.stores.keys import REMEMBER_SHOWN, KeyConnection
from monitor.stores.redis import Command, Reply
from monitor.stores.ways import Ways

_GROUP, _FIRST, _SECOND = "readers", "first", "second"
_LIFE = 600  # seconds; longer than any run, shorter than anybody's patience with what was left behind
_MOST = 1000  # entries read at once
_LONGEST_BLOCK = 500  # milliseconds; well below the time after which a connection counts as dead
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "stream_open": (
        "ECHO NONCE",
        *REMEMBER_SHOWN,
        f"XGROUP CREATE {{key}} {_GROUP} 0 MKSTREAM",
        "PEXPIRE {key} …",
    ),
    "stream_add": ("ECHO NONCE", "XADD {key} * text TEXT"),
    "stream_add_together": ("ECHO NONCE", "MULTI", "XADD {key} * text TEXT …", "EXEC"),
    "stream_add_discarded": ("ECHO NONCE", "MULTI", "XADD {key} * text TEXT", "DISCARD"),
    "stream_read": ("ECHO NONCE", f"XREADGROUP GROUP {_GROUP} CONSUMER COUNT … BLOCK … STREAMS {{key}} >"),
    "stream_acknowledge": ("ECHO NONCE", f"XACK {{key}} {_GROUP} ID …"),
    "stream_pending": ("ECHO NONCE", f"XPENDING {{key}} {_GROUP} - + {_MOST}"),
    "stream_claim": ("ECHO NONCE", f"XCLAIM {{key}} {_GROUP} {_SECOND} 0 ID …"),
    "stream_delete": ("ECHO NONCE", "DEL {key}", "ZREM {index} {key}"),
}
"""What a probe may ask for, and the commands that are then sent."""


@dataclass(frozen=True, slots=True)
class OwnStream:
    """A stream under Holdfast's prefix, in the index until it is deleted, with a time to live besides."""

    ways: Ways
    run_id: str
    attempt: str = "a"
    name: ClassVar = "stream"

    @property
    def author(self) -> str:
        """The key."""
        return key_of(self.ways.environment, self.ways.instance, self.run_id, self.attempt, kind="stream")

    def again(self) -> OwnStream:
        """The same under another key."""
        return OwnStream(self.ways, self.run_id, "b")

    async def publisher(self, label: str) -> AddingConnection:
        """A connection that adds; the stream and its group are made."""
        opened = await AddingConnection.open(self.ways, label)
        opened.key = self.author
        try:
            await opened.make()
        except BaseException:
            await opened.close()
            raise
        return opened

    async def subscriber(self, label: str) -> ReadingConnection:
        """A connection that reads as a consumer of the group."""
        opened = await ReadingConnection.open(self.ways, label)
        opened.stream, opened.label = self, label
        return opened


class AddingConnection(KeyConnection):
    """The end that adds to the stream under `key`."""

    key: str

    async def make(self) -> None:
        """The stream, its group, and its time to live."""
        group: Command = ("XGROUP", "CREATE", self.key, _GROUP, "0", "MKSTREAM")
        life: Command = ("PEXPIRE", self.key, _LIFE * 1000)
        await self.ask(*self.remember(self.key, ttl=_LIFE), group, life, writing=True)

    async def publish(self, *texts: str) -> None:
        """One entry by itself; several between MULTI and EXEC."""
        commands = [self._add(text) for text in texts]
        await self.ask(*(commands if len(texts) == 1 else (("MULTI",), *commands, ("EXEC",))), writing=True)

    async def withdraw(self, text: str) -> None:
        """Add between MULTI and DISCARD."""
        await self.ask(("MULTI",), self._add(text), ("DISCARD",))

    async def forget(self) -> None:
        """Delete the stream with its group."""
        await self.delete(self.key)

    def _add(self, text: str) -> Command:
        return ("XADD", self.key, "*", "text", text)


class ReadingConnection(KeyConnection):
    """The end that reads. A message counts as taken once its acknowledgement was answered."""

    stream: OwnStream
    label: str
    _consumer: str = _FIRST
    _taken: tuple[str, ...] = ()

    async def falter(self) -> None:
        """Read one message, vanish, and claim on a new connection, as another consumer, what is pending."""
        await self._read(count=1, block=_LONGEST_BLOCK)
        await self.close()
        self.connection = (await KeyConnection.open(self.stream.ways, self.label)).connection
        self._consumer = _SECOND
        (pending,) = await self.ask(("XPENDING", self.stream.author, _GROUP, "-", "+", _MOST))
        ids = [entry[0] for entry in _lists(pending) if isinstance(entry[0], bytes)]
        if ids:
            (claimed,) = await self.ask(("XCLAIM", self.stream.author, _GROUP, _SECOND, 0, *ids), writing=True)
            await self._take(dict(_entries(claimed)))

    async def next(self, *, within: float) -> str | None:
        """The next message that was claimed or is new."""
        if not self._taken:
            await self._take(await self._read(count=_MOST, block=min(_LONGEST_BLOCK, max(1, round(within * 1000)))))
        if not self._taken:
            return None
        first, *others = self._taken
        self._taken = tuple(others)
        return first

    async def rest(self) -> list[str]:
        """What else is new, or was read and never acknowledged."""
        await self._take(await self._read(count=_MOST, block=None))
        left, self._taken = list(self._taken), ()
        return left

    async def _read(self, *, count: int, block: int | None) -> dict[bytes, str]:
        waiting: Command = () if block is None else ("BLOCK", block)
        words: Command = ("XREADGROUP", "GROUP", _GROUP, self._consumer, "COUNT", count, *waiting)
        (reply,) = await self.ask((*words, "STREAMS", self.stream.author, ">"), writing=True)
        return {id_: text for stream in _lists(reply) for id_, text in _entries(stream[1])}

    async def _take(self, entries: Mapping[bytes, str]) -> None:
        if entries:
            await self.ask(("XACK", self.stream.author, _GROUP, *entries), writing=True)
            self._taken = (*self._taken, *entries.values())


def _lists(reply: Reply) -> list[list[Reply]]:
    return [each for each in reply if isinstance(each, list) and each] if isinstance(reply, list) else []


def _entries(reply: Reply) -> Iterator[tuple[bytes, str]]:
    """The ids and texts of entries, as XREADGROUP and XCLAIM answer them."""
    for entry in _lists(reply):
        match entry:
            case [bytes() as id_, [b"text", bytes() as text]]:
                yield id_, text.decode("utf-8", "replace")
            case _:
                continue
