"""Whatever befalls Redis that breaks no promise: the run is unknown, for the right reason, in words that help."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.process import EmbeddedError
from monitor.embedded.server import free_port
from monitor.embedded.valkey import EmbeddedValkey
from monitor.ports import Store
from monitor.probes.session import SessionProbe
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import RIGHT, Wire, heals, run_ok, run_unknown, run_violated, unchanged, wired

PROBE = SessionProbe(brief_ttl=timedelta(milliseconds=150))
SHORT = timedelta(milliseconds=300)

StartValkey = Callable[..., Awaitable[EmbeddedValkey]]


@pytest.fixture
async def start_valkey() -> AsyncIterator[StartValkey]:
    """Start a Valkey of this test's own; keyword arguments are EmbeddedValkey's, `settings` among them."""
    folder = PrivateFolder()
    async with AsyncExitStack() as stack:
        stack.callback(folder.close)

        async def start(**arguments: Any) -> EmbeddedValkey:
            arguments = {"fsync": False, "appendonly": False, "name": f"valkey{free_port()}"} | arguments
            valkey = EmbeddedValkey(folder, **arguments)
            await valkey.start()
            stack.push_async_callback(valkey.stop)
            return valkey

        yield start


def moved(valkey: EmbeddedValkey, port: int) -> str:
    """The URL of a Valkey at another port."""
    return valkey.url.replace(f":{valkey.port}/", f":{port}/")


async def told(site: Site, reason: Reason, *words: str) -> RunRecord:
    """One run is unknown for this reason; message and log hold these words, no password and no traceback."""
    with capture_logs() as lines:
        record = await run_unknown(site, PROBE, reason)
    for word in words:
        assert word in record.finding.message
    everything = record.finding.message + repr(lines)
    for secret in (site.servers.valkey.password, "planted"):
        assert secret not in everything
    assert "Traceback" not in everything
    assert not any("exc_info" in line for line in lines)
    return record


async def test_a_port_where_nobody_listens_is_unreachable(make_site: MakeSite) -> None:
    """A wrong port is named, with what to check."""
    port = free_port()
    here = await make_site(postgres_dsn=None, redis_url=f"redis://:planted-secret@127.0.0.1:{port}/0")
    await told(here, Reason.UNREACHABLE, f"127.0.0.1:{port}", "check that the server runs")


async def test_a_host_that_does_not_exist_is_unreachable(make_site: MakeSite) -> None:
    """A wrong host is named, with what to check."""
    here = await make_site(postgres_dsn=None, redis_url="redis://:planted-secret@no-such-host.invalid:6379/0")
    await told(here, Reason.UNREACHABLE, "no-such-host.invalid:6379", "host and port in the URL")


@pytest.mark.parametrize("login", [":planted-secret", "somebody:planted-secret"])
async def test_a_wrong_password_is_refused(make_site: MakeSite, site: Site, login: str) -> None:
    """A wrong password, or an unknown user, is refused, and no password is shown."""
    url = f"redis://{login}@127.0.0.1:{site.servers.valkey.port}/0"
    here = await make_site(postgres_dsn=None, redis_url=url)
    await told(here, Reason.REFUSED, f"127.0.0.1:{site.servers.valkey.port}", "check user and password in the URL")


async def test_a_password_that_is_missing_is_refused(make_site: MakeSite, site: Site) -> None:
    """A server that wants a password says so, and so does the message."""
    here = await make_site(postgres_dsn=None, redis_url=f"redis://127.0.0.1:{site.servers.valkey.port}/0")
    await told(here, Reason.REFUSED, "put it into the URL")


async def test_a_password_that_nobody_wants_is_refused(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """A password for a server that has none is no secret that may be shown either."""
    valkey = await start_valkey()
    await valkey.command("CONFIG", "SET", "requirepass", "")
    here = await make_site(postgres_dsn=None, redis_url=f"redis://:planted-secret@127.0.0.1:{valkey.port}/0")
    await told(here, Reason.REFUSED, "the server has no password; take it out of the URL")


async def test_a_database_out_of_range_is_misconfigured(make_site: MakeSite, site: Site) -> None:
    """A wrong number of the database is named."""
    here = await make_site(postgres_dsn=None, redis_url=site.servers.valkey.url.removesuffix("/0") + "/99")
    await told(here, Reason.MISCONFIGURED, "check the number of the database")


@pytest.mark.parametrize("command", ["info", "set", "echo", "zadd", "pexpire", "client|setname", "watch", "time"])
async def test_a_command_that_the_acl_lacks_is_refused(make_site: MakeSite, site: Site, command: str) -> None:
    """NOPERM is refused, names the command, and says how to see the ACL that is needed."""
    valkey = site.servers.valkey
    await valkey.command("ACL", "SETUSER", "narrow", "reset", "on", ">planted-secret", "~*", "+@all", f"-{command}")
    try:
        url = f"redis://narrow:planted-secret@127.0.0.1:{valkey.port}/0"
        here = await make_site(postgres_dsn=None, redis_url=url)
        await told(here, Reason.REFUSED, f"'{command}'", "`holdfast setup ENV --print`")
    finally:
        await valkey.command("ACL", "DELUSER", "narrow")


async def test_a_server_that_is_still_loading_is_read_only(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """LOADING is read_only, and once all is loaded the next run is right."""
    slow = {"key-load-delay": "10000", "loading-process-events-interval-bytes": "1024", "rdbcompression": "no"}
    valkey = await start_valkey(appendonly=True, settings=slow)
    here = await make_site(postgres_dsn=None, redis_url=valkey.url)
    for number in range(100):
        await valkey.command("SET", f"ballast:{number}", "x" * 1000)
    await valkey.command("BGREWRITEAOF")
    async with asyncio.timeout(10):
        while b"aof_rewrite_in_progress:1" in (persistence := await valkey.command("INFO", "persistence")):  # type: ignore[operator]
            pass
    assert b"aof_last_bgrewrite_status:ok" in persistence  # type: ignore[operator]
    await valkey.stop()
    starting = asyncio.create_task(valkey.start())
    try:
        await loading(valkey)
        await told(here, Reason.READ_ONLY, "loading its data")
    finally:
        await starting
    await run_ok(here, PROBE)


async def loading(valkey: EmbeddedValkey) -> None:
    """Wait until the server answers that it is loading."""
    async with asyncio.timeout(10):
        while True:
            try:
                await valkey.command("GET", "x")
            except EmbeddedError as error:
                if "LOADING" in str(error):
                    return
            except (OSError, EOFError):
                await asyncio.sleep(0)


async def replicating(primary: EmbeddedValkey, start_valkey: StartValkey) -> EmbeddedValkey:
    """A real replica of a Valkey, in step with it."""
    replica = await start_valkey()
    await replica.command("CONFIG", "SET", "masterauth", primary.password)
    await replica.command("REPLICAOF", "127.0.0.1", primary.port)
    async with asyncio.timeout(20):
        while b"master_link_status:up" not in await replica.command("INFO", "replication"):  # type: ignore[operator]
            pass
    return replica


async def test_a_second_look_at_a_replica_confirms_nothing(
    make_site: MakeSite, site: Site, start_valkey: StartValkey
) -> None:
    """Where the second look is answered by a replica, nobody is accused, although it saw the same."""
    primary = site.servers.valkey
    replica = await replicating(primary, start_valkey)
    await replica.command("CONFIG", "SET", "requirepass", primary.password)
    async with wired(primary.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=moved(primary, wire.port))
        await here.environment.prepare(PROBE.needs)
        wire.edit(lambda _: (lambda data: data.replace(b"$5\r\n60000\r\n", b"$5\r\n10000\r\n"), unchanged))

        async def elsewhere(number: int) -> None:
            if number == 1:  # the second look, on a new connection
                await primary.command("WAIT", 1, 5000)
                wire.target = replica.port

        wire.before = elsewhere
        record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
        assert "ttl_early was seen, but 127.0.0.1:" in record.finding.message
        assert record.finding.message.endswith("is not the primary")
        assert record.server["role"] == "replica"


async def test_a_replica_is_read_only(make_site: MakeSite, site: Site, start_valkey: StartValkey) -> None:
    """A URL that points at a real replica is read_only, and the message says so."""
    replica = await replicating(site.servers.valkey, start_valkey)
    here = await make_site(postgres_dsn=None, redis_url=replica.url)
    await told(here, Reason.READ_ONLY, "this is a replica; point the URL at the primary")


async def test_a_full_server_that_evicts_nothing_is_capacity(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """OOM under noeviction is capacity, and once there is room the next run is right."""
    valkey = await start_valkey(settings={"maxmemory-policy": "noeviction"})
    here = await make_site(postgres_dsn=None, redis_url=valkey.url)
    await run_ok(here, PROBE)
    await valkey.command("CONFIG", "SET", "maxmemory", "100kb")
    await told(here, Reason.CAPACITY, "maxmemory", "noeviction")
    await valkey.command("CONFIG", "SET", "maxmemory", "64mb")
    await run_ok(here, PROBE)


async def test_a_server_that_cannot_persist_is_capacity(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """MISCONF, as after a failed background save, is capacity, and names what to look for."""
    valkey = await start_valkey(settings={"save": "3600 1000000", "stop-writes-on-bgsave-error": "yes"})
    here = await make_site(postgres_dsn=None, redis_url=valkey.url)
    await run_ok(here, PROBE)
    valkey.log.parent.chmod(0o500)
    try:
        await valkey.command("BGSAVE")
        async with asyncio.timeout(10):
            while b"rdb_last_bgsave_status:err" not in await valkey.command("INFO", "persistence"):  # type: ignore[operator]
                pass
        await told(here, Reason.CAPACITY, "cannot persist")
    finally:
        valkey.log.parent.chmod(0o700)


async def test_a_full_house_is_capacity(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """No connection left is capacity."""
    valkey = await start_valkey(settings={"maxclients": "1"})
    here = await make_site(postgres_dsn=None, redis_url=valkey.url)
    _, writer = await asyncio.open_connection("127.0.0.1", valkey.port)
    try:
        await told(here, Reason.CAPACITY, "max number of clients", "maxclients is reached")
    finally:
        writer.close()


async def test_a_paused_server_is_a_timeout(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """A frozen server ends the run within its deadline, at the start and in mid-run."""
    valkey = await start_valkey()
    async with wired(valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=moved(valkey, wire.port), timeout=SHORT)
        await run_ok(here, PROBE)
        try:
            valkey.pause()
            record = await told(here, Reason.TIMEOUT, f"127.0.0.1:{wire.port}", "check host, port and firewall")
            assert record.took < timedelta(seconds=1)
            valkey.resume()

            def freeze(data: bytes) -> bytes:
                if b"SETRANGE" in data:
                    valkey.pause()
                return data

            wire.edit(lambda _: (freeze, unchanged))
            record = await told(here, Reason.TIMEOUT, f"127.0.0.1:{wire.port}", "check host, port and firewall")
            assert record.took < timedelta(seconds=2)
        finally:
            valkey.resume()
        wire.heal()
        await run_ok(here, PROBE)


async def test_a_black_hole_is_a_timeout(make_site: MakeSite, site: Site, make_proxy: MakeProxy) -> None:
    """Where packets vanish, the run ends within its deadline."""
    hole = await make_proxy(site.servers.valkey.port)
    here = await make_site(postgres_dsn=None, redis_url=moved(site.servers.valkey, hole.port), timeout=SHORT)
    hole.blackhole = True
    record = await told(here, Reason.TIMEOUT, f"127.0.0.1:{hole.port}", "firewall")
    assert record.took < timedelta(seconds=1)


async def test_a_server_that_is_killed_is_unreachable(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """A server that was killed is unreachable; when it is back, the next run is right."""
    valkey = await start_valkey()
    here = await make_site(postgres_dsn=None, redis_url=valkey.url)
    await run_ok(here, PROBE)
    await valkey.kill()
    await told(here, Reason.UNREACHABLE, f"127.0.0.1:{valkey.port}", "check that the server runs")
    await valkey.start()
    await run_ok(here, PROBE)


async def test_tls_against_a_plain_port_is_a_timeout(make_site: MakeSite, site: Site) -> None:
    """rediss:// where the server speaks plainly waits for nothing; the message points at the scheme."""
    url = site.servers.valkey.url.replace("redis://", "rediss://")
    here = await make_site(postgres_dsn=None, redis_url=url, timeout=SHORT)
    await told(here, Reason.TIMEOUT, "rediss:// against redis://")


