"""Faults that break transactions: what was taken back stays, updates are lost, and levels are weaker than declared."""

from __future__ import annotations

from collections.abc import Callable

from monitor.core.verdict import Kind
from monitor.embedded.faults.fault import (
    POSTGRES,
    Fault,
    Site,
    begin_at,
    by_editing,
    by_sql,
    drop_fault_schema,
    stop_rewriting,
)
from monitor.embedded.proxy import Edit

_COPY_ELSEWHERE = """
CREATE EXTENSION dblink SCHEMA holdfast_fault;
CREATE FUNCTION holdfast_fault.copy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM holdfast_fault.dblink_exec(
        '{dsn}',
        format(
            'INSERT INTO holdfast.registers (run, id, instance, user_id, value) VALUES (%L, %s, %L, %L, %s)',
            NEW.run, NEW.id + 1000, NEW.instance, NEW.user_id, NEW.value
        )
    );
    RETURN NULL;
END
$$;
CREATE TRIGGER holdfast_fault AFTER INSERT ON holdfast.registers
    FOR EACH ROW WHEN (NEW.id < 1000) EXECUTE FUNCTION holdfast_fault.copy();
"""


async def _copy_elsewhere(site: Site) -> None:
    await by_sql(_COPY_ELSEWHERE.format(dsn=site.servers.postgres.superuser_dsn()))(site)


def _replacing(words: bytes, others: bytes) -> Callable[[], tuple[Edit, Edit]]:
    """Other words of the same length for some of a client's, so that no length in the protocol changes."""

    def there(data: bytes) -> bytes:
        return data.replace(words, others.ljust(len(words) - 1) + words[-1:])

    return lambda: (there, bytes)


FAULTS = (
    Fault(
        name="serializable-is-repeatable-read",
        breaks="transactions of the role begin at repeatable read, while serializable is declared (ALTER ROLE)",
        probe="transaction",
        report=Kind.WRITE_SKEW,
        isolation="serializable",
        alone=True,
        inject=begin_at("repeatable read"),
        heal=begin_at("serializable"),
    ),
    Fault(
        name="default-level-too-weak",
        breaks="transactions of the role begin at read committed, while repeatable read is declared (ALTER ROLE)",
        probe="transaction",
        report=Kind.LOST_UPDATE,
        also={"transaction": frozenset({Kind.READ_SKEW})},
        isolation="repeatable read",
        inject=begin_at("read committed"),
        heal=begin_at("repeatable read"),
    ),
    Fault(
        name="commit-on-rollback",
        breaks="whatever is rolled back is committed instead (a proxy that takes every statement to be final)",
        probe="transaction",
        report=Kind.PHANTOM,
        also={
            "thread": frozenset({Kind.PHANTOM}),
            "notify": frozenset({Kind.PHANTOM}),
        },
        inject=by_editing(_replacing(b"ROLLBACK\0", b"COMMIT"), at=POSTGRES),
        heal=stop_rewriting,
    ),
    Fault(
        name="trigger-commits-elsewhere",
        breaks="each new row is copied by a connection of its own, which commits at once (a trigger with dblink)",
        probe="transaction",
        report=Kind.PHANTOM,
        also={"transaction": frozenset({Kind.TORN})},
        inject=_copy_elsewhere,
        heal=drop_fault_schema,
        contrib=True,
    ),
    Fault(
        name="row-locks-dropped",
        breaks="rows that are read to be changed are not locked (a proxy that removes FOR UPDATE)",
        probe="transaction",
        report=Kind.LOST_UPDATE,
        inject=by_editing(_replacing(b" FOR UPDATE\0", b""), at=POSTGRES),
        heal=stop_rewriting,
    ),
)
