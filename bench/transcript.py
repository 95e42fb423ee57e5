"""What a run sends to PostgreSQL and to Redis, request by request, so that others can send the very same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any
from unittest.mock import patch

import asyncpg

from bench.drivers import Drivers, Sent
from bench.stage import Stage
from monitor.probe import Probe, Run
from monitor.stores.environment import LiveEnvironment
from monitor.stores.redis import Redis, RedisConnection

_ASKING = ("execute", "executemany", "fetch", "fetchrow", "fetchval", "add_listener")
_ENDLESS = 20.0  # seconds; where something is waited for so long, the run was not sent again as it was


@dataclass(slots=True)
class Transcript:
    """A whole run: the options of its connections, every request, and in which order these began and ended.

    `order` has a request's place in `sent`, and whether it began (or else ended) then.
    """

    options: dict[str, Any] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)
    order: list[tuple[int, bool]] = field(default_factory=list)

    async def replay(self, dsn: str, url: str = "redis://") -> int:
        """Send all of it by asyncpg and redis-py alone, and look at no answer; -> how many requests were refused.

        Nothing begins before what had ended when it began, and what was under way together is so again.
        """
        async with Drivers(dsn, url, self.options) as drivers, asyncio.timeout(_ENDLESS):
            await self.by(drivers.send)
        return drivers.refused

    async def by(self, send: Callable[[Sent], Awaitable[None]]) -> None:
        """The same by whatever sends."""
        alone = {one for (one, begins), (following, _) in pairwise(self.order) if begins and one == following}
        running: dict[int, asyncio.Task[None]] = {}
        for number, begins in self.order:
            if number in alone:
                if begins:
                    await send(self.sent[number])
            elif begins:
                running[number] = asyncio.ensure_future(send(self.sent[number]))
                await asyncio.sleep(0)  # it is sent before what follows
            else:
                await running.pop(number)

    def scripts(self) -> Sequence[tuple[str, Sequence[tuple[str | None, bool]]]]:
        """For pgbench, one for each connection but that of who only watches: what it sends.

        Of each statement it is told in which step it is, and whether a transaction begins with it.
        """
        watching = {each.connection for each in self.sent if each.call == "fetchval"}
        made: dict[int, list[tuple[str, str | None]]] = {}
        for each in self.sent:
            if each.call in {"connect", "close"} or each.connection in watching:
                continue
            query, *values = each.arguments
            for one in values[0] if each.call == "executemany" else (values,):
                made.setdefault(each.connection, []).append((_literal(query, one), each.step))
        return [
            ("\n".join(line for line, _ in lines), [(step, "BEGIN" in line[:5]) for line, step in lines])
            for lines in made.values()
        ]


class _Recorder:
    """Hears of every request, and writes it down."""

    def __init__(self, found: Transcript) -> None:
        self._found = found
        self._next = count()
        self._numbers: dict[int, int] = {}
        self._known: list[object] = []  # held, lest another connection be taken for one that is gone
        self._within: list[str] = []

    def instead(self) -> Sequence[tuple[Any, str, Any]]:
        """What is to be put in the place of what: owner, name, function."""
        redis: dict[str, Callable[..., object]] = {
            "ask": lambda *commands, **_: commands,
            "ask_with_nonce": lambda *commands, **_: (("ECHO", "0123456789abcdef"), *commands),
            "say": lambda *commands: commands,
            "hear": lambda *, within: (within,),
            "close": tuple,
        }
        calls = {"ask_with_nonce": "ask", "close": "shut"}
        told = [
            (RedisConnection, name, self._telling(RedisConnection, name, calls.get(name, name), arguments))
            for name, arguments in redis.items()
        ]
        return (
            *told,
            (Redis, "connect", self._opening(Redis.connect)),
            (asyncpg, "connect", self._connecting(asyncpg.connect)),
            (Run, "step", self._step(Run.step)),
        )

    def _telling(self, owner: Any, name: str, call: str, arguments: Any) -> Any:  # noqa: ANN401  any function
        plain = getattr(owner, name)

        async def told(connection: Any, *values: object, **options: object) -> Any:  # noqa: ANN401
            async with self._noted(self._numbers[id(connection)], call, *arguments(*values, **options)):
                return await plain(connection, *values, **options)

        return told

    def _connecting(self, plain: Any) -> Any:  # noqa: ANN401
        own = {name: self._telling(asyncpg.Connection, name, name, lambda *values, **_: values) for name in _ASKING}
        own["close"] = self._telling(asyncpg.Connection, "close", "close", lambda **_: ())
        recording = type("Recording", (asyncpg.Connection,), own)

        async def connect(dsn: str, **options: Any) -> Any:  # noqa: ANN401
            # What Holdfast knows of the server's TLS is its own; the drivers alone find it out, as they always do.
            self._found.options = {name: value for name, value in options.items() if name != "ssl"}
            number = next(self._next)
            async with self._noted(number, "connect"):
                connection = await plain(dsn, connection_class=recording, **options)
            return self._numbered(connection, number)

        return connect

    def _opening(self, plain: Any) -> Any:  # noqa: ANN401
        async def connect(redis: Redis, label: str) -> Any:  # noqa: ANN401
            number = next(self._next)
            async with self._noted(number, "open", f"holdfast/{label}"):
                connection = await plain(redis, label)
            return self._numbered(connection, number)

        return connect

    def _step(self, plain: Any) -> Any:  # noqa: ANN401
        @asynccontextmanager
        async def step(run: Run, name: str, **options: int) -> AsyncIterator[None]:
            self._within.append(name)
            async with plain(run, name, **options):
                yield
            self._within.pop()

        return step

    def _numbered(self, connection: object, number: int) -> object:
        self._known.append(connection)
        self._numbers[id(connection)] = number
        return connection

    @asynccontextmanager
    async def _noted(self, connection: int, call: str, *arguments: object) -> AsyncIterator[None]:
        number = len(self._found.sent)
        self._found.sent.append(Sent(connection, call, arguments, self._within[-1] if self._within else None))
        self._found.order.append((number, True))
        try:
            yield
        finally:
            self._found.order.append((number, False))


@contextmanager
def written_down() -> Iterator[Transcript]:
    """Write down whatever is sent within the block, on connections that are made in it."""
    found = Transcript()
    with ExitStack() as stack:
        for owner, name, made in _Recorder(found).instead():
            stack.enter_context(patch.object(owner, name, made))
        yield found


async def transcript(stage: Stage, probe: Probe[Any], environment: LiveEnvironment) -> Transcript:
    """Write down one right run."""
    with written_down() as found:
        await stage.right(probe, environment)
    return found


def _literal(query: str, values: Sequence[object]) -> str:
    for place in range(len(values), 0, -1):
        query = query.replace(f"${place}", f"\0{place}\0")
    for place, value in enumerate(values, 1):
        query = query.replace(f"\0{place}\0", _quoted(value))
    return query.replace("; ", "\\; ") + ";" if not values else query + ";"


def _quoted(value: object) -> str:
    if value is None or isinstance(value, int):
        return json.dumps(value)
    return "'" + str(value).replace("'", "''") + "'"
