"""What a role needs for the statements of a binding: read off the statements, as SQL for a DBA."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from monitor.bindings import Binding
from monitor.bindings.postgres import Section

_ORDER = ("SELECT", "INSERT", "UPDATE", "DELETE")


def grants_sql(binding: Binding, *, role: str) -> str:
    """GRANTs on the tables that statements name; what functions and triggers do is not seen."""
    lines = [
        f"GRANT {', '.join(right for right in _ORDER if right in rights)} ON {table} TO {role};"
        for table, rights in sorted(rights_of(binding).items())
    ]
    if not lines:
        return ""
    schemas = sorted({table.rpartition(".")[0] for table in rights_of(binding)} - {""})
    use = [f"GRANT USAGE ON SCHEMA {schema} TO {role};" for schema in schemas]
    head = (
        "\n-- The application's tables that its binding names. Where an id comes from a sequence, add\n"
        "-- GRANT USAGE ON SEQUENCE … too; `holdfast bind check` says what is still missing."
    )
    return "\n".join((head, *use, *lines)) + "\n"


def rights_of(binding: Binding) -> Mapping[str, frozenset[str]]:
    """The rights on each table, by its name as the statements have it."""
    found: dict[str, set[str]] = defaultdict(set)
    for sql in _statements(binding):
        for table, right in _uses(sql):
            found[table].add(right)
    return {table: frozenset(rights) for table, rights in found.items()}


def _statements(binding: Binding) -> Iterator[str]:
    if binding.postgres is None:
        return
    sections: tuple[Section | None, ...] = (binding.postgres, binding.postgres.threads, binding.postgres.profile)
    for section in sections:
        for task in type(section).model_fields if section is not None else ():
            if section is not None and task not in {"threads", "profile"}:
                yield from (statement.sql for statement in section.statements(task))


def _uses(sql: str) -> Iterator[tuple[str, str]]:
    """Each table that a statement touches, and by which right."""
    from sqlglot import exp, parse_one  # noqa: PLC0415  costs 50 ms, and only where there is a binding

    if sql.split(maxsplit=1)[0].upper() == "SET":
        return
    tree = parse_one(sql, dialect="postgres")
    commons = {common.alias for common in tree.find_all(exp.CTE)}
    changed = {id(node.find(exp.Table)): node for node in tree.find_all(exp.Insert, exp.Update, exp.Delete)}
    for table in tree.find_all(exp.Table):
        name = ".".join(part.sql(dialect="postgres") for part in table.parts)
        if not name or name in commons:
            continue
        node = changed.get(id(table))
        yield name, "SELECT"  # a WHERE, a RETURNING and an ON CONFLICT read, too
        if node is not None:
            yield name, type(node).__name__.upper()
        if isinstance(node, exp.Insert) and node.args.get("conflict") and "UPDATE" in sql.upper():
            yield name, "UPDATE"
