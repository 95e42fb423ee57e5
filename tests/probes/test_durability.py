"""What was acknowledged is there again: healthy, lost, changed, come back, acknowledged, forgiven."""

from __future__ import annotations

import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.core.verdict import Kind, Reason, Verdict
from monitor.ports import Place, Store, SystemClock, Way
from monitor.probes.durability import DurabilityProbe
from monitor.stores import durable_keys, durable_rows
from monitor.stores.api import ApiAddress
from monitor.stores.ledger import Ledgers
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import RIGHT, heals, kinds, run_ok, run_violated

PROBE = DurabilityProbe(rate=0)
POSTGRES, REDIS = Store.POSTGRES, Store.REDIS


@pytest.fixture
async def ledgers(tmp_path: Path) -> AsyncIterator[Ledgers]:
    """Ledgers in a file of their own."""
    kept = Ledgers(tmp_path / "state.db", clock=SystemClock())
    yield kept
    await kept.close()


@pytest.fixture
async def kept(make_site: MakeSite, ledgers: Ledgers) -> Site:
    """An environment with both stores and a ledger that lasts."""
    name = f"env-{secrets.token_hex(4)}"
    return await make_site(name, ledger=ledgers.of(name))


async def write_some(site: Site, runs: int = 3) -> None:
    """A few runs in which all is well."""
    for _ in range(runs):
        await run_ok(site, PROBE)


async def delete_rows(site: Site, which: str = "true") -> None:
    """Records of the ledger vanish, by the hand of a superuser."""
    await site.sql(f"DELETE FROM holdfast.ledger_records WHERE {which}")  # noqa: S608  a test's own


async def test_healthy_runs_are_right_and_kept(kept: Site) -> None:
    """Every run leaves a record in each store, finds it on a new connection, and the ledger counts it."""
    await write_some(kept)
    for store in (POSTGRES, REDIS):
        standing = await kept.environment.ledger.standing(store)
        assert (standing.live, standing.lost, standing.indeterminate) == (3, 0, 0)
    assert await kept.sql("SELECT count(*) FROM holdfast.ledger_records") == "3\n"


async def test_an_api_keeps_nothing_of_its_own(make_site: MakeSite, ledgers: Ledgers) -> None:
    """Where an API stands before the stores a run is of these, and nobody writes by a ledger of the API."""
    name = f"env-{secrets.token_hex(4)}"
    site = await make_site(name, ledger=ledgers.of(name), api=ApiAddress(base_url="http://127.0.0.1:9/"))
    assert Store.API in site.environment.stores
    for _ in range(3):
        record = await run_ok(site, DurabilityProbe())
        assert record.finding.checks > 0
    with pytest.raises(LookupError):
        site.environment.durables(Store.API)


async def test_without_a_daemon_nothing_stays(site: Site) -> None:
    """With a ledger that remembers nothing, a run removes what it wrote, and says what it therefore left out."""
    for _ in range(3):
        record = await run_ok(site, PROBE)
        assert any("remembers" in sentence for sentence in record.finding.left_out)
    assert await site.sql("SELECT count(*) FROM holdfast.ledger_records") == "0\n"
    assert await site.sql("SELECT count(*) FROM holdfast.ledger_registers") == "0\n"
    assert await site.servers.valkey.command("KEYS", f"holdfast:{site.environment.name}:*") == []


async def test_deleted_records_are_lost_exactly(kept: Site) -> None:
    """Two of four records that somebody deletes are two lost ones, with no better cause than that nothing changed."""
    await write_some(kept, 4)
    await delete_rows(kept, "n IN (1, 3)")
    kept.environment.scribe(POSTGRES).alarm += 1
    record = await run_violated(kept, PROBE, {Kind.LOST})
    (loss,) = await kept.environment.ledger.losses()
    assert (loss.store, loss.cause, loss.records) == (POSTGRES, "unexplained", 2)
    assert len(record.finding.violations) == 1
    assert record.finding.violations[0].evidence["cause"] == "unexplained"


async def test_a_loss_stands_until_it_is_acknowledged(kept: Site) -> None:
    """Run after run it is violated; once somebody has acknowledged that, the next is right and closes it."""
    await write_some(kept)
    await delete_rows(kept, "n = 2")
    kept.environment.scribe(POSTGRES).alarm += 1
    await run_violated(kept, PROBE, {Kind.LOST})
    for _ in range(2):
        assert kinds(await kept.run(PROBE)) == {Kind.LOST}
    (standing,) = kept.desk.journal.standing(kept.environment.name)
    await kept.desk.journal.acknowledge(standing.id)
    await heals(kept, PROBE)
    assert len(await kept.environment.ledger.losses()) == 1


