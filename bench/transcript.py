"""What a run of `thread` sends to PostgreSQL, statement by statement, so that others can send the very same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import asyncpg

import monitor.stores.postgres
from bench.stage import Stage
from monitor.probe import Probe, Run
from monitor.stores.connecting import connect
from monitor.stores.environment import LiveEnvironment


@dataclass(frozen=True, slots=True)
class Sent:
    """One statement: on which connection, by which call of asyncpg, and in which timed step of the run, if in one."""

    connection: int
    call: str
    arguments: tuple[Any, ...]
    step: str | None


@dataclass(slots=True)
class Transcript:
    """A whole run: how many connections, with which options, and every statement in its order."""

    options: dict[str, Any] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)

    async def replay(self, dsn: str) -> None:
        """Send all of it by asyncpg alone, and look at no answer."""
        connections: dict[int, asyncpg.Connection[Any]] = {}
        for each in self.sent:
            if each.call == "connect":
                connections[each.connection] = await asyncpg.connect(dsn, **self.options)
            else:
                await getattr(connections[each.connection], each.call)(*each.arguments)

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


async def transcript(stage: Stage, probe: Probe[Any], environment: LiveEnvironment) -> Transcript:
    """Write down one right run."""
    found, opened, within = Transcript(), list[int](), list[str]()

    def note(connection: int, call: str, *arguments: object) -> None:
        found.sent.append(Sent(connection, call, arguments, within[-1] if within else None))

    timed = Run.step

    @asynccontextmanager
    async def step(run: Run, name: str, **options: int) -> AsyncIterator[None]:
        within.append(name)
        async with timed(run, name, **options):
            yield
        within.pop()

    class Recording(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
        """A connection that tells what it is asked."""

        async def execute(self, query: str, *args: object, **options: object) -> Any:  # noqa: ANN401
            note(self.number, "execute", query, *args)
            return await super().execute(query, *args, **options)

        async def executemany(self, command: str, args: Sequence[object], **options: object) -> Any:  # noqa: ANN401
            note(self.number, "executemany", command, list(args))
            return await super().executemany(command, args, **options)

        async def fetch(self, query: str, *args: object, **options: object) -> Any:  # noqa: ANN401
            note(self.number, "fetch", query, *args)
            return await super().fetch(query, *args, **options)

        async def fetchrow(self, query: str, *args: object, **options: object) -> Any:  # noqa: ANN401
            note(self.number, "fetchrow", query, *args)
            return await super().fetchrow(query, *args, **options)

        async def fetchval(self, query: str, *args: object, **options: object) -> Any:  # noqa: ANN401
            note(self.number, "fetchval", query, *args)
            return await super().fetchval(query, *args, **options)

        async def close(self, **options: object) -> None:
            note(self.number, "close")
            await super().close(**options)

    async def recording(dsn: str, **options: Any) -> Any:  # noqa: ANN401
        found.options = dict(options)
        note(len(opened), "connect")
        connection = await connect(dsn, connection_class=Recording, **options)
        connection.number = len(opened)
        opened.append(connection.number)
        return connection

    with patch.object(monitor.stores.postgres, "connect", recording), patch.object(Run, "step", step):
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
