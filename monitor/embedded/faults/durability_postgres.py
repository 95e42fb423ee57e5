"""What takes acknowledged writes from PostgreSQL, one way for each cause that Holdfast tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from shutil import rmtree

from monitor.core.ledger.causes import Cause
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.faults.fault import POSTGRES, POSTGRES_REPLICA, Change, Fault, Report, Site
from monitor.embedded.faults.recovery import until_true
from monitor.embedded.faults.topology import lead, part, postgres_as_before, postgres_by_line, renew_standby, standby

_WHILE = 1.2  # seconds in which clients go on to write: what they write then is lost
_POINT = "holdfast_fault"  # a restore point
_POSITIONS = "SELECT pg_current_wal_flush_lsn(), pg_current_wal_insert_lsn()"
_UNFLUSHED = 0.7  # seconds of acknowledged writes that only the memory of the server has
_LATE_WRITER = """
ALTER SYSTEM SET synchronous_commit = off;
ALTER SYSTEM SET wal_writer_delay = '10s';
"""
_WRITER_AS_BEFORE = """
ALTER SYSTEM RESET synchronous_commit;
ALTER SYSTEM RESET wal_writer_delay;
"""
# Sessions do not say whether they wait yet: the checkpointer tells them, some time after the configuration was read.
_COMMITS_WAIT = """
DO $$
DECLARE
    began timestamptz;
    waited integer := 0;
BEGIN
    WHILE waited < 3 LOOP
        began := clock_timestamp();
        PERFORM pg_logical_emit_message(true, 'holdfast_fault', '');
        COMMIT;
        waited := CASE WHEN clock_timestamp() - began >= '{round_trip} s' THEN waited + 1 ELSE 0 END;
    END LOOP;
