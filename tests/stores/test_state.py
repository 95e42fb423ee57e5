"""The state database: real SQLite files, good and bad, and schemas of a real PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.core.violations import KeptViolation, Stage
from monitor.embedded.servers import Servers
from monitor.opening import open_instance
from monitor.ports import StateError
from monitor.stores import migrate
from monitor.stores.home import Schema
from monitor.stores.state import KeptState
from monitor.stores.tables import metadata
from tests.conftest import in_database

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LOST = Violation(kind=Kind.LOST, subject="message 1", expected="present", actual="absent")
FINDINGS = {
    Verdict.OK: Finding.of((), checks=3),
    Verdict.SLOW: Finding.slow("reload took 3000 ms", checks=3),
    Verdict.UNKNOWN: Finding.unknown(Reason.TIMEOUT, "not done after 10s"),
    Verdict.VIOLATED: Finding.of([LOST], checks=3),
}


def run(
    number: int, verdict: Verdict = Verdict.OK, *, environment: str = "production", probe: str = "thread"
) -> RunRecord:
    """A run, so many minutes after noon."""
    return RunRecord(
        run_id=f"run-{number:05d}",
        environment=environment,
        probe=probe,
        started=NOON + timedelta(minutes=number),
        took=timedelta(milliseconds=12, microseconds=345),
        finding=FINDINGS[verdict],
        steps=(
            StepTiming(name="connect", after=timedelta(), took=timedelta(milliseconds=3)),
            StepTiming(name="reload", after=timedelta(seconds=1), took=timedelta(microseconds=1), failed=True),
            StepTiming(name="pages", after=timedelta(seconds=2), took=timedelta(milliseconds=4), messages=250),
        ),
        server={"address": "db:5432", "role": "primary"},
    )


def violation(number: int = 1, **changes: object) -> KeptViolation:
    """An open violation, found so many minutes after noon."""
    moment = NOON + timedelta(minutes=number)
    kept = KeptViolation(
        id=f"violation-{number}",
        environment="production",
        probe="thread",
        kind=Kind.LOST,
        stage=Stage.OPEN,
        opened=moment,
        last_seen=moment,
        run_id="run-1",
        last_run_id="run-1",
        subject="message 1",
        expected="present",
        actual="absent",
        evidence={"missing": ["m1"], "again": True, "at": None, "nested": {"ü": 1.5}},
    )
    return replace(kept, **changes)  # type: ignore[arg-type]  # the fields of the test's choice


@pytest.fixture
async def anew(home: Path | Schema) -> AsyncIterator[Callable[[], KeptState]]:
    """Makes states in one and the same home, and closes them all in the end."""
    made: list[KeptState] = []

    def make() -> KeptState:
        made.append(KeptState(home))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def state(anew: Callable[[], KeptState]) -> KeptState:
    """An open state in a new home."""
    made = anew()
    await made.open()
    return made


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Callable[[], KeptState]]:
    """Makes states on one and the same file, and closes them all in the end."""
    made: list[KeptState] = []

    def make() -> KeptState:
        made.append(KeptState(tmp_path / "state.db"))
        return made[-1]

    yield make
    for each in made:
        await each.close()


Make = Callable[[], KeptState]


def test_head_is_the_newest_migration() -> None:
    """The constant that spares Alembic at each start names the newest file."""
    assert ScriptDirectory(str(migrate._FOLDER)).get_current_head() == migrate.HEAD


def test_migrations_make_the_tables_that_are_used() -> None:
    """What the migrations make is what tables.py describes: tables, columns, types and indexes."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        migrate.migrate(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one() == migrate.HEAD
    engine.dispose()


