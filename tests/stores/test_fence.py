"""Whose a database is: one environment's, however many daemons look after it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from monitor.core.residue import Instance
from monitor.core.verdict import Reason
from monitor.ports import Store, StoreError
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe
from tests.conftest import MakeSite
from tests.probes.breaking import RIGHT, run_ok, run_unknown

PROBE = ThreadProbe()
SESSION = SessionProbe(brief_ttl=timedelta(milliseconds=100))


async def test_another_environment_s_database_is_not_touched(make_site: MakeSite) -> None:
    """A DSN that points at another environment's database is misconfigured; both names and the next step are said."""
    await run_ok(await make_site("production"), PROBE)
    staging = await make_site("staging")
    record = await run_unknown(staging, PROBE, Reason.MISCONFIGURED)
    for words in ("'production'", "'staging'", "check the DSN", f"127.0.0.1:{staging.servers.postgres.port}"):
        assert words in record.finding.message
    with pytest.raises(StoreError, match="belongs to the environment 'production'"):
        await staging.environment.sweep(Store.POSTGRES, everybody=True)
    assert await staging.sql("SELECT count(*) FROM holdfast.threads") == "0\n"


async def test_a_database_that_changes_hands_is_noticed_after_a_renaming(make_site: MakeSite) -> None:
    """Who was refused is let in once the row of the database names it, without a restart."""
    await run_ok(await make_site("production"), PROBE)
    renamed = await make_site("live")
    await run_unknown(renamed, PROBE, Reason.MISCONFIGURED)
    await renamed.sql("UPDATE holdfast.environment SET name = 'live'")
    await run_ok(renamed, PROBE)


async def test_two_daemons_on_one_environment_do_not_disturb_each_other(make_site: MakeSite) -> None:
    """Twenty interleaved runs of two daemons, with sweeps between, are all right."""
    daemons = [await make_site("shared", instance=Instance(mark, 1)) for mark in ("aaaaaaaa", "bbbbbbbb")]

    async def works(number: int) -> None:
        for _ in range(10):
            for probe in (PROBE, SESSION):
                record = await daemons[number].run(probe)
                assert record.verdict in RIGHT, record.finding.message
            for store in Store:
                assert await daemons[number].environment.sweep(store) == 0

    await asyncio.gather(works(0), works(1))
    assert await daemons[0].environment.census(Store.POSTGRES) == 0


@pytest.mark.parametrize("attempt", range(5))
async def test_daemons_that_meet_an_empty_database_at_once_agree_on_one_schema(
    make_site: MakeSite, attempt: int
) -> None:
    """Four daemons provision the same database at the same moment: one does, all go on, none fails."""
    daemons = [await make_site("shared", instance=Instance(f"aaaaaaa{attempt}", number)) for number in range(4)]
    records = await asyncio.gather(*(daemon.run(PROBE) for daemon in daemons))
    assert {record.verdict for record in records} <= RIGHT, [record.finding.message for record in records]
    assert await daemons[0].sql("SELECT name FROM holdfast.environment") == "shared\n"
    assert await daemons[0].sql("SELECT count(*) FROM pg_policies WHERE schemaname = 'holdfast'") == "7\n"


async def test_two_environments_that_race_for_a_database_do_not_share_it(make_site: MakeSite) -> None:
    """Of two environments that provision one database at once, one gets it and the other is told whose it is."""
    sites = [await make_site(name) for name in ("production", "staging")]
    records = await asyncio.gather(*(site.run(PROBE) for site in sites))
    owner = (await sites[0].sql("SELECT name FROM holdfast.environment")).strip()
    for site, record in zip(sites, records, strict=True):
        if site.environment.name == owner:
            assert record.verdict in RIGHT
        else:
            assert record.finding.reason is Reason.MISCONFIGURED
            assert repr(owner) in record.finding.message