END
$$;
"""
_OLDEST = """
DELETE FROM holdfast.ledger_records AS r USING (
    SELECT daemon, series, n FROM holdfast.ledger_records ORDER BY created_at LIMIT 1
) AS oldest WHERE (r.daemon, r.series, r.n) = (oldest.daemon, oldest.series, oldest.n) RETURNING 1;
"""


async def _fail_over(site: Site, *, delay: float, synchronous: bool = False) -> None:
    await postgres_by_line(site, delay=delay)
    if synchronous:
        primary = site.servers.postgres
        await primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await primary.reload()
        await primary.sql(_COMMITS_WAIT.format(round_trip=2 * delay))
    part(site, POSTGRES_REPLICA)
    await site.servers.postgres.kill()
    await standby(site).promote()
    lead(site, POSTGRES, standby(site))


async def _split(site: Site) -> None:
    await postgres_by_line(site, delay=0.0)
    part(site, POSTGRES_REPLICA)
    await standby(site).promote()
    await asyncio.sleep(_WHILE)  # the old primary does not know, and takes its clients' writes
    lead(site, POSTGRES, standby(site))
    lead(site, POSTGRES_REPLICA, site.servers.postgres)


async def _crash_unflushed(site: Site) -> None:
    primary = site.servers.postgres
    await primary.sql(_LATE_WRITER)
    await primary.reload()
    clock = asyncio.get_running_loop().time
    flushed, since = "", clock()

    async def unflushed() -> bool:
        nonlocal flushed, since
        now, inserted = (await primary.sql(_POSITIONS)).strip().split("|")
        if now == inserted or now != flushed:
            flushed, since = now, clock()
        return clock() - since >= _UNFLUSHED

    await until_true(unflushed, what="PostgreSQL to keep back what it acknowledges")
    await primary.kill()
    await primary.start()


async def _write_in_time(site: Site) -> None:
    await site.servers.postgres.sql(_WRITER_AS_BEFORE)
    await site.servers.postgres.reload()


async def _delete_oldest(site: Site) -> None:
    async def deleted() -> bool:
        return "1" in (await site.servers.postgres.sql(_OLDEST)).split()

    await until_true(deleted, what="a record that can be deleted")


async def _start_copy(site: Site) -> None:
    primary = site.servers.postgres
    copy = await primary.back_up("backup")
    await asyncio.sleep(_WHILE)
    await primary.stop()
    await primary.put_data(copy)
    await primary.start()
    await renew_standby(site)


async def _recover_to_point(site: Site) -> None:
    primary, private = site.servers.postgres, site.servers.private
    copy = await primary.back_up("backup")
    await asyncio.sleep(_WHILE / 2)
    await primary.sql(f"SELECT pg_create_restore_point('{_POINT}')")
    await asyncio.sleep(_WHILE)
    await primary.stop()
    archive = primary.data.with_name("archive")
    await asyncio.to_thread(rmtree, archive, ignore_errors=True)
    await asyncio.to_thread((primary.data / "pg_wal").rename, archive)
    await primary.put_data(copy)
    settings = primary.data / "postgresql.auto.conf"
    target = f"restore_command = 'cp {archive}/%f %p'\nrecovery_target_name = '{_POINT}'\n"
    private.write(settings, f"{settings.read_text('utf-8')}{target}recovery_target_action = promote\n")
    private.write(primary.data / "recovery.signal", "")
    await primary.start()
    await renew_standby(site)


async def _nothing(site: Site) -> None:
    """What was lost is lost; the servers are as they were."""


def _fault(
    name: str,
    breaks: str,
    cause: Cause | None,
    inject: Change,
    heal: Change = _nothing,
    *,
    also: Mapping[str, frozenset[Report]] | None = None,
) -> Fault:
    return Fault(
        name=f"postgres-{name}",
        breaks=breaks,
        probe="durability",
        report=Kind.LOST if cause else Verdict.OK,
        ledger=True,
        cause=cause,
        inject=inject,
        heal=heal,
        also=also or {},
    )


# The replica's place has no replica until there is a new one.
_NO_REPLICA: Mapping[str, frozenset[Report]] = {
    "sync": frozenset({Reason.UNREACHABLE, Reason.INCONCLUSIVE, Reason.MISCONFIGURED, Kind.DIVERGED})
}

FAULTS = (
    _fault(
        "failover-50ms",
        "the primary dies, and its asynchronous replica, which is 50 ms behind, is promoted",
        Cause.FAILOVER,
        partial(_fail_over, delay=0.05),
        postgres_as_before,
        also=_NO_REPLICA,
    ),
    _fault(
        "failover-200ms",
        "the primary dies, and its asynchronous replica, which is 200 ms behind, is promoted",
        Cause.FAILOVER,
        partial(_fail_over, delay=0.2),
        postgres_as_before,
        also=_NO_REPLICA,
    ),
    _fault(
        "failover-synchronous",
        "the primary dies, and its synchronous replica is promoted: nothing may be lost, and the gap is measured",
        None,
        partial(_fail_over, delay=0.05, synchronous=True),
        postgres_as_before,
        also=_NO_REPLICA,
    ),
    _fault(
        "split-brain",
        "the replica is promoted while the old primary goes on to take writes; then clients are led to the new one",
        Cause.SPLIT_BRAIN,
        _split,
        postgres_as_before,
        also={**_NO_REPLICA, "durability": frozenset({Kind.DIVERGED})},  # as long as both take writes
    ),
    _fault(
        "crash-asynchronous-commit",
        "PostgreSQL is killed while synchronous_commit is off and its WAL is not yet written",
        Cause.CRASH_RESTART,
        _crash_unflushed,
        _write_in_time,
    ),
    _fault(
        "record-deleted",
        "somebody deletes the oldest record by hand",
        Cause.UNEXPLAINED,
        _delete_oldest,
    ),
    _fault(
        "older-copy-started",
        "PostgreSQL is started with an older copy of its data",
        Cause.RESTORE,
        _start_copy,
    ),
    _fault(
        "recovered-to-a-point",
        "a backup is recovered up to a point in time that lies before the latest writes",
        Cause.RESTORE,
        _recover_to_point,
    ),
)