def test_new_tables_are_those_of_the_newest_migration() -> None:
    """Where nothing was, no migration is needed to get there, and none is left to apply."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        migrate.upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert (compare_metadata(context, metadata), context.get_current_revision()) == ([], migrate.HEAD)
    engine.dispose()


async def test_everything_survives_a_restart(state: KeptState, anew: Make) -> None:
    """Runs, violations and facts are there, and equal, when the file is opened again."""
    runs, kept = [run(number, verdict) for number, verdict in enumerate(Verdict)], violation()
    await state.save(runs, [kept])
    await state.remember("instance", "0badcafe")
    await state.close()
    again = anew()
    await again.open()
    found = await again.runs()
    assert [each.run_id for each in found] == [each.run_id for each in reversed(runs)]
    assert found[1:] == [*reversed(runs)][1:]
    assert [each.kind for each in found[0].finding.violations] == [Kind.LOST]
    assert await again.violations() == [kept]
    assert await again.recall("instance") == "0badcafe"


async def test_a_run_is_kept_once(state: KeptState) -> None:
    """Saving the same runs again, as after an answer that was lost, changes nothing."""
    await state.save([run(1), run(2)], [])
    await state.save([run(1), run(2), run(3)], [])
    assert [each.run_id for each in await state.runs()] == ["run-00003", "run-00002", "run-00001"]


async def test_facts_are_replaced_and_forgotten(state: KeptState) -> None:
    """A fact has one value, until it has none."""
    assert await state.recall("paused") is None
    await state.remember("paused", "a")
    await state.remember("paused", "b")
    assert await state.recall("paused") == "b"
    await state.remember("paused", None)
    assert await state.recall("paused") is None


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [5, 4, 3, 2, 1]),
        ({"limit": 2}, [5, 4]),
        ({"environment": "staging"}, [5, 4]),
        ({"probe": "session"}, [4, 2]),
        ({"verdict": "unknown"}, [3]),
        ({"environment": "production", "probe": "thread", "verdict": "ok"}, [1]),
        ({"environment": "nowhere"}, []),
    ],
)
async def test_runs_are_filtered_and_the_latest_come_first(
    state: KeptState, wanted: dict[str, object], numbers: list[int]
) -> None:
    """By environment, probe and verdict, together or apart, and no more than asked for."""
    await state.save(
        [
            run(3, Verdict.UNKNOWN),
            run(1),
            run(2, Verdict.SLOW, probe="session"),
            run(5, environment="staging"),
            run(4, Verdict.VIOLATED, environment="staging", probe="session"),
        ],
        [],
    )
    found = await state.runs(**wanted)  # type: ignore[arg-type]  # the filters of the table above
    assert [each.run_id for each in found] == [f"run-{number:05d}" for number in numbers]


async def test_violations_are_filtered_by_stage(state: KeptState) -> None:
    """Of all stages, of some, the latest opened first, no more than asked for."""
    stages = [Stage.OPEN, Stage.ACKNOWLEDGED, Stage.CLOSED]
    await state.save([], [violation(number, stage=stage) for number, stage in enumerate(stages)])
    assert [each.stage for each in await state.violations()] == stages[::-1]
    assert [each.stage for each in await state.violations(stages=stages[:2])] == stages[1::-1]
    assert [each.stage for each in await state.violations(limit=1)] == [Stage.CLOSED]


async def test_each_class_has_its_own_age(state: KeptState) -> None:
    """Runs that were right, runs that were not, and closed violations go by their own bounds; open ones never go."""
    runs = [run(number + 10 * place, verdict) for place, verdict in enumerate(Verdict) for number in (0, 5)]
    closed = [violation(number, stage=Stage.CLOSED, closed=NOON + timedelta(minutes=number)) for number in (1, 2, 3)]
    await state.save(runs, [*closed, violation(0), violation(-1, stage=Stage.ACKNOWLEDGED)])
    gone = await state.prune(
        runs=NOON + timedelta(minutes=12), failures=NOON + timedelta(minutes=30), violations=NOON + timedelta(minutes=2)
    )
    assert [each.run_id for each in await state.runs()] == ["run-00035", "run-00030", "run-00015"]
    assert [each.id for each in await state.violations()] == [
        "violation-3",
        "violation-2",
        "violation-0",
        "violation--1",
    ]
    assert gone == 6


async def test_an_acknowledgement_from_outside_outlives_a_repetition(state: KeptState, anew: Make) -> None:
    """Where another process acknowledged a violation, the daemon that only saw it open does not open it again."""
    await state.save([], [violation()])
    other = anew()
    await other.open()
    at = NOON + timedelta(hours=1)
    await other.save([], [violation(stage=Stage.ACKNOWLEDGED, acknowledged=at, note="known")])
    await state.save([], [violation(times=2, last_run_id="run-2")])
    (kept,) = await state.violations()
    assert (kept.stage, kept.acknowledged, kept.note, kept.times) == (Stage.ACKNOWLEDGED, at, "known", 2)
    await state.save([], [violation(times=2, stage=Stage.CLOSED, closed=at)])
    (kept,) = await state.violations()
    assert (kept.stage, kept.closed, kept.note) == (Stage.CLOSED, at, "known")


async def test_an_acknowledgement_is_one_statement(state: KeptState) -> None:
    """It adds its note to those there are, outlives whatever the daemon saves of before, and opens nothing again."""
    early, late = NOON + timedelta(hours=1), NOON + timedelta(hours=2)
    await state.save([], [violation(stage=Stage.ACKNOWLEDGED, acknowledged=early, note="known")])
    assert await state.acknowledge("violation-1", at=late, note="restore under way")
    await state.save([], [violation(stage=Stage.ACKNOWLEDGED, acknowledged=early, note="known", times=2)])
    (told,) = await state.acknowledgements()
    assert (told.id, told.at, told.note) == ("violation-1", late, "known\nrestore under way")
    await state.save([], [violation(stage=Stage.CLOSED, closed=late, acknowledged=early, note="known", times=3)])
    assert not await state.acknowledge("violation-1", at=late, note="too late")
    await state.save([], [violation(times=2)])
    (kept,) = await state.violations()
    assert (kept.stage, kept.closed, kept.acknowledged) == (Stage.CLOSED, late, late)
    assert kept.note == "known\nrestore under way"
    assert (await state.acknowledgements(), await state.acknowledge("nobody", at=late, note="")) == ([], False)


async def test_many_runs_come_in_parts_and_whole(state: KeptState) -> None:
    """Each once and the latest first, however many are asked for."""
    kept = [run(number) for number in range(250)]
    await state.save(kept, [])
    expected = [each.run_id for each in reversed(kept)]
    assert [each.run_id for each in await state.runs(limit=1000)] == expected
    assert [each.run_id for each in await state.runs(limit=230)] == expected[:230]
    found = await state.run(expected[0])
    assert found is not None
    assert (found.run_id, await state.run("nobody")) == (expected[0], None)


async def test_reading_takes_nothing_back_that_is_being_written(state: KeptState) -> None:
    """Pages that read while runs are being kept do not undo them."""

    async def write(number: int) -> None:
        await state.save([run(number)], [violation(number)])

    async def read() -> None:
        await state.runs()
        await state.violations()

    await asyncio.gather(*(work for number in range(50) for work in (write(number), read())))
    assert len(await state.runs()) == 50
    assert len(await state.violations()) == 50


async def test_a_failed_write_leaves_nothing_of_itself(state: KeptState) -> None:
    """Runs and violations are kept together or not at all."""
    broken = violation(evidence={"key": {1, 2}}, kind=None)
    with pytest.raises(StateError):
        await state.save([run(1)], [broken])
    assert await state.runs() == []
    await state.save([run(1)], [violation()])
    assert len(await state.runs()) == 1


async def test_text_that_databases_cannot_carry_is_kept_in_another_spelling(state: KeptState) -> None:
    """Half a character, or a NUL, from a broken server does not keep everything else from being kept."""
    odd = "found \ud800\0"
    await state.save(
        [replace(run(1), finding=Finding.unknown(Reason.INTERNAL, odd))],
        [violation(subject=odd, actual=odd, evidence={"found": odd}, note=odd)],
    )
    (kept,) = await state.violations()
    assert (await state.runs())[0].finding.message == "found \\ud800\\x00"
    assert (kept.subject, kept.actual, kept.note) == ("found \\ud800\\x00",) * 3
    assert kept.evidence == {"found": odd}


async def test_memory_is_a_state_too() -> None:
    """Without a path everything works, and nothing is left."""
    state = KeptState(None)
    await state.open()
    await state.save([run(1)], [violation()])
    assert [each.run_id for each in await state.runs()] == ["run-00001"]
    await state.close()


async def refusal(path: Path) -> str:
    """What opening a state says that cannot be opened."""
    state = KeptState(path)
    try:
        with pytest.raises(StateError) as refused:
            await state.open()
    finally:
        await state.close()
    return str(refused.value)


async def test_another_file_is_no_state(tmp_path: Path) -> None:
    """A file that is something else is left alone, and another path is asked for."""
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes.\n" * 100)
    message = await refusal(path)
    assert str(path) in message
    assert "choose another path in `state`" in message
    assert path.read_text() == "These are my notes.\n" * 100


async def test_a_damaged_file_is_named(tmp_path: Path, file: Make) -> None:
    """A state whose pages were overwritten says that it should be moved away."""
    state = file()
    await state.open()
    await state.save([run(number) for number in range(500)], [])
    await state.close()
    path = tmp_path / "state.db"
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    state = file()
    with pytest.raises(StateError, match=r"state\.db cannot be used: .*malformed.*; move it away"):
        await state.open()


async def test_a_folder_is_no_state(tmp_path: Path) -> None:
    """A folder in place of a file is refused with what to look for."""
    assert "make sure that its folder exists" in await refusal(tmp_path)


@pytest.mark.parametrize("above", ["missing", "a-file"])
async def test_a_state_needs_its_folder(tmp_path: Path, above: str) -> None:
    """Where the folder is missing, or is a file, it is said."""
    (tmp_path / "a-file").touch()
    path = tmp_path / above / "state.db"
    assert await refusal(path) == (
        f"the state file {path} cannot be used: unable to open database file; make sure that its folder exists and"
        " that the user that Holdfast runs as may write there"
    )


NOBODY = 65534
OPEN = """
import asyncio, os, sqlite3, sys
from pathlib import Path
import alembic.command, alembic.config, sqlalchemy.dialects.sqlite
from monitor.ports import StateError
from monitor.stores.state import KeptState

