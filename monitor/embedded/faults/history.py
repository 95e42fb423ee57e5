"""Faults that break long conversations."""

from __future__ import annotations

from monitor.core.verdict import Kind
from monitor.embedded.faults.fault import Fault, Site, by_sql, drop_fault_schema

_OLDEST_200 = """
CREATE FUNCTION holdfast_fault.within_limit(seq integer) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT seq <= 200';
CREATE POLICY holdfast_fault ON holdfast.messages AS RESTRICTIVE FOR SELECT
    USING (holdfast_fault.within_limit(seq));
"""

# A policy may not ask the table that it guards; a superuser's function may, for no policy holds it.
_NEWEST_PAGE_LAGS = """
CREATE FUNCTION holdfast_fault.on_newest_page(thread uuid, number integer) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    SELECT EXISTS (SELECT FROM holdfast.messages WHERE thread_id = thread AND seq > number)
$$;
CREATE POLICY holdfast_fault ON holdfast.messages AS RESTRICTIVE FOR SELECT
    USING (current_query() NOT LIKE '%ORDER BY seq DESC%' OR holdfast_fault.on_newest_page(thread_id, seq));
"""

_SHARED_NUMBER = """
ALTER TABLE holdfast.messages DROP CONSTRAINT IF EXISTS messages_thread_seq;
CREATE FUNCTION holdfast_fault.share_number() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seq := NEW.seq - 1;
    RETURN NEW;
END
$$;
CREATE TRIGGER holdfast_fault BEFORE INSERT ON holdfast.messages
    FOR EACH ROW WHEN (NEW.seq = 41) EXECUTE FUNCTION holdfast_fault.share_number();
"""

# What shares a number when the fault is healed would keep the constraint away: it belongs to a run that is found out.
_NUMBERS_AGAIN = """
BEGIN;
LOCK TABLE holdfast.messages IN ACCESS EXCLUSIVE MODE;
DELETE FROM holdfast.messages AS one USING holdfast.messages AS other
    WHERE one.thread_id = other.thread_id AND one.seq = other.seq AND one.id > other.id;
ALTER TABLE holdfast.messages DROP CONSTRAINT IF EXISTS messages_thread_seq,
    ADD CONSTRAINT messages_thread_seq UNIQUE (thread_id, seq);
COMMIT;
"""

# Numbers are negative in between, for each has to be unique at every moment.
_BY_TIMESTAMP = """
CREATE FUNCTION holdfast_fault.number_by_time() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE holdfast.messages SET seq = -sorted.place
        FROM (SELECT id, row_number() OVER (ORDER BY date_trunc('second', created_at), md5(id::text)) AS place
              FROM holdfast.messages WHERE thread_id = NEW.thread_id) AS sorted
        WHERE messages.id = sorted.id;
    UPDATE holdfast.messages SET seq = -seq WHERE thread_id = NEW.thread_id;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER holdfast_fault AFTER INSERT ON holdfast.messages
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.seq = 40) EXECUTE FUNCTION holdfast_fault.number_by_time();
"""


async def _number_again(site: Site) -> None:
    await drop_fault_schema(site)
    await site.servers.postgres.sql(f"SET client_min_messages = warning; {_NUMBERS_AGAIN}")


FAULTS = (
    Fault(
        name="only-the-oldest-200",
        breaks="no reader is shown more than the oldest 200 messages of a thread (a policy)",
        probe="history",
        report=Kind.LOST,
        inject=by_sql(_OLDEST_200),
        heal=drop_fault_schema,
    ),
    Fault(
        name="shared-sequence-number",
        breaks="message 41 of a thread has the number of message 40 (a trigger; the unique constraint is gone)",
        probe="history",
        report=Kind.DUPLICATED,
        inject=by_sql(_SHARED_NUMBER),
        heal=_number_again,
    ),
    Fault(
        name="newest-page-misses-the-last",
        breaks="who asks for the newest messages first is not shown the last one (a policy that looks at the query)",
        probe="history",
        report=Kind.LOST,
        inject=by_sql(_NEWEST_PAGE_LAGS),
        heal=drop_fault_schema,
    ),
    Fault(
        name="order-by-timestamp-with-ties",
        breaks="a thread of 40 messages and more is numbered by the second of its messages (a deferred trigger)",
        probe="history",
        report=Kind.REORDERED,
        inject=by_sql(_BY_TIMESTAMP),
        heal=drop_fault_schema,
    ),
)
