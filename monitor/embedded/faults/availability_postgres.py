"""PostgreSQL itself: it is gone, it is frozen, or it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from monitor.core.verdict import Reason, Verdict
from monitor.embedded.faults.fault import POOLER, POSTGRES, Change, Fault, Report, Site, by_sql, drop_fault_schema
from monitor.embedded.faults.recovery import postgres_recovered
from monitor.embedded.process import EmbeddedError
from monitor.ports import Store

# Who is logged in stays logged in, whatever is changed: a pooler's connections would go on for hours.
_LOG_OUT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'holdfast';"

_RULE = "hostnossl all holdfast all reject\n"
_FULL = Path("/dev/full")


async def _freeze(site: Site) -> None:
    site.servers.postgres.pause()


async def _thaw(site: Site) -> None:
    site.servers.postgres.resume()
    await postgres_recovered(site)


async def _kill(site: Site) -> None:
    await site.servers.postgres.kill()


async def _start(site: Site) -> None:
    if not site.servers.postgres.alive:
        await site.servers.postgres.start()
    await postgres_recovered(site)


def _role(change: str) -> Change:
    """Alter the role, and make everybody log in anew."""

    async def alter(site: Site) -> None:
        await site.servers.postgres.sql(f"ALTER ROLE holdfast {change}; {_LOG_OUT}")

    return alter


async def _restore_role(site: Site) -> None:
    password = site.servers.postgres.passwords[1]
    await site.servers.postgres.sql(f"ALTER ROLE holdfast LOGIN CONNECTION LIMIT -1 PASSWORD '{password}'; {_LOG_OUT}")
    await postgres_recovered(site)


async def _want_tls(site: Site) -> None:
    postgres = site.servers.postgres
    rules = postgres.data / "pg_hba.conf"
    rules.write_text(_RULE + rules.read_text("utf-8"), "utf-8")
    await postgres.reload()
    await postgres.sql(_LOG_OUT)


async def _want_no_tls(site: Site) -> None:
    postgres = site.servers.postgres
    rules = postgres.data / "pg_hba.conf"
    rules.write_text(rules.read_text("utf-8").replace(_RULE, ""), "utf-8")
    await postgres.reload()
    await postgres_recovered(site)


async def _take_no_writes(site: Site) -> None:
    await site.servers.postgres.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    await site.servers.postgres.reload()


async def _take_writes(site: Site) -> None:
    await site.servers.postgres.sql("ALTER SYSTEM RESET default_transaction_read_only")
    await site.servers.postgres.reload()


async def _lead_to_standby(site: Site) -> None:
    if (replica := site.servers.postgres_replica) is None:
        raise EmbeddedError("these servers were started without replicas")
    site.proxies[POSTGRES].lead_to(replica.port)
    if site.servers.pgbouncer is not None:
        site.proxies[POOLER].lead_to(replica.port)


async def _lead_to_primary(site: Site) -> None:
    site.proxies[POSTGRES].lead_to(site.servers.postgres.port)
    if site.servers.pgbouncer is not None:
        site.proxies[POOLER].lead_to(site.servers.pgbouncer.port)


_AUDIT_WRITES = """
CREATE FUNCTION holdfast_fault.audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO holdfast_fault.audit VALUES (now());
    RETURN NULL;
END
$$;
DO $$
DECLARE
    each name;
BEGIN
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'holdfast' AND tablename <> 'environment' LOOP
        EXECUTE format(
            'CREATE TRIGGER holdfast_fault AFTER INSERT OR UPDATE OR DELETE ON holdfast.%I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION holdfast_fault.audit()', each);
    END LOOP;
