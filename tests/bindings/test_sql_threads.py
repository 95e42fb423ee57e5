"""Conversations in an application's own tables, whatever these are like."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from monitor.core.payload import Author, synthetic_user
from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.ports import MissingError
from monitor.probe import Probe
from monitor.probes.history import HistoryProbe
from monitor.probes.thread import ThreadProbe
from tests.bindings.conftest import Application, MakeApplication
from tests.probes.breaking import RIGHT, kinds, run_ok

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
