"""What `holdfast bind init` writes: the catalogue of a database, guessed at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from monitor.addresses import AddressError, postgres_url
from monitor.bindings import guesses
from monitor.bindings.drafts import Guessed
from monitor.bindings.skeleton import skeleton
from monitor.bindings.survey import Table
from monitor.cli import common
from monitor.metrics import Metrics
from monitor.ports import Place, Store, StoreError
from monitor.stores.bound.survey import survey
from monitor.stores.postgres import Postgres

FAILED = 2
_TIMEOUT = timedelta(seconds=10)


def written(file: Path, *, dsn: str, schema: str, redis: bool) -> tuple[str, list[str]]:
    """The text of a binding, and what it was guessed from, a sentence each. Where that fails, the command ends."""
    try:
        postgres_url(SecretStr(dsn))
    except AddressError as error:
        common.fail(f"--dsn: {error}", common.USAGE)
    try:
        tables = common.run(lambda: survey(_postgres(dsn), schema))
    except StoreError as error:
        common.fail(str(error), FAILED)
    found = guessed_of(file.stem, tables, redis=redis)
    if found.threads is None and found.profile is None:
        names = ", ".join(table.name for table in tables) or "none that this role can see"
        common.fail(
            f"nothing in the schema {schema} looks like conversations or profiles (tables: {names}); name another by"
            " --schema, or begin with a file of config/bindings",
            FAILED,
        )
    return skeleton(found), [*_told(found)]


def guessed_of(name: str, tables: Sequence[Table], *, redis: bool) -> Guessed:
    """What is guessed of tables."""
    threads = guesses.conversations(tables)
    link = threads and threads.threads.leads(threads.user.name)
    taken = [f"{table.schema}.{table.name}" for table in (threads.threads, threads.messages)] if threads else []
    profile = guesses.profiles(tables, besides=[*taken, *([link.table] if link else [])])
    return Guessed(name=name, threads=threads, profile=profile, tables=tables, redis=redis)


def _postgres(dsn: str) -> Postgres:
    tally = Metrics(location="", version="").tally("bind")
    return Postgres(dsn, tally=tally, statement_timeout=_TIMEOUT, connect_timeout=_TIMEOUT, place=Place(Store.POSTGRES))


def _told(found: Guessed) -> Iterator[str]:
    if found.threads is None:
        yield "conversations: no tables were found that look like them"
    else:
        threads, messages = found.threads.threads, found.threads.messages
        yield f"conversations: {threads.name}, whose user is {found.threads.user.name}, and {messages.name}"
        if threads.secured or messages.secured:
            yield "row-level security holds on them"
    yield (
        f"profiles: {found.profile.table.name}"
        if found.profile
        else "profiles: no table was found that looks like them"
    )