END
$$;
"""


async def _audit_file(site: Site) -> Path:
    postgres = site.servers.postgres
    found = await postgres.sql("SELECT pg_relation_filepath(to_regclass('holdfast_fault.audit'))")
    return postgres.data / found.strip()


def _fill(file: Path) -> None:
    if not _FULL.exists():
        raise EmbeddedError(f"this system has no {_FULL}, where a disk is full for everybody: Linux has one")
    file.unlink()
    file.symlink_to(_FULL)


async def _fill_disk(site: Site) -> None:
    await by_sql("CREATE TABLE holdfast_fault.audit (written timestamptz)")(site)
    _fill(await _audit_file(site))
    await by_sql(_AUDIT_WRITES)(site)


async def _make_room(site: Site) -> None:
    file = await _audit_file(site)
    if file.is_symlink():
        file.unlink()
        site.servers.private.write(file, "")
    await drop_fault_schema(site)


# A pooler lets its clients in, and tells them in words of its own that it cannot reach the server.
_AT_A_POOLER: Mapping[str, frozenset[Report]] = {"pool": frozenset({Reason.UNREACHABLE, Reason.CAPACITY})}
_NOT_BY_NOTIFY: Mapping[str, frozenset[Report]] = {"notify": frozenset()}  # NOTIFY writes nothing


def _fault(
    name: str,
    breaks: str,
    report: Report,
    inject: Change,
    heal: Change,
    *,
    also: Mapping[str, frozenset[Report]] | None = None,
    patience: float = 5.0,
) -> Fault:
    return Fault(
        name=f"postgres-{name}",
        breaks=breaks,
        probe="thread",
        report=report,
        everywhere=Store.POSTGRES,
        also=also or {},
        patience=patience,
        inject=inject,
        heal=heal,
    )


FAULTS = (
    _fault(
        "frozen",
        "PostgreSQL is stopped with SIGSTOP: connections are accepted, and nothing answers",
        Reason.TIMEOUT,
        _freeze,
        _thaw,
        patience=1.0,
    ),
    _fault("killed", "PostgreSQL is killed with SIGKILL", Reason.UNREACHABLE, _kill, _start, also=_AT_A_POOLER),
    _fault(
        "wrong-password",
        "the password of the role was changed, and nobody told the clients",
        Reason.REFUSED,
        _role("PASSWORD 'another'"),
        _restore_role,
        also=_AT_A_POOLER,
    ),
    _fault(
        "locked-out",
        "the role may not log in any more (NOLOGIN)",
        Reason.REFUSED,
        _role("NOLOGIN"),
        _restore_role,
        also=_AT_A_POOLER,
    ),
    _fault(
        "wants-tls",
        "pg_hba.conf lets the role in by TLS only, and clients come without",
        Reason.REFUSED,
        _want_tls,
        _want_no_tls,
        also=_AT_A_POOLER,
    ),
    _fault(
        "full-house",
        "the role has no connection left (CONNECTION LIMIT 0)",
        Reason.CAPACITY,
        _role("CONNECTION LIMIT 0"),
        _restore_role,
        also=_AT_A_POOLER,
    ),
    _fault(
        "disk-full",
        "no space is left on the device where each write leaves a line of audit (that table's file is /dev/full)",
        Reason.CAPACITY,
        _fill_disk,
        _make_room,
        also=_NOT_BY_NOTIFY,
    ),
    _fault(
        "read-only",
        "PostgreSQL takes no writes (default_transaction_read_only)",
        Reason.READ_ONLY,
        _take_no_writes,
        _take_writes,
        also=_NOT_BY_NOTIFY,
    ),
    _fault(
        "standby",
        "the address of PostgreSQL leads to the standby, as after a failover that nobody told the clients of",
        Reason.READ_ONLY,
        _lead_to_standby,
        _lead_to_primary,
    ),
    Fault(
        name="postgres-slow-writes",
        breaks="each message that is the fourth of its thread takes PostgreSQL 700 ms longer (a trigger that sleeps)",
        probe="thread",
        report=Verdict.SLOW,
        inject=by_sql(
            """
            CREATE FUNCTION holdfast_fault.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                PERFORM pg_sleep(0.7);
                RETURN NEW;
            END
            $$;
            GRANT USAGE ON SCHEMA holdfast_fault TO PUBLIC;
            CREATE TRIGGER holdfast_fault BEFORE INSERT ON holdfast.messages FOR EACH ROW WHEN (NEW.seq = 4)
                EXECUTE FUNCTION holdfast_fault.dawdle();
            """
        ),
        heal=drop_fault_schema,
        settings={"thread": {"budget": "600ms"}},
    ),
)
