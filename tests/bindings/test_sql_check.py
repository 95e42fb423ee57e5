"""What does not fit is said before anything is stored: which statement, what was expected, what was found."""

from __future__ import annotations

import re

import pytest
import yaml

from monitor.bindings import Binding
from monitor.core.verdict import Reason, Verdict
from monitor.probes.thread import ThreadProbe
from monitor.stores.bound.check import problems_of
from tests.bindings.conftest import Application, MakeApplication
from tests.bindings.schemas import OPEN, PLATFORM, ROOT, TICKETS, TICKETS_BINDING, of
from tests.conftest import MakeSite


async def test_all_fits(application: Application) -> None:
    """Nothing is said of a binding that fits, and nothing is stored by looking."""
    found = [(name, problem) async for name, problem in problems_of(application.site.environment.bound)]
    assert [problem for _, problem in found if problem] == []
    assert len(found) > 10
    assert await application.site.sql(f"TABLE {application.threads}") == ""


MISFITS = {
    "a table that is not there": (
        "DROP TABLE messages",
        {},
        (
            r"postgres.threads.append, statement 2 of the binding: relation \"public.messages\" does not exist,"
            r" at line 1 by `public.messages"
        ),
    ),
    "a column that is not there": (
        "ALTER TABLE threads RENAME name TO title",
        {},
        r"postgres.threads.create of the binding: column \"name\" of relation \"threads\" does not exist",
    ),
    "a column with a typing error": (
        "",
        {"load": "SELECT id AS thread_id, user_id, nam AS name, metadata FROM public.threads WHERE id = :thread_id"},
        (
            r"postgres.threads.load of the binding: column \"nam\" does not exist; Perhaps you meant to reference the"
            r" column \"threads.name\", at line 1 by `nam AS name"
        ),
    ),
    "an id of another type": (
        (
            "DROP TABLE idempotency_keys; ALTER TABLE messages DROP CONSTRAINT messages_thread_id_fkey;"
            " ALTER TABLE messages ALTER thread_id TYPE uuid USING NULL;"
            " ALTER TABLE threads ALTER id TYPE uuid USING NULL;"
        ),
        {},
        r"postgres.threads.create of the binding: :thread_id is text by ids.thread.kind, and the server expects uuid",
    ),
    "a moment in a column of json": (
        "ALTER TABLE threads ALTER updated_at DROP DEFAULT, ALTER updated_at TYPE jsonb USING '{}'",
        {},
        r"postgres.threads.create of the binding: :now is a moment .*, and the server expects jsonb there",
    ),
    "an alias that is missing": (
        "",
        {"load": "SELECT id AS thread_id, user_id AS owner, name, metadata FROM public.threads WHERE id = :thread_id"},
        (
            r"postgres.threads.load of the binding returns no column user_id; it returns thread_id, owner, name,"
            r" metadata"
            r" \(name one of them: … AS user_id\)"
        ),
    ),
    "a column of a type that is none": (
        "",
        {"count": "SELECT count(*)::text AS messages FROM public.messages WHERE thread_id = :thread_id"},
        (
            r"postgres.threads.count of the binding: its column messages is text; expected one of int2, int4, int8"
            r" \(cast it: …::bigint AS messages\)"
        ),
    ),
    "a parameter whose type nobody knows": (
        "",
        {"rename": "SELECT concat(:name), id FROM public.threads WHERE id = :thread_id"},
        (
            r"postgres.threads.rename of the binding: could not determine data type of parameter \$1"
            r".* \(say its type by a cast: :name::text\)"
        ),
    ),
}