async def test_something_that_is_no_redis_is_no_internal_fault(make_site: MakeSite, site: Site) -> None:
    """A port where PostgreSQL listens is not taken for a fault of Holdfast's own."""
    port = site.servers.postgres.port
    here = await make_site(postgres_dsn=None, redis_url=f"redis://:planted-secret@127.0.0.1:{port}/0", timeout=SHORT)
    record = await here.run(PROBE)
    assert record.verdict is Verdict.UNKNOWN
    assert record.finding.reason in {Reason.UNREACHABLE, Reason.TIMEOUT}, record.finding.message


@pytest.mark.parametrize(
    ("stray", "reason"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", Reason.READ_ONLY),
        (b"-READONLY You can't write against a read only replica.\r\n", Reason.READ_ONLY),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", Reason.CAPACITY),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", Reason.CAPACITY),
        (b"-NOREPLICAS Not enough good replicas to write.\r\n", Reason.READ_ONLY),
        (b"-MASTERDOWN Link with MASTER is down\r\n", Reason.READ_ONLY),
        (b"-CLUSTERDOWN Hash slot not served\r\n", Reason.UNREACHABLE),
        (b"-MOVED 1234 127.0.0.1:6381\r\n", Reason.MISCONFIGURED),
        (b"-ERR unknown command 'ECHO'\r\n", Reason.MISCONFIGURED),
        (b"-BUSY Redis is busy running a script.\r\n", Reason.TIMEOUT),
        (b"-EXECABORT Transaction discarded because of previous errors.\r\n", Reason.INCONCLUSIVE),
        (b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", Reason.INCONCLUSIVE),
        (b"!nonsense\r\n", Reason.MISCONFIGURED),
    ],
    ids=lambda value: value[:12].decode().strip() if isinstance(value, bytes) else "",
)
async def test_an_error_in_mid_run_is_sorted_by_its_word(
    make_site: MakeSite, site: Site, stray: bytes, reason: Reason
) -> None:
    """Whatever error a server answers with in mid-run, the reason fits, and it is no fault of Holdfast's own."""
    async with wired(site.servers.valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=moved(site.servers.valkey, wire.port), timeout=SHORT)

        def back(data: bytes) -> bytes:
            return stray + data if data.startswith(b"$16\r\n") else data

        wire.edit(lambda _: (unchanged, back))
        await told(here, reason, f"127.0.0.1:{wire.port}")


