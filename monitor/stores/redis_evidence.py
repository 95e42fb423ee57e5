"""Who a Redis server is, by its own INFO: all of it in one pipeline or one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from monitor.core.ledger.evidence import RedisEvidence
from monitor.core.verdict import Reason
from monitor.stores.redis import Command, Redis, Reply, fields

SECTIONS: tuple[Command, ...] = (
    ("TIME",),
    *(("INFO", section) for section in ("server", "replication", "persistence", "stats", "memory", "commandstats")),
)
"""The server's clock, and the sections that evidence needs, one by one: Redis 6 knows no other way."""

SECTIONS_SHOWN = tuple(" ".join(map(str, command)) for command in SECTIONS)
"""The same, as `holdfast plan` shows it."""


def evidence_of(redis: Redis, replies: list[Reply]) -> RedisEvidence:
    """What the server says of itself in its replies to SECTIONS.

    Raises StoreError where it does not say who it is, and while it loads its data: it is nobody yet.
    """
    now, *sections = replies
    info = fields(sections)
    if info.get("loading") == "1":
        raise redis.error(Reason.READ_ONLY, "the server is loading its data")
    try:
        return RedisEvidence(
            address=redis.address,
            writable=info["role"] == "master",
            run_id=info["run_id"],
            replid=info.get("master_replid", ""),
            replid2=info.get("master_replid2", ""),
            second_offset=int(info.get("second_repl_offset", -1)),
            offset=int(info.get("master_repl_offset", 0)),
            uptime=timedelta(seconds=int(info["uptime_in_seconds"])),
            flushes=sum(_calls(info.get(f"cmdstat_{command}", "")) for command in ("flushall", "flushdb")),
            evicted=int(info["evicted_keys"]),
            expired=int(info["expired_keys"]),
            saved=int(info.get("rdb_last_save_time", 0)),
            appending=info.get("aof_enabled") == "1",
            policy=info.get("maxmemory_policy", ""),
            age=_age(now, info),
        )
    except (KeyError, ValueError) as missing:
        what = f"INFO does not tell what evidence needs ({missing}); what a proxy leaves out cannot be judged"
        raise redis.error(Reason.MISCONFIGURED, what) from None


def _age(now: Reply, info: Mapping[str, str]) -> timedelta | None:
    """How old the data of the last RDB is: it is of the moment when the save began.

    Until it saves, a server gives the moment of its own start, when its data was what it had loaded.
    """
    saved = info.get("rdb_last_save_time")
    if saved is None or not isinstance(now, list) or not isinstance(now[0], bytes):
        return None
    took = int(info.get("rdb_last_bgsave_time_sec", -1))  # before the first it is -1
    return timedelta(seconds=int(now[0]) - int(saved) + max(0, took))


def _calls(statistics: str) -> int:
    """How often a command was called, by its line in INFO commandstats, which begins with `calls=`."""
    return next((int(part[6:]) for part in statistics.split(",") if part.startswith("calls=")), 0)
