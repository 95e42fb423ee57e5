"""Conversations in an application's own tables, whatever these are like."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from monitor.core.payload import Author, synthetic_user
from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.ports import MissingError, StoreError
from monitor.probe import Probe
from monitor.probes.history import HistoryProbe
from monitor.probes.load import LoadProbe
from monitor.probes.thread import ThreadProbe
from tests.bindings.conftest import Application, MakeApplication
from tests.bindings.schemas import OPEN, TICKETS, TICKETS_BINDING, of
from tests.conftest import MakeSite
from tests.probes.breaking import RIGHT, kinds, run_ok

LOAD = LoadProbe(enabled=True, rate=60, length="400ms", ramp="0s", p99="30s", budget="30s")
THREAD = ThreadProbe(messages=9, batch=3)  # enough for every kind of content that these applications keep
HISTORY = HistoryProbe(sizes=(3, 30), page=10)


async def test_whole(application: Application) -> None:
    """Conversations come back whole by everything that the binding names, and nothing is left of them."""
    for probe in (THREAD, HISTORY):
        record = await run_ok(application.site, probe)
        assert record.finding.left_out == ()
    for table in (application.messages, application.threads):
        assert await application.site.sql(f"TABLE {table}") == ""
    assert await application.site.sql("SELECT to_regnamespace('holdfast') IS NULL") == "t\n"


async def test_a_burst_goes_through_the_binding(application: Application) -> None:
    """Its messages come back whole, too; what users see of each other is left to `isolation`, and nothing stays."""
    record = await run_ok(application.site, LOAD)
    assert [sentence.partition(";")[0] for sentence in record.finding.left_out] == [
        "whether users see each other's under load is not checked through a binding"
    ]
    assert {step.name for step in record.steps} == {"connect", "create_thread", "append_message", "reload"}
    for table in (application.messages, application.threads):
        assert await application.site.sql(f"TABLE {table}") == ""


@dataclass(frozen=True, kw_only=True)
class Break:
    """What a trigger on messages does, and what each of two probes must find."""

    when: str
    body: str
    finds: Kind


BREAKS = {
    "content is cut": Break(
        when="BEFORE INSERT", body="NEW.{content} := left(NEW.{content}, 10); RETURN NEW;", finds=Kind.CORRUPT
    ),
    "a message vanishes": Break(
        when="AFTER INSERT",
        body="DELETE FROM {messages} WHERE id = NEW.id AND NEW.{content} LIKE 'The quick%'; RETURN NULL;",
        finds=Kind.LOST,
    ),
}
_TRIGGER = """
CREATE FUNCTION public.broken() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body} END $$;
CREATE TRIGGER broken {when} ON {messages} FOR EACH ROW EXECUTE FUNCTION public.broken();
"""


@pytest.mark.parametrize("name", BREAKS)
async def test_broken(application: Application, name: str) -> None:
    """What a trigger does to an application's messages is seen and named, and gone when it is healed."""
    broken, table = BREAKS[name], application.messages
    body = broken.body.format(content=application.content, messages=table)
    await application.site.sql(_TRIGGER.format(body=body, when=broken.when, messages=table))
    for probe in (THREAD, HISTORY):
        await _violated(application, probe, {broken.finds})
    await application.site.sql("DROP FUNCTION public.broken() CASCADE")
    assert {(await application.site.run(probe)).verdict for probe in (THREAD, HISTORY)} <= RIGHT
    assert application.site.desk.journal.standing(application.site.environment.name) == []


async def _violated(application: Application, probe: Probe[object], expected: set[Kind]) -> RunRecord:
    record = await application.site.run(probe)
    assert (record.verdict, kinds(record)) == (Verdict.VIOLATED, expected), record.finding.message
    evidence = record.finding.violations[0].evidence
    assert f"{application.messages} " in str(evidence["asked"])  # the statement, for whoever wants to see for himself
    return record


async def test_policies(make_application: MakeApplication) -> None:
    """A policy that hides a user's own rows is a loss, and one that forbids to write them a right that is missing."""
    application = await make_application("supabase")
    await application.site.sql("ALTER POLICY own ON public.messages USING (auth.uid() = user_id AND role <> 'user')")
    await _violated(application, HISTORY, {Kind.LOST})
    await application.site.sql("ALTER POLICY own ON public.messages USING (true) WITH CHECK (false)")
    record = await application.site.run(THREAD)
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.REFUSED)
    assert "postgres.threads.append of the binding: new row violates row-level security" in record.finding.message


async def test_missing(application: Application) -> None:
    """To append to what was acknowledged and is not there is told from all other errors."""
    author = Author(environment="e", probe="p", run_id="r", speech=application.binding.speech)
    thread = author.thread(0, user=synthetic_user(3))
    connection = await application.site.environment.threads.connect("test")
    await connection.create(thread)
    await connection.append(thread, author.message(0, 1))
    await connection.delete_thread(thread)
    with pytest.raises(MissingError):
        await connection.append(thread, author.message(0, 2))
    await connection.close()
    connection = await application.site.environment.threads.connect("test")
    with pytest.raises(MissingError):
        await connection.edit(thread, author.message(0, 1, version=1))
    await connection.close()


