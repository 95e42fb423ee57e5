"""A sweep takes Holdfast's own leftovers and nothing else: held against every mixture of owner, user and age."""

from __future__ import annotations

import itertools
import re
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from monitor.core.ledger.entries import Entry, Mark, State
from monitor.core.payload import Author
from monitor.core.residue import Instance
from monitor.core.session import Session
from monitor.ports import Store
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe
from tests.conftest import MakeSite, Site
from tests.probes.breaking import run_ok

PRESENT = Instance("0123abcd", 7)
LONGEST = timedelta(minutes=1)
AGES = {"now": timedelta(0), "minutes": timedelta(minutes=5), "hours": timedelta(hours=2)}
WRITERS = {
    "present": PRESENT.mark,
    "earlier": "0123abcd-6",
    "much earlier": "0123abcd-70",  # an incarnation whose mark begins as the present one's does
    "other": "89abcdef-7",
    "look-alike": "0123abcd1-7",
}
THREAD = "id, instance, user_id, name, metadata, created_at"
MESSAGE = "id, thread_id, instance, user_id, seq, role, type, metadata, created_at"
QUESTIONS = [(everybody, dry_run) for everybody in (False, True) for dry_run in (False, True)]


@dataclass(frozen=True)
class Record:
    """A synthetic record: who wrote it, how long ago, and whether its user is synthetic."""

    writer: str
    age: str
    synthetic: bool = True

    def goes(self, *, everybody: bool) -> bool:
        """Whether a sweep may and must take it."""
        if not self.synthetic:
            return False
        if self.writer in {"earlier", "much earlier"}:
            return True
        limit = LONGEST if everybody or self.writer == "present" else timedelta(hours=1)
        return AGES[self.age] > limit


@pytest.fixture
async def here(make_site: MakeSite) -> Site:
    """An environment of a daemon in its seventh incarnation."""
    site = await make_site(instance=PRESENT, longest_run=LONGEST)
    await run_ok(site, ThreadProbe())
    return site


@pytest.mark.parametrize(("everybody", "dry_run"), QUESTIONS)
async def test_of_conversations_exactly_the_leftovers_go(here: Site, *, everybody: bool, dry_run: bool) -> None:
    """Rows of earlier incarnations go at once, of the present one once no run needs them, of others after an hour."""
    records = {uuid4(): Record(*mixture) for mixture in itertools.product(WRITERS, AGES, (True, False))}
    script = ["CREATE SCHEMA ours; CREATE TABLE ours.threads AS SELECT * FROM holdfast.threads;"]
    for number, (id_, record) in enumerate(records.items()):
        user = f"holdfast-user-{number % 8}" if record.synthetic else f"customer-{number}"
        age = f"clock_timestamp() - interval '{AGES[record.age].total_seconds():.0f} s'"
        writer = WRITERS[record.writer]
        thread = f"'{id_}', '{writer}', '{user}', 'x', '{{}}', {age}"
        message = f"'{uuid4()}', '{id_}', '{writer}', '{user}', 1, 'user', 'x', '{{}}', {age}"
        script.append(f"INSERT INTO holdfast.threads ({THREAD}) VALUES ({thread});")  # noqa: S608
        script.append(f"INSERT INTO holdfast.messages ({MESSAGE}) VALUES ({message});")  # noqa: S608
    script.append("INSERT INTO ours.threads SELECT * FROM holdfast.threads;")
    await here.sql("\n".join(script))

    gone = await here.environment.sweep(Store.POSTGRES, everybody=everybody, dry_run=dry_run)

    due = {id_ for id_, record in records.items() if record.goes(everybody=everybody)}
    left = {UUID(line) for line in (await here.sql("SELECT id FROM holdfast.threads")).split()}
    threads_of = {UUID(line) for line in (await here.sql("SELECT thread_id FROM holdfast.messages")).split()}
    assert gone == 2 * len(due)
    assert left == threads_of == (set(records) if dry_run else set(records) - due)
    assert await here.sql("SELECT count(*) FROM ours.threads") == f"{len(records)}\n"


