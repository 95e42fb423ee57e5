"""Conversations that a real PostgreSQL loses, changes or brings back: each is caught, named, and closed once healed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from monitor.core.verdict import Kind, Reason, Verdict
from monitor.probes.thread import ThreadProbe
from tests.conftest import MakeSite, Site, in_database
from tests.probes.breaking import (
    HEAL,
    RIGHT,
    UNIQUE_AGAIN,
    WITHOUT_UNIQUE,
    Wire,
    heals,
    run_ok,
    run_unknown,
    run_violated,
    trigger,
    unchanged,
    wired,
)

PROBE = ThreadProbe(messages=9, batch=3)  # enough for every kind of content but one in each run
BATCH = range(11, 14)  # its sequence numbers: nine singles, one that is rolled back, then the batch


@dataclass(frozen=True, kw_only=True)
class Break:
    """One way to break conversations, what must be found, and what takes it back beyond dropping the trigger."""

    finds: Kind
    sql: str
    heal: str = ""


BREAKS = {
    "rows vanish at commit": Break(
        finds=Kind.LOST,
        sql=trigger(
            "AT COMMIT", "DELETE FROM holdfast.messages WHERE id = NEW.id; RETURN NULL;", condition="NEW.seq = 2"
        ),
    ),
    "every row vanishes at commit": Break(
        finds=Kind.LOST, sql=trigger("AT COMMIT", "DELETE FROM holdfast.messages WHERE id = NEW.id; RETURN NULL;")
    ),
    "the header vanishes at commit": Break(
        finds=Kind.LOST,
        sql=trigger("AT COMMIT", "DELETE FROM holdfast.threads WHERE id = NEW.id; RETURN NULL;", table="threads"),
    ),
    "the thread vanishes with its last message": Break(
        finds=Kind.LOST,
        sql=trigger(
            "AT COMMIT",
            "DELETE FROM holdfast.threads WHERE id = NEW.thread_id; RETURN NULL;",
            condition=f"NEW.seq = {BATCH[-1]}",
        ),
    ),
    "a thread vanishes when a message of it is edited": Break(
        finds=Kind.LOST,
        sql=trigger("AFTER UPDATE", "DELETE FROM holdfast.threads WHERE id = OLD.thread_id; RETURN NULL;"),
    ),
    "content truncated": Break(
        finds=Kind.CORRUPT, sql=trigger("BEFORE INSERT", "NEW.content := left(NEW.content, 10); RETURN NEW;")
    ),
    "encoding mangled": Break(
        finds=Kind.CORRUPT,
        sql=trigger(
            "BEFORE INSERT",
            "NEW.content := convert_from(convert_to(NEW.content, 'UTF8'), 'LATIN1'); RETURN NEW;",
        ),
    ),
    "unicode normalised": Break(
        finds=Kind.CORRUPT,
        sql=trigger("BEFORE INSERT", "NEW.content := replace(NEW.content, E'e\\u0301', E'\\u00e9'); RETURN NEW;"),
    ),
    "line ends changed": Break(
        finds=Kind.CORRUPT,
        sql=trigger("BEFORE INSERT", "NEW.content := replace(NEW.content, E'\\r\\n', E'\\n'); RETURN NEW;"),
    ),
    "empty text becomes null": Break(
        finds=Kind.CORRUPT, sql=trigger("BEFORE INSERT", "NEW.content := nullif(NEW.content, ''); RETURN NEW;")
    ),
    "metadata dropped": Break(finds=Kind.CORRUPT, sql=trigger("BEFORE INSERT", "NEW.metadata := '{}'; RETURN NEW;")),
    "metadata of the header dropped": Break(
        finds=Kind.CORRUPT, sql=trigger("BEFORE INSERT", "NEW.metadata := '{}'; RETURN NEW;", table="threads")
    ),
    "great numbers rounded": Break(
        finds=Kind.CORRUPT,
        sql=trigger(
            "BEFORE INSERT",
            "IF NEW.metadata ? 'int8' THEN NEW.metadata := NEW.metadata || '{\"int8\": 9223372036854775800}'; END IF;"
            " RETURN NEW;",
        ),
    ),
    "the header's count not kept": Break(
        finds=Kind.CORRUPT,
        sql=trigger("BEFORE UPDATE", "NEW.message_count := least(NEW.message_count, 5); RETURN NEW;", table="threads"),
    ),
    "order lost": Break(
        finds=Kind.REORDERED,
        sql=trigger("BEFORE INSERT", "NEW.seq := 5 - NEW.seq; RETURN NEW;", condition="NEW.seq IN (2, 3)"),
    ),
    "copied under another id": Break(
        finds=Kind.DUPLICATED,
        sql=WITHOUT_UNIQUE
        + trigger(
            "AFTER INSERT",
            "INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)"
            " VALUES (gen_random_uuid(), NEW.thread_id, NEW.instance, NEW.user_id, NEW.seq, NEW.role, NEW.type,"
            " NEW.content, NEW.metadata); RETURN NULL;",
            condition="pg_trigger_depth() = 0",
        ),
        heal=UNIQUE_AGAIN,
    ),
    "one sequence number for two": Break(
        finds=Kind.DUPLICATED,
        sql=WITHOUT_UNIQUE + trigger("BEFORE INSERT", "NEW.seq := 2; RETURN NEW;", condition="NEW.seq = 3"),
        heal=UNIQUE_AGAIN,
    ),
    "delete of a message does not delete": Break(
        finds=Kind.RESURRECTED,
        sql=trigger(
            "AFTER DELETE",
            "IF EXISTS (SELECT FROM holdfast.threads WHERE id = OLD.thread_id)"
            " THEN INSERT INTO holdfast.messages SELECT OLD.*; END IF; RETURN NULL;",
        ),
    ),
    "delete of a thread leaves its header": Break(
        finds=Kind.RESURRECTED,
        sql=trigger("AFTER DELETE", "INSERT INTO holdfast.threads SELECT OLD.*; RETURN NULL;", table="threads"),
    ),
    "update ignored": Break(
        finds=Kind.STALE,
        sql=trigger(
            "AFTER UPDATE",
            "UPDATE holdfast.messages SET role = OLD.role, type = OLD.type, content = OLD.content,"
            " metadata = OLD.metadata WHERE id = OLD.id; RETURN NULL;",
            condition="pg_trigger_depth() = 0",
        ),
    ),
    "half of a batch vanishes": Break(
        finds=Kind.TORN,
        sql=trigger(
            "AT COMMIT",
            "DELETE FROM holdfast.messages WHERE id = NEW.id; RETURN NULL;",
            condition=f"NEW.seq = {BATCH[1]}",
        ),
    ),
    "a whole batch vanishes": Break(
        finds=Kind.LOST,
        sql=trigger(
            "AT COMMIT",
            "DELETE FROM holdfast.messages WHERE id = NEW.id; RETURN NULL;",
            condition=f"NEW.seq >= {BATCH[0]}",
        ),
    ),
    "a stranger's message appears": Break(
        finds=Kind.PHANTOM,
        sql=trigger(
            "AFTER INSERT",
            "INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)"
            " VALUES (gen_random_uuid(), NEW.thread_id, NEW.instance, NEW.user_id, 999, 'user', 'x', 'boo', '{}');"
            " RETURN NULL;",
            condition="pg_trigger_depth() = 0 AND NEW.seq = 1",
        ),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_promise_is_named_and_closes_when_it_is_kept_again(site: Site, name: str) -> None:
    """Healthy: ok. Broken: violated with exactly that kind, again and again. Healed: ok, and the violation closed."""
    broken = BREAKS[name]
    probe = ThreadProbe(messages=11, batch=3) if broken.finds is Kind.CORRUPT else PROBE  # all kinds of content
    await run_ok(site, probe)
    await site.sql(broken.sql)
    await run_violated(site, probe, {broken.finds})
    await run_violated_again(site, probe, broken.finds)
    await site.sql(HEAL + broken.heal)
    await heals(site, probe)


async def run_violated_again(site: Site, probe: ThreadProbe, kind: Kind) -> None:
    """A second run finds the same, and counts it instead of opening another violation."""
    record = await site.run(probe)
    assert record.verdict is Verdict.VIOLATED
    (kept,) = site.desk.journal.standing(site.environment.name)
    assert (kept.kind, kept.times, kept.last_run_id) == (kind, 2, record.run_id)
    assert kept.run_id != record.run_id


@pytest.fixture
async def wire(site: Site) -> AsyncIterator[Wire]:
    """A proxy before PostgreSQL that edits bytes."""
    async with wired(site.servers.postgres.port) as proxy:
        yield proxy


@pytest.fixture
async def behind(make_site: MakeSite, site: Site, wire: Wire) -> Site:
    """The environment of this test as it is seen through the proxy."""
    dsn = in_database(site.servers.postgres.dsn, site.database).replace(
        f":{site.servers.postgres.port}/", f":{wire.port}/"
    )
    return await make_site(postgres_dsn=dsn)


async def test_a_rollback_that_is_committed_on_the_wire_is_a_phantom(behind: Site, wire: Wire) -> None:
    """What was rolled back and is visible all the same is a phantom, and nothing else."""
    await run_ok(behind, PROBE)
    wire.edit(lambda _: (lambda data: data.replace(b"ROLLBACK\0", b"COMMIT  \0"), unchanged))
    await run_violated(behind, PROBE, {Kind.PHANTOM})
    wire.heal()
    await heals(behind, PROBE)


async def test_a_rollback_that_is_committed_and_called_a_rollback_is_a_phantom(behind: Site, wire: Wire) -> None:
    """The same where the answer is changed too, so that nobody on the connection could tell."""
    await run_ok(behind, PROBE)
    told = b"C\0\0\0\x0dROLLBACK\0"

    def edits(_: int) -> tuple[object, object]:
        lied = False

        def there(data: bytes) -> bytes:
            nonlocal lied
            lied = lied or b"ROLLBACK\0" in data
            return data.replace(b"ROLLBACK\0", b"COMMIT  \0")

        def back(data: bytes) -> bytes:
            nonlocal lied
            if lied and b"C\0\0\0\x0bCOMMIT\0" in data:
                lied = False
                return data.replace(b"C\0\0\0\x0bCOMMIT\0", told)
            return data

        return there, back

    wire.edit(edits)  # type: ignore[arg-type]
    await run_violated(behind, PROBE, {Kind.PHANTOM})
    wire.heal()
    await heals(behind, PROBE)


def autocommit(data: bytes) -> bytes:
    """Take transactions out of what a client sends, as a pooler in statement mode or a careless driver does."""
    return data.replace(b"BEGIN; SET LOCAL", b"       SET      ").replace(b"; SET LOCAL", b"; SET      ")


async def test_parts_are_seen_whatever_the_default_level_is(behind: Site, wire: Wire) -> None:
    """Where transactions default to repeatable read, the concurrent reader still sees anew each time it looks."""
    await behind.sql(f"ALTER DATABASE {behind.database} SET default_transaction_isolation = 'repeatable read'")
    await run_ok(behind, PROBE)
    wire.edit(lambda _: (autocommit, unchanged))
    await run_violated(behind, PROBE, {Kind.TORN, Kind.PHANTOM})


async def test_an_autocommitting_pooler_shows_parts_and_keeps_what_was_rolled_back(behind: Site, wire: Wire) -> None:
    """Without transactions a batch is visible before its COMMIT, and a ROLLBACK takes nothing back: torn and phantom.

    Torn, because the concurrent reader sees rows of a transaction whose other part, the header's count, it cannot
    see yet. Phantom, because the row that was rolled back stays.
    """
    await run_ok(behind, PROBE)
    wire.edit(lambda _: (autocommit, unchanged))
    await run_violated(behind, PROBE, {Kind.TORN, Kind.PHANTOM})
    wire.heal()
    await heals(behind, PROBE)


async def test_a_commit_that_is_rolled_back_on_the_wire_is_noticed(behind: Site, wire: Wire) -> None:
    """A COMMIT answered by ROLLBACK has acknowledged nothing: unknown, and the two words stand in the message."""
    await run_ok(behind, PROBE)
    wire.edit(lambda _: (lambda data: data.replace(b"\x0bCOMMIT\0", b"\x0dROLLBACK\0"), unchanged))
    record = await run_unknown(behind, PROBE, Reason.INCONCLUSIVE)
    assert "answered COMMIT by ROLLBACK" in record.finding.message


async def test_one_wrong_look_is_no_proof(behind: Site, wire: Wire) -> None:
    """Where the first look is wrong and the second right, the run cannot tell, and says what it saw."""
    await run_ok(behind, PROBE)
    first: list[int] = []

    def edits(number: int) -> tuple[object, object]:
        def back(data: bytes) -> bytes:
            if b'"tokens"' in data and (not first or first[0] == number):
                first[:] = [number]
                return data.replace(b'"tokens"', b'"tokenz"')
            return data

        return unchanged, back

    wire.edit(edits)  # type: ignore[arg-type]
    record = await run_unknown(behind, PROBE, Reason.INCONCLUSIVE)
    assert record.finding.message == (
        "reload: corrupt was seen once, and a second look on a new connection did not confirm it"
    )
    assert await behind.environment.census(next(iter(PROBE.needs))) == 0


async def test_a_serialization_failure_is_no_violation(site: Site) -> None:
    """40001 and 40P01 are what a client has to expect: the run cannot tell, and the next one is right."""
    await run_ok(site, PROBE)
    for state in ("40001", "40P01"):
        await site.sql(trigger("BEFORE INSERT", f"RAISE EXCEPTION 'sorry' USING ERRCODE = '{state}';"))
        record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
        assert "in step append_message" in record.finding.message
        await site.sql(HEAL)
        assert (await site.run(PROBE)).verdict in RIGHT