def cutting(wire: Wire, at: int, counted: list[int]) -> Any:
    """Cut everything at chunk number `at`, counted over both directions and all connections."""

    def edit(data: bytes) -> bytes:
        counted[0] += 1
        if counted[0] == at:
            wire.cut()
            return b""
        return data

    return lambda _: (edit, edit)


async def test_a_cut_at_any_moment_is_no_violation_and_leaves_nothing_that_is_not_swept(
    make_site: MakeSite, site: Site
) -> None:
    """The connections are cut at thirty moments of a run: requests lost and answers lost; nobody is accused."""
    async with wired(site.servers.valkey.port) as wire:
        url = moved(site.servers.valkey, wire.port)
        here = await make_site(postgres_dsn=None, redis_url=url, longest_run=timedelta(0))
        await run_ok(here, PROBE)  # the first run sends more than those that follow
        counted = [0]
        wire.edit(cutting(wire, -1, counted))
        await run_ok(here, PROBE)
        ends = []
        for moment in sorted(random.Random(2).sample(range(2, counted[0]), 30)):  # noqa: S311  the same each time
            wire.edit(cutting(wire, moment, [0]))
            record = await here.run(PROBE)
            ends.append(record.verdict)
            assert record.finding.reason in {Reason.UNREACHABLE, None}, record.finding.message
        assert set(ends) <= {Verdict.UNKNOWN, *RIGHT}
        assert ends.count(Verdict.UNKNOWN) >= 20
        wire.heal()
        await here.environment.sweep(Store.REDIS)
        assert await here.environment.census(Store.REDIS) == 0
        name = here.environment.name
        left = await site.servers.valkey.command("KEYS", f"holdfast:{name}:*:session:*")
        assert left == []
        await run_ok(here, PROBE)


