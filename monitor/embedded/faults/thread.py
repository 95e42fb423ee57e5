"""Faults that break conversations."""

from __future__ import annotations

from monitor.core.verdict import Kind
from monitor.embedded.faults.fault import Fault, by_sql, drop_fault_schema

_DROP_ROWS = """
CREATE FUNCTION holdfast_fault.drop_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    DELETE FROM holdfast.messages WHERE id = NEW.id;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER holdfast_fault AFTER INSERT ON holdfast.messages
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.seq % 3 = 2)
    EXECUTE FUNCTION holdfast_fault.drop_row();
"""

FAULTS = (
    Fault(
        name="rows-dropped-after-commit",
        breaks="every third message vanishes at COMMIT, which is acknowledged all the same (a deferred trigger)",
        probe="thread",
        report=Kind.LOST,
        also={"history": frozenset({Kind.LOST})},
        inject=by_sql(_DROP_ROWS),
        heal=drop_fault_schema,
    ),
)
