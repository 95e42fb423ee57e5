"""An application's tables over one connection: transactions as one of its users, and the statements of its binding."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import asyncpg

from monitor.bindings import PostgresBinding
from monitor.bindings.statements import Statement
from monitor.core.verdict import Reason
from monitor.ports import Isolation, MissingError, Place, Store, StoreError, Way
from monitor.stores.bound.context import Bound
from monitor.stores.bound.values import UnfitError, sent
from monitor.stores.postgres import Postgres
from monitor.stores.rows import Transactions

Values = Mapping[str, object]
"""Values of a statement's parameters by their names. Those of :user_id :claims :now and :now_ms are always there."""

MOST_ROWS = 11_000
"""More than any conversation of ours has; what returns more is not bounded as it should be."""

_TICK = timedelta(microseconds=1)
# What the server says where a binding does not fit, by the beginning of its SQLSTATE; what is not here is weather.
_UNFIT: tuple[tuple[str, Reason, str], ...] = (
    ("42501", Reason.REFUSED, "grant the right to the role of the DSN, or let `begin` take the right role"),
    ("42P18", Reason.MISCONFIGURED, "say its type by a cast: :name::text"),
    ("42P08", Reason.MISCONFIGURED, "say its type by a cast: :name::text"),
    ("42", Reason.MISCONFIGURED, "change the statement in the binding, or the schema"),
    ("3F", Reason.MISCONFIGURED, "change the statement in the binding, or the schema"),
    ("22", Reason.MISCONFIGURED, "the column does not take what is sent; see `ids` and `messages` in the binding"),
    ("23503", Reason.MISCONFIGURED, "what it refers to is not there; name it in `parents` of the binding"),
    ("23", Reason.MISCONFIGURED, "a constraint forbids it; see `ids` and `messages` in the binding"),
    ("0A", Reason.MISCONFIGURED, "the server does not support this"),
    ("P0", Reason.MISCONFIGURED, "a trigger or a function refuses it"),
)


