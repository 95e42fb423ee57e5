"""`holdfast ledger`: copies restored as operators restore them are judged right, broken ones named; lists, restores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from monitor.core.ledger.entries import Entry
from monitor.ports import Store
from tests.system.restoring import SLACK, Deployment, deployment


@pytest.fixture(scope="module")
async def lime(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """One deployment for all tests of this file, with some writes in it."""
    async with deployment(tmp_path_factory.mktemp("ledger")) as made:
        await made.write(30)
        yield made


def moments(found: dict[str, str]) -> tuple[datetime, datetime | None]:
    """The bounds of a point."""
    least, most = found["at_least"], found["at_most"]
    return datetime.fromisoformat(least), datetime.fromisoformat(most) if most else None


def ranges(found: dict[str, list[dict[str, object]]]) -> list[tuple[object, ...]]:
    """What is wrong: kind, first and last mark, records."""
    return [(each["kind"], each["first"], each["last"], each["records"]) for each in found["violations"]]


def records(written: list[Entry]) -> list[Entry]:
    """Those that left a record."""
    return [entry for entry in written if entry.identified]


class TestDump:
    """pg_dump, restored into a scratch database."""

    async def test_one_that_was_made_under_writes_is_right(self, lime: Deployment) -> None:
        """It is whole, and the point that is found lies within the time that the dump took."""
        before = lime.ledger.now()
        async with lime.writing():
            dump = await lime.dump()
        after = lime.ledger.now()
        code, found = await lime.verified(await lime.restored(dump))
        least, most = moments(found["point"])
        assert (code, found["verdict"], found["violations"]) == (0, "ok", [])
        assert least <= after
        assert most is not None
        assert before <= most
        assert most - least < timedelta(seconds=1)
        assert found["covers"]["records"] >= 10

    async def test_what_is_wrong_in_it_is_named(self, lime: Deployment) -> None:
        """Deleted rows are lost, an altered one is corrupt, one that was never written a phantom: as ranges, with 2."""
        written = records(await lime.write(12, Store.POSTGRES))
        first, second, third, fourth = written
        dsn = await lime.restored(await lime.dump())
        at = "series = '{0.series}' AND n = {0.n}".format
        await lime.sql(
            dsn,
            f"""
            DELETE FROM holdfast.ledger_records WHERE {at(first.mark)};
            DELETE FROM holdfast.ledger_records WHERE {at(second.mark)};
            UPDATE holdfast.ledger_records SET content = content || '!' WHERE {at(third.mark)};
            INSERT INTO holdfast.ledger_records (daemon, series, n, content)
                SELECT daemon, series, n + 1, 'made up' FROM holdfast.ledger_records WHERE {at(fourth.mark)};
            """,  # noqa: S608  a test's own
        )
        code, found = await lime.verified(dsn)
        made_up = f"{fourth.mark.series}/{fourth.mark.n + 1}"
        assert (code, found["verdict"]) == (2, "violated")
        assert ranges(found) == [
            ("lost", str(first.mark), str(second.mark), 2),
            ("corrupt", str(third.mark), str(third.mark), 1),
            ("phantom", made_up, made_up, 1),
        ]
        said = await lime.verify(dsn)
        assert (said.code, f"lost      2: {first.mark} to {second.mark}, sent " in said.out) == (2, True)

    async def test_an_older_one_is_not_of_a_later_moment(self, lime: Deployment) -> None:
        """As of its own moment it is right, as of a later one all that came between is lost."""
        await lime.write(3, Store.POSTGRES)
        then = lime.ledger.now()
        dsn = await lime.restored(await lime.dump())
        written = await lime.write(9, Store.POSTGRES)
        now = lime.ledger.now()
        code, found = await lime.verified(dsn, "--as-of", then.isoformat(), "--slack", "0s")
        assert (code, found["violations"]) == (0, [])
        code, found = await lime.verified(dsn, "--as-of", now.isoformat(), "--slack", "0s")
        lost = ("lost", str(written[0].mark), str(written[-1].mark), 3)
        assert (code, ranges(found), found["violations"][0]["writes"]) == (2, [lost], 9)

    async def test_a_role_that_may_only_read_is_enough(self, lime: Deployment) -> None:
        """The copy is asked by a role that sees the ledger's tables, and nothing is changed in it."""
        dsn = await lime.restored(await lime.dump())
        await lime.sql(
            dsn,
            """
            CREATE ROLE auditor LOGIN PASSWORD 'planted-secret';
            GRANT USAGE ON SCHEMA holdfast TO auditor;
            GRANT SELECT ON holdfast.ledger_registers, holdfast.ledger_records, holdfast.environment TO auditor;
            """,
        )
        before = await lime.sql(dsn, "SELECT pg_current_xact_id_if_assigned(), sum(n_tup_ins) FROM pg_stat_user_tables")
        address = dsn.partition("@")[2]
        said = await lime.verify(f"postgresql://auditor:planted-secret@{address}")
        assert (said.code, "✔ ok" in said.out, "planted-secret" in said.out + said.err) == (0, True, False)
        after = await lime.sql(dsn, "SELECT pg_current_xact_id_if_assigned(), sum(n_tup_ins) FROM pg_stat_user_tables")
        assert before == after


