"""Indexes on text that real servers broke, or whose collation changed under them, against the table of words."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.core import confirmation
from monitor.core.collation import WORDS, Asked, Look, compare, left_out, right
from monitor.core.confirmation import Judgement, Reading
from monitor.core.residue import Instance
from monitor.core.verdict import Kind
from monitor.embedded.postgres import system_bindir
from monitor.embedded.servers import Servers
from monitor.metrics import Metrics
from monitor.ports import Place, Store
from monitor.stores.environment import LiveEnvironment
from monitor.stores.words import OPERATIONS
from tests.conftest import in_database
from tests.stores.test_durable_rows import asked

DATABASES = {
    "wheel": (None, "LOCALE 'C'"),
    "system": (system_bindir(), "LOCALE 'C.UTF-8'"),
    "system-icu": (system_bindir(), "LOCALE_PROVIDER icu ICU_LOCALE 'de'"),
}
DATABASES = {name: each for name, each in DATABASES.items() if name == "wheel" or each[0]}


@dataclass(frozen=True)
class Ground:
    """A database with its words, and the environment that knows it."""

    servers: Servers
    database: str
    environment: LiveEnvironment

    async def sql(self, script: str) -> str:
        """Run SQL as a superuser."""
        return await self.servers.postgres.sql(script, database=self.database)

    async def look(self) -> Look:
        """A look on a new connection."""
        connection = await self.environment.words.connect("test")
        try:
            return await connection.look()
        finally:
            await connection.close()

    async def confirmed(self) -> Judgement:
        """What two looks come to, on two connections."""
        connection = await self.environment.words.connect("test")
        node = await connection.node()
        await connection.close()
        reading = Reading(first=await self.look(), second=await self.look(), node=node)
        return confirmation.judge("indexes on text", reading, compare)


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[dict[Path | None, Servers]]:
    """Servers, one of each origin, started when they are needed."""
    async with AsyncExitStack() as stack:
        yield {
            bindir: await stack.enter_async_context(Servers(fsync=False, postgres_bindir=bindir))
            for bindir in {bindir for bindir, _ in DATABASES.values()}
        }


@pytest.fixture(params=DATABASES)  # the wheel's server is built without ICU
async def ground(running: dict[Path | None, Servers], request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """A new database with this locale, made ready."""
    bindir, locale = DATABASES[request.param]
    servers, name = running[bindir], f"words_{secrets.token_hex(4)}"
    create = f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' {locale}"
    await servers.postgres.sql(f"{create}; GRANT CREATE ON DATABASE {name} TO holdfast;", database="postgres")
    environment = LiveEnvironment(
        "words",
        instance=Instance("0123abcd", 1),
        tally=Metrics(location="test", version="0").tally("words"),
        addresses={Place(Store.POSTGRES): in_database(servers.postgres.dsn, name)},
        connections={Store.POSTGRES: 4},
        provision=True,
    )
    await environment.prepare({Store.POSTGRES: 1})
    yield Ground(servers=servers, database=name, environment=environment)
    await servers.postgres.sql(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


def indexes(look: Look) -> list[str]:
    """Those that were compared."""
    return [comparison.index for comparison in look.comparisons if comparison.forced]


async def test_every_index_is_really_used_and_agrees(ground: Ground) -> None:
    """All rows, the rows of each word, and a page from each on: answered by each index, and by the table alone."""
    look = await ground.look()
    with_icu = await ground.sql("SELECT count(*) FROM pg_collation WHERE collname = 'und-x-icu'") == "1\n"
    assert indexes(look) == ["words_default", "words_icu"][: 1 + with_icu]
    assert len(set(look.words.values())) == len(look.words) == WORDS
    for comparison in look.comparisons:
        questions = {(Asked.ORDER, 0)} | {(each, id_) for each in (Asked.EQUAL, Asked.PAGE) for id_ in look.words}
        assert set(comparison.by_table) == set(comparison.by_index) == questions
    assert (list(left_out(look)), right(look)) == ([], True)


async def test_making_the_schema_again_changes_no_word(ground: Ground) -> None:
    """What was right stays in the index by the order by which it was put there."""
    before = await ground.sql("SELECT ctid, xmin, id, word FROM holdfast.words ORDER BY id")
    await ground.sql("UPDATE holdfast.environment SET version = 1")
    again = LiveEnvironment(
        "words",
        instance=Instance("0123abcd", 2),
        tally=Metrics(location="test", version="0").tally("words"),
        addresses={Place(Store.POSTGRES): in_database(ground.servers.postgres.dsn, ground.database)},
        connections={Store.POSTGRES: 4},
        provision=True,
    )
    await again.prepare({Store.POSTGRES: 1})
    assert await ground.sql("SELECT ctid, xmin, id, word FROM holdfast.words ORDER BY id") == before


async def test_a_row_that_an_index_does_not_have_is_lost_until_it_is_made_anew(ground: Ground) -> None:
    """The row was written while the index did not take part, as after a bug or a broken disk; REINDEX heals it."""
    await ground.sql("UPDATE pg_index SET indisready = false WHERE indexrelid = 'holdfast.words_default'::regclass")
    await ground.sql("UPDATE holdfast.words SET word = 'a new word' WHERE id = 7")
    await ground.sql("UPDATE pg_index SET indisready = true WHERE indexrelid = 'holdfast.words_default'::regclass")
    judgement = await ground.confirmed()
    (violation,) = judgement.violations
    assert (violation.kind, violation.subject) == (Kind.LOST, "the index holdfast.words_default")
    assert violation.actual == "1 rows not found by the index: 'a new word'"
    assert str(violation.evidence["next"]).startswith("REINDEX INDEX holdfast.words_default")
    await ground.sql("REINDEX INDEX holdfast.words_default")
    assert right(await ground.look())


@pytest.mark.parametrize("ground", [name for name in DATABASES if name != "wheel"], indirect=True)
async def test_an_index_by_another_order_than_the_collation_now_has_is_found(ground: Ground) -> None:
    """As after an upgrade of ICU: rows stand elsewhere, and cannot be found; the versions say why; REINDEX heals it."""
    collation = "UPDATE pg_collation SET {} WHERE collname = 'und-x-icu'"
    await ground.sql(collation.format("colliculocale = 'und-u-kf-upper-ka-shifted', collversion = '58.0.0.50'"))
    look = await ground.look()
    assert {violation.kind for violation in compare(look)} >= {Kind.LOST, Kind.REORDERED}
    assert {violation.subject for violation in compare(look)} == {"the index holdfast.words_icu"}
    (drift,) = left_out(look)
    assert drift.startswith("the collation und-x-icu of the index holdfast.words_icu has drifted: version 58.0.0.50 is")
    assert drift.endswith('REINDEX them, then ALTER COLLATION "und-x-icu" REFRESH VERSION')
    await ground.sql("SET client_min_messages = error; REINDEX TABLE holdfast.words")
    await ground.sql('SET client_min_messages = error; ALTER COLLATION "und-x-icu" REFRESH VERSION')
    healed = await ground.look()
    assert (right(healed), list(left_out(healed))) == (True, [])


async def test_the_drift_of_the_default_collation_is_said(ground: Ground) -> None:
    """By the version that the database has recorded, where it has one; what heals it is said and works."""
    if await ground.sql("SELECT datcollversion FROM pg_database WHERE datname = current_database()") == "\n":
        assert list(left_out(await ground.look())) == []  # C never drifts
        return
    await ground.sql("UPDATE pg_database SET datcollversion = '58.0.0.50' WHERE datname = current_database()")
    (drift,) = left_out(await ground.look())
    assert f"the collation of the database {ground.database} of the index holdfast.words_default has drifted" in drift
    await ground.sql(f"SET client_min_messages = error; {drift.partition(', then ')[2]}")
    assert list(left_out(await ground.look())) == []


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'holdfast.words_default'::regclass",
            "the index holdfast.words_default is not compared with its table",
        ),
        ("DELETE FROM holdfast.words WHERE id <= 8", "the table holdfast.words holds 272 of 280 rows"),
        ("DROP INDEX IF EXISTS holdfast.words_default, holdfast.words_icu", "holdfast.words has none"),
    ],
    ids=["invalid", "fewer rows", "no index"],
)
async def test_what_cannot_be_compared_is_said(ground: Ground, broken: str, sentence: str) -> None:
    """An index that is not used, or that is not there, is not shown as right."""
    await ground.sql(f"SET client_min_messages = warning; {broken}")
    look = await ground.look()
    assert [sentence in each for each in left_out(look)] == [True]
    assert right(look)


async def test_what_is_sent_is_what_the_plan_shows(ground: Ground) -> None:
    """One look's statements, as PostgreSQL logs them; what is forced and asked, once for each index."""
    compared = len(indexes(await ground.look()))
    await ground.sql(f"ALTER DATABASE {ground.database} SET log_statement = 'all'")
    connection = await ground.environment.words.connect("test")
    log = ground.servers.postgres.log
    before = log.stat().st_size
    await connection.look()
    await connection.close()
    sent = [
        each.replace('"default"', "…").replace('"und-x-icu"', "…")
        for each in asked(log.read_bytes()[before:]).elements()
    ]
    (planned,) = OPERATIONS.values()
    begin, words, every, default, *each_index, rollback = planned
    assert sorted(sent) == sorted([begin, words, every, default, *(each_index * compared), rollback])
