"""The table of words in the schema `holdfast`: its indexes on text against itself, in one snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import asyncpg
import orjson

from monitor.core.collation import Answers, Asked, Comparison, Look, Question, Version
from monitor.ports import Place
from monitor.stores.rows import RowConnection
from monitor.stores.ways import Ways

_SEPARATOR = "\x1f"  # in no word; of a list the driver would ask the type first
_PAGE = 8
_DEFAULT_VERSIONED = 15  # the version of PostgreSQL that records the default collation's, per database

_ASKED = "unnest(string_to_array($1::text, E'\\x1f')) WITH ORDINALITY AS asked (word, about)"
# OFFSET 0 keeps each question a scan of its own; what is asked at once would else be joined by whatever is cheapest.
# Each answer is one text of ids, in the order of the scan: a row for each id would take most of a run's time to read.
_IDS = "(SELECT string_agg(id::text, ' ') FROM (SELECT id FROM holdfast.words {which}) AS found) AS ids"
_ALL = _IDS.format(which="ORDER BY word {collate} OFFSET 0")
_EQUAL = _IDS.format(which="WHERE word = asked.word {collate} OFFSET 0")
_FROM = _IDS.format(which=f"WHERE word >= asked.word {{collate}} ORDER BY word {{collate}} LIMIT {_PAGE}")
_QUESTIONS = (
    f"SELECT 'order' AS asked, 0 AS about, {_ALL}"  # noqa: S608  constants
    f" UNION ALL SELECT 'equal', asked.about, {_EQUAL} FROM {_ASKED}"
    f" UNION ALL SELECT 'page', asked.about, {_FROM} FROM {_ASKED}"
)
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# A plan that is forbidden counts as very dear, which would be worth compiling or sharing out.
_PLAIN = "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL enable_bitmapscan = off"


def _forced(index: str, table: str) -> str:
    switches = {"enable_indexscan": index, "enable_indexonlyscan": index, "enable_seqscan": table, "enable_sort": table}
    return "; ".join(f"SET LOCAL {switch} = {value}" for switch, value in switches.items())


_BY_TABLE, _BY_INDEX = _forced("off", "on"), _forced("on", "off")
_INDEXES = (
    "SELECT class.relname AS index, collation_.collname AS collation, collation_.collprovider::text AS provider,"
    " collation_.collversion AS recorded,"
    " CASE WHEN collation_.collprovider <> 'd' THEN pg_collation_actual_version(collation_.oid) END AS actual,"
    " current_database() AS database"
    " FROM pg_index AS index JOIN pg_class AS class ON class.oid = index.indexrelid"
    " JOIN pg_collation AS collation_ ON collation_.oid = index.indcollation[0]"
    " WHERE index.indrelid = 'holdfast.words'::regclass ORDER BY class.relname"
)
STATEMENTS: Mapping[str, str] = {
    "words": "SELECT id, word FROM holdfast.words ORDER BY id",
    "indexes": _INDEXES,
    "default": (
        "SELECT datcollversion AS recorded, pg_database_collation_actual_version(oid) AS actual FROM pg_database"
        " WHERE datname = current_database()"
    ),
    "questions": _QUESTIONS,
}
"""Every statement on the words, by name."""
_ASKED_BY = {str(asked): asked for asked in Asked}
_SHOWN = STATEMENTS["questions"].format(collate="COLLATE …")
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "compare_indexes": (
        f"{_BEGIN}; {_PLAIN}",
        STATEMENTS["words"],
        STATEMENTS["indexes"],
        STATEMENTS["default"],
        *(_BY_TABLE, f"EXPLAIN (FORMAT JSON) {_SHOWN}", _SHOWN, _BY_INDEX, f"EXPLAIN (FORMAT JSON) {_SHOWN}", _SHOWN),
        "ROLLBACK",
    )
}
"""What a probe may ask, and all that is then sent; what is forced and asked, once for each index."""


class OwnWords:
    """The table of words."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    async def connect(self, label: str, *, place: Place | None = None) -> OwnWordsConnection:
        """A new connection to the primary, or to another place. Raises StoreError."""
        return await OwnWordsConnection.open(self._ways, label, place=place)


class OwnWordsConnection(RowConnection):
    """One connection to the table of words."""

    statements: ClassVar = STATEMENTS

    async def look(self) -> Look:
        """Ask the same of every index on text and of the table under it, in one snapshot."""
        async with self.postgres.asked():
            self._broken = True
            await self.connection.execute(f"{_BEGIN}; {_PLAIN}")
            words = {row["id"]: row["word"] for row in await self.connection.fetch(STATEMENTS["words"])}
            indexes = await self.connection.fetch(STATEMENTS["indexes"])
            default = await self._default()
            comparisons = [await self._compare(index, words) for index in indexes]
            await self.connection.execute("ROLLBACK")
        self.ended()
        versions = tuple(_version(index, default) for index in indexes)
        return Look(words=words, comparisons=tuple(comparisons), versions=versions)

    async def _default(self) -> asyncpg.Record | None:
        if self.connection.get_server_version().major < _DEFAULT_VERSIONED:
            return None
        return await self.connection.fetchrow(STATEMENTS["default"])

    async def _compare(self, index: asyncpg.Record, words: Mapping[int, str]) -> Comparison:
        plan, by_table = await self._answers(_BY_TABLE, index["collation"], words)
        forced = [scan.get("Node Type") for scan in plan] == ["Seq Scan"] * 3
        plan, by_index = await self._answers(_BY_INDEX, index["collation"], words)
        used = [scan.get("Index Name") == index["index"] for scan in plan] == [True] * 3
        bounded = sum("Index Cond" in scan for scan in plan) == 2  # noqa: PLR2004  all but the one for the order
        return Comparison(
            index=index["index"],
            collation=index["collation"],
            forced=forced and used and bounded,
            by_index=by_index,
            by_table=by_table,
        )

    async def _answers(
        self, forced: str, collation: str, words: Mapping[int, str]
    ) -> tuple[list[dict[str, Any]], Answers]:
        """How the server scans the table where it is forced so, and what it then answers."""
        questions = STATEMENTS["questions"].format(collate=f'COLLATE "{collation}"')
        asked, ids = _SEPARATOR.join(words.values()), tuple(words)
        await self.connection.execute(forced)
        plan = orjson.loads(await self.connection.fetchval(f"EXPLAIN (FORMAT JSON) {questions}", asked))
        answers: dict[Question, tuple[int, ...]] = {}
        for question, about, found in await self.connection.fetch(questions, asked):
            if found is not None:
                answers[_ASKED_BY[question], ids[about - 1] if about else 0] = tuple(map(int, found.split(" ")))
        return list(_scans(plan[0]["Plan"])), answers


def _scans(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every scan of the table in a plan."""
    if node.get("Relation Name") == "words":
        yield node
    for child in node.get("Plans", ()):
        yield from _scans(child)


def _version(index: asyncpg.Record, default: asyncpg.Record | None) -> Version:
    own = index["provider"] != "d"
    versions = index if own else default or {"recorded": None, "actual": None}
    database = index["database"].replace('"', '""')
    return Version(
        index=index["index"],
        collation=index["collation"] if own else f"of the database {index['database']}",
        recorded=versions["recorded"],
        actual=versions["actual"],
        refresh=(
            f'ALTER COLLATION "{index["collation"]}" REFRESH VERSION'
            if own
            else f'ALTER DATABASE "{database}" REFRESH COLLATION VERSION'
        ),
        kept=own or default is not None,
    )