LEDGERS = {
    "own": (PRESENT.id, "30 days", "30 days"),
    "another's that lives": ("89abcdef", "1 second", "30 days"),
    "another's that was silent for a week": ("89abcde0", "7 days", "30 days"),
    "abandoned": ("0badcafe", "9 days", "30 days"),
    "abandoned, with a young record": ("0badcaf0", "9 days", "7 days"),
    "without a register": ("0badcaf1", None, "30 days"),
    "without a register, young": ("0badcaf2", None, "7 days"),
}
"""Ledgers: whose, how long ago the register moved, and how old the older of two records is; the other is of today."""


@pytest.mark.parametrize(("everybody", "dry_run"), QUESTIONS)
async def test_of_ledgers_only_what_others_abandoned_goes(here: Site, *, everybody: bool, dry_run: bool) -> None:
    """A record goes when it and its register are older than any ladder; who sweeps all of everybody spares ledgers."""
    script = []
    for daemon, silent, age in LEDGERS.values():
        for n, old in ((1, age), (2, "1 second")):
            values = f"'{daemon}', 'a1b2c3d4', {n}, 'x', clock_timestamp() - interval '{old}'"
            script.append(f"INSERT INTO holdfast.ledger_records VALUES ({values});")  # noqa: S608
        if silent:
            values = f"'{daemon}', 'a1b2c3d4/2', clock_timestamp() - interval '{silent}'"
            script.append(f"INSERT INTO holdfast.ledger_registers (daemon, mark, moved_at) VALUES ({values});")  # noqa: S608
    await here.sql("\n".join(script))

    gone = await here.environment.sweep(Store.POSTGRES, everybody=everybody, dry_run=dry_run)

    left = set((await here.sql("SELECT daemon || '/' || n FROM holdfast.ledger_records")).split())
    due = {f"{LEDGERS[name][0]}/1" for name in ("abandoned", "without a register")}
    everything = {f"{daemon}/{n}" for daemon, _, _ in LEDGERS.values() for n in (1, 2)}
    assert gone == len(due)
    assert left == (everything if dry_run else everything - due)
    assert await here.environment.remembered(Store.POSTGRES) == len(left)
    assert await here.environment.census(Store.POSTGRES) == len(left)


async def test_records_that_a_sweep_spares_are_counted_in_both_stores(here: Site) -> None:
    """Those of every daemon; a sweep that takes all of everybody's leaves them, and the ledger finds them again."""
    for store in (Store.POSTGRES, Store.REDIS):
        assert await here.environment.remembered(store) == 0
        writer = await here.environment.durables(store).writer("test")
        expected: Mark | None = None
        for n in (1, 2, 3):
            entry = Entry(
                environment=here.environment.name,
                store=store,
                mark=Mark("a1b2c3d4", n),
                identified=n > 1,
                state=State.INTENDED,
                intended=datetime(2026, 1, 1, tzinfo=UTC),
            )
            assert (await writer.write(entry, expected=(expected,))).moved
            expected = entry.mark
        assert await here.environment.sweep(store, everybody=True) == 0
        assert await here.environment.remembered(store) == 2
        assert await writer.read() == expected
        await writer.leave()
        await writer.close()
        assert await here.environment.remembered(store) == 0


async def test_a_register_goes_after_the_last_record(here: Site) -> None:
    """Then nothing is left of a ledger that was abandoned."""
    old = "clock_timestamp() - interval '9 days'"
    await here.sql(
        f"""
        INSERT INTO holdfast.ledger_registers (daemon, mark, moved_at) VALUES ('0badcafe', 'a1b2c3d4/2', {old});
        INSERT INTO holdfast.ledger_records VALUES ('0badcafe', 'a1b2c3d4', 2, 'x', {old});
        """  # noqa: S608  constants
    )
    assert await here.environment.sweep(Store.POSTGRES) == 2
    assert await here.sql("SELECT count(*) FROM holdfast.ledger_registers WHERE daemon = '0badcafe'") == "0\n"


