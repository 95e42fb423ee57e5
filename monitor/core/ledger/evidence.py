"""What a server says of itself, beside every look and at every new connection: from it the cause of a loss is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from monitor.core.verdict import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresEvidence:
    """One look at who a PostgreSQL server is.

    `system` is the system identifier, `timeline` from the name of the WAL file that is written now (0 on a standby,
    where that cannot be asked), `uptime` the server's own clock minus its start, `lsn` the position of its WAL in
    bytes, `delay` its wal_writer_delay: without synchronous_commit a crash loses at most three times that
    (PostgreSQL's documentation, "Asynchronous Commit").
    """

    address: str
    writable: bool
    system: str
    timeline: int
    started: str
    uptime: timedelta
    lsn: int
    delay: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisEvidence:
    """One look at who a Redis server is.

    `replid2` and `second_offset` tell a promoted replica what it followed and how far. `flushes` are the calls of
    FLUSHALL and FLUSHDB since the start, `evicted` and `expired` the counters of keys, `saved` the moment of the last
    RDB by the server's clock (seconds since the epoch), `appending` whether the AOF is on, `policy` the real
    maxmemory-policy. `age` is how old, by the server's own clock, the data of the last RDB is; None where that cannot
    be told: a length, for clocks of servers are not compared with ours.
    """

    address: str
    writable: bool
    run_id: str
    replid: str
    replid2: str
    second_offset: int
    offset: int
    uptime: timedelta
    flushes: int
    evicted: int
    expired: int
    saved: int
    appending: bool
    policy: str
    age: timedelta | None = None


Evidence: TypeAlias = PostgresEvidence | RedisEvidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """Evidence from one place (`postgres`, `redis replica eu-2`), and when it was seen so, by the ledger's clock.

    A new epoch begins where the server is another one, or the same after a restart, a promotion or a flush; other
    counters, positions and uptimes only renew `evidence` and `last`. `opening` is the evidence with which it began.
    """

    id: int
    environment: str
    place: str
    first: datetime
    last: datetime
    evidence: Evidence
    opening: Evidence | None = None


def as_json(evidence: Evidence) -> dict[str, Json]:
    """For the state database and for the evidence of a violation; lengths are seconds."""
    return {
        name: value.total_seconds() if isinstance(value, timedelta) else value
        for name, value in asdict(evidence).items()
    }


def from_json(values: Mapping[str, Json]) -> Evidence:
    """The evidence that `as_json` made."""
    lengths = {"uptime", "delay", "age"}
    arguments = {
        name: timedelta(seconds=float(value)) if name in lengths and isinstance(value, int | float) else value
        for name, value in values.items()
    }
    kind = PostgresEvidence if "system" in values else RedisEvidence
    return kind(**arguments)  # type: ignore[arg-type]  # as_json made them of the same fields


def same_server(one: Evidence, other: Evidence) -> bool:
    """Whether both were seen in one epoch: the same process, in the same role, not emptied in between."""
    match one, other:
        case PostgresEvidence(), PostgresEvidence():
            return (one.system, one.timeline, one.started, one.writable) == (
                other.system,
                other.timeline,
                other.started,
                other.writable,
            )
        case RedisEvidence(), RedisEvidence():
            return (one.run_id, one.replid, one.writable, one.flushes) == (
                other.run_id,
                other.replid,
                other.writable,
                other.flushes,
            )
    return False
