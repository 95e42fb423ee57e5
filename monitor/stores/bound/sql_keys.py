"""What the catalogue says of the column that a statement returns as an id: whether it is of one row alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from monitor.bindings.returned import returned

if TYPE_CHECKING:
    import asyncpg

    from monitor.bindings.statements import Statement

_KEYS = """
SELECT a.attname
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
    AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
    AND (i.indnkeyatts = 1 OR a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%')
GROUP BY a.attname ORDER BY bool_or(i.indisprimary) DESC, a.attname
"""
"""The columns of a table that know a row by themselves: never null, and unique alone, or counted up in a unique index,
as the key of a partitioned table is."""


async def not_an_id(connection: asyncpg.Connection[Any], statement: Statement, name: str) -> list[str]:
    """The sentence on a column that is returned as `name` and that several rows can have; none where it is an id."""
    column = returned(statement.sql, name)
    if column is None:
        return []
    keys = [str(key) for (key,) in await connection.fetch(_KEYS, column.table)]
    if column.name in keys:
        return []
    would = f"{' or '.join(keys)} would do: RETURNING {keys[0]} AS {name}" if keys else ""
    none = f"no column of {column.table} would do: it is no table with a primary key or a unique index of one column"
    problem = (
        f"{statement.name} of the binding: it returns the column {column.name} of {column.table} as {name}, which is"
        " neither its primary key nor unique and never null, so that it may lead to somebody else's row"
        f" ({would or none})"
    )
    return [problem]