@pytest.mark.parametrize("crash", [False, True], ids=["restart", "crash"])
async def test_a_restart_with_its_log_in_mid_run_is_no_violation(
    make_site: MakeSite,
    start_valkey: StartValkey,
    crash: bool,  # noqa: FBT001
) -> None:
    """A server with AOF that restarts (or crashes) between two connections of a run has kept every promise."""
    valkey = await start_valkey(appendonly=True, fsync=True)
    async with wired(valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=moved(valkey, wire.port))
        await here.environment.prepare(PROBE.needs)
        wire.edit(lambda _: (unchanged, unchanged))
        restarted: list[int] = []

        async def restart(number: int) -> None:
            if number == 2 and not restarted:  # the reconnect, after writer and second client
                restarted.append(number)
                await valkey.kill() if crash else await valkey.stop()
                await valkey.start()

        wire.before = restart
        probe = PROBE.model_copy(update={"budget": timedelta(seconds=5)})
        await run_ok(here, probe)
        assert restarted == [2]


async def test_a_restart_that_forgets_everything_is_a_loss(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """A server without AOF that restarts empty in mid-run has lost an acknowledged session: not evicted, but lost."""
    valkey = await start_valkey(maxmemory="4mb", settings={"maxmemory-policy": "allkeys-lru"})
    for number in range(60):  # so that its counter of evictions is not at zero before
        await valkey.command("SET", f"ballast:{number}", b"x" * 100_000)
    assert b"evicted_keys:0\r" not in await valkey.command("INFO", "stats")  # type: ignore[operator]
    async with wired(valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=moved(valkey, wire.port))
        await here.environment.prepare(PROBE.needs)
        wire.edit(lambda _: (unchanged, unchanged))
        restarted: list[int] = []

        async def restart(number: int) -> None:
            if number == 2 and not restarted:
                restarted.append(number)
                await valkey.restart()

        wire.before = restart
        await run_violated(here, PROBE, {Kind.LOST})
        await heals(here, PROBE)


async def test_a_restart_during_a_command_is_unreachable(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """A server that goes away in the middle of a connection breaks it, and accuses nobody."""
    valkey = await start_valkey(appendonly=True)
    async with wired(valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=moved(valkey, wire.port))
        restarts: list[asyncio.Task[None]] = []

        def there(data: bytes) -> bytes:
            if b"SETRANGE" in data and not restarts:
                restarts.append(asyncio.create_task(valkey.restart()))
                return b""
            return data

        wire.edit(lambda _: (there, unchanged))
        await told(here, Reason.UNREACHABLE, f"127.0.0.1:{wire.port}")
        await restarts[0]
        wire.heal()
        await run_ok(here, PROBE)
