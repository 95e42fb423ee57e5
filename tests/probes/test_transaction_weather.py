"""Transactions in bad weather: nothing that others, the network or missing rights do is taken for a broken promise."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest

from monitor.core.atomicity import Ending
from monitor.core.schedules.catalogue import SCHEDULES
from monitor.core.transactions import checked_at, controls_of
from monitor.core.verdict import Reason, Verdict
from monitor.ports import Store
from monitor.probes.transaction import TransactionProbe
from monitor.stores import registers
from monitor.stores.rows import BEGIN_SHOWN
from tests.conftest import MakeProxy, MakeSite, Site, in_database
from tests.probes.breaking import RIGHT, Wire, run_ok, run_unknown, wired
from tests.probes.test_thread_weather import cutting, moved, nobody_works_for_it

PROBE = TransactionProbe(generate_every=timedelta(days=3650))
THOROUGH = TransactionProbe(generate_every=timedelta(seconds=30))
SHORT = timedelta(milliseconds=300)


@pytest.mark.parametrize("probe", [PROBE, THOROUGH], ids=["schedules", "with-history"])
async def test_is_ok_again_and_again_and_leaves_nothing(site: Site, probe: TransactionProbe) -> None:
    """Ten runs in a row are ok, leave no row, and keep to the connections that they said."""
    for _ in range(10):
        await run_ok(site, probe)
    assert await site.environment.census(Store.POSTGRES) == 0
    assert await site.sql("SELECT count(*) FROM holdfast.registers") == "0\n"
    assert await nobody_works_for_it(site)


async def test_daemons_that_meet_at_serializable_accuse_nobody(make_site: MakeSite) -> None:
    """Four runs at once on one table, ten times: the server refuses some, and that is an answer or a reason."""
    here = await make_site("crowd", isolation="serializable", connections={Store.POSTGRES: 12})
    await run_ok_at(here, "serializable")
    ends: Counter[Verdict] = Counter()
    for _ in range(10):
        records = await asyncio.gather(*(here.run(THOROUGH) for _ in range(4)))
        ends.update(record.verdict for record in records)
        assert {record.finding.reason for record in records} <= {None, Reason.INCONCLUSIVE}
    assert set(ends) <= {*RIGHT, Verdict.UNKNOWN}
    assert ends[Verdict.UNKNOWN] <= 4


async def test_the_schema_is_made_once_where_transactions_begin_at_serializable(make_site: MakeSite) -> None:
    """Several daemons that find no schema at once: one makes it, and the others see that."""
    here = await make_site("young")
    await here.sql(f"ALTER DATABASE {here.database} SET default_transaction_isolation = 'serializable'")
    daemons = [(await make_site("young")).environment for _ in range(4)]
    await asyncio.gather(*(daemon.prepare({Store.POSTGRES: 1}) for daemon in daemons))
    await run_ok(here, PROBE)


async def run_ok_at(here: Site, level: str) -> None:
    """Let transactions begin at a level, and see that a run is right."""
    await here.environment.prepare({Store.POSTGRES: 1})
    await here.sql(f"ALTER DATABASE {here.database} SET default_transaction_isolation = '{level}'")
    await run_ok(here, PROBE)


async def test_a_history_far_away_is_shorter(make_site: MakeSite, site: Site, make_proxy: MakeProxy) -> None:
    """Where a round trip takes 10 ms, a thousand transactions do not fit into a run, and those that do are judged."""
    proxy = await make_proxy(site.servers.postgres.port)
    here = await make_site(postgres_dsn=moved(site, port=proxy.port))
    await run_ok(here, PROBE)
    proxy.delay = 0.005
    record = await run_ok(here, TransactionProbe(generate_every=timedelta(seconds=30), transactions=1000))
    assert record.finding.checks == len(Ending) + len(checked_at("read committed")) + 1


async def test_a_role_that_may_end_no_process_leaves_that_out(site: Site) -> None:
    """Where pg_terminate_backend is not granted the rest is checked, and the sentence says what was not."""
    await run_ok(site, PROBE)
    await site.sql("REVOKE EXECUTE ON FUNCTION pg_terminate_backend FROM PUBLIC")
    record = await run_ok(site, PROBE)
    (sentence,) = record.finding.left_out
    assert sentence.startswith("what a killed server process leaves")
    assert await site.environment.census(Store.POSTGRES) == 0


async def test_a_lock_that_somebody_holds_is_a_timeout(make_site: MakeSite) -> None:
    """A table that is locked ends the run by the server's own limits; nothing stays behind."""
    here = await make_site(timeout=SHORT)
    await run_ok(here, PROBE)
    async with AsyncExitStack() as stack:
        dsn = in_database(here.servers.postgres.superuser_dsn(), here.database)
        holder = await asyncpg.connect(dsn, server_settings={"application_name": "x"})
        stack.push_async_callback(holder.close)
        async with holder.transaction():
            await holder.execute("LOCK TABLE holdfast.registers IN ACCESS EXCLUSIVE MODE")
            await run_unknown(here, PROBE, Reason.TIMEOUT)
            assert await nobody_works_for_it(here)
    await run_ok(here, PROBE)


