"""Small numbers and lists in the schema `holdfast`, which transactions change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar
from uuid import UUID

import asyncpg

from monitor.core.atomicity import Ending, Trial
from monitor.core.history.operations import Append, MicroOperation, Read
from monitor.core.payload import synthetic_user
from monitor.core.schedules.notation import Schedule, Step, Value, Verb
from monitor.core.schedules.results import Answer
from monitor.core.verdict import Reason
from monitor.ports import Isolation, StoreError
from monitor.ports.registers import ConflictError, RegisterConnection, Registered
from monitor.stores import trials
from monitor.stores.director import Director
from monitor.stores.rows import BEGIN_SHOWN, READ_COMMITTED_SHOWN, RowConnection
from monitor.stores.ways import Ways

_OWN_PROCESS = "pid = $1 AND usename = current_user AND datname = current_database()"
STATEMENTS: Mapping[str, str] = {
    "make": (
        "INSERT INTO holdfast.registers (run, id, instance, user_id, value)"
        " SELECT run::uuid, id::integer, $4, $5, value::bigint"
        " FROM unnest(string_to_array($1, ' '), string_to_array($2, ' '), string_to_array($3, ' '))"
        " AS made (run, id, value)"
    ),
    "insert": "INSERT INTO holdfast.registers (run, id, instance, user_id, value) VALUES ($1, $2, $3, $4, $5)",
    "look": "SELECT id, value FROM holdfast.registers WHERE run = $1 ORDER BY id",
    "remove": "DELETE FROM holdfast.registers WHERE run = ANY(string_to_array($1, ' ')::uuid[])",
    "read": "SELECT value FROM holdfast.registers WHERE run = $1 AND id = $2",
    "lock": "SELECT value FROM holdfast.registers WHERE run = $1 AND id = $2 FOR UPDATE",
    "write": "UPDATE holdfast.registers SET value = $3 WHERE run = $1 AND id = $2",
    "count over": "SELECT count(*) FROM holdfast.registers WHERE run = $1 AND value > $2",
    "count under": "SELECT count(*) FROM holdfast.registers WHERE run = $1 AND value < $2",
    "delete over": "DELETE FROM holdfast.registers WHERE run = $1 AND value > $2",
    "append": "UPDATE holdfast.registers SET items = items || ' ' || $3::text WHERE run = $1 AND id = $2",
    "list": "SELECT items FROM holdfast.registers WHERE run = $1 AND id = $2",
    "lists": "SELECT id, items FROM holdfast.registers WHERE run = $1 ORDER BY id",
    "process": "SELECT pg_backend_pid()",
    "end_process": f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OWN_PROCESS}",  # noqa: S608
    "gone": "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)",
    "default_level": "SELECT current_setting('default_transaction_isolation')",
    "waits": (
        "SELECT coalesce(bool_or(CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) <> '{}' END), false)"
        " FROM pg_stat_activity WHERE pid = $1"
    ),
}
"""Every statement on registers, by name. Lists are sent as text: of a type of lists the driver would ask first."""

_PLAYED = ("process", "read", "lock", "write", "waits")  # by the schedules that a probe asks for
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "make_registers": (READ_COMMITTED_SHOWN, STATEMENTS["make"], "COMMIT"),
    "make_lists": (READ_COMMITTED_SHOWN, STATEMENTS["make"], "COMMIT"),
    "look_at_registers": (READ_COMMITTED_SHOWN, STATEMENTS["look"], "COMMIT"),
    "remove_registers": (READ_COMMITTED_SHOWN, STATEMENTS["remove"], "COMMIT"),
    "look_at_lists": (READ_COMMITTED_SHOWN, STATEMENTS["lists"], "COMMIT"),
    "attempt_commit": (BEGIN_SHOWN, STATEMENTS["insert"], "COMMIT"),
    "attempt_roll_back": (BEGIN_SHOWN, STATEMENTS["insert"], "ROLLBACK"),
    "attempt_fail": (BEGIN_SHOWN, STATEMENTS["insert"], "COMMIT"),
    "attempt_savepoint": (
        BEGIN_SHOWN,
        STATEMENTS["insert"],
        "SAVEPOINT holdfast",
        "ROLLBACK TO SAVEPOINT holdfast",
        "RELEASE SAVEPOINT holdfast",
        "COMMIT",
    ),
    "attempt_kill": (
        BEGIN_SHOWN,
        STATEMENTS["insert"],
        STATEMENTS["process"],
        STATEMENTS["end_process"],
        STATEMENTS["gone"],
        "COMMIT",
    ),
    "attempt_vanish": (BEGIN_SHOWN, STATEMENTS["insert"], STATEMENTS["process"], STATEMENTS["gone"]),
    "default_level": (STATEMENTS["default_level"],),
    "play_schedule": (BEGIN_SHOWN, *(STATEMENTS[each] for each in _PLAYED), "COMMIT"),
    "transact_on_lists": (BEGIN_SHOWN, STATEMENTS["append"], STATEMENTS["list"], "COMMIT"),
}
"""What a probe may ask for, and all that is then sent. Of a schedule's statements each sends some."""

