"""Whether the tables that a binding names are there, and its statements fit them: asked of the server itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from monitor.bindings import IdStyle
from monitor.bindings.statements import PARAMETERS, ParameterKind, Statement
from monitor.core.payload import synthetic_user
from monitor.core.verdict import Reason
from monitor.ports import Store, StoreError
from monitor.stores.bound.check_redis import make_sure_of_keys
from monitor.stores.bound.context import Bound
from monitor.stores.bound.sql import SqlConnection, lacking
from monitor.stores.bound.sql_keys import not_an_id
from monitor.stores.bound.values import FITS, JSON, TEXT, WHOLE, UnfitError, sent

_SHOWN = 3  # problems in one error; `holdfast bind check` tells all
_SOME = UUID("00000000-0000-4000-8000-000000000000")  # nothing has this id

_COLUMNS: Mapping[str, frozenset[str]] = {
    "thread_id": FITS["id"],
    "user_id": FITS["id"],
    "message_id": FITS["id"],
    "name": TEXT,
    "role": TEXT,
    "type": TEXT,
    "content": TEXT,
    "metadata": FITS["json"],
    "profile": JSON | TEXT,
    "permissions": FITS["json"],
    "number": WHOLE,
    "message_count": WHOLE,
    "messages": WHOLE,
}
"""The types that a column of each name can have."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """One thing that does not fit: refused where a right is missing, else misconfigured."""

    reason: Reason
    message: str


async def make_sure_of_binding(bound: Bound, probe: str) -> None:
    """Check what a probe will ask of the stores. Raises StoreError that names statement or key, expected and found."""
    await make_sure_of_keys(bound, probe)
    served = bound.binding.served()[probe].stores.values()
    if bound.binding.postgres is None or not any(Store.POSTGRES in stores for stores in served):
        return
    found = [misfit async for _, misfits in _looked_at(bound, probe) for misfit in misfits]
    if not found:
        return
    refused = all(misfit.reason is Reason.REFUSED for misfit in found)
    more = f"; {len(found) - _SHOWN} more are told by `holdfast bind check`" if len(found) > _SHOWN else ""
    text = "; ".join(misfit.message for misfit in found[:_SHOWN])
    raise bound.ways.primary_postgres.error(Reason.REFUSED if refused else Reason.MISCONFIGURED, text + more)


async def problems_of(bound: Bound) -> AsyncIterator[tuple[str, str]]:
    """Every statement of the binding by its name, and what does not fit, empty where all does.

    Raises StoreError where the server cannot be asked, or does not let a transaction begin as the binding says.
    """
    async for statement, misfits in _looked_at(bound, probe=""):
        yield statement.name, "; ".join(misfit.message for misfit in misfits)


async def _looked_at(bound: Bound, probe: str) -> AsyncIterator[tuple[Statement, tuple[Misfit, ...]]]:
    """Each statement that a probe uses (or any does), and what does not fit. Nothing is carried out."""
    connection = await SqlConnection.open(bound, "check")
    try:
        async with connection.transaction(synthetic_user(0), end="ROLLBACK"):
            look = _Look(connection)
            for statement in connection.sql.statements("begin"):
                yield statement, ()  # it has just been carried out
            for task, statement in _used(bound, probe):
                yield statement, await look.at(task, statement)
    finally:
        await connection.close()


def _used(bound: Bound, probe: str) -> Iterator[tuple[str, Statement]]:
    """The statements that a probe uses, or all of them, each with what it is for, those of one role together."""
    if (sql := bound.binding.postgres) is None:
        return
    for statement in sql.statements("clean"):
        yield "clean", statement
    for section, probes in (
        (sql.threads, {"thread", "history", "isolation", "load"}),
        (sql.profile, {"profile", "sync"}),
    ):
        if section is None or (probe and probe not in probes):
            continue
        for task in type(section).model_fields:
            for statement in section.statements(task):
                yield task, statement
    for statement in sql.statements("parents"):
        yield "parents", statement


class _Look:
    """Looks at statements within one transaction, as one synthetic user."""

    def __init__(self, connection: SqlConnection) -> None:
        self._on = connection
        bound = connection.bound
        self._ids, self._speech, threads = bound.binding.ids, bound.binding.speech, bound.identities.threads
        thread = _some(self._ids.thread) or threads.id(_SOME)
        message = _some(self._ids.message) or bound.identities.messages.id(_SOME)
        now = datetime.now(UTC)
        self._values: dict[str, object] = {
            "thread_id": thread,
            "message_id": message,
            "after_id": message,
            "thread_ids": [thread],
            "name": "Holdfast",
            "role": self._speech.roles[0],
            "type": next(iter(self._speech.types), ""),
            "content": "",
            "metadata": "{}",
            "profile": "{}",
            "permissions": "[]",
            "number": 1,
            "version": 1,
            "limit": 1,
            "before": now,
            "before_ms": round(now.timestamp() * 1000),
        }

    async def at(self, task: str, statement: Statement) -> tuple[Misfit, ...]:
        """What does not fit in one statement. Its plan is made and not carried out: that asks for rights, too."""
        on = self._on
        await on.connection.execute("SAVEPOINT looked")
        try:
            if statement.sql.split(maxsplit=1)[0].upper() == "SET":
                await on.rows(statement)  # what follows is meant to be done in this role
                return ()
            with on.named(statement):
                prepared = await on.connection.prepare(statement.compiled.sql)
            found = [
                *self._parameters(statement, prepared.get_parameters()),
                *self._columns(task, statement, {each.name: each.type for each in prepared.get_attributes()}),
                *await self._ids_made(task, statement),
            ]
            if not found:
                await on.plan(statement, self._values)
        except StoreError as error:
            if error.reason not in {Reason.MISCONFIGURED, Reason.REFUSED}:
                raise
            await on.connection.execute("ROLLBACK TO SAVEPOINT looked")
            return (Misfit(error.reason, str(error).partition(": ")[2]),)
        return tuple(Misfit(Reason.MISCONFIGURED, text) for text in found)

    async def _ids_made(self, task: str, statement: Statement) -> list[str]:
        """What is wrong with the id that the server makes and a statement returns."""
        made = {"create": ("thread_id", self._ids.thread), "append": ("message_id", self._ids.message)}
        name, style = made.get(task, ("", self._ids.thread))
        if not name or style.made_by == "holdfast":
            return []
        return await not_an_id(self._on.connection, statement, name)

    def _parameters(self, statement: Statement, types: tuple[Any, ...]) -> Iterator[str]:
        values = {**self._on.standing, **self._values}
        for name, type_ in zip(statement.names, types, strict=True):
            kind = PARAMETERS[name]
            try:
                fits = _fits(kind, type_)
                if fits and name in values:
                    sent(name, values[name], type_.name)
            except UnfitError:
                fits = False
            if not fits:
                yield (
                    f"{statement.name} of the binding: :{name} is {self._expected(name, kind)}, and the server expects"
                    f" {type_.name} there (change the binding, or cast it: :{name}::{_usual(kind)}::{type_.name})"
                )

    def _expected(self, name: str, kind: ParameterKind) -> str:
        """What we have, and which line of the binding says so."""
        styles = {"user_id": ("user", self._ids.user), "message_id": ("message", self._ids.message)}
        part, style = styles.get("message_id" if name == "after_id" else name, ("thread", self._ids.thread))
        match kind:
            case "id":
                return f"{style.kind} by ids.{part}.kind"
            case "ids":
                return f"a list of {style.kind} by ids.thread.kind"
            case "moment":
                return "a moment (timestamptz, timestamp, or seconds as a number)"
            case "milliseconds":
                return "a number of milliseconds"
            case _:
                return {"json": "JSON", "integer": "a whole number"}.get(kind, kind)

    def _columns(self, task: str, statement: Statement, found: Mapping[str, Any]) -> Iterator[str]:
        required, optional = self._results(task)
        if task in {"create", "append"} and not found:
            required = ()  # another statement of the same task may return it
        for name in required:
            if name not in found:
                yield lacking(statement, name, list(found))
        for name in (*required, *optional):
            if name in found and found[name].schema == "pg_catalog" and found[name].name not in _COLUMNS[name]:
                expected = ", ".join(sorted(_COLUMNS[name]))
                yield (
                    f"{statement.name} of the binding: its column {name} is {found[name].name}; expected one of"
                    f" {expected} (cast it: …::{_cast(_COLUMNS[name])} AS {name})"
                )

    def _results(self, task: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns that a task must return, and those that it may."""
        speech = self._speech
        metadata = () if speech.metadata == "no" else ("metadata",)
        types, names = ("type",) if speech.types else (), ("name",) if speech.names else ()
        message = ("message_id", "role", *types, "content", *metadata), ("number",)
        found: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
            "load": (("thread_id", "user_id", *names, *metadata), ("message_count",)),
            "messages": message,
            "page": message,
            "newest": message,
            "count": (("messages",), ()),
            "list": (("thread_id",), ()),
            "read": (("profile",), ("permissions",)),
        }
        if self._ids.thread.made_by == "server":
            found["create"] = (("thread_id",), ())
        if self._ids.message.made_by == "server":
            found["append"] = (("message_id",), ())
        return found.get(task, ((), ()))


def _some(style: IdStyle) -> object | None:
    """An id such as the server makes, that nothing has; None where Holdfast makes ids."""
    if style.made_by == "holdfast":
        return None
    return {"number": -1, "text": f"{style.prefix}{_SOME.hex}"}.get(style.kind, _SOME)


def _fits(kind: ParameterKind, type_: Any) -> bool:  # noqa: ANN401  asyncpg has no types
    """Whether a value of this kind can be sent as this type; one of the application's own, as an enum, takes text."""
    if type_.schema != "pg_catalog":
        return kind in {"id", "ids", "text", "json"}
    return type_.name in FITS[kind]


def _cast(types: frozenset[str]) -> str:
    """The type that one writes in a cast to any of these."""
    return next(usual for usual, same in (("text", TEXT), ("bigint", WHOLE), ("jsonb", JSON)) if same & types)


def _usual(kind: ParameterKind) -> str:
    return {"json": "jsonb", "integer": "bigint", "moment": "timestamptz", "milliseconds": "bigint"}.get(kind, "text")
