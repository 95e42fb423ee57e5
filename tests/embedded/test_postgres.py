"""The embedded PostgreSQL against asyncpg: who may do what, and what a pause, a crash and a restart do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from monitor.embedded import EmbeddedError, EmbeddedPostgres, PrivateFolder, postgres
from monitor.embedded import server as server_module
from tests.embedded.test_proxy import occupied_port
from tests.processes import lives

DEBIAN = Path("/usr/lib/postgresql/15/bin")
BOUND_SECONDS = 20.0
PATIENCE_SECONDS = 0.3


@pytest.fixture
async def folder() -> AsyncIterator[PrivateFolder]:
    """A private folder, removed after the test."""
    private = PrivateFolder()
    yield private
    private.close()


@pytest.fixture
async def server(folder: PrivateFolder) -> AsyncIterator[EmbeddedPostgres]:
    """A running server with the application's database."""
    running = EmbeddedPostgres(folder, fsync=False, settings={"work_mem": "1MB", "log_line_prefix": "it's \\ %m "})
    await running.start()
    await running.create_application()
    yield running
    await running.stop()


async def test_the_role_is_ordinary_and_may_create_schemas(server: EmbeddedPostgres) -> None:
    """The role of `dsn` bypasses nothing, and makes its own schema in the database app."""
    connection = await asyncpg.connect(server.dsn)
    try:
        role = await connection.fetchrow(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb"
            " FROM pg_roles WHERE rolname = current_user"
        )
        await connection.execute("CREATE SCHEMA own; CREATE TABLE own.thing (id int)")
        assert tuple(role) == ("holdfast", False, False, False, False)
        assert await connection.fetchval("SELECT current_database()") == "app"
    finally:
        await connection.close()


async def test_settings_reach_the_server_as_they_are(server: EmbeddedPostgres) -> None:
    """A setting with a quote and a backslash arrives unchanged, and fsync is as asked."""
    assert await server.sql("SHOW work_mem; SHOW log_line_prefix; SHOW fsync") == "1MB\nit's \\ %m \noff\n"


async def test_a_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    """Nobody comes in from the loopback interface without the password."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host="127.0.0.1", port=server.port, user="holdfast", password="guess", database="app")


async def test_new_rules_hold_as_soon_as_they_are_read(server: EmbeddedPostgres) -> None:
    """After reload() the next connection obeys pg_hba.conf as it is now, and the role is let in or not."""
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    for text, expected in ((f"host all holdfast all reject\n{before}", False), (before, True)):
        rules.write_text(text)
        await server.reload()
        assert await server.reachable_at(server.port) is expected


async def test_a_pause_makes_a_query_hang_and_resume_lets_it_finish(server: EmbeddedPostgres) -> None:
    """While paused every process of the server is stopped and a query waits; resumed, it gets its answer."""
    connection = await asyncpg.connect(server.dsn)
    try:
        server.pause()
        root = psutil.Process(server.pid)
        assert {member.status() for member in [root, *root.children(recursive=True)]} == {psutil.STATUS_STOPPED}
        query = asyncio.create_task(connection.fetchval("SELECT 42"))
        finished, _ = await asyncio.wait([query], timeout=PATIENCE_SECONDS)
        assert finished == set()
        server.resume()
        assert await asyncio.wait_for(query, BOUND_SECONDS) == 42
    finally:
        server.resume()
        await connection.close()


async def test_a_crash_keeps_committed_data(server: EmbeddedPostgres) -> None:
    """After SIGKILL and a new start, on the same port, what was committed is there, and no backend outlived it."""
    connection = await asyncpg.connect(server.dsn)
    await connection.execute("CREATE SCHEMA own; CREATE TABLE own.thing AS SELECT 7 AS id")
    root = psutil.Process(server.pid)
    members = [root, *root.children(recursive=True)]
    port = server.port
    await server.kill()
    assert [member for member in members if member.is_running() and lives(member)] == []
    connection.terminate()
    await server.start()
    assert server.port == port
    assert await server.sql("SELECT id FROM own.thing") == "7\n"
    assert "was interrupted" in server.log.read_text()


async def test_a_restart_keeps_port_and_data(server: EmbeddedPostgres) -> None:
    """An orderly restart ends connections, and keeps port and data."""
    before = (server.pid, server.dsn)
    await server.sql("CREATE TABLE thing AS SELECT 7 AS id")
    await server.restart()
    assert await server.sql("SELECT id FROM thing") == "7\n"
    assert server.pid != before[0]
    assert server.dsn == before[1]


async def test_a_paused_server_can_be_stopped(server: EmbeddedPostgres) -> None:
    """Stopping a frozen server thaws it first, so that it ends in order."""
    server.pause()
    await server.stop()
    assert "database system is shut down" in server.log_tail()


async def test_a_failing_statement_says_why(server: EmbeddedPostgres) -> None:
    """The error carries the words of the server."""
    with pytest.raises(EmbeddedError, match='relation "nowhere" does not exist'):
        await server.sql("SELECT * FROM nowhere")


async def test_the_lines_for_pg_hba_come_first(folder: PrivateFolder) -> None:
    """An extra rule wins over the rules that initdb wrote."""
    server = EmbeddedPostgres(folder, fsync=False, hba=["host nothing all 127.0.0.1/32 reject"])
    await server.start()
    try:
        await server.create_application()
        await server.sql("CREATE DATABASE nothing")
        with pytest.raises(EmbeddedError, match=r"pg_hba\.conf rejects connection"):
            await server.sql("SELECT 1", database="nothing")
    finally:
        await server.stop()


async def test_a_port_that_was_lost_is_replaced(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another process takes the port first, the server starts on the next one."""
    with occupied_port() as taken:
        free = server_module.free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(server_module, "free_port", lambda: next(ports))
        server = EmbeddedPostgres(folder, fsync=False)
        await server.start()
        try:
            assert server.port == free
        finally:
            await server.stop()


async def test_a_missing_wheel_is_named(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the error says what to install."""
    monkeypatch.setattr(postgres, "PACKAGE", "no_such_wheel")
    with pytest.raises(EmbeddedError, match=r"no_such_wheel.*requirements-demo.lock"):
        await EmbeddedPostgres(folder).start()


async def test_a_folder_without_programs_is_named(folder: PrivateFolder, tmp_path: Path) -> None:
    """A bindir that holds no server is named in the error."""
    with pytest.raises(EmbeddedError, match=f"{tmp_path}/postgres does not exist"):
        await EmbeddedPostgres(folder, bindir=tmp_path).start()


@pytest.mark.debian
@pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's PostgreSQL 15 is not installed")
async def test_a_system_s_postgresql_can_be_named(folder: PrivateFolder) -> None:
    """With bindir, the server of the system runs."""
    server = EmbeddedPostgres(folder, bindir=DEBIAN, fsync=False)
    await server.start()
    try:
        await server.create_application()
        assert (await server.sql("SHOW server_version")).startswith("15.")
    finally:
        await server.stop()
