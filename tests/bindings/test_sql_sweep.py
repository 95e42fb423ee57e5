"""What a killed daemon left in an application's tables goes, and what a run needs stays."""

from __future__ import annotations

from monitor.bindings import Auth
from monitor.core.payload import Author, synthetic_user
from monitor.ports import Store
from monitor.stores.api import ApiAddress
from monitor.stores.environment import LiveEnvironment
from tests.bindings.conftest import Application, MakeApplication
from tests.conftest import MakeSite

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


async def written(application: Application, on: LiveEnvironment) -> int:
    """A thread with one message that nobody comes back for; -> how many threads there are."""
    connection = await on.threads.connect("thread")
    author = Author(environment="e", probe="thread", run_id="r", speech=application.binding.speech)
    thread = author.thread(0, user=synthetic_user(0))
    await connection.create(thread)
    await connection.append(thread, author.message(0, 1))
    await connection.close()
    return await count(application)


async def count(application: Application) -> int:
    """How many threads there are."""
    return (await application.site.sql(f"TABLE {application.threads}")).count("\n")


async def test_what_has_just_been_written_goes_when_all_runs_have_ended(application: Application) -> None:
    """A round that is over takes all of its own users' rows at once, also where moments are whole seconds."""
    environment = application.site.environment
    empty = await count(application)
    assert await written(application, environment) == empty + 1
    await environment.tidy(Store.POSTGRES)
    assert await count(application) == empty


async def test_what_a_daemon_may_have_written_as_the_same_account_stays(
    make_application: MakeApplication, make_site: MakeSite
) -> None:
    """Where users are accounts, which a daemon has, too, nothing goes that a run of it may still need."""
    application = await make_application("platform")
    accounts = [{"id": f"account-{number}", "token": f"token-{number}"} for number in range(4)]
    auth = Auth.model_validate({"kind": "token", "accounts": accounts})
    api = ApiAddress(base_url="http://127.0.0.1:1", auth=auth)
    site = await make_site(redis_url=None, provision=False, binding=application.binding, api=api)
    empty = await count(application)
    assert await written(application, site.environment) == empty + 1
    assert await site.environment.tidy(Store.POSTGRES) == 0
    assert await count(application) == empty + 1


async def test_others(make_application: MakeApplication) -> None:
    """A schema `holdfast` that is somebody else's is none that an application's sweep has to do with."""
    application = await make_application("tickets")
    await application.site.sql("CREATE SCHEMA holdfast; CREATE TABLE holdfast.threads (id int)")
    environment = application.site.environment
    assert await environment.sweep(Store.POSTGRES) == 0
    assert (await environment.left(Store.POSTGRES), await environment.census(Store.POSTGRES)) == (0, 0)
