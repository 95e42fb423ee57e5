"""Statements as trees: what of a condition must hold, and which of its values are ids of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from monitor.bindings.statements import SENTINELS

_QUERIES = (exp.Select, exp.SetOperation, exp.Values, exp.Insert, exp.Update, exp.Delete, exp.Merge)
_DRIVERS_OWN = re.compile(r"%\((\w+)\)s")  # how sqlglot writes a parameter for psycopg
_SHOWN = 120  # characters of a condition in an error


def parsed(sql: str) -> exp.Expr:
    """A statement as a tree. Raises ValueError that names the place where it cannot be read."""
    try:
        return sqlglot.parse_one(sql, dialect="postgres")
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        where = f" at line {first['line']}, column {first['col']}, by `{first['highlight']}`" if first else ""
        raise ValueError(f"cannot be read as SQL{where}: {first.get('description', error)}") from None


def shown(node: exp.Expr) -> str:
    """SQL of a part of a statement, on one line."""
    text = _DRIVERS_OWN.sub(r":\1", node.sql(dialect="postgres", comments=False))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def all_of(condition: exp.Expr) -> Iterator[exp.Expr]:
    """What must hold all at once."""
    if isinstance(condition, exp.Paren):
        yield from all_of(condition.this)
    elif isinstance(condition, exp.And):
        yield from all_of(condition.this)
        yield from all_of(condition.expression)
    else:
        yield condition


def equations(condition: exp.Expr) -> Iterator[tuple[exp.Expr, exp.Expr]]:
    """A column and what it is equal to, in both directions."""
    match condition:
        case exp.EQ():
            left, right = bare(condition.this), bare(condition.expression)
            if isinstance(right, exp.Any):
                yield left, bare(right.this)
            elif isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
                for a, b in zip(left.expressions, right.expressions, strict=False):
                    yield from equations(exp.EQ(this=a.copy(), expression=b.copy()))
            else:
                yield left, right
                yield right, left
        case exp.In(args={"query": exp.Expr() as query}):
            yield bare(condition.this), query
        case exp.In(expressions=values) if values and all(is_sentinel(value) for value in values):
            yield bare(condition.this), bare(values[0])
        case _:
            return


def bare(node: exp.Expr) -> exp.Expr:
    """Without parentheses and casts."""
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    return node


def plain(node: exp.Expr) -> exp.Expr:
    """What a query returns, without its alias; the least and the greatest of a column are of that column."""
    while isinstance(node, exp.Alias | exp.Paren | exp.Cast | exp.Min | exp.Max | exp.Distinct):
        node = node.this
    return node


def is_sentinel(node: exp.Expr) -> bool:
    """Whether a value is a parameter that holds an id of ours, and nothing else."""
    inner = bare(node)
    return isinstance(inner, exp.Placeholder) and inner.name in SENTINELS


def mentions(node: exp.Expr) -> bool:
    """Whether there is such a parameter anywhere within."""
    return any(each.name in SENTINELS for each in node.find_all(exp.Placeholder))


def queries_in(query: exp.Expr, *, leave: Sequence[exp.Expr]) -> Iterator[exp.Expr]:
    """The outermost queries within one, but for those of WITH and those to leave out."""
    for part in query.iter_expressions():
        if isinstance(part, exp.With) or any(part is each for each in leave):
            continue
        if isinstance(part, _QUERIES):
            yield part
        else:
            yield from queries_in(part, leave=leave)