async def test_a_database_that_takes_no_writes_is_read_only(site: Site) -> None:
    """default_transaction_read_only is a reason, not a verdict."""
    await run_ok(site, PROBE)
    await site.sql(f"ALTER DATABASE {site.database} SET default_transaction_read_only = on")
    await run_unknown(site, PROBE, Reason.READ_ONLY)


async def test_a_role_without_rights_is_told_what_to_grant(site: Site) -> None:
    """Without the right to write registers the run is refused, and says how to see all grants."""
    await run_ok(site, PROBE)
    await site.sql("ALTER TABLE holdfast.registers OWNER TO postgres; GRANT SELECT ON holdfast.registers TO holdfast;")
    record = await run_unknown(site, PROBE, Reason.REFUSED)
    assert "holdfast setup ENV --print" in record.finding.message


@pytest.fixture
async def wire(site: Site) -> AsyncIterator[Wire]:
    """A proxy before PostgreSQL that edits bytes."""
    async with wired(site.servers.postgres.port) as opened:
        yield opened


async def test_a_cut_at_any_moment_is_no_violation_and_leaves_nothing_that_is_not_swept(
    make_site: MakeSite, site: Site, wire: Wire
) -> None:
    """All connections are cut at thirty moments of a run; nobody is accused, and a sweep finds what is left."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port), longest_run=timedelta(0))
    probe = TransactionProbe(generate_every=timedelta(seconds=30), transactions=20)
    await run_ok(here, probe)  # the first run sends more than those that follow
    counted = [0]
    wire.edit(cutting(wire, -1, counted))
    await run_ok(here, probe)
    ends: Counter[Verdict] = Counter()
    for moment in sorted(random.Random(2).sample(range(2, counted[0]), 30)):  # noqa: S311  the same moments each time
        wire.edit(cutting(wire, moment, [0]))
        record = await here.run(probe)
        ends[record.verdict] += 1
        assert record.finding.reason in {Reason.UNREACHABLE, None}, record.finding.message
    assert set(ends) <= {*RIGHT, Verdict.UNKNOWN}
    assert ends[Verdict.UNKNOWN] >= 20
    wire.heal()
    assert await nobody_works_for_it(site)
    assert await here.environment.census(Store.POSTGRES) > 0
    assert await here.environment.sweep(Store.POSTGRES) > 0
    assert await here.environment.census(Store.POSTGRES) == 0
    await run_ok(here, probe)


def planned(operation: str) -> int:
    """How often a run asks something, as its plan says."""
    return next(use.times for use in PROBE.plan() if use.operation == operation)


async def test_the_plan_is_what_the_server_logs(make_site: MakeSite) -> None:
    """Nothing but what the plan names, and as often, as PostgreSQL itself logs it; at which level, is left open there.

    ROLLBACK is what follows where the server itself has ended a transaction. How often it is asked who waits depends
    on the machine.
    """
    here = await make_site(isolation="serializable")
    await run_ok_at(here, "serializable")
    await here.sql(f"ALTER DATABASE {here.database} SET log_statement = 'all'")
    log = here.servers.postgres.log
    before = log.stat().st_size
    await run_ok(here, PROBE)
    written = log.read_bytes()[before:].decode()
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", written)
    sent = Counter(_plain(each) for each in statements)
    assert sum(sent.values()) == len(statements)

    named = {_plain(statement) for use in PROBE.plan() for statement in registers.OPERATIONS[use.operation]}
    assert sent.keys() - named <= {"ROLLBACK"}
    assert sent[registers.STATEMENTS["make"]] == planned("make_registers")
    assert sent[registers.STATEMENTS["look"]] == planned("look_at_registers")
    assert sent[registers.STATEMENTS["remove"]] == planned("remove_registers")
    asides = sum(planned(each) for each in ("make_registers", "look_at_registers", "remove_registers"))
    played = sum(len(SCHEDULES[name].schedule.actors) for name in checked_at("serializable"))
    played += sum(len(SCHEDULES[name].schedule.actors) for name, _ in controls_of("serializable"))
    assert sent[_plain(BEGIN_SHOWN)] == asides + played + len(Ending)


def _plain(statement: str) -> str:
    """A statement as the catalogue shows it, without a level."""
    hidden = re.sub(r"timeout = \d+", "timeout = …", re.sub(r"user-\d'", "user-N'", statement))
    return re.sub(r"^BEGIN[A-Z ]*;", "BEGIN;", hidden)
