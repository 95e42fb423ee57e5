"""Two connections as one: writes go through one layer of an application, and reads through another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from monitor.bindings.model import Layer, Way
from monitor.core.record import Node
from monitor.ports import Connection

C = TypeVar("C", bound=Connection)


class Mixed(Generic[C]):
    """What every pair has in common: it is where it reads, and both really close."""

    def __init__(self, writer: C, reader: C) -> None:
        self._writer = writer
        self._reader = reader

    async def node(self) -> Node:
        """The server that is read from."""
        return await self._reader.node()

    async def close(self) -> None:
        """Really close both."""
        try:
            await self._writer.close()
        finally:
            await self._reader.close()


async def through(way: Way, opened: Callable[[Layer], Awaitable[C]], mixed: Callable[[C, C], C]) -> C:
    """A connection by a way: one where it writes and reads through the same layer, else both, or none."""
    writer = await opened(way.write)
    if way.read == way.write:
        return writer
    try:
        return mixed(writer, await opened(way.read))
    except BaseException:
        await writer.close()
        raise
