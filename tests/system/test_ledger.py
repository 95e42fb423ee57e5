"""`holdfast ledger`: copies restored as operators restore them are judged right, broken ones named; lists, restores."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.core.ledger.entries import Entry
from monitor.embedded.postgres import system_bindir
from monitor.ports import Store
from tests.conftest import in_database
from tests.system import ENVIRONMENT, Daemon, holdfast, until, variables
from tests.system.conftest import Place
from tests.system.restoring import PGBACKREST, SCRIPTS, SLACK, WITHIN, Deployment, deployment

QUICK = {"durability": {"every": "1s", "timeout": "990ms", "budget": "9s", "patience": "500ms", "ladder": ["1s", "1h"]}}


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
        assert ": 2 records lost; 1 record corrupt; 1 record phantom" in said.out
        assert (said.code, f"lost        2 records: {first.mark} to {second.mark}, sent " in said.out) == (2, True)

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
        before = await lime.write(9, Store.POSTGRES)
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
            early = before[0].intended.isoformat()
            code, found = await lime.verified(dsn, "--as-of", early, "--slack", "0s")
            assert (code, {each["kind"] for each in found["violations"]}) == (2, {"phantom"})
            code, found = await lime.verified(dsn, "--as-of", "2026-01-01T00:00:00Z")
            assert (code, "the ledger begins at 20" in found["reason"]) == (3, True)
        finally:
            await copy.stop()


@pytest.mark.debian
@pytest.mark.skipif(not PGBACKREST or system_bindir() is None, reason="Debian's pgbackrest is not installed")
async def test_pgbackrest(tmp_path: Path) -> None:
    """A backup of pgBackRest that is restored to a moment, by the script of the how-to, is of that moment."""
    async with deployment(tmp_path, pgbackrest=True) as lime:
        await lime.pgbackrest("stanza-create")
        await lime.write(6, Store.POSTGRES)
        await lime.pgbackrest("--type=full", "--start-fast", "backup")
        await lime.write(6, Store.POSTGRES)
        target = lime.ledger.now()
        await lime.write(6, Store.POSTGRES)
        await lime.pgbackrest("check")  # returns when the WAL so far is in the archive
        # Named, because a backup that ended within the second of the moment would else not be taken.
        (label,) = (path.name for path in (lime.archive / "repository/backup/lime").glob("*F"))
        code, said = await lime.script(
            "point-in-time.sh",
            DATABASE="app",
            AS_OF=target.isoformat(),
            STANZA="lime",
            SET=label,
            PGBACKREST_CONFIG=lime.archive / "pgbackrest.conf",
        )
        assert (code, said.startswith("✔ ok")) == (0, True)


class TestRedis:
    """The files of Valkey, in a scratch server."""

    async def test_a_snapshot(self, lime: Deployment) -> None:
        """An RDB file holds all that came before it; what came later is lost only as of later."""
        await lime.write(6, Store.REDIS)
        await lime.servers.valkey.save()
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


class TestScripts:
    """The scripts of docs/how-to-nightly-restore-test.md, as they stand there."""

    async def test_dump(self, lime: Deployment) -> None:
        """Of a database that is dumped now, and of a dump that was made before; the scratch database goes again."""
        scratch = lime.servers.postgres.superuser_dsn("postgres")
        for source in ({"SOURCE": lime.servers.postgres.superuser_dsn()}, {"DUMP": await lime.dump()}):
            code, said = await lime.script("dump.sh", SCRATCH=scratch, **source)
            assert (code, said.startswith("✔ ok")) == (0, True)
        names = await lime.servers.postgres.sql("SELECT datname FROM pg_database")
        assert "holdfast_restore" not in names

    async def test_dump_by_a_role_that_row_level_security_binds(self, lime: Deployment) -> None:
        """It would not be whole: the script ends with 1, and says which role it takes."""
        place = lime.servers.private.subfolder("bound")
        path = ":".join([str(lime.servers.postgres.bindir), *os.defpath.split(":")])
        child = lime.servers.private.spawn(
            ["sh", SCRIPTS / "dump.sh"],
            log=place / "log",
            environment={
                "ENVIRONMENT": ENVIRONMENT,
                "SCRATCH": lime.servers.postgres.superuser_dsn("postgres"),
                "SOURCE": in_database(lime.servers.postgres.dsn, "app"),
                "PATH": path,
                "PGPASSWORD": lime.servers.postgres.passwords[0],
                "TMPDIR": str(place),
            },
        )
        try:
            await until(child.ended, within=WITHIN, what="the end of the script")
        finally:
            await child.kill()
        said = (place / "log").read_text()
        assert (child.returncode, "must be of a superuser or a role with BYPASSRLS" in said) == (1, True), said

    async def test_base_backup(self, lime: Deployment) -> None:
        """A base backup and the archive, restored to a moment; nothing is left of it."""
        backup = lime.archive / "base"
        await lime.program("pg_basebackup", "-D", backup, "-d", lime.servers.postgres.superuser_dsn(), "-c", "fast")
        await lime.write(6, Store.POSTGRES)
        target = lime.ledger.now()
        await lime.write(6, Store.POSTGRES)
        await lime.archived()
        code, said = await lime.script(
            "point-in-time.sh",
            DATABASE="app",
            AS_OF=target.isoformat(),
            BACKUP=backup,
            RESTORE_COMMAND=f"cp {lime.archive}/%f %p",
        )
        assert (code, said.startswith("✔ ok")) == (0, True)

    @pytest.mark.skipif(shutil.which("redis-cli") is None, reason="Debian's redis-tools are not installed")
    @pytest.mark.debian
    @pytest.mark.parametrize("name", ["dump.rdb", "appendonlydir"])
    async def test_redis(self, lime: Deployment, name: str) -> None:
        """A copy of either sort of file, loaded by a scratch server."""
        await lime.servers.valkey.save()
        code, said = await lime.script("redis.sh", FILES=lime.copied(name))
        assert (code, said.startswith("✔ ok")) == (0, True)


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


class TestLive:
    """The live stores themselves, and what the ledger shows of them, while a daemon runs."""

    async def test_a_loss_from_its_list_to_its_declared_restore(self, place: Place) -> None:
        """While the daemon runs: it is listed, found again by `verify`, and forgiven once a restore is declared."""
        file = place.configured(probes=QUICK)
        async with Daemon(file, place.folder) as watching:
            await watching.event("run.finished", probe="durability", verdict="ok", times=2)
            right = await holdfast("ledger", "verify", ENVIRONMENT, "--config", file)
            assert (right.code, right.out.count("✔ ok")) == (0, 2)
            fine = await holdfast("ledger", "list", "--config", file)
            assert (fine.code, fine.out.count("✔"), "epochs of lime" in fine.out) == (0, 2, True)
            assert (await holdfast("ledger", "list", "--quiet", "--config", file)).out == ""
            before = datetime.now(UTC)
            times = len(watching.events("run.finished", probe="durability", verdict="ok"))
            await watching.event("run.finished", probe="durability", verdict="ok", times=times + 2)
            await place.sql(
                "DELETE FROM holdfast.ledger_records WHERE n = (SELECT max(n) FROM holdfast.ledger_records)"
            )
            await watching.event("run.finished", probe="durability", verdict="violated")
            wrong = await holdfast("ledger", "verify", ENVIRONMENT, "--store", "postgres", "--config", file)
            assert (wrong.code, "lost        1 record: " in wrong.out) == (2, True)
            (listed,) = json.loads((await holdfast("ledger", "list", "--format", "json", "--config", file)).out)
            assert [each["lost"] for each in listed["stores"]] == [1, 0]
            assert [(each["store"], each["cause"], each["records"]) for each in listed["losses"]] == [
                ("postgres", "unexplained", 1)
            ]
            at = ("--at", before.isoformat(), "--note", "see #412", "--config", file)
            dry = await holdfast("ledger", "declare-restore", ENVIRONMENT, *at, "--dry-run")
            assert (dry.code, "would be declared: it forgives 1 record known" in dry.out) == (0, True)
            assert "  settles the loss of 1 write to postgres that was found at 20" in dry.out
            long_ago = ("declare-restore", ENVIRONMENT, "--at", "2026-01-01T00:00:00Z", "--dry-run")
            assert "! that is before the first write" in (await holdfast("ledger", *long_ago, "--config", file)).out
            told = (await holdfast("ledger", "list", "--config", file)).out
            assert "✘ lime postgres: " in told
            assert "1 write lost (1 of them a record)" in told
            for word in ("is declared:", "is declared again:"):
                declared = await holdfast("ledger", "declare-restore", ENVIRONMENT, *at)
                assert (declared.code, word in declared.out) == (0, True)
                times = len(watching.events("run.finished", probe="durability", verdict="ok"))
                await watching.event("run.finished", probe="durability", verdict="ok", times=times + 1)
            forgiven = await holdfast("ledger", "verify", ENVIRONMENT, "--config", file)
            assert (forgiven.code, "need not be" in forgiven.out) == (0, True)
            (listed,) = json.loads((await holdfast("ledger", "list", "--format", "json", "--config", file)).out)
            assert ([each["note"] for each in listed["restores"]], len(listed["losses"])) == (["see #412"], 1)
            assert listed["losses"][0]["settled_by"] == "a declared restore"
            assert [each["lost_writes"] for each in listed["stores"]] == [0, 0]

    async def test_a_store_that_is_away(self, place: Place) -> None:
        """One that cannot be asked is unknown; the other is judged all the same."""
        async with Daemon(place.configured(probes=QUICK), place.folder) as watching:
            await watching.event("run.finished", probe="durability", verdict="ok", times=2)
        file = place.configured(probes=QUICK, url="redis://127.0.0.1:1/0")
        said = await holdfast("ledger", "verify", ENVIRONMENT, "--config", file)
        assert (said.code, "✔ ok  lime postgres" in said.out, "? unknown  lime redis" in said.out) == (3, True, True)


class TestState:
    """State databases that have nothing to say."""

    async def test_none_yet(self, place: Place) -> None:
        """Without a state file it is said that no daemon has run, and what to do; an empty one is of no daemon."""
        file = place.configured()
        listed = await holdfast("ledger", "list", "--config", file)
        assert (listed.code, "start `holdfast run`" in listed.err) == (1, True)
        assert (await holdfast("ledger", "verify", ENVIRONMENT, "--config", file)).code == 3
        place.state.touch()
        listed = await holdfast("ledger", "list", "--config", file)
        assert (listed.code, "is of no daemon yet; start `holdfast run`" in listed.err) == (1, True)

    async def test_a_new_one(self, place: Place) -> None:
        """A daemon without the probe has an empty ledger: that is said, with the next step; nothing is verified."""
        file = place.configured()
        async with Daemon(file, place.folder):
            listed = await holdfast("ledger", "list", "--config", file)
            assert (listed.code, "the ledger remembers nothing yet" in listed.out) == (0, True)
            (plain,) = json.loads((await holdfast("ledger", "list", "--format", "json", "--config", file)).out)
            assert (plain["losses"], [each["live"] for each in plain["stores"]]) == ([], [0, 0])
            only = await holdfast("ledger", "list", "--losses", "--config", file)
            assert only.out.startswith("lime: the ledger remembers nothing yet")
            said = await holdfast("ledger", "verify", ENVIRONMENT, "--config", file)
            assert (said.code, said.out.count("the ledger remembers no write to this store")) == (3, 2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify", ENVIRONMENT, "--against", "postgresql://h/x", "--as-of", "2026-01-01T00:00:00"), "in which zone"),
        (("verify", ENVIRONMENT, "--against", "postgresql://h/x", "--as-of", "yesterday"), "not a moment such as"),
        (("verify", ENVIRONMENT, "--as-of", "2026-01-01T00:00:00Z"), "say by --against where it is"),
        (("verify", ENVIRONMENT, "--against", "mysql://h/x"), "or of Redis or Valkey with redis://, rediss:// or"),
        (("verify", ENVIRONMENT, "--against", "redis://h/0", "--store", "postgres"), "and --store says postgres"),
        (("verify", ENVIRONMENT, "--against", "${NOT_SET_ANYWHERE}"), "NOT_SET_ANYWHERE is not set"),
        (("verify", ENVIRONMENT, "--slack", "soon"), "--slack: 'soon' is not a length of time"),
        (("verify", "lme"), "did you mean 'lime'?"),
        (("declare-restore", ENVIRONMENT, "--at", "2026-01-01T00:00:00"), "in which zone"),
        (("declare-restore", ENVIRONMENT, "--at", "2999-01-01T00:00:00Z"), "is in the future"),
    ],
)
async def test_wrong_usage(place: Place, arguments: tuple[str, ...], words: str) -> None:
    """What cannot be meant ends with 64 and says why; nothing is asked."""
    ended = await holdfast("ledger", *arguments, "--config", place.configured())
    assert (ended.code, ended.out) == (64, "")
    assert words in " ".join(ended.err.split())


async def test_a_password_on_a_command_line(place: Place) -> None:
    """It is warned of, and not shown; in a variable it is not."""
    place.state.touch()
    file = place.configured()
    dsn = "postgresql://u:planted-secret@127.0.0.1:1/app"
    seen = await holdfast("ledger", "verify", ENVIRONMENT, "--config", file, "--against", dsn)
    assert ("can be read by everybody" in seen.err, "planted-secret" in seen.err + seen.out) == (True, False)
    hidden = await holdfast(
        "ledger", "verify", ENVIRONMENT, "--config", file, env=variables(HOLDFAST_VERIFY_AGAINST=dsn)
    )
    assert "can be read by everybody" not in hidden.err


async def test_a_wrong_configuration(place: Place) -> None:
    """78, as everywhere."""
    place.file.write_text("locaton: x\n")
    assert (await holdfast("ledger", "verify", ENVIRONMENT, "--config", place.file)).code == 78
