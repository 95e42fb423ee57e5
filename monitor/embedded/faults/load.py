"""Faults that show under load only, or at which a burst has to stop."""

from __future__ import annotations

from collections.abc import Mapping

from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.faults.fault import Change, Fault, Site, by_sql, drop_fault_schema
from monitor.embedded.postgres import EmbeddedPostgres

# Two users, so that each has its turn often in a burst that is over soon; limits that a busy machine does not reach.
_BURST: Mapping[str, object] = {
    "enabled": True,
    "rate": 120,
    "length": "250ms",
    "ramp": "0s",
    "users": 2,
    "p99": "20s",
    "lag": "20s",
}
_CROWDED = "(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast/load') > 1"


def _settings(**more: object) -> Mapping[str, Mapping[str, object]]:
    return {"load": {**_BURST, **more}}


def _on_insert(when: str, body: str) -> Change:
    """A trigger on messages that acts as a superuser."""
    return by_sql(f"""
        CREATE FUNCTION holdfast_fault.act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            {body}
        END
        $$;
        CREATE TRIGGER holdfast_fault {when} INSERT ON holdfast.messages
            FOR EACH ROW EXECUTE FUNCTION holdfast_fault.act();
    """)


def _replica(site: Site) -> EmbeddedPostgres:
    if site.servers.postgres_replica is None:
        raise LookupError("this fault needs a replica of PostgreSQL")
    return site.servers.postgres_replica


async def _pause(site: Site) -> None:
    await _replica(site).sql("SELECT pg_wal_replay_pause()")


async def _resume(site: Site) -> None:
    await _replica(site).sql("SELECT pg_wal_replay_resume()")


# Whoever has the lock keeps it for a while, as code does that takes its time; whoever has not is told nothing of it.
_SECOND_IS_LOST = """
    IF pg_try_advisory_xact_lock(726) THEN
        PERFORM pg_sleep(0.02);
    ELSE
        DELETE FROM holdfast.messages WHERE id = NEW.id;
    END IF;
    RETURN NULL;
"""
_CHANGE_PLACES = f"""
    IF NEW.seq IN (2, 3) AND {_CROWDED} THEN
        NEW.seq := 5 - NEW.seq;
    END IF;
    RETURN NEW;
"""
_EVERY_SECOND_FAILS = """
    IF NEW.seq % 2 = 0 THEN
        RAISE EXCEPTION 'could not extend file: no space left on device' USING ERRCODE = '53100';
    END IF;
    RETURN NEW;
"""

FAULTS = (
    Fault(
        name="lost-when-two-write-at-once",
        breaks="of two messages that are written at once one is lost, and both are acknowledged (a trigger)",
        probe="load",
        report=Kind.LOST,
        inject=_on_insert("AFTER", _SECOND_IS_LOST),
        heal=drop_fault_schema,
        settings=_settings(),
        alone=True,
    ),
    Fault(
        name="order-lost-under-load",
        breaks="while several connections write, the second and third message of a thread change places (a trigger)",
        probe="load",
        report=Kind.REORDERED,
        inject=_on_insert("BEFORE", _CHANGE_PLACES),
        heal=drop_fault_schema,
        settings=_settings(),
        alone=True,
    ),
    Fault(
        name="threads-shown-to-others-under-load",
        breaks="while several connections are open, everybody sees the threads of all users (a policy)",
        probe="load",
        report=Kind.LEAKED,
        inject=by_sql(f"""
            CREATE FUNCTION holdfast_fault.crowded() RETURNS boolean LANGUAGE sql SECURITY DEFINER AS $$
                SELECT {_CROWDED}
            $$;
            CREATE POLICY holdfast_fault ON holdfast.threads FOR SELECT USING (holdfast_fault.crowded());
        """),
        heal=drop_fault_schema,
        settings=_settings(),
        alone=True,
    ),
    Fault(
        name="postgres-does-not-keep-pace",
        breaks="each message takes PostgreSQL 300 ms, which none alone would notice; what is due queues up (a trigger)",
        probe="load",
        report=Verdict.SLOW,
        inject=_on_insert("BEFORE", "PERFORM pg_sleep(0.3); RETURN NEW;"),
        heal=drop_fault_schema,
        settings=_settings(p99="1s"),
        alone=True,
    ),
    Fault(
        name="postgres-fails-under-load",
        breaks="every second message of a thread finds the disk full (a trigger); the burst stops",
        probe="load",
        report=Reason.CAPACITY,
        inject=_on_insert("BEFORE", _EVERY_SECOND_FAILS),
        heal=drop_fault_schema,
        settings=_settings(),
        alone=True,
    ),
    Fault(
        name="replica-falls-behind-under-load",
        breaks="the replica replays nothing of what a burst writes (pg_wal_replay_pause); the burst stops",
        probe="load",
        report=Verdict.SLOW,
        inject=_pause,
        heal=_resume,
        settings=_settings(rate=50, length="900ms", lag="300ms"),
        alone=True,
    ),
)
