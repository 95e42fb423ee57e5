"""What the catalogue of an application's PostgreSQL says of its tables. No row is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from monitor.bindings.survey import Column, Foreign, Table
from monitor.stores.postgres import Postgres

_TABLES = """
SELECT c.oid, c.relname, c.relrowsecurity,
       array(SELECT coalesce(pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
             FROM pg_policy AS p WHERE p.polrelid = c.oid ORDER BY p.polname) AS policies
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname
"""
_COLUMNS = """
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid) AS value, a.attidentity <> '' AS identity, a.attgenerated <> '' AS generated,
       a.attidentity = 'a' OR a.attgenerated <> '' AS always,
       array(SELECT e.enumlabel::text FROM pg_enum AS e
             WHERE e.enumtypid = a.atttypid ORDER BY e.enumsortorder) AS labels
FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
_CONSTRAINTS = """
SELECT k.conrelid, k.contype::text AS kind, pg_get_constraintdef(k.oid) AS said, k.confdeltype::text AS deletion,
       array(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (n, place)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.place) AS columns,
       f.relname AS other, n.nspname AS other_schema,
       array(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (n, place)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.place) AS others
FROM pg_constraint AS k
LEFT JOIN pg_class AS f ON f.oid = k.confrelid LEFT JOIN pg_namespace AS n ON n.oid = f.relnamespace
WHERE k.conrelid = ANY ($1::oid[])
"""
_SERIAL = re.compile(r"^nextval\(")
_LITERAL = re.compile(r"'((?:[^']|'')*)'")


async def survey(postgres: Postgres, schema: str) -> tuple[Table, ...]:
    """The tables of a schema, and those that they refer to elsewhere. Raises StoreError."""
    connection = await postgres.connect("bind")
    try:
        async with postgres.asked():
            tables = await connection.fetch(_TABLES, schema)
            ids = [table["oid"] for table in tables]
            columns = await connection.fetch(_COLUMNS, ids)
            constraints = await connection.fetch(_CONSTRAINTS, ids)
    finally:
        await connection.close()
    return tuple(
        _table(
            schema,
            table,
            [column for column in columns if column["attrelid"] == table["oid"]],
            [each for each in constraints if each["conrelid"] == table["oid"]],
        )
        for table in tables
    )


def _table(
    schema: str, table: Mapping[str, Any], columns: list[Mapping[str, Any]], constraints: list[Mapping[str, Any]]
) -> Table:
    alone = {each["columns"][0] for each in constraints if each["kind"] in "pu" and len(each["columns"]) == 1}
    checks = [each for each in constraints if each["kind"] == "c"]
    return Table(
        schema=schema,
        name=table["relname"],
        columns=tuple(
            _column(
                column,
                checks=[each["said"] for each in checks if column["attname"] in each["columns"]],
                unique=column["attname"] in alone,
            )
            for column in columns
        ),
        primary_key=next((tuple(each["columns"]) for each in constraints if each["kind"] == "p"), ()),
        foreign=tuple(
            Foreign(
                column=each["columns"][0],
                table=f"{each['other_schema']}.{each['other']}",
                to=each["others"][0],
                cascades=each["deletion"] == "c",
            )
            for each in constraints
            if each["kind"] == "f" and len(each["columns"]) == 1
        ),
        secured=table["relrowsecurity"],
        policies=tuple(policy for policy in table["policies"] if policy),
    )


def _column(column: Mapping[str, Any], *, checks: list[str], unique: bool) -> Column:
    serial = column["identity"] or bool(_SERIAL.match(column["value"] or ""))
    return Column(
        name=column["attname"],
        type=column["type"],
        required=column["attnotnull"] and column["value"] is None and not serial,
        default=column["value"],
        made_by_server=serial or column["generated"],
        always=column["always"],
        unique=unique,
        choices=tuple(column["labels"]) or next(filter(None, map(_choices, checks)), ()),
        checks=tuple(check for check in checks if not _choices(check)),
    )


def _choices(check: str) -> tuple[str, ...]:
    """The texts among which a CHECK lets one choose: `role = ANY (ARRAY['user'::text, …])`."""
    found = re.search(r"= ANY \(+ARRAY\[(.*?)\]", check)
    return tuple(text.replace("''", "'") for text in _LITERAL.findall(found[1])) if found else ()