async def main():
    state = KeptState(Path(sys.argv[1]))
    try:
        await state.open()
        await state.remember("a", "b")
    except StateError as error:
        print(error)
    await state.close()

if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(main())
"""


def open_to_all(folder: Path, mode: int) -> None:
    """Give a test's folder this mode, and let everybody reach it: pytest makes its folders for one user only."""
    for above in folder.parents:
        if above.name.startswith(("pytest-", "popen-")):  # the second is one of several workers'
            above.chmod(0o755)
    folder.chmod(mode)


@pytest.mark.parametrize(
    ("folder", "mode", "advice"),
    [
        (0o777, 0o444, "make the file and its folder writable"),
        (0o755, None, "make sure that its folder exists and that the user that Holdfast runs as may write there"),
    ],
    ids=["file", "folder"],
)
async def test_what_may_not_be_written_is_said(
    tmp_path: Path, file: Make, folder: int, mode: int | None, advice: str
) -> None:
    """A file or folder that is read-only for the daemon's user is an error that says so, and no crash."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else, for whom permissions bind")
    open_to_all(tmp_path, folder)
    if mode is not None:
        state = file()
        await state.open()
        await state.close()
        (tmp_path / "state.db").chmod(mode)
    arguments = [sys.executable, "-c", OPEN, str(tmp_path / "state.db")]
    found = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert advice in found.stdout
    assert str(tmp_path / "state.db") in found.stdout


async def test_another_writer_is_waited_for_and_then_named(
    file: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody else keeps the file locked, writing fails with that cause; reading goes on, and it recovers."""
    state = file()
    await state.open()
    monkeypatch.setattr("monitor.stores.database._BUSY", 0.05)
    impatient = KeptState(tmp_path / "state.db")
    await impatient.open()
    holder = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateError, match=r"is locked; .*is a second daemon using the same file\?"):
            await impatient.save([run(1)], [])
        assert await impatient.runs() == []
        holder.execute("ROLLBACK")
        await impatient.save([run(1)], [])
        assert [each.run_id for each in await state.runs()] == ["run-00001"]
    finally:
        holder.close()
        await impatient.close()