async def test_deferred(make_application: MakeApplication) -> None:
    """What a constraint refuses at the end of a transaction is told as the application's, too."""
    application = await make_application("tickets")
    await application.site.sql(
        "CREATE TABLE audit (ticket bigint PRIMARY KEY);"
        " ALTER TABLE tickets ADD FOREIGN KEY (id) REFERENCES audit DEFERRABLE INITIALLY DEFERRED"
    )
    record = await application.site.run(THREAD)
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.MISCONFIGURED)
    assert "the COMMIT after statements of the binding: insert or update on table" in record.finding.message
    assert "name it in `parents` of the binding" in record.finding.message


# Tickets of a customer, whose numbers are what a mistyped RETURNING leads to.
_CUSTOMERS = """
INSERT INTO tenants (id, label) VALUES (7, 'A customer');
ALTER TABLE tickets ADD UNIQUE (opened);
INSERT INTO tickets (tenant, subject, extra, labels, opened, entries)
    OVERRIDING SYSTEM VALUE VALUES (7, 'Help!', '{}', '{}', 1, 1);
INSERT INTO entries (ticket, position, said_by, body, extra, said_at, said_ms)
    SELECT id, 1, 'customer', 'Mine.', '{}', now(), 1 FROM tickets;
"""
_LEADS_THERE = """
CREATE FUNCTION public.lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.opened := {leads_to}; RETURN NEW; END $$;
ALTER TABLE tickets DROP CONSTRAINT tickets_opened_key;
CREATE TRIGGER lead BEFORE INSERT ON tickets FOR EACH ROW EXECUTE FUNCTION public.lead();
"""


@pytest.mark.parametrize(("leads_to", "finds"), [("1", "another thread"), ("987654", "nothing")])
async def test_an_id_that_leads_elsewhere(make_site: MakeSite, leads_to: str, finds: str) -> None:
    """An id by which something else is found is never used: all is rolled back, and a customer's rows stay as they are.

    No check of the catalogue has looked before: this is what holds where the schema has changed since.
    """
    binding = of(TICKETS_BINDING.replace("RETURNING id AS thread_id", "RETURNING opened AS thread_id"))
    site = await make_site(redis_url=None, provision=False, binding=binding)
    await site.sql(TICKETS + OPEN + _CUSTOMERS + _LEADS_THERE.format(leads_to=leads_to))
    before = [await site.sql(f"TABLE {table}") for table in ("tickets", "entries")]
    author = Author(environment="e", probe="p", run_id="r", speech=binding.speech)
    thread = author.thread(0, user=synthetic_user(3))
    connection = await site.environment.threads.connect("test")
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            await connection.create(thread)
        assert caught.value.reason is Reason.MISCONFIGURED
        assert f"postgres.threads.create of the binding returned {leads_to} AS thread_id" in str(caught.value)
        assert f"finds {finds}: all was rolled back" in str(caught.value)
    for use in (connection.append(thread, author.message(0, 1)), connection.delete_thread(thread)):
        with pytest.raises(StoreError, match="has not said which id"):
            await use
    await connection.close()
    assert [await site.sql(f"TABLE {table}") for table in ("tickets", "entries")] == before


async def test_a_message_id_that_leads_elsewhere(make_site: MakeSite) -> None:
    """A message is not changed by an id that is none of its thread's messages, as these are read."""
    binding = of(TICKETS_BINDING.replace("RETURNING id AS message_id", "RETURNING serial AS message_id"))
    binding_of_any_ticket = binding.model_dump_json().replace(" AND ticket = :thread_id", "")
    site = await make_site(
        redis_url=None, provision=False, binding=type(binding).model_validate_json(binding_of_any_ticket)
    )
    await site.sql(TICKETS + OPEN + _CUSTOMERS)
    await site.sql(
        "INSERT INTO entries (ticket, position, said_by, body, extra, said_at, said_ms)"
        " SELECT 1, n, 'customer', 'Mine.', '{}', now(), 1 FROM generate_series(2, 9) AS n;"
        " ALTER TABLE entries ADD serial int GENERATED ALWAYS AS IDENTITY (START WITH 101) UNIQUE;"
        " ALTER TABLE entries ALTER serial RESTART WITH 3"
    )
    before = await site.sql("TABLE entries")
    author = Author(environment="e", probe="p", run_id="r", speech=binding.speech)
    thread = author.thread(0, user=synthetic_user(3))
    connection = await site.environment.threads.connect("test")
    await connection.create(thread)
    await connection.append(thread, author.message(0, 1))
    for use in (
        connection.edit(thread, author.message(0, 1, version=1)),
        connection.delete_message(thread, author.message(0, 1)),
    ):
        with pytest.raises(StoreError, match="both must be the same column") as caught:
            await use
        assert caught.value.reason is Reason.MISCONFIGURED
    await connection.delete_thread(thread)
    await connection.close()
    assert await site.sql("TABLE entries") == before


async def test_an_id_that_comes_twice(make_site: MakeSite) -> None:
    """An id that was returned for another message is not taken for this one's."""
    binding = of(TICKETS_BINDING.replace("RETURNING id AS message_id", "RETURNING ticket AS message_id"))
    site = await make_site(redis_url=None, provision=False, binding=binding)
    await site.sql(TICKETS + OPEN)
    author = Author(environment="e", probe="p", run_id="r", speech=binding.speech)
    thread = author.thread(0, user=synthetic_user(3))
    connection = await site.environment.threads.connect("test")
    await connection.create(thread)
    await connection.append(thread, author.message(0, 1))
    with pytest.raises(StoreError, match="AS message_id a second time, for something else: all was rolled back"):
        await connection.append(thread, author.message(0, 2))
    await connection.close()
    assert await site.sql("SELECT count(*) FROM entries") == "1\n"