async def test_records_that_come_back_end_a_loss(kept: Site) -> None:
    """What was deleted and is put back is no longer lost."""
    await write_some(kept)
    await kept.sql("CREATE TABLE public.aside AS SELECT * FROM holdfast.ledger_records WHERE n = 2")
    await delete_rows(kept, "n = 2")
    kept.environment.scribe(POSTGRES).alarm += 1
    await run_violated(kept, PROBE, {Kind.LOST})
    await kept.sql("INSERT INTO holdfast.ledger_records SELECT * FROM public.aside")
    await heals(kept, PROBE)


async def test_a_changed_record_is_corrupt(kept: Site) -> None:
    """One character is enough."""
    await write_some(kept)
    change = "UPDATE holdfast.ledger_records SET content = {} WHERE n = 2"
    await kept.sql(change.format("content || '.'"))
    kept.environment.scribe(POSTGRES).alarm += 1
    await run_violated(kept, PROBE, {Kind.CORRUPT})
    await kept.sql(change.format("left(content, -1)"))
    await heals(kept, PROBE)


async def test_what_was_retired_must_not_come_back(kept: Site) -> None:
    """A record whose deletion was acknowledged is resurrected if it is there again."""
    short = DurabilityProbe(rate=0, ladder=(timedelta(milliseconds=1), timedelta(milliseconds=2)))
    await kept.environment.prepare({POSTGRES: 1})
    await kept.sql(
        "CREATE TABLE public.aside AS TABLE holdfast.ledger_records;"
        "CREATE FUNCTION public.remember() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS"
        " $$ BEGIN INSERT INTO public.aside SELECT old.*; RETURN old; END $$;"
        "CREATE TRIGGER zz BEFORE DELETE ON holdfast.ledger_records FOR EACH ROW EXECUTE FUNCTION public.remember()"
    )
    for _ in range(3):
        await run_ok(kept, short)
    retired = int(await kept.sql("SELECT count(*) FROM public.aside"))
    assert retired >= 1
    assert (await kept.environment.ledger.standing(POSTGRES)).expired == retired
    await kept.sql("INSERT INTO holdfast.ledger_records SELECT * FROM public.aside")
    kept.environment.scribe(POSTGRES).alarm += 1
    await run_violated(kept, short, {Kind.RESURRECTED})


async def test_a_flush_is_told_by_its_cause(kept: Site) -> None:
    """FLUSHALL takes everything, and the server's own count of flushes says so."""
    await write_some(kept)
    await kept.servers.valkey.command("FLUSHALL")
    await run_violated(kept, PROBE, {Kind.LOST})
    (loss,) = await kept.environment.ledger.losses()
    assert (loss.store, loss.cause, loss.records) == (REDIS, "flush", 3)


async def test_a_register_that_is_set_back_is_a_loss_of_writes(kept: Site) -> None:
    """Whoever puts an older row back takes the moves since then away, although no record is missing."""
    await write_some(kept)
    (before,) = (await kept.sql("SELECT mark FROM holdfast.ledger_registers")).split()
    for _ in range(5):
        await kept.environment.scribe(POSTGRES).write(identified=False)
    await kept.sql(f"UPDATE holdfast.ledger_registers SET mark = '{before}'")  # noqa: S608  a mark
    await run_violated(kept, PROBE, {Kind.LOST})
    (loss,) = await kept.environment.ledger.losses()
    assert (loss.writes, loss.records, loss.suffix) == (5, 0, True)


async def test_a_declared_restore_forgives(kept: Site) -> None:
    """What came after its point is no violation any more, also if it is declared anew; what came before stays one."""
    await write_some(kept, 2)
    point = kept.environment.ledger.now()
    await write_some(kept, 2)
    await delete_rows(kept, "n IN (3, 4)")
    kept.environment.scribe(POSTGRES).alarm += 1
    await run_violated(kept, PROBE, {Kind.LOST})
    for note in ("a restore", "the same, with another note"):
        await kept.environment.ledger.declare_restore(point, note=note)
        await heals(kept, PROBE)
        (loss,) = await kept.environment.ledger.losses()
        assert loss.settled_by == "a declared restore"
    await delete_rows(kept, "n = 1")
    kept.environment.scribe(POSTGRES).alarm += 1
    await run_violated(kept, PROBE, {Kind.LOST})


async def test_a_replica_that_is_down_is_only_not_asked(make_site: MakeSite, ledgers: Ledgers) -> None:
    """What cannot be asked of a replica is left out, and says nothing of the primary."""
    name = f"env-{secrets.token_hex(4)}"
    down = {Place(REDIS, Way.REPLICA, "eu-2"): "redis://127.0.0.1:1/0"}
    site = await make_site(name, ledger=ledgers.of(name), others=down)
    record = await site.run(PROBE)
    assert record.verdict in RIGHT
    assert any("redis replica eu-2 could not be asked" in sentence for sentence in record.finding.left_out)