async def test_a_start_that_failed_midway_can_be_repeated(tmp_path: Path, file: Make) -> None:
    """A migration that cannot be finished leaves nothing behind that would stop the next attempt."""
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as in_the_way:
        in_the_way.execute("CREATE TABLE violations (x)")
    in_the_way.close()
    with pytest.raises(StateError, match="violations already exists"):
        await file().open()
    with sqlite3.connect(path) as in_the_way:
        in_the_way.execute("DROP TABLE violations")
        assert in_the_way.execute("SELECT name FROM sqlite_master").fetchall() == []
    in_the_way.close()
    state = file()
    await state.open()
    assert await state.runs() == []


async def test_two_may_start_at_once(anew: Make) -> None:
    """A daemon and a command that open a new state together both find a whole one."""
    one, other = anew(), anew()
    await asyncio.gather(one.open(), other.open())
    await one.save([run(1)], [])
    assert [each.run_id for each in await other.runs()] == ["run-00001"]


async def test_a_lost_state_makes_another_daemon(anew: Make, tmp_path: Path) -> None:
    """Where the state is a new one, so is the daemon: what the other wrote is not its own. Else it starts once more."""
    for number in (1, 2):
        state = anew()
        await state.open()
        first = await open_instance(state)
        assert first.incarnation == number
    lost = KeptState(tmp_path / "new.db")
    await lost.open()
    another = await open_instance(lost)
    assert another.incarnation == 1
    assert another.id != first.id
    await lost.close()


async def test_a_role_that_may_make_no_schema_needs_one_made(servers: Servers, database: str) -> None:
    """What a DBA has to run is said; once that was done, the state opens, and the password is in no message."""
    role = f"keeper_{database}"
    await servers.postgres.sql(f"CREATE ROLE {role} LOGIN PASSWORD 'planted-password'", database=database)
    address = in_database(servers.postgres.dsn, database).rpartition("@")[2]
    home = Schema(f"postgresql://{role}:planted-password@{address}", "eu")
    state = KeptState(home)
    with pytest.raises(StateError) as refused:
        await state.open()
    command = "CREATE SCHEMA holdfast_state_eu AUTHORIZATION "
    assert f"permission denied for database {database}; let a DBA run: {command}<the role>" in str(refused.value)
    await servers.postgres.sql(command + role, database=database)
    await state.open()
    await state.remember("a", "b")
    await state.close()
    mistaken = KeptState(replace(home, dsn=home.dsn.replace("planted-password", "mistaken-password")))
    with pytest.raises(StateError) as refused:
        await mistaken.open()
    assert "check user and password in `state`" in str(refused.value)
    assert "mistaken" not in str(refused.value)
    await mistaken.close()
