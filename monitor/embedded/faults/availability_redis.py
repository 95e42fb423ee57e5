"""Redis itself: it is gone, it is frozen, or it refuses."""

from __future__ import annotations

from monitor.core.verdict import Reason
from monitor.embedded.faults.fault import Change, Fault, Report, Site
from monitor.embedded.faults.recovery import redis_recovered, until_true
from monitor.embedded.process import EmbeddedError
from monitor.embedded.server import free_port
from monitor.ports import Store

_PAUSE_MS = 3_600_000
_BALLAST_KEYS = 5_000  # at 30 ms each they take two and a half minutes to load
_SECONDS_PER_KEY = 0.03
_ADD_BALLAST = """
for number = 1, ARGV[1] do redis.call('SET', 'holdfast-fault:' .. number, string.rep('x', 1000)) end
"""
_DROP_BALLAST = """
for number = 1, ARGV[1] do redis.call('DEL', 'holdfast-fault:' .. number) end
"""


def _command(*words: str | int) -> Change:
    async def change(site: Site) -> None:
        await site.servers.valkey.command(*words)

    return change


async def _freeze(site: Site) -> None:
    site.servers.valkey.pause()


async def _thaw(site: Site) -> None:
    site.servers.valkey.resume()
    await redis_recovered(site)


async def _kill(site: Site) -> None:
    await site.servers.valkey.kill()


async def _start(site: Site) -> None:
    if not site.servers.valkey.alive:
        await site.servers.valkey.start()
    await redis_recovered(site)


async def _load_slowly(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.command("CONFIG", "SET", "rdbcompression", "no")  # progress is told by bytes
    await valkey.command("EVAL", _ADD_BALLAST, 0, _BALLAST_KEYS)
    await valkey.command("BGREWRITEAOF")
    await until_true(lambda: _says(site, b"aof_rewrite_in_progress:0"), what="Valkey to rewrite its log")
    await valkey.stop()
    await valkey.start_loading(seconds_per_key=_SECONDS_PER_KEY)


async def _load_quickly(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.kill()
    await valkey.start()
    await valkey.command("EVAL", _DROP_BALLAST, 0, _BALLAST_KEYS)
    await redis_recovered(site)


async def _says(site: Site, line: bytes) -> bool:
    info = await site.servers.valkey.command("INFO", "persistence")
    return isinstance(info, bytes) and line + b"\r\n" in info


async def _fail_to_save(site: Site) -> None:
    valkey = site.servers.valkey
    valkey.log.parent.chmod(0o500)
    await valkey.command("CONFIG", "SET", "save", "3600 1000000")  # with no save at all a failed one is forgiven
    await valkey.command("BGSAVE")
    await until_true(lambda: _says(site, b"rdb_last_bgsave_status:err"), what="Valkey's save to fail")


async def _save(site: Site) -> None:
    valkey = site.servers.valkey
    valkey.log.parent.chmod(0o700)
    await valkey.command("CONFIG", "SET", "save", "")
    await valkey.command("BGSAVE")
    await until_true(lambda: _says(site, b"rdb_last_bgsave_status:ok"), what="Valkey to save")


async def _fill(site: Site) -> None:
    await site.servers.valkey.command("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", 1)


async def _make_room(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.command("CONFIG", "SET", "maxmemory", valkey.maxmemory)


async def _close_house(site: Site) -> None:
    await site.servers.valkey.command("CONFIG", "SET", "maxclients", 1)


async def _open_house(site: Site) -> None:
    try:
        await site.servers.valkey.command("PING")
    except EmbeddedError:  # there is no room for whoever could make room
        await site.servers.valkey.restart()
    await redis_recovered(site)


async def _restore_password(site: Site) -> None:
    valkey = site.servers.valkey
    await valkey.command("CONFIG", "SET", "requirepass", valkey.password)


async def _become_replica(site: Site) -> None:
    await site.servers.valkey.command("REPLICAOF", "127.0.0.1", free_port())


async def _become_primary(site: Site) -> None:
    await site.servers.valkey.command("REPLICAOF", "NO", "ONE")
    await redis_recovered(site)


def _fault(name: str, breaks: str, report: Report, inject: Change, heal: Change, *, patience: float = 5.0) -> Fault:
    return Fault(
        name=f"redis-{name}",
        breaks=breaks,
        probe="session",
        report=report,
        everywhere=Store.REDIS,
        patience=patience,
        inject=inject,
        heal=heal,
    )


FAULTS = (
    _fault(
        "frozen",
        "Redis is stopped with SIGSTOP: connections are accepted, and nothing answers",
        Reason.TIMEOUT,
        _freeze,
        _thaw,
        patience=1.0,
    ),
    _fault("killed", "Redis is killed with SIGKILL", Reason.UNREACHABLE, _kill, _start),
    _fault(
        "loading",
        "Redis was restarted and takes minutes to load its data",
        Reason.READ_ONLY,
        _load_slowly,
        _load_quickly,
    ),
    _fault(
        "wrong-password",
        "the password of Redis was changed, and nobody told the clients",
        Reason.REFUSED,
        _command("CONFIG", "SET", "requirepass", "another"),
        _restore_password,
    ),
    _fault(
        "forbidden-command",
        "the ACL of the user lacks a command that every probe sends (ECHO)",
        Reason.REFUSED,
        _command("ACL", "SETUSER", "default", "-echo"),
        _command("ACL", "SETUSER", "default", "+@all"),
    ),
    _fault("full", "Redis is at maxmemory and may evict nothing", Reason.CAPACITY, _fill, _make_room),
    _fault(
        "cannot-persist",
        "Redis cannot save, as on a full disk, and so takes no writes (its folder is closed)",
        Reason.CAPACITY,
        _fail_to_save,
        _save,
    ),
    _fault("full-house", "Redis has no connection left (maxclients)", Reason.CAPACITY, _close_house, _open_house),
    _fault(
        "replica",
        "the server at the address of Redis became a replica of another",
        Reason.READ_ONLY,
        _become_replica,
        _become_primary,
    ),
    _fault(
        "lacks-replicas",
        "Redis takes no writes without two replicas, and has fewer (min-replicas-to-write)",
        Reason.READ_ONLY,
        _command("CONFIG", "SET", "min-replicas-to-write", 2),
        _command("CONFIG", "SET", "min-replicas-to-write", 0),
    ),
    _fault(
        "holds-writes",
        "Redis answers reads and lets writes wait, as in a planned failover (CLIENT PAUSE)",
        Reason.TIMEOUT,
        _command("CLIENT", "PAUSE", _PAUSE_MS, "WRITE"),
        _command("CLIENT", "UNPAUSE"),
        patience=1.0,
    ),
)