async def test_a_replica_that_hangs_does_not_hide_a_loss(
    kept: Site, make_site: MakeSite, make_proxy: MakeProxy, ledgers: Ledgers
) -> None:
    """An old primary that takes connections and answers nothing has `patience`; the run has its time all the same."""
    hanging = await make_proxy(kept.servers.postgres.port)
    hanging.blackhole = True
    name = f"env-{secrets.token_hex(4)}"
    old = {
        Place(POSTGRES, Way.REPLICA, "old"): kept.dsn.replace(f":{kept.servers.postgres.port}/", f":{hanging.port}/")
    }
    site = await make_site(name, ledger=ledgers.of(name), others=old)
    impatient = DurabilityProbe(rate=0, patience=timedelta(seconds=1), timeout=timedelta(seconds=10))
    await site.run(impatient)
    await delete_rows(site, "n = 1")
    site.environment.scribe(POSTGRES).alarm += 1
    record = await site.run(impatient)
    assert kinds(record) == {Kind.LOST}
    assert any("old could not be asked" in sentence and "within 1s" in sentence for sentence in record.finding.left_out)


async def test_one_store_that_is_down_does_not_hide_the_other(
    make_site: MakeSite, make_proxy: MakeProxy, ledgers: Ledgers
) -> None:
    """While Redis does not answer, a loss in PostgreSQL is found, and without one the run cannot tell."""
    name = f"env-{secrets.token_hex(4)}"
    valkey = (await make_site()).servers.valkey
    proxy = await make_proxy(valkey.port)
    url = valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/")
    site = await make_site(name, ledger=ledgers.of(name), redis_url=url)
    await write_some(site)
    await proxy.stop()
    record = await site.run(PROBE)
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.UNREACHABLE)
    assert record.finding.place == str(Place(REDIS))
    await delete_rows(site, "n = 1")
    site.environment.scribe(POSTGRES).alarm += 1
    record = await site.run(PROBE)
    assert (record.verdict, kinds(record)) == (Verdict.VIOLATED, {Kind.LOST})


async def test_the_ledger_is_remembered_over_restarts(make_site: MakeSite, tmp_path: Path) -> None:
    """A second daemon with the same state finds missing what the first had been told."""
    name = f"env-{secrets.token_hex(4)}"
    first = Ledgers(tmp_path / "state.db", clock=SystemClock())
    site = await make_site(name, ledger=first.of(name))
    await write_some(site)
    await first.close()
    await delete_rows(site, "n = 2")
    second = Ledgers(tmp_path / "state.db", clock=SystemClock())
    again = await make_site(name, ledger=second.of(name), instance=site.environment._instance)
    await run_violated(again, PROBE, {Kind.LOST})
    await second.close()


async def test_the_plan_is_what_the_server_logs(kept: Site) -> None:
    """Every statement of a run without a pulse, as PostgreSQL logs it, is in the plan as often as it was sent."""
    probe = DurabilityProbe(rate=0, ladder=(timedelta(microseconds=1), timedelta(microseconds=2)))
    await run_ok(kept, probe)
    await kept.sql(f"ALTER DATABASE {kept.database} SET log_statement = 'all'")
    log = kept.servers.postgres.log
    before = log.stat().st_size
    await run_ok(kept, probe)
    written = log.read_bytes()[before:].decode()
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", written)
    sent = Counter(re.sub(r"timeout = \d+", "timeout = …", each) for each in statements)
    of_words = {each for each in sent if "enable_" in each or "holdfast.words" in each or "datcollversion" in each}

    planned: Counter[str] = Counter()
    for use in probe.plan():
        if use.store is POSTGRES and use.operation != "compare_indexes":  # as often as there are indexes
            for statement in durable_rows.OPERATIONS[use.operation]:
                planned[statement] += use.times
    begin = next(each for each in of_words if each.startswith("BEGIN"))
    assert +planned == Counter({each: n for each, n in sent.items() if each not in of_words}) - Counter(ROLLBACK=1)
    assert sent[begin] == 1


async def test_the_plan_is_what_goes_over_the_wire(
    make_site: MakeSite, make_proxy: MakeProxy, ledgers: Ledgers
) -> None:
    """Every command of a run without a pulse is in the plan as often as Redis is asked it."""
    name = f"env-{secrets.token_hex(4)}"
    valkey = (await make_site()).servers.valkey
    proxy = await make_proxy(valkey.port)
    url = valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/")
    site = await make_site(name, ledger=ledgers.of(name), redis_url=url, postgres_dsn=None)
    probe = DurabilityProbe(rate=0, ladder=(timedelta(microseconds=1), timedelta(microseconds=2)))
    await run_ok(site, probe)
    sent: Counter[str] = Counter()

    def count(command: list[bytes]) -> list[bytes]:
        sent[command[0].decode()] += 1
        return command

    proxy.rewrite = count
    await run_ok(site, probe)
    planned: Counter[str] = Counter()
    for use in probe.plan():
        if use.store is REDIS:
            for command in durable_keys.OPERATIONS[use.operation]:
                planned[command.split()[0]] += use.times
    for setup in ("AUTH", "CLIENT"):  # once for each connection
        assert sent.pop(setup) == 3
    assert +sent == +planned
