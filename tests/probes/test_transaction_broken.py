"""Transactions that a real PostgreSQL breaks: each is caught, named, and closed once healed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from monitor.core.levels import Isolation
from monitor.core.verdict import Kind, Reason
from monitor.probes.transaction import TransactionProbe
from tests.conftest import MakeSite, Site
from tests.probes.breaking import Edit, Wire, heals, kinds, run_ok, run_unknown, run_violated, unchanged, wired
from tests.probes.test_thread_weather import moved

RARELY, ALWAYS = timedelta(days=3650), timedelta(seconds=30)
PROBE = TransactionProbe(generate_every=RARELY)
THOROUGH = TransactionProbe(generate_every=ALWAYS)

HEAL = "SET client_min_messages = warning; DROP SCHEMA IF EXISTS broken CASCADE;"


def trigger(when: str, body: str, *, condition: str = "true") -> str:
    """SQL of a trigger on registers that a migration or a tool may have left behind; it acts as a superuser."""
    deferred = when == "AT COMMIT"
    moment = "AFTER INSERT ON holdfast.registers DEFERRABLE INITIALLY DEFERRED" if deferred else when
    return f"""
        CREATE SCHEMA broken;
        CREATE FUNCTION broken.act() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body} END $$;
        CREATE {"CONSTRAINT " if deferred else ""}TRIGGER zz_broken
            {moment if deferred else f"{when} ON holdfast.registers"}
            FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION broken.act();
    """


DELETE = "DELETE FROM holdfast.registers WHERE run = NEW.run AND id = NEW.id; RETURN NULL;"

BREAKS = {
    "rows vanish at commit": (trigger("AT COMMIT", DELETE, condition="NEW.value IN (101, 102, 103)"), {Kind.LOST}),
    "every row vanishes at commit": (trigger("AT COMMIT", DELETE), {Kind.LOST}),
    "a row vanishes at commit": (trigger("AT COMMIT", DELETE, condition="NEW.value = 103"), {Kind.TORN}),
    "a value is changed": (
        trigger("BEFORE INSERT", "NEW.value := NEW.value + 1; RETURN NEW;", condition="NEW.value = 103"),
        {Kind.CORRUPT},
    ),
    "a row is made that nobody wrote": (
        trigger(
            "AFTER INSERT",
            "INSERT INTO holdfast.registers VALUES (NEW.run, 99, NEW.instance, NEW.user_id, 7); RETURN NULL;",
            condition="NEW.value = 101",
        ),
        {Kind.PHANTOM},
    ),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_promise_is_named_and_closes_when_it_is_kept_again(site: Site, name: str) -> None:
    """Healthy: ok. Broken: violated with exactly that kind, again and again. Healed: ok, and the violation closed."""
    script, expected = BREAKS[name]
    await run_ok(site, PROBE)
    await site.sql(script)
    await run_violated(site, PROBE, expected)
    assert kinds(await site.run(PROBE)) == expected
    await site.sql(HEAL)
    await heals(site, PROBE)


@dataclass(frozen=True, kw_only=True)
class Weaker:
    """A level that is declared, one at which transactions begin all the same, and what then occurs."""

    declared: Isolation
    begun: Isolation
    finds: frozenset[Kind]


LEVELS = {
    "repeatable read for serializable": Weaker(
        declared="serializable", begun="repeatable read", finds=frozenset({Kind.WRITE_SKEW})
    ),
    "read committed for serializable": Weaker(
        declared="serializable",
        begun="read committed",
        finds=frozenset({Kind.LOST_UPDATE, Kind.READ_SKEW, Kind.WRITE_SKEW}),
    ),
    "read committed for repeatable read": Weaker(
        declared="repeatable read", begun="read committed", finds=frozenset({Kind.LOST_UPDATE, Kind.READ_SKEW})
    ),
}


async def begins_at(site: Site, level: Isolation) -> None:
    """Transactions in this database begin at this level from now on."""
    await site.sql(f"ALTER DATABASE {site.database} SET default_transaction_isolation = '{level}'")


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("probe", [PROBE, THOROUGH], ids=["schedules", "with-history"])
async def test_a_level_that_is_weaker_than_declared_is_found_out(
    make_site: MakeSite, probe: TransactionProbe, name: str
) -> None:
    """Exactly the anomalies of the weaker level; the sentence says at which level transactions begin."""
    weaker = LEVELS[name]
    here = await make_site(isolation=weaker.declared)
    await here.environment.prepare(dict.fromkeys(probe.needs, 1))
    await begins_at(here, weaker.declared)
    await run_ok(here, probe)
    await begins_at(here, weaker.begun)
    record = await run_violated(here, probe, weaker.finds)
    assert f"transactions begin at {weaker.begun}" in record.finding.message
    await begins_at(here, weaker.declared)
    await heals(here, probe)


async def test_a_level_that_is_stronger_than_declared_is_no_fault(make_site: MakeSite) -> None:
    """Who declares less than there is is promised nothing that does not hold."""
    here = await make_site(isolation="read committed")
    await here.environment.prepare(dict.fromkeys(PROBE.needs, 1))
    await begins_at(here, "serializable")
    for _ in range(5):
        await run_ok(here, THOROUGH)


@pytest.fixture
async def wire(site: Site) -> AsyncIterator[Wire]:
    """A proxy before PostgreSQL that edits bytes."""
    async with wired(site.servers.postgres.port) as opened:
        yield opened


def replacing(words: bytes, others: bytes) -> Edit:
    """Other words of the same length."""
    return lambda data: data.replace(words, others.ljust(len(words) - 1) + words[-1:])


async def test_what_is_rolled_back_and_stays_is_a_phantom(make_site: MakeSite, site: Site, wire: Wire) -> None:
    """ROLLBACK that becomes COMMIT on its way."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port))
    await run_ok(here, PROBE)
    wire.edit(lambda _: (replacing(b"ROLLBACK\0", b"COMMIT"), unchanged))
    await run_violated(here, PROBE, {Kind.PHANTOM})
    wire.heal()
    await heals(here, PROBE)