class TestPointInTime:
    """pg_basebackup and the archive of the WAL."""

    @pytest.mark.parametrize("action", ["pause", "promote"])
    async def test_recovery_to_a_moment(self, lime: Deployment, action: str) -> None:
        """The copy, a standby yet or promoted, is of that moment, and of no earlier or later one."""
        copy = await lime.base_backup()
        await lime.write(9, Store.POSTGRES)
        target = lime.ledger.now()
        after = await lime.write(9, Store.POSTGRES)
        await lime.archived()
        try:
            dsn = await lime.recovered(copy, target, action=action)
            code, found = await lime.verified(dsn, "--as-of", target.isoformat(), "--slack", SLACK)
            least, most = moments(found["point"])
            assert (code, found["violations"]) == (0, [])
            assert least <= target
            assert most == after[0].answered
            late = lime.ledger.now()
            code, found = await lime.verified(dsn, "--as-of", late.isoformat(), "--slack", "0s")
            assert (code, ranges(found)[0][:2]) == (2, ("lost", str(after[0].mark)))
            code, found = await lime.verified(dsn, "--as-of", lime_begin(lime), "--slack", "0s")
            assert (code, {each["kind"] for each in found["violations"]}) == (2, {"phantom"})
        finally:
            await copy.stop()


def lime_begin(lime: Deployment) -> str:
    """A moment before all writes."""
    return (lime.ledger.now() - timedelta(hours=1)).isoformat()


class TestRedis:
    """The files of Valkey, in a scratch server."""

    async def test_a_snapshot(self, lime: Deployment) -> None:
        """An RDB file holds all that came before it; what came later is lost only as of later."""
        await lime.write(6, Store.REDIS)
        await lime.servers.valkey.command("SAVE")
        then = lime.ledger.now()
        await lime.write(6, Store.REDIS)
        now = lime.ledger.now()
        copy = await lime.loaded("dump.rdb", appendonly=False)
        try:
            code, found = await lime.verified(copy.url, "--as-of", then.isoformat(), "--slack", "0s")
            least, most = moments(found["point"])
            assert (code, found["store"], found["violations"]) == (0, "redis", [])
            assert most is not None
            assert least < then < most
            code, found = await lime.verified(copy.url, "--as-of", now.isoformat(), "--slack", "0s")
            assert (code, found["violations"][0]["kind"], found["violations"][0]["writes"]) == (2, "lost", 6)
        finally:
            await copy.stop()

    async def test_an_append_only_file(self, lime: Deployment) -> None:
        """It holds everything; a key that was deleted from it is lost, even if the index was damaged with it."""
        await lime.write(6, Store.REDIS)
        copy = await lime.loaded("appendonlydir", appendonly=True)
        try:
            code, found = await lime.verified(copy.url)
            assert (code, found["violations"], found["point"]["at_most"]) == (0, [], None)
            keys = await copy.command("KEYS", "*:record:*")
            assert isinstance(keys, list)
            gone = min(key for key in keys if isinstance(key, bytes)).decode()
            await copy.command("DEL", gone, gone.partition(":record:")[0] + ":records")
            code, found = await lime.verified(copy.url)
            mark = gone.partition(":record:")[2].replace(":", "/")
            assert (code, ranges(found)) == (2, [("lost", mark, mark, 1)])
        finally:
            await copy.stop()


class TestUnknown:
    """Copies of which nothing can be told: 3, with the reason and the next step."""

    async def test_another_database(self, lime: Deployment) -> None:
        """An empty database, one of another environment, and one with another daemon's ledger."""
        empty = await lime.restored(None)
        code, found = await lime.verified(empty)
        assert (code, found["verdict"]) == (3, "unknown")
        assert found["reason"] == "it has no table holdfast.ledger_registers; is it the right database?"
        dsn = await lime.restored(await lime.dump())
        await lime.sql(
            dsn,
            "UPDATE holdfast.ledger_records SET daemon = 'cafe0000';"
            " UPDATE holdfast.ledger_registers SET daemon = 'cafe0000'",
        )
        code, found = await lime.verified(dsn)
        assert (code, "it has records of other daemons: cafe0000 (" in found["reason"]) == (3, True)
        await lime.sql(dsn, "UPDATE holdfast.environment SET name = 'oak'")
        code, found = await lime.verified(dsn)
        assert (code, found["reason"]) == (3, "it belongs to the environment oak; is it the right database?")

    async def test_a_server_that_is_not_there(self, lime: Deployment) -> None:
        """It could not be asked, and no password is shown."""
        said = await lime.verify("postgresql://u:planted-secret@127.0.0.1:1/app")
        assert (said.code, "unreachable: " in said.out, "planted-secret" in said.out + said.err) == (3, True, False)
        assert (await lime.verify("redis://127.0.0.1:1/0")).code == 3
