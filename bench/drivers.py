"""asyncpg and redis-py with nothing around them, as the anchor of what stands on both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import asyncpg
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_REFUSED = (asyncpg.PostgresError, asyncpg.InterfaceError, exceptions.RedisError, OSError)


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: on which connection, by which call, and in which timed step of the run, if in one.

    The calls are those of asyncpg, and for Redis `open`, `ask`, `say`, `hear` and `shut`.
    """

    connection: int
    call: str
    arguments: tuple[Any, ...]
    step: str | None


class Drivers:
    """Connections that are told apart by numbers. Leaving the block closes what is still open.

    `options` are those of `asyncpg.connect`. `refused` counts the requests that failed.
    """

    def __init__(self, dsn: str, url: str, options: Mapping[str, Any]) -> None:
        self.refused = 0
        self._dsn, self._options = dsn, options
        self._template = ConnectionPool.from_url(url, protocol=2, driver_info=None, retry=Retry(NoBackoff(), 0))
        self._postgres: dict[int, asyncpg.Connection[Any]] = {}
        self._redis: dict[int, AbstractConnection] = {}
        self._calls: Mapping[str, Callable[..., Awaitable[object]]] = {
            "connect": self._connect,
            "open": self._open,
            "ask": self._ask,
            "say": self._say,
            "hear": self._hear,
            "shut": self._shut,
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._postgres.values():
            connection.terminate()
        for number in list(self._redis):
            await self._shut(number)

    async def send(self, one: Sent) -> None:
        """One request, whose answer nobody looks at."""
        try:
            if (call := self._calls.get(one.call)) is not None:
                await call(one.connection, *one.arguments)
            else:
                await getattr(self._postgres[one.connection], one.call)(*one.arguments)
        except _REFUSED:
            self.refused += 1

    async def _connect(self, number: int) -> None:
        self._postgres[number] = await asyncpg.connect(self._dsn, **self._options)

    async def _open(self, number: int, name: str) -> None:
        make: Any = self._template.connection_class
        self._redis[number] = made = make(**{**self._template.connection_kwargs, "client_name": name})
        await made.connect()

    async def _ask(self, number: int, *commands: tuple[Any, ...]) -> None:
        await self._say(number, *commands)
        for _ in commands:
            with suppress(exceptions.ResponseError):  # the others are still on their way
                await self._redis[number].read_response()

    async def _say(self, number: int, *commands: tuple[Any, ...]) -> None:
        connection = self._redis[number]
        await connection.send_packed_command(connection.pack_commands(commands))

    async def _hear(self, number: int, within: float) -> None:
        await self._redis[number].read_response(timeout=within)

    async def _shut(self, number: int) -> None:
        await self._redis.pop(number).disconnect(nowait=True)