async def test_a_rollback_that_commits_now_and_then_is_found_by_a_history(
    make_site: MakeSite, site: Site, wire: Wire
) -> None:
    """Where only transactions that changed lists are committed against their will, others read what was taken back."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port))
    await run_ok(here, THOROUGH)

    def edits(_: int) -> tuple[Edit, Edit]:
        of_lists = [False]

        def there(data: bytes) -> bytes:
            of_lists[0] = of_lists[0] or b"SET items" in data  # said once, when the statement is prepared
            return replacing(b"ROLLBACK\0", b"COMMIT")(data) if of_lists[0] else data

        return there, unchanged

    wire.edit(edits)
    await run_violated(here, THOROUGH, {Kind.ABORTED_READ})
    wire.heal()
    await heals(here, THOROUGH)


async def test_row_locks_that_are_not_taken_lose_an_update(make_site: MakeSite, site: Site, wire: Wire) -> None:
    """FOR UPDATE that is dropped on its way."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port))
    await run_ok(here, PROBE)
    wire.edit(lambda _: (replacing(b" FOR UPDATE\0", b""), unchanged))
    await run_violated(here, PROBE, {Kind.LOST_UPDATE})
    wire.heal()
    await heals(here, PROBE)


async def test_a_commit_that_is_acknowledged_where_it_failed_is_lost(
    make_site: MakeSite, site: Site, wire: Wire
) -> None:
    """Somebody between who answers COMMIT where the server answered ROLLBACK to it."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port))
    await run_ok(here, PROBE)

    def edits(_: int) -> tuple[Edit, Edit]:
        committing = [False]

        def there(data: bytes) -> bytes:
            committing[0] = b"COMMIT\0" in data
            return data

        def back(data: bytes) -> bytes:
            failed = b"C\0\0\0\x0dROLLBACK\0"
            return data.replace(failed, b"C\0\0\0\x0bCOMMIT\0") if committing[0] else data

        return there, back

    wire.edit(edits)
    await run_violated(here, PROBE, {Kind.LOST})
    wire.heal()
    await heals(here, PROBE)


async def test_an_anomaly_that_a_second_look_does_not_show_is_a_doubt(
    make_site: MakeSite, site: Site, wire: Wire
) -> None:
    """Only the first three connections drop their locks: what was seen once is neither a violation nor ok."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port))
    await run_ok(here, PROBE)
    wire.edit(lambda number: (replacing(b" FOR UPDATE\0", b"") if number < 3 else unchanged, unchanged))
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert "schedule locked update: lost_update was seen once" in record.finding.message


async def test_schedules_that_show_nothing_at_the_level_below_prove_nothing(
    make_site: MakeSite, site: Site, wire: Wire
) -> None:
    """A server, or a proxy, that makes every transaction serializable hides what the control must show."""
    here = await make_site(postgres_dsn=moved(site, port=wire.port), isolation="repeatable read")
    await here.environment.prepare(dict.fromkeys(PROBE.needs, 1))
    await begins_at(site, "repeatable read")
    await run_ok(here, PROBE)
    wire.edit(lambda _: (replacing(b"LEVEL READ COMMITTED;", b"LEVEL SERIALIZABLE;;"), unchanged))
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert "did not show its anomaly at read committed" in record.finding.message
