"""What a statement of a binding says about whose rows it touches: by its words alone, without a server."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

_WHO = frozenset({"user_id", "claims"})


@lru_cache(maxsize=256)
def names_who(sql: str) -> bool:
    """Whether it says who asks, at any place."""
    return any(True for _ in _places(sql))


@lru_cache(maxsize=256)
def asks_whose(sql: str) -> bool:
    """Whether who asks decides which rows it touches: in a condition, and not only as a value that is written."""
    from sqlglot import exp  # noqa: PLC0415  see monitor.bindings.statements

    condition = (exp.Where, exp.Join, exp.Having, exp.From)
    root = _parsed(sql)
    return any(isinstance(root, exp.Select) or place.find_ancestor(*condition) for place in _places(sql))


@lru_cache(maxsize=256)
def inserts(sql: str) -> bool:
    """Whether it makes rows, if only for want of one to change."""
    from sqlglot import exp  # noqa: PLC0415

    return _parsed(sql).find(exp.Insert) is not None


@lru_cache(maxsize=256)
def tables_of(sql: str) -> frozenset[str]:
    """The tables and views that it names, as it spells them."""
    from sqlglot import exp  # noqa: PLC0415

    root = _parsed(sql)
    named = {part.alias for part in root.find_all(exp.CTE)}
    found = [table for table in root.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
    return frozenset(
        exp.table_(table.this, db=table.args.get("db")).sql("postgres")
        for table in found
        if table.args.get("db") or table.name not in named
    )


def _places(sql: str) -> list[Expr]:
    from sqlglot import exp  # noqa: PLC0415

    return [place for place in _parsed(sql).find_all(exp.Placeholder) if place.name in _WHO]


@lru_cache(maxsize=256)
def _parsed(sql: str) -> Expr:
    from sqlglot import parse_one  # noqa: PLC0415

    return parse_one(sql, dialect="postgres")
