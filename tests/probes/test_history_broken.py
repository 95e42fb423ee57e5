"""Long conversations that a real PostgreSQL cuts off, doubles or shuffles, each in one of the ways to read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from monitor.core.verdict import Kind, Reason
from monitor.probes.history import HistoryProbe
from tests.conftest import MakeSite, Site, in_database
from tests.probes.breaking import (
    HEAL,
    UNIQUE_AGAIN,
    WITHOUT_UNIQUE,
    Edit,
    Wire,
    heals,
    run_ok,
    run_unknown,
    run_violated,
    trigger,
    unchanged,
    wired,
)

PROBE = HistoryProbe(sizes=(20, 60), page=20)


def hiding(shown: str, *, from_queries: str = "%") -> str:
    """SQL of a policy that shows those messages only, to the queries that look like that."""
    return f"""
        CREATE SCHEMA broken;
        CREATE FUNCTION broken.last(thread uuid) RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER AS
            'SELECT max(seq) FROM holdfast.messages WHERE thread_id = thread';
        CREATE POLICY broken ON holdfast.messages AS RESTRICTIVE FOR SELECT
            USING (current_query() NOT LIKE '{from_queries}' OR ({shown} AND broken.last(thread_id) > 0));
    """  # noqa: S608  constants


@dataclass(frozen=True, kw_only=True)
class Break:
    """One way to break histories, what must be found in which look, and what takes it back beyond the schema."""

    finds: Kind
    by: str
    sql: str
    heal: str = ""


BREAKS = {
    "only the oldest come back": Break(finds=Kind.LOST, by="reload of 60 messages", sql=hiding("seq <= 40")),
    "only the newest come back": Break(finds=Kind.LOST, by="reload of 20 messages", sql=hiding("seq > 1")),
    "one in the middle vanishes at commit": Break(
        finds=Kind.LOST,
        by="reload of 60 messages",
        sql=trigger(
            "AT COMMIT", "DELETE FROM holdfast.messages WHERE id = NEW.id; RETURN NULL;", condition="NEW.seq = 33"
        ),
    ),
    "a thread vanishes with its messages": Break(
        finds=Kind.LOST,
        by="reload of 60 messages",
        sql=trigger(
            "AT COMMIT",
            "DELETE FROM holdfast.threads WHERE id = NEW.thread_id; RETURN NULL;",
            condition="NEW.seq = 60",
        ),
    ),
    "a new thread vanishes": Break(
        finds=Kind.LOST,
        by="reload of 0 messages",
        sql=trigger("AT COMMIT", "DELETE FROM holdfast.threads WHERE id = NEW.id; RETURN NULL;", table="threads"),
    ),
    "a thread vanishes when another is deleted": Break(
        finds=Kind.LOST,
        by="reload of 20 messages",
        sql=trigger(
            "AFTER DELETE",
            "DELETE FROM holdfast.threads WHERE message_count = 20; RETURN NULL;",
            table="threads",
            condition="OLD.message_count = 60",
        ),
    ),
    "pages end early": Break(
        finds=Kind.LOST, by="pages of 60 messages", sql=hiding("seq <= 47", from_queries="%seq > $2%")
    ),
    "the newest page misses the last": Break(
        finds=Kind.LOST,
        by="newest of 20 messages",
        sql=hiding("seq < broken.last(thread_id)", from_queries="%DESC%"),
    ),
    "the count is too small": Break(
        finds=Kind.LOST, by="count of 60 messages", sql=hiding("seq <> 21", from_queries="%count(*)%")
    ),
    "two share a sequence number": Break(
        finds=Kind.DUPLICATED,
        by="reload of 60 messages",
        sql=WITHOUT_UNIQUE + trigger("BEFORE INSERT", "NEW.seq := 40; RETURN NEW;", condition="NEW.seq = 41"),
        heal=UNIQUE_AGAIN,
    ),
    "written twice": Break(
        finds=Kind.DUPLICATED,
        by="reload of 20 messages",
        sql=trigger(
            "AFTER INSERT",
            "INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)"
            " VALUES (gen_random_uuid(), NEW.thread_id, NEW.instance, NEW.user_id, -NEW.seq, NEW.role, NEW.type,"
            " NEW.content, NEW.metadata); RETURN NULL;",
            condition="pg_trigger_depth() = 0",
        ),
    ),
    "numbered by a timestamp with ties": Break(
        finds=Kind.REORDERED,
        by="reload of 60 messages",
        sql=trigger(
            "AT COMMIT",
            "UPDATE holdfast.messages SET seq = -place FROM (SELECT id AS of, row_number()"
            " OVER (ORDER BY date_trunc('hour', created_at), md5(id::text)) AS place FROM holdfast.messages"
            " WHERE thread_id = NEW.thread_id) AS sorted WHERE id = of;"
            " UPDATE holdfast.messages SET seq = -seq WHERE thread_id = NEW.thread_id; RETURN NULL;",
            condition="NEW.seq = 60",
        ),
    ),
    "metadata dropped": Break(
        finds=Kind.CORRUPT,
        by="reload of 20 messages",
        sql=trigger("BEFORE INSERT", "NEW.metadata := '{}'; RETURN NEW;"),
    ),
    "the header's count not kept": Break(
        finds=Kind.CORRUPT,
        by="reload of 60 messages",
        sql=trigger("BEFORE UPDATE", "NEW.message_count := least(NEW.message_count, 50); RETURN NEW;", table="threads"),
    ),
    "a stranger's message appears": Break(
        finds=Kind.PHANTOM,
        by="reload of 20 messages",
        sql=trigger(
            "AFTER INSERT",
            "INSERT INTO holdfast.messages (id, thread_id, instance, user_id, seq, role, type, content, metadata)"
            " VALUES (gen_random_uuid(), NEW.thread_id, NEW.instance, NEW.user_id, 999, 'user', 'x', 'boo', '{}');"
            " RETURN NULL;",
            condition="pg_trigger_depth() = 0 AND NEW.seq = 1",
        ),
    ),
    "a deleted thread leaves its header": Break(
        finds=Kind.RESURRECTED,
        by="count after deletion",
        sql=trigger("AFTER DELETE", "INSERT INTO holdfast.threads SELECT OLD.*; RETURN NULL;", table="threads"),
    ),
    "a deleted thread leaves its messages": Break(
        finds=Kind.RESURRECTED,
        by="count after deletion",
        sql="CREATE SCHEMA broken; ALTER TABLE holdfast.messages DROP CONSTRAINT messages_thread_id_fkey;",
        heal="DELETE FROM holdfast.messages; ALTER TABLE holdfast.messages ADD CONSTRAINT messages_thread_id_fkey"
        " FOREIGN KEY (thread_id) REFERENCES holdfast.threads (id) ON DELETE CASCADE;",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_promise_is_named_by_the_first_look_that_shows_it(site: Site, name: str) -> None:
    """Healthy: ok. Broken: violated with exactly that kind, by that look. Healed: ok, and the violation closed."""
    broken = BREAKS[name]
    await run_ok(site, PROBE)
    await site.sql(broken.sql)
    record = await run_violated(site, PROBE, {broken.finds})
    assert {violation.evidence["check"] for violation in record.finding.violations} == {broken.by}
    await site.sql(HEAL + broken.heal)
    await heals(site, PROBE)


async def test_ten_thousand_alike_are_told_by_the_first_of_them(site: Site) -> None:
    """Where every message is damaged, twenty are shown, with the number of all."""
    probe = HistoryProbe(sizes=(300,))
    await run_ok(site, probe)
    await site.sql(trigger("BEFORE INSERT", "NEW.metadata := '{}'; RETURN NEW;"))
    record = await run_violated(site, probe, {Kind.CORRUPT})
    assert [violation.evidence["in_all"] for violation in record.finding.violations] == [300] * 20
    await site.sql(HEAL)


async def test_the_longest_history_that_may_be_asked_for_comes_back(site: Site) -> None:
    """Ten thousand messages, a thousand on a page, are right like fifty."""
    record = await run_ok(site, HistoryProbe(sizes=(10_000,), page=1000))
    assert [step.messages for step in record.steps if step.name == "pages"] == [10_000]


@pytest.fixture
async def wire(site: Site) -> AsyncIterator[Wire]:
    """A proxy before PostgreSQL that edits bytes."""
    async with wired(site.servers.postgres.port) as proxy:
        yield proxy


@pytest.fixture
async def behind(make_site: MakeSite, site: Site, wire: Wire) -> Site:
    """The environment of this test as it is seen through the proxy."""
    dsn = in_database(site.servers.postgres.dsn, site.database)
    return await make_site(postgres_dsn=dsn.replace(f":{site.servers.postgres.port}/", f":{wire.port}/"))


def replacing(old: bytes, new: bytes) -> Edit:
    """An edit that changes no length."""
    assert len(old) == len(new)
    return lambda data: data.replace(old, new)


WIRED = {
    "pages begin again": (Kind.DUPLICATED, b"AND seq > $2 ORDER BY seq LIMIT", b"AND seq >=$2 ORDER BY seq LIMIT"),
    "the newest page is the oldest": (Kind.REORDERED, b"ORDER BY seq DESC", b"ORDER BY seq  ASC"),
}


@pytest.mark.parametrize("name", WIRED)
async def test_a_wrong_question_is_seen_in_the_answer(behind: Site, wire: Wire, name: str) -> None:
    """What an application asks wrongly, here edited on its way, has the same names as what a server answers wrongly."""
    finds, old, new = WIRED[name]
    await run_ok(behind, PROBE)
    wire.edit(lambda _: (replacing(old, new), unchanged))
    await run_violated(behind, PROBE, {finds})
    wire.heal()
    await heals(behind, PROBE)


async def test_one_wrong_look_is_no_proof(behind: Site, wire: Wire) -> None:
    """Where the first look is wrong and the second right, the run cannot tell, and says what it saw."""
    await run_ok(behind, PROBE)
    edited = replacing(b"ORDER BY seq DESC", b"ORDER BY seq  ASC")
    wire.edit(lambda number: (edited if number == 1 else unchanged, unchanged))  # the writer's is 0, the reader's 1
    record = await run_unknown(behind, PROBE, Reason.INCONCLUSIVE)
    assert record.finding.message == (
        "newest of 20 messages: reordered was seen once, and a second look on a new connection did not confirm it"
    )
    assert await behind.environment.census(next(iter(PROBE.needs))) == 0


async def test_without_the_thread_that_stays_nothing_is_proved_of_those_that_went(site: Site) -> None:
    """Where the control goes too, the absence of the others proves nothing."""
    await run_ok(site, PROBE)
    body = "DELETE FROM holdfast.threads WHERE message_count = 0; RETURN NULL;"
    await site.sql(trigger("AFTER DELETE", body, table="threads", condition="OLD.message_count = 20"))
    record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
    assert "absence proves nothing" in record.finding.message
    await site.sql(HEAL)
    await run_ok(site, PROBE)