_LONGEST_PAUSE = 0.1  # seconds between two questions of somebody who waits for a server to notice something
_USER = synthetic_user(2)  # one is enough: who may see what is not asked here
_CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class OwnRegisters:
    """Sets of registers in the schema `holdfast`, marked with this daemon's instance."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    async def connect(self, label: str) -> OwnRegisterConnection:
        """A new connection."""
        return await OwnRegisterConnection.open(self._ways, label)

    async def attempt(
        self, ending: Ending, rows: UUID, *, actor: RegisterConnection, observer: RegisterConnection
    ) -> Trial:
        """Carry out one transaction that ends in this way, on a new set of rows."""
        return await trials.carry_out(ending, rows, actor=actor, observer=observer)

    async def play(
        self,
        schedule: Schedule,
        rows: UUID,
        *,
        actors: Sequence[RegisterConnection],
        observer: RegisterConnection,
        level: Isolation | None = None,
    ) -> tuple[Answer, ...]:
        """Carry out a schedule on a set of registers that is there."""
        return await Director(schedule, rows, actors=actors, observer=observer, level=level).direct()


class OwnRegisterConnection(RowConnection):
    """One connection. What looks, makes and removes does so at READ COMMITTED, whatever the role's default is."""

    statements: ClassVar = STATEMENTS
    _process: int | None = None

    async def make(self, sets: Mapping[UUID, Registered]) -> None:
        """Store new sets, in a transaction of its own."""
        rows = [(run, number, value) for run, values in sets.items() for number, value in values.items()]
        columns = [" ".join(map(str, column)) for column in zip(*rows, strict=True)]
        async with self._aside():
            await self.connection.execute(STATEMENTS["make"], *columns, self.instance, _USER)

    async def look(self, rows: UUID) -> Registered:
        """Read a set, in a transaction of its own."""
        async with self._aside():
            return {row["id"]: row["value"] for row in await self.connection.fetch(STATEMENTS["look"], rows)}

    async def lists(self, rows: UUID) -> Mapping[int, tuple[int, ...]]:
        """Read all lists of a set, in a transaction of its own."""
        async with self._aside():
            return {row["id"]: _items(row["items"]) for row in await self.connection.fetch(STATEMENTS["lists"], rows)}

    async def remove(self, sets: Sequence[UUID]) -> None:
        """Delete whole sets, in a transaction of its own."""
        async with self._aside():
            await self.connection.execute(STATEMENTS["remove"], " ".join(map(str, sets)))

    @asynccontextmanager
    async def _aside(self) -> AsyncIterator[None]:
        async with self.transaction(_USER, level="read committed"):
            yield

    async def begin(self, *, level: Isolation | None = None) -> None:
        """Begin a transaction."""
        async with self.postgres.asked():
            await self.start(_USER, level)

    async def end(self, how: str) -> str:
        """COMMIT or ROLLBACK; -> the tag. ConflictError where a COMMIT is refused."""
        async with self.postgres.asked(committing=how == "COMMIT"):
            with self._conflicts():
                tag = str(await self.connection.execute(how))
        self.ended()
        return tag

    async def insert(self, rows: UUID, values: Registered) -> None:
        """Add rows to a set, one statement each."""
        async with self.postgres.asked():
            with self._conflicts():
                for number, value in values.items():
                    await self.change("insert", rows, number, self.instance, _USER, value)

    async def fail(self, rows: UUID, number: int) -> None:
        """Insert a row that is there already. Raises StoreError where the server takes it."""
        async with self.postgres.asked():
            try:
                await self.change("insert", rows, number, self.instance, _USER, 0)
            except asyncpg.UniqueViolationError:
                return
        raise self.postgres.error(Reason.MISCONFIGURED, "took two rows with one key; run `holdfast setup ENV`")

    async def savepoint(self, words: str) -> None:
        """SAVEPOINT, ROLLBACK TO SAVEPOINT or RELEASE SAVEPOINT, all of one name."""
        async with self.postgres.asked():
            await self.connection.execute(f"{words} holdfast")

    async def carry_out(self, rows: UUID, step: Step, *, known: Value = None) -> Value:
        """One statement of a schedule."""
        verb = step.verb
        async with self.postgres.asked():
            with self._conflicts():
                if verb is Verb.INSERT:
                    await self.change("insert", rows, step.register, self.instance, _USER, step.number)
                elif verb in {Verb.WRITE, Verb.ADD}:
                    value = step.number + (known or 0 if verb is Verb.ADD else 0)
                    await self.change("write", rows, step.register, value)
                elif verb is Verb.DELETE_OVER:
                    tag = await self.connection.execute(STATEMENTS[verb], rows, step.number)
                    return int(tag.removeprefix("DELETE "))
                else:
                    argument = step.register or step.number
                    found: int | None = await self.connection.fetchval(STATEMENTS[verb], rows, argument)
                    return found
        return None

    async def transact(self, rows: UUID, wanted: Sequence[MicroOperation], *, end: str) -> tuple[MicroOperation, ...]:
        """Append to lists and read them in one transaction; -> the same, with what was read."""
        await self.begin()
        try:
            async with self.postgres.asked():
                with self._conflicts():
                    done = [await self._on_list(rows, each) for each in wanted]
        except ConflictError:
            await self.end("ROLLBACK")
            raise
        tag = await self.end(end)
        if end == "COMMIT" and tag != end:
            raise self._conflict(tag)
        return tuple(done)

    async def _on_list(self, rows: UUID, wanted: MicroOperation) -> MicroOperation:
        if isinstance(wanted, Append):
            await self.change("append", rows, wanted.key, str(wanted.element))
            return wanted
        return Read(wanted.key, _items(await self.connection.fetchval(STATEMENTS["list"], rows, wanted.key)))

    async def process(self) -> int:
        """The number of the server process behind this connection now; asked once, unless a pooler is between."""
        if self._process is not None:
            return self._process
        async with self.postgres.asked():
            number = int(await self.connection.fetchval(STATEMENTS["process"]))
        if number == self.connection.get_server_pid():  # a pooler tells its clients a number of its own
            self._process = number
        return number

    async def end_process(self, number: int) -> bool:
        """End another server process of the same role; False where that is not to be had."""
        try:
            async with self.postgres.asked():
                return bool(await self.connection.fetchval(STATEMENTS["end_process"], number))
        except StoreError as error:
            if error.reason is Reason.REFUSED:
                return False
            raise

    async def waits(self, number: int) -> bool:
        """Whether a server process waits for a lock that another one holds."""
        async with self.postgres.asked():
            return bool(await self.connection.fetchval(STATEMENTS["waits"], number))

    async def gone(self, number: int) -> bool:
        """Wait until a server process is no more, but not longer than a statement may take."""
        pause = 0.001
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                while not await self._gone(number):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
        except TimeoutError:
            return False
        return True

    async def _gone(self, number: int) -> bool:
        async with self.postgres.asked():
            return bool(await self.connection.fetchval(STATEMENTS["gone"], number))

    async def commit_if_alive(self) -> str:
        """COMMIT where the server process is gone; -> the tag, if somebody answered all the same."""
        async with self.postgres.asked():
            try:
                return str(await self.connection.execute("COMMIT"))
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
                return ""

    async def default_level(self) -> str:
        """The isolation level at which transactions of this connection begin."""
        async with self.postgres.asked():
            return str(await self.connection.fetchval(STATEMENTS["default_level"]))

    def vanish(self) -> None:
        """Drop the connection without a word."""
        self.connection.terminate()

    @contextmanager
    def _conflicts(self) -> Iterator[None]:
        try:
            yield
        except _CONFLICTS as error:
            raise self._conflict(error.sqlstate) from None

    def _conflict(self, why: str) -> ConflictError:
        where = f"PostgreSQL at {self.postgres.address}"
        return ConflictError(f"{where} ended a transaction because of another one ({why})", why=why)


def _items(text: str | None) -> tuple[int, ...]:
    return tuple(map(int, (text or "").split()))
