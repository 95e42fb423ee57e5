"""What is known of an application's tables before anybody has said what they mean."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its type as PostgreSQL writes it, and what it must be.

    `choices` are the values that a CHECK or an enum allows, in their order; none where any will do. `checks` are the
    other CHECKs on it, as PostgreSQL writes them. `always` says that no statement may give it a value.
    """

    name: str
    type: str
    required: bool = False
    default: str | None = None
    made_by_server: bool = False
    always: bool = False
    unique: bool = False
    choices: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A foreign key of one column."""

    column: str
    table: str
    to: str
    cascades: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table. `secured` is whether row-level security holds there; `policies` are the expressions of its policies."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    secured: bool = False
    policies: tuple[str, ...] = ()

    def column(self, name: str) -> Column | None:
        """The column of this name."""
        return next((column for column in self.columns if column.name == name), None)

    def leads(self, column: str) -> Foreign | None:
        """Where a column refers to."""
        return next((foreign for foreign in self.foreign if foreign.column == column), None)