def key(record: Record, environment: str) -> str:
    """The key of a session of such a record."""
    milliseconds = round((time.time() - AGES[record.age].total_seconds()) * 1000)
    run = UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | secrets.randbits(62))
    return f"holdfast:{environment}:{WRITERS[record.writer]}:session:{run}:a-own"


@pytest.mark.parametrize(("everybody", "dry_run"), QUESTIONS)
async def test_of_keys_exactly_the_leftovers_go(here: Site, *, everybody: bool, dry_run: bool) -> None:
    """The same for keys: a look-alike, another environment's, and whatever has not exactly Holdfast's form stays."""
    valkey, name = here.servers.valkey, here.environment.name
    await valkey.command("FLUSHALL")
    index = f"holdfast:{name}:{PRESENT.id}:keys"
    records = {key(record, name): record for record in itertools.starmap(Record, itertools.product(WRITERS, AGES))}
    old = Record("earlier", "hours")
    strangers = [
        "holdfast:x",
        "holdfast:",
        f"holdfast:{name}",
        f"holdfast:{name}:settings",
        f"holdfast:{name}:{PRESENT.id}-6:session:not-a-run:a-own",
        f"customer:{key(old, name)}",
        f"{key(old, name)}:suffix",
        key(old, f"{name}-2"),
        key(old, name[:-1]),
        "session:1",
    ]
    for stranger in (*strangers, *records):
        await valkey.command("SET", stranger, "x")
    for indexed in (*strangers, *(found for found in records if f":{PRESENT.id}-" in found)):
        await valkey.command("ZADD", index, 1, indexed)

    gone = await here.environment.sweep(Store.REDIS, everybody=everybody, dry_run=dry_run)

    own = re.compile(rf"holdfast:{name}:({PRESENT.id}-|89abcdef-)" if everybody else rf"holdfast:{name}:{PRESENT.id}-")
    due = {found for found, record in records.items() if record.goes(everybody=everybody) and own.match(found)}
    left = {found.decode() for found in await valkey.command("KEYS", "*")} - {index}  # type: ignore[union-attr]
    assert gone == len(due) > 0
    assert left == {*strangers, *records} - (set() if dry_run else due)
    await valkey.command("FLUSHALL")


async def test_a_sweep_beside_a_run_takes_nothing_from_it(here: Site) -> None:
    """Sweeping all the while, runs of every daemon are right: nothing that a run still needs is ever taken."""
    for _ in range(5):
        await run_ok(here, ThreadProbe())
        await run_ok(here, SessionProbe(brief_ttl=timedelta(milliseconds=100)))
        assert await here.environment.sweep(Store.POSTGRES) == 0
        assert await here.environment.sweep(Store.REDIS) == 0


async def test_what_a_killed_daemon_left_is_taken_by_its_next_incarnation(make_site: MakeSite) -> None:
    """Rows and keys that a run left behind in mid-air go with the first sweep after the restart, however young."""
    killed = await make_site("env-killed", instance=Instance("0123abcd", 1))
    await run_ok(killed, ThreadProbe())
    run_id = "01a203df-6d7d-74c0-b2d2-881acb5edeb3"
    connection = await killed.environment.sessions.connect("session")
    session_key = killed.environment.sessions.key(run_id, "a-own", user="holdfast-user-0")
    await connection.save(Session.of(session_key, user="holdfast-user-0"), ttl=60)
    await connection.close()
    author = Author(environment="env-killed", probe="thread", run_id=run_id)
    writer = await killed.environment.threads.connect("thread")
    thread = author.thread(0, user="holdfast-user-3")
    await writer.create(thread)
    await writer.append(thread, author.message(0, 1))
    await writer.close()

    restarted = await make_site("env-killed", instance=Instance("0123abcd", 2))
    assert await restarted.environment.census(Store.POSTGRES) == 1
    assert await restarted.environment.census(Store.REDIS) == 1
    assert await restarted.environment.sweep(Store.POSTGRES) == 2
    assert await restarted.environment.sweep(Store.REDIS) == 1
    assert await restarted.environment.census(Store.POSTGRES) == 0
    assert await restarted.environment.census(Store.REDIS) == 0
    assert await killed.servers.valkey.command("EXISTS", session_key) == 0
