"""What a killed daemon left in an application's tables goes, and what a run needs stays."""

from __future__ import annotations

from monitor.core.payload import Author, synthetic_user
from monitor.ports import Store
from tests.bindings.conftest import Application, MakeApplication

_AGED = {
    "platform": "created_at = created_at - interval '1 hour'",
    "supabase": "created_at = created_at - interval '1 hour'",
    "tickets": "opened = opened - 3600",
}


async def test_residue(application: Application) -> None:
    """Rows of any synthetic user go once they are older than any run lasts; younger ones, and others', stay."""
    site, environment = application.site, application.site.environment
    author = Author(environment="e", probe="thread", run_id="r", speech=application.binding.speech)
    connection = await environment.threads.connect("thread")
    for number in range(3):
        thread = author.thread(number, user=synthetic_user(number))
        await connection.create(thread)
        await connection.append(thread, author.message(number, 1))
        if number == 1:
            await site.sql(f"UPDATE {application.threads} SET {_AGED[application.binding.name]}")  # noqa: S608  constants
    await connection.close()  # and nobody comes back for them

    for dry_run in (True, True, False):
        assert await environment.sweep(Store.POSTGRES, dry_run=dry_run) >= 2
    assert await environment.sweep(Store.POSTGRES) == 0
    for table in (application.threads, application.messages):
        assert (await site.sql(f"TABLE {table}")).count("\n") == 1


async def test_others(make_application: MakeApplication) -> None:
    """A schema `holdfast` that is somebody else's is none that an application's sweep has to do with."""
    application = await make_application("tickets")
    await application.site.sql("CREATE SCHEMA holdfast; CREATE TABLE holdfast.threads (id int)")
    environment = application.site.environment
    assert await environment.sweep(Store.POSTGRES) == 0
    assert (await environment.left(Store.POSTGRES), await environment.census(Store.POSTGRES)) == (0, 0)
