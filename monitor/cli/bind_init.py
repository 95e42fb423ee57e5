"""What `holdfast bind init` writes: the catalogue of a database, guessed at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
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
_PROFILES = (
    " A table of profiles has a key of one column, the user's, which is not made by the server, and one column of json."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Tables that were named, so that they are not guessed."""

    threads: str | None = None
    messages: str | None = None
    profiles: str | None = None

    def absent(self, tables: Sequence[Table]) -> Iterator[str]:
        """The flags whose table is not there."""
        for flag in (field.name for field in fields(self)):
            named = getattr(self, flag)
            if named is not None and named not in {table.name for table in tables}:
                yield f"--{flag} {named}"


def written(file: Path, *, dsn: str | None, schema: str, redis: bool, named: Named) -> tuple[str, list[str]]:
    """The text of a binding, and what it was guessed from, a sentence each. Where that fails, the command ends."""
    if dsn is None:
        nothing = Guessed(name=file.stem, threads=None, profile=None, tables=(), redis=redis)
        return skeleton(nothing), ["sessions alone: no --dsn was named"]
    try:
        postgres_url(SecretStr(dsn))
    except AddressError as error:
        common.fail(f"--dsn: {error}", common.USAGE)
    try:
        tables = common.run(lambda: survey(_postgres(dsn), schema))
    except StoreError as error:
        common.fail(str(error), FAILED)
    names = ", ".join(table.name for table in tables) or "none that this role can see"
    if absent := [*named.absent(tables)]:
        common.fail(f"{absent[0]}: there is no such table in the schema {schema} (tables: {names})", common.USAGE)
    found = guessed_of(file.stem, tables, redis=redis, named=named)
    wanted = named.threads or named.messages
    if (found.threads is None and (wanted or found.profile is None)) or (named.profiles and found.profile is None):
        what = "profiles" if found.threads else "conversations" if wanted else "conversations or profiles"
        near = "; ".join(guesses.missed(tables, named=named.threads, spoken_in=named.messages))
        common.fail(
            f"nothing in the schema {schema} looks like {what} (tables: {names})."
            + (f" Nearest: {near}." if near and not found.threads else "")
            + (_PROFILES if named.profiles and found.profile is None else "")
            + " Name tables by --threads, --messages and --profiles, another schema by --schema, or begin with a file"
            " of config/bindings",
            FAILED,
        )
    return skeleton(found), [*_told(found)]


def guessed_of(name: str, tables: Sequence[Table], *, redis: bool, named: Named) -> Guessed:
    """What is guessed of tables."""
    threads = guesses.conversations(tables, threads=named.threads, messages=named.messages)
    link = threads and threads.threads.leads(threads.user.name)
    taken = [f"{table.schema}.{table.name}" for table in (threads.threads, threads.messages)] if threads else []
    besides = [] if named.profiles else [*taken, *([link.table] if link else [])]
    profile = guesses.profiles(tables, besides=besides, named=named.profiles)
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
