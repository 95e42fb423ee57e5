"""Whatever befalls PostgreSQL while long conversations are written and read: nobody is accused, nothing is left."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from monitor.core.verdict import Reason, Verdict
from monitor.ports import Store
from monitor.probes.history import HistoryProbe
from tests.conftest import MakeSite, Site, in_database
from tests.probes.breaking import (
    HEAL,
    Wire,
    cutting,
    nobody_works_for_it,
    run_ok,
    run_unknown,
    trigger,
    unchanged,
    wired,
)

PROBE = HistoryProbe(sizes=(20, 60), page=20)


@pytest.fixture
async def wire(site: Site) -> AsyncIterator[Wire]:
    """A proxy before PostgreSQL that edits bytes."""
    async with wired(site.servers.postgres.port) as opened:
        yield opened


@pytest.fixture
async def behind(make_site: MakeSite, site: Site, wire: Wire) -> Site:
    """The environment of this test as it is seen through the proxy, where a run may be swept up at once."""
    dsn = in_database(site.servers.postgres.dsn, site.database)
    moved = dsn.replace(f":{site.servers.postgres.port}/", f":{wire.port}/")
    return await make_site(postgres_dsn=moved, longest_run=timedelta(0))


async def test_a_cut_at_any_moment_is_no_violation_and_leaves_nothing_that_is_not_swept(
    behind: Site, site: Site, wire: Wire
) -> None:
    """The connections are cut at twenty moments of a run: requests lost and answers lost; nobody is accused."""
    await run_ok(behind, PROBE)  # the first run sends more than those that follow
    counted = [0]
    wire.edit(cutting(wire, -1, counted))
    await run_ok(behind, PROBE)
    ends = Counter[Verdict]()
    for moment in sorted(random.Random(1).sample(range(2, counted[0] - 4), 20)):  # noqa: S311  the same moments
        wire.edit(cutting(wire, moment, [0]))
        record = await behind.run(PROBE)
        ends[record.verdict] += 1
        assert record.finding.reason in {Reason.UNREACHABLE, None}, record.finding.message
    assert ends.keys() <= {Verdict.OK, Verdict.SLOW, Verdict.UNKNOWN}
    assert ends[Verdict.UNKNOWN] >= 10
    wire.heal()
    assert await nobody_works_for_it(site)
    assert await behind.environment.census(Store.POSTGRES) > 0
    assert await behind.environment.sweep(Store.POSTGRES) > 0
    assert await behind.environment.census(Store.POSTGRES) == 0
    await run_ok(behind, PROBE)


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_a_serialization_failure_is_no_violation(site: Site, state: str) -> None:
    """What a client has to expect: the run cannot tell, says in which step it was, and the next one is right."""
    await run_ok(site, PROBE)
    await site.sql(trigger("BEFORE INSERT", f"RAISE EXCEPTION 'sorry' USING ERRCODE = '{state}';"))
    record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
    assert "in step insert" in record.finding.message
    await site.sql(HEAL)
    await run_ok(site, PROBE)


async def test_a_batch_that_is_refused_is_no_violation(site: Site) -> None:
    """Where a right is missing the run says which, and what to do."""
    await run_ok(site, PROBE)
    await site.sql("ALTER TABLE holdfast.messages OWNER TO postgres; REVOKE ALL ON holdfast.messages FROM holdfast")
    record = await run_unknown(site, PROBE, Reason.REFUSED)
    assert "permission denied for table messages" in record.finding.message
    assert "`holdfast setup ENV --print`" in record.finding.message


async def test_a_commit_that_is_rolled_back_on_the_wire_is_noticed(behind: Site, wire: Wire) -> None:
    """A COMMIT answered by ROLLBACK has acknowledged nothing."""
    await run_ok(behind, PROBE)
    wire.edit(lambda _: (lambda data: data.replace(b"\x0bCOMMIT\0", b"\x0dROLLBACK\0"), unchanged))
    record = await run_unknown(behind, PROBE, Reason.INCONCLUSIVE)
    assert "answered COMMIT by ROLLBACK" in record.finding.message