class SqlConnection(Transactions):
    """One connection. Users are told to the server as the binding's `begin` says, within transactions only."""

    def __init__(self, postgres: Postgres, connection: asyncpg.Connection[Any], *, bound: Bound) -> None:
        super().__init__(postgres, connection, ways=bound.ways)
        self.bound = bound
        self._prepared: dict[str, Any] = {}
        self._standing: dict[str, object] = {}
        self._last = datetime.min.replace(tzinfo=UTC)

    @classmethod
    async def open(cls, bound: Bound, label: str, *, place: Place | None = None) -> Self:
        """A new connection, to the primary unless another place is named. Raises StoreError."""
        postgres = bound.ways.primary_postgres if place is None else bound.ways.postgres[place]
        return cls(postgres, await postgres.connect(label), bound=bound)

    @property
    def sql(self) -> PostgresBinding:
        """What the binding says of tables. Raises LookupError where it says nothing."""
        if self.bound.binding.postgres is None:
            raise LookupError(f"the binding of environment {self.bound.ways.environment} has no postgres")
        return self.bound.binding.postgres

    async def start(self, user: str | None, level: Isolation | None) -> None:
        """The beginning of a transaction, as a synthetic user where one is given."""
        await super().start(None, level)
        self._standing = {} if user is None else self._of(user)
        if user is not None:
            for statement in self.sql.statements("begin"):
                await self.rows(statement)

    async def finish(self, end: str) -> str:
        """Send the end of a transaction. What was deferred to it may not fit."""
        with self.named(Statement(name=f"the {end} after statements", sql=end)):
            return await super().finish(end)

    def _of(self, user: str) -> dict[str, object]:
        """What is always known of a user."""
        theirs = self.bound.identities.user(user)
        return {"user_id": theirs, "claims": json.dumps({"sub": str(theirs), "role": "authenticated"})}

    def now(self) -> datetime:
        """The present moment, later than the one before, so that an order by time is the order of what was written."""
        self._last = max(datetime.now(UTC), self._last + _TICK)
        return self._last

    async def rows(
        self, statement: Statement, values: Values | None = None, *, most: int = MOST_ROWS
    ) -> list[asyncpg.Record]:
        """What a statement returns, in its order. Raises StoreError where that is more than `most` rows."""
        with self.named(statement):
            prepared = await self._prepare(statement)
            found: list[asyncpg.Record] = await prepared.fetch(*self._arguments(statement, prepared, values or {}))
        if len(found) > most:
            what = f"{statement.name} of the binding returned more than {most} rows (bound it by LIMIT :limit)"
            raise self.postgres.error(Reason.MISCONFIGURED, what)
        return found

    async def row(self, statement: Statement, values: Values | None = None) -> asyncpg.Record | None:
        """The first row that a statement returns, if there is one."""
        found, _ = await self.done(statement, values)
        return found

    async def done(self, statement: Statement, values: Values | None = None) -> tuple[asyncpg.Record | None, str]:
        """Carry out a statement; -> its first row, if it returns one, and the server's tag, such as `UPDATE 1`."""
        with self.named(statement):
            prepared = await self._prepare(statement)
            found = await prepared.fetch(*self._arguments(statement, prepared, values or {}))
            return (found[0] if found else None), prepared.get_statusmsg()

    async def change(
        self, statement: Statement, values: Values | None = None, *, acknowledged: bool = True
    ) -> asyncpg.Record | None:
        """Carry out a statement that must touch exactly one row; -> what it returns of it.

        Raises MissingError where what it works on was `acknowledged` before, and is not there.
        """
        row, tag = await self.done(statement, values)
        if tag.endswith(" 1"):
            return row
        what = f"answered {statement.name} of the binding by {tag!r}, where one row was expected"
        if acknowledged and tag.endswith(" 0"):
            raise MissingError(f"PostgreSQL at {self.postgres.address} {what}", store=Store.POSTGRES)
        raise self.postgres.error(Reason.INCONCLUSIVE, f"{what}: nothing was acknowledged")

    def column(self, statement: Statement, row: asyncpg.Record, name: str) -> Any:  # noqa: ANN401  asyncpg has no types
        """What a row has in a column. Raises StoreError where there is no such column."""
        try:
            return row[name]
        except KeyError:
            raise self.postgres.error(Reason.MISCONFIGURED, lacking(statement, name, list(row.keys()))) from None

    async def each(self, statement: Statement, several: Sequence[Values]) -> list[asyncpg.Record]:
        """Carry out a statement once for each set of values, all sent at once; -> all that is returned, in order."""
        with self.named(statement):
            prepared = await self._prepare(statement)
            found: list[asyncpg.Record] = await prepared.fetchmany(
                [self._arguments(statement, prepared, values) for values in several]
            )
            return found

    @property
    def standing(self) -> Values:
        """What is known of the user on whose behalf the transaction is, as values of parameters."""
        return self._standing

    async def plan(self, statement: Statement, values: Values) -> None:
        """Let the server make a plan of a statement, which asks for rights, and not carry it out."""
        with self.named(statement):
            prepared = await self.connection.prepare(f"EXPLAIN {statement.compiled.sql}", name="")
            await prepared.fetch(*self._arguments(statement, prepared, values))

    async def _prepare(self, statement: Statement) -> Any:  # noqa: ANN401  asyncpg has no types
        """The statement as the server has understood it.

        Through a pooler it has no name, so that nothing of it outlives the transaction.
        """
        text = statement.compiled.sql
        if self.postgres.place.way is Way.POOLER:
            return await self.connection.prepare(text, name="")
        if text not in self._prepared:
            self._prepared[text] = await self.connection.prepare(text)
        return self._prepared[text]

    def _arguments(self, statement: Statement, prepared: Any, values: Values) -> list[object]:  # noqa: ANN401  the same
        now = self.now()
        known = {"now": now, "now_ms": round(now.timestamp() * 1000), **self._standing, **values}
        names = statement.compiled.names
        return [
            sent(name, known[name], type_.name) for name, type_ in zip(names, prepared.get_parameters(), strict=True)
        ]

    @contextmanager
    def named(self, statement: Statement) -> Iterator[None]:
        """Say by which statement of the binding the server was asked, where what it answers is the binding's fault."""
        try:
            yield
        except asyncpg.PostgresError as error:
            if (unfit := self.unfit(statement, error)) is None:
                raise
            raise unfit from None
        except (UnfitError, asyncpg.DataError) as error:
            advice = "see `ids` and `messages` in the binding"
            what = f"{statement.name} of the binding: {' '.join(str(error).split())} ({advice})"
            raise self.postgres.error(Reason.MISCONFIGURED, what) from None

    def unfit(self, statement: Statement, error: asyncpg.PostgresError) -> StoreError | None:
        """The error of a statement that does not fit the schema; None where the error is of another kind."""
        for state, reason, advice in _UNFIT:
            if (error.sqlstate or "").startswith(state):
                parts = (getattr(error, "message", None) or str(error), error.detail, error.hint)
                text = "; ".join(" ".join(part.split()).rstrip(".") for part in parts if part)
                what = f"{statement.name} of the binding: {text}{_place(statement, error)} ({advice})"
                return self.postgres.error(reason, what)
        return None


def lacking(statement: Statement, name: str, found: Sequence[str]) -> str:
    """The sentence on a column that a statement should return and does not."""
    there = f"it returns {', '.join(found)}" if found else "it returns nothing"
    return f"{statement.name} of the binding returns no column {name}; {there} (name one of them: … AS {name})"


def _place(statement: Statement, error: asyncpg.PostgresError) -> str:
    """Where in the statement the server's finger points, by the words that stand there."""
    if not (error.position or "").isdigit():
        return ""
    sql = statement.compiled.sql
    start = int(error.position) - 1
    return f", at line {sql.count(chr(10), 0, start) + 1} by `{sql[start : start + 40].splitlines()[0]}`"
