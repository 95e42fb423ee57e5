"""The embedded Valkey: a password, and what a pause, a crash and a restart do."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError

from monitor.embedded import EmbeddedError, EmbeddedValkey, PrivateFolder, process, valkey
from monitor.embedded import server as server_module
from tests.embedded.test_proxy import occupied_port

BOUND_SECONDS = 20.0
PATIENCE_SECONDS = 0.3
SYSTEM = shutil.which("redis-server") or shutil.which("valkey-server")


@pytest.fixture
async def folder() -> AsyncIterator[PrivateFolder]:
    """A private folder, removed after the test."""
    private = PrivateFolder()
    yield private
    private.close()


@pytest.fixture
async def server(folder: PrivateFolder) -> AsyncIterator[EmbeddedValkey]:
    """A running server."""
    running = EmbeddedValkey(folder, fsync=False, maxmemory="8mb", settings={"maxmemory-policy": "volatile-ttl"})
    await running.start()
    yield running
    await running.stop()


async def test_the_url_is_all_that_a_client_needs(server: EmbeddedValkey) -> None:
    """A client comes in with the URL and not without its password; settings are as asked."""
    async with Redis.from_url(server.url, decode_responses=True) as client:
        assert await client.config_get("maxmemory*") == {
            "maxmemory": "8388608",
            "maxmemory-policy": "volatile-ttl",
            "maxmemory-samples": "5",
            "maxmemory-clients": "0",
            "maxmemory-eviction-tenacity": "10",
        }
    async with Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as stranger:
        with pytest.raises(AuthenticationError):
            await stranger.ping()


async def test_a_command_returns_its_reply(server: EmbeddedValkey) -> None:
    """Every kind of reply comes back as a value, and an error as an error."""
    assert await server.command("SET", "key", b"\r\n\x00") == b"OK"
    assert await server.command("GET", "key") == b"\r\n\x00"
    assert await server.command("GET", "nothing") is None
    assert await server.command("RPUSH", "list", "a", 1) == 2
    assert await server.command("LRANGE", "list", 0, -1) == [b"a", b"1"]
    with pytest.raises(EmbeddedError, match="WRONGTYPE"):
        await server.command("GET", "list")


async def test_nobody_can_lock_the_operator_out(server: EmbeddedValkey) -> None:
    """When the clients' password is another, or their ACL is narrow, commands of the owner still go through."""
    await server.command("CONFIG", "SET", "requirepass", "another")
    await server.command("ACL", "SETUSER", "default", "-@all")
    assert await server.command("PING") == b"PONG"
    async with Redis.from_url(server.url, retry=Retry(NoBackoff(), 0)) as client:
        with pytest.raises(AuthenticationError):
            await client.ping()


async def test_a_slow_start_returns_while_data_is_loaded(server: EmbeddedValkey) -> None:
    """Clients are told that it is loading; after a kill the next start is quick, and all is there."""
    script = "for number = 1, 500 do redis.call('SET', number, string.rep(tostring(math.random()), 100)) end"
    await server.command("EVAL", script, 0)
    await server.command("CONFIG", "SET", "rdbcompression", "no")
    await server.command("BGREWRITEAOF")
    async with asyncio.timeout(BOUND_SECONDS):
        while b"aof_rewrite_in_progress:1" in await server.command("INFO", "persistence"):  # type: ignore[operator]
            pass
    await server.stop()
    await server.start_loading(seconds_per_key=0.1)
    with pytest.raises(EmbeddedError, match="LOADING"):
        await server.command("GET", "1")
    await server.kill()
    await server.start()
    assert await server.command("DBSIZE") == 500


async def test_a_pause_makes_a_command_hang_and_resume_lets_it_finish(server: EmbeddedValkey) -> None:
    """While paused a command waits; resumed, it gets its answer."""
    server.pause()
    command = asyncio.create_task(server.command("PING"))
    finished, _ = await asyncio.wait([command], timeout=PATIENCE_SECONDS)
    assert finished == set()
    server.resume()
    assert await asyncio.wait_for(command, BOUND_SECONDS) == b"PONG"


