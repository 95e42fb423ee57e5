"""Faults that break conversations."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.verdict import Kind
from monitor.embedded.faults.fault import Change, Fault, Report, Site, by_sql, drop_fault_schema


def _trigger(when: str, body: str, *, condition: str = "true") -> Change:
    """A trigger on messages, as a migration or a tool may have left it behind; it acts as a superuser."""
    constraint, deferred = ("CONSTRAINT ", " DEFERRABLE INITIALLY DEFERRED") if when == "AT COMMIT" else ("", "")
    return by_sql(f"""
        CREATE FUNCTION holdfast_fault.act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            {body}
        END
        $$;
        CREATE {constraint}TRIGGER holdfast_fault {"AFTER INSERT" if deferred else when} ON holdfast.messages{deferred}
            FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION holdfast_fault.act();
    """)


def _in_history(report: Report) -> Mapping[str, frozenset[Report]]:
    """Long conversations lie in the same tables."""
    return {"history": frozenset({report})}


_CHANGES = "BEFORE INSERT OR UPDATE"
_AGAIN = """
    INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)
        VALUES (gen_random_uuid(), NEW.thread_id, NEW.instance, NEW.user_id, NEW.seq + 1000000, NEW.role, NEW.type,
                NEW.content, NEW.metadata);
    RETURN NULL;
"""
# While a thread is deleted, its messages must be let go.
_UNDELETE = """
    IF EXISTS (SELECT FROM holdfast.threads WHERE id = OLD.thread_id) THEN
        INSERT INTO holdfast.messages SELECT OLD.*;
    END IF;
    RETURN NULL;
"""


async def _commit_apart(site: Site) -> None:
    """Two of the three messages of a batch, and of the batch after it, are committed by sessions of their own."""
    dsn = site.servers.postgres.superuser_dsn("app")
    apart = _trigger(
        "BEFORE INSERT",
        f"""
            PERFORM holdfast_fault.dblink_exec('{dsn}',
                format('INSERT INTO holdfast.messages SELECT (%L::holdfast.messages).*', NEW));
            RETURN NULL;
        """,
        condition="NEW.seq IN (6, 7, 9, 10) AND session_user = 'holdfast'",  # not again in the session of its own
    )
    await by_sql("CREATE EXTENSION dblink SCHEMA holdfast_fault;")(site)
    await apart(site)


FAULTS = (
    Fault(
        name="rows-dropped-after-commit",
        breaks="every third message vanishes at COMMIT, which is acknowledged all the same (a deferred trigger)",
        probe="thread",
        report=Kind.LOST,
        also=_in_history(Kind.LOST),
        inject=_trigger(
            "AT COMMIT", "DELETE FROM holdfast.messages WHERE id = NEW.id; RETURN NULL;", condition="NEW.seq % 3 = 2"
        ),
        heal=drop_fault_schema,
    ),
    Fault(
        name="content-truncated",
        breaks="of every message only the first ten characters are kept (a trigger)",
        probe="thread",
        report=Kind.CORRUPT,
        also=_in_history(Kind.CORRUPT),
        inject=_trigger(_CHANGES, "NEW.content := left(NEW.content, 10); RETURN NEW;"),
        heal=drop_fault_schema,
    ),
    Fault(
        name="encoding-mangled",
        breaks="UTF-8 is taken for Latin-1, as by a client with the wrong encoding (a trigger)",
        probe="thread",
        report=Kind.CORRUPT,
        also=_in_history(Kind.CORRUPT),
        inject=_trigger(
            _CHANGES, "NEW.content := convert_from(convert_to(NEW.content, 'UTF8'), 'LATIN1'); RETURN NEW;"
        ),
        heal=drop_fault_schema,
    ),
    Fault(
        name="order-lost-after-reload",
        breaks="the second and the third message of a thread change places (a trigger)",
        probe="thread",
        report=Kind.REORDERED,
        also=_in_history(Kind.REORDERED),
        inject=_trigger("BEFORE INSERT", "NEW.seq := 5 - NEW.seq; RETURN NEW;", condition="NEW.seq IN (2, 3)"),
        heal=drop_fault_schema,
    ),
    Fault(
        name="messages-duplicated",
        breaks="every message is written again under another id, as by a retry (a trigger)",
        probe="thread",
        report=Kind.DUPLICATED,
        also=_in_history(Kind.DUPLICATED),
        inject=_trigger("AFTER INSERT", _AGAIN, condition="pg_trigger_depth() = 0"),
        heal=drop_fault_schema,
    ),
    Fault(
        name="metadata-dropped",
        breaks="messages lose their metadata (a trigger)",
        probe="thread",
        report=Kind.CORRUPT,
        also=_in_history(Kind.CORRUPT),
        inject=_trigger(_CHANGES, "NEW.metadata := '{}'; RETURN NEW;"),
        heal=drop_fault_schema,
    ),
    Fault(
        name="delete-does-not-delete",
        breaks="a message that is deleted is written again, as by a copy that does not know of it (a trigger)",
        probe="thread",
        report=Kind.RESURRECTED,
        inject=_trigger("AFTER DELETE", _UNDELETE),
        heal=drop_fault_schema,
    ),
    Fault(
        name="update-ignored",
        breaks="an edit of a message is acknowledged and the old version kept (a trigger)",
        probe="thread",
        report=Kind.STALE,
        inject=_trigger("BEFORE UPDATE OF content", "RETURN OLD;"),
        heal=drop_fault_schema,
    ),
    Fault(
        name="half-of-a-batch-visible",
        breaks="two messages of a transaction are committed apart from it, before it (a trigger that uses dblink)",
        probe="thread",
        report=Kind.TORN,
        inject=_commit_apart,
        heal=drop_fault_schema,
        contrib=True,
    ),
)
