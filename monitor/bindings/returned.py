"""Which column a statement returns as the id of what it has made: nothing but one of the table that it inserts into.

The id decides which rows every later statement touches: a constant, or another table's column, leads to a customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlglot import exp


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table that a statement inserts into, both as PostgreSQL looks them up."""

    table: str
    name: str


@lru_cache(maxsize=256)
def returned(sql: str, name: str) -> Column | None:
    """The column that comes back as `name`; None where nothing does. Raises ValueError for what is no such column."""
    from sqlglot import exp  # noqa: PLC0415  costs a daemon without a binding 50 ms

    from monitor.bindings.trees import parsed, shown  # noqa: PLC0415  the same

    tree = parsed(sql)
    found = [_column(tree, part, name) for part in _so_named(tree, name)]
    if not found:
        return None
    first = found[0]
    if len(found) > 1 or first is None:
        given = ", ".join(shown(part) for part in _so_named(tree, name))
        into = _target(tree).sql("postgres") if isinstance(tree, exp.Insert) else "the table"
        raise ValueError(
            f"returns `{given}` as {name}, which need not be the id of the row that it inserts, and every later"
            f" statement would touch what that leads to; return one plain column of {into}: INSERT … RETURNING id AS"
            f" {name}"
        )
    return first


def _so_named(tree: exp.Expr, name: str) -> Iterator[exp.Expr]:
    """What comes back under this name, or may: without AS the server takes a name from somewhere within."""
    from sqlglot import exp  # noqa: PLC0415  as above

    returning = tree.args.get("returning")
    given = returning.expressions if returning else tree.expressions if isinstance(tree, exp.Select) else ()
    for part in given:
        star = isinstance(part, exp.Star) or (isinstance(part, exp.Column) and isinstance(part.this, exp.Star))
        if star and isinstance(tree, exp.Insert):
            if len(given) == 1:  # its table may have a column of that name; whoever wants another says so by AS
                yield part
        elif isinstance(part, exp.Alias):
            if part.alias.lower() == name:
                yield part
        elif name in part.sql("postgres").lower():
            yield part


def _column(tree: exp.Expr, part: exp.Expr, name: str) -> Column | None:
    from sqlglot import exp  # noqa: PLC0415  as above

    from monitor.bindings.trees import bare  # noqa: PLC0415  as above

    if not isinstance(tree, exp.Insert):
        return None
    target = _target(tree)
    inner = bare(part.this if isinstance(part, exp.Alias) else part)
    written = exp.table_(target.this, db=target.args.get("db")).sql("postgres")
    if isinstance(inner, exp.Star):
        return Column(written, name)
    if not isinstance(inner, exp.Column) or inner.table.lower() not in {"", target.alias_or_name.lower()}:
        return None
    if isinstance(inner.this, exp.Star):
        return Column(written, name)
    if not isinstance(inner.this, exp.Identifier):
        return None
    return Column(written, inner.name if inner.this.quoted else inner.name.lower())


def _target(tree: exp.Insert) -> exp.Table:
    """The table that is inserted into."""
    from sqlglot import exp  # noqa: PLC0415  as above

    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if not isinstance(table, exp.Table):
        raise ValueError("cannot be read as SQL: what is it that it inserts into?")  # noqa: TRY004  told as the others
    return table