@pytest.mark.parametrize("name", MISFITS)
async def test_misfits(name: str, make_site: MakeSite) -> None:
    """A run of a probe whose binding does not fit tells nothing, and says what to change."""
    break_it, changed, message = MISFITS[name]
    text = yaml.safe_load((ROOT / "config/bindings/platform.yaml").read_text(encoding="utf-8"))
    text["postgres"]["threads"] |= changed
    site = await make_site(redis_url=None, provision=False, binding=of(yaml.safe_dump(text)))
    await site.sql(PLATFORM + OPEN + break_it)
    record = await site.run(ThreadProbe())
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.MISCONFIGURED), record.finding.message
    problems = [problem async for _, problem in problems_of(site.environment.bound) if problem]
    assert any(re.search(message, problem) for problem in problems), problems


async def test_rights(make_application: MakeApplication) -> None:
    """A right that is missing is found before the first run, and is no fault of the binding."""
    application = await make_application("platform")
    await application.site.sql("REVOKE INSERT ON messages FROM holdfast")
    record = await application.site.run(ThreadProbe())
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.REFUSED)
    assert (
        "postgres.threads.append, statement 2 of the binding: permission denied for table messages (grant the right"
        in (record.finding.message)
    )
    await application.site.sql("GRANT INSERT ON messages TO holdfast")
    assert (await application.site.run(ThreadProbe())).verdict is not Verdict.UNKNOWN


async def test_begin(make_application: MakeApplication) -> None:
    """A transaction that cannot begin as the binding says names the statement."""
    application = await make_application("supabase")
    await application.site.sql(
        "REVOKE ALL ON SCHEMA public FROM authenticated; REVOKE USAGE ON SCHEMA public FROM PUBLIC"
    )
    record = await application.site.run(ThreadProbe())
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.REFUSED)
    assert "permission denied for schema public" in record.finding.message


NO_IDS = {
    "owner": ("tenant AS thread_id", "", r"it returns the column tenant of tickets as thread_id, .* \(id would do:"),
    "no index": ("id AS thread_id", "ALTER TABLE tickets DROP CONSTRAINT tickets_pkey CASCADE", "no column of tickets"),
    "may be null": (
        "entries AS thread_id",
        "ALTER TABLE tickets ADD UNIQUE (entries), ALTER entries DROP NOT NULL",
        r"it returns the column entries of tickets as thread_id",
    ),
    "some rows": (
        "opened AS thread_id",
        "CREATE UNIQUE INDEX ON tickets (opened) WHERE opened > 0; CREATE UNIQUE INDEX ON tickets (id, opened)",
        r"it returns the column opened of tickets as thread_id",
    ),
}
IDS = {
    "unique": ("tenant AS thread_id", "ALTER TABLE tickets ADD UNIQUE (tenant)"),
    "counted, in a key of several": (
        "id AS thread_id",
        "ALTER TABLE tickets DROP CONSTRAINT tickets_pkey CASCADE, ADD PRIMARY KEY (opened, id)",
    ),
    "a cast": ("id::text AS thread_id", ""),
}


def _returning(what: str) -> Binding:
    return of(TICKETS_BINDING.replace("RETURNING id AS thread_id", f"RETURNING {what}"))


@pytest.mark.parametrize("name", NO_IDS)
async def test_ids_that_are_none(name: str, make_site: MakeSite) -> None:
    """A column that several rows can have is no id: before the first run it is said which would do."""
    what, break_it, message = NO_IDS[name]
    site = await make_site(redis_url=None, provision=False, binding=_returning(what))
    await site.sql(TICKETS + OPEN + break_it)
    record = await site.run(ThreadProbe())
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.MISCONFIGURED)
    assert re.search(f"postgres.threads.create of the binding: .*{message}", record.finding.message)
    assert await site.sql("TABLE tickets") == ""


@pytest.mark.parametrize("name", IDS)
async def test_ids(name: str, make_site: MakeSite) -> None:
    """A key, a unique column, and one that is counted up within a unique index are ids."""
    what, change = IDS[name]
    site = await make_site(redis_url=None, provision=False, binding=_returning(what))
    await site.sql(TICKETS + OPEN + change)
    assert [problem async for _, problem in problems_of(site.environment.bound) if problem] == []
