"""Faults that make an index answer otherwise than its table."""

from __future__ import annotations

from monitor.core.verdict import Kind
from monitor.embedded.faults.fault import Fault, by_sql

_READY = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 'holdfast.words_default'::regclass;"
_CHANGED = "UPDATE holdfast.words SET word = word || '!' WHERE id = 7;"

FAULTS = (
    Fault(
        name="row-missing-from-an-index",
        breaks="an index on text lacks one row of its table, as after a bug, a bad disk, or another C library under it",
        probe="durability",
        report=Kind.LOST,
        inject=by_sql(" ".join((_READY.format("false"), _CHANGED, _READY.format("true")))),
        heal=by_sql(
            "UPDATE holdfast.words SET word = rtrim(word, '!') WHERE id = 7; REINDEX INDEX holdfast.words_default;"
            " DROP SCHEMA holdfast_fault;"
        ),
    ),
)
"""Of indexes."""