async def test_a_crash_keeps_what_was_acknowledged(server: EmbeddedValkey) -> None:
    """After SIGKILL and a new start on the same port, every acknowledged write is there."""
    for number in range(200):
        await server.command("SET", f"key:{number}", number)
    port = server.port
    await server.kill()
    await server.start()
    assert server.port == port
    assert await server.command("DBSIZE") == 200


async def test_a_restart_keeps_port_and_data(server: EmbeddedValkey) -> None:
    """An orderly restart keeps port, password and data."""
    before = (server.pid, server.url)
    await server.command("SET", "key", 1)
    await server.restart()
    assert await server.command("GET", "key") == b"1"
    assert server.pid != before[0]
    assert server.url == before[1]


async def test_without_appendonly_a_restart_comes_back_empty(folder: PrivateFolder) -> None:
    """The fault of a primary that restarts empty can be had by one argument."""
    server = EmbeddedValkey(folder, appendonly=False)
    await server.start()
    try:
        await server.command("SET", "key", 1)
        await server.restart()
        assert await server.command("DBSIZE") == 0
    finally:
        await server.stop()


async def test_a_replica_is_a_second_server_with_settings(server: EmbeddedValkey, folder: PrivateFolder) -> None:
    """A second server in the same folder follows the first one."""
    settings = {"replicaof": f"127.0.0.1 {server.port}", "masterauth": server.password}
    replica = EmbeddedValkey(folder, fsync=False, settings=settings, name="replica")
    await replica.start()
    try:
        await server.command("SET", "key", 1)
        async with asyncio.timeout(BOUND_SECONDS):
            while await replica.command("GET", "key") != b"1":  # noqa: ASYNC110 - the event is in another process
                await asyncio.sleep(process.POLL_SECONDS)
    finally:
        await replica.stop()


async def test_a_port_that_was_lost_is_replaced(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another process takes the port first, the server starts on the next one."""
    with occupied_port() as taken:
        free = server_module.free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(server_module, "free_port", lambda: next(ports))
        server = EmbeddedValkey(folder, fsync=False)
        await server.start()
        try:
            assert server.port == free
        finally:
            await server.stop()


async def test_a_server_that_does_not_start_shows_its_log(folder: PrivateFolder) -> None:
    """The error carries the words of the server."""
    with pytest.raises(EmbeddedError, match="Bad directive or wrong number of arguments"):
        await EmbeddedValkey(folder, settings={"no-such-setting": "1"}).start()


async def test_a_missing_wheel_is_named(folder: PrivateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel the error says what to install."""
    monkeypatch.setattr(valkey, "PACKAGE", "no_such_wheel")
    with pytest.raises(EmbeddedError, match=r"no_such_wheel.*requirements-demo.lock"):
        await EmbeddedValkey(folder).start()


@pytest.mark.debian
@pytest.mark.skipif(SYSTEM is None, reason="no redis-server or valkey-server is installed")
async def test_a_system_s_server_can_be_named(folder: PrivateFolder) -> None:
    """With `server`, the server of the system runs."""
    server = EmbeddedValkey(folder, server=Path(str(SYSTEM)), fsync=False)
    await server.start()
    try:
        assert await server.command("PING") == b"PONG"
    finally:
        await server.stop()


async def test_a_snapshot_waits_for_one_that_is_being_written(server: EmbeddedValkey) -> None:
    """SAVE is refused while a background save goes on, as it does where a replica begins to follow."""
    await server.command("EVAL", "for n = 1, 200 do redis.call('SET', 'k' .. n, n) end", 0)
    await server.command("CONFIG", "SET", "rdb-key-save-delay", "2000")
    await server.command("BGSAVE")
    with pytest.raises(EmbeddedError, match="in progress"):
        await server.command("SAVE")
    await server.save()
    info = await server.command("INFO", "persistence")
    assert isinstance(info, bytes)
    assert b"rdb_bgsave_in_progress:0" in info
