"""The ledger in memory, in real SQLite files, in schemas of a real PostgreSQL, and in bad weather."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.ledger.entries import Entry, Fate, Mark, State
from monitor.core.ledger.evidence import PostgresEvidence, RedisEvidence
from monitor.core.ledger.found import Audited, Break, Loss, Outage, Standing
from monitor.ports import KEEPERS, Ledger, Place, StateError, Store, SystemClock, Way
from monitor.stores.home import Home, Schema
from monitor.stores.ledger import Ledgers
from monitor.stores.tables import ledger_entries
from tests.conftest import in_database

STORE = Store.POSTGRES
NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
POSTGRES = PostgresEvidence(
    address="db:5432",
    writable=True,
    system="7301234567890123456",
    timeline=3,
    started="2026-03-01 11:00:00+00",
    uptime=timedelta(hours=1, microseconds=1),
    lsn=123_456_789_012,
    delay=timedelta(milliseconds=200),
)
REDIS = RedisEvidence(
    address="cache:6379",
    writable=True,
    run_id="a" * 40,
    replid="b" * 40,
    replid2="0" * 40,
    second_offset=-1,
    offset=17,
    uptime=timedelta(seconds=5),
    flushes=0,
    evicted=1,
    expired=2,
    saved=1_772_366_400,
    appending=True,
    policy="noeviction",
    age=timedelta(seconds=9),
)


class TestClock:
    """A wall that can be set, and a monotonic clock that goes on."""

    __test__ = False

    def __init__(self, wall: datetime = NOON) -> None:
        self.wall = wall
        self.since = 1000.0

    def now(self) -> datetime:
        """What the wall shows."""
        return self.wall

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self.since

    def pass_(self, seconds: float) -> None:
        """Time goes by."""
        self.wall += timedelta(seconds=seconds)
        self.since += seconds


@pytest.fixture(params=["memory", "file", "schema"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """Where ledgers are kept."""
    if request.param == "memory":
        return None
    if request.param == "file":
        return tmp_path / "state.db"
    servers, database = request.getfixturevalue("servers"), request.getfixturevalue("database")
    return Schema(in_database(servers.postgres.dsn, database), "test")


@pytest.fixture
def clock() -> TestClock:
    """A clock that stands still unless it is told."""
    return TestClock()


Make = Callable[..., Ledgers]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes ledgers, and closes them in the end."""
    made: list[Ledgers] = []

    def ledgers(home: Home, clock: TestClock | None = None) -> Ledgers:
        made.append(Ledgers(home, clock=clock or SystemClock()))
        return made[-1]

    yield ledgers
    for each in made:
        await each.close()


@pytest.fixture
def ledger(home: Home, clock: TestClock, make: Make) -> Ledger:
    """A new ledger."""
    return make(home, clock).of("production")


def crash(ledgers: Ledgers) -> None:
    """What was not on disk is gone, as after a kill -9; connections end with the fixture or the garbage."""
    ledgers._book._groups.stop()


async def acked(ledger: Ledger, *, identified: bool = False, due: datetime | None = None) -> Entry:
    """A write that was acknowledged."""
    entry = await ledger.intend(STORE, identified=identified)
    return await ledger.settle(entry, State.ACKED, epoch=1, due=due)


# Entries.


async def test_an_entry_comes_back_as_it_was(ledger: Ledger, clock: TestClock) -> None:
    """An entry with its outcome is found equal, by whatever is asked for it."""
    due = NOON + timedelta(minutes=1)
    intended = await ledger.intend(STORE, identified=True)
    assert intended == Entry(
        environment="production",
        store="postgres",
        mark=Mark(ledger.series, 1),
        identified=True,
        state=State.INTENDED,
        intended=NOON,
    )
    clock.pass_(0.25)
    entry = await ledger.settle(intended, State.ACKED, epoch=7, weak=True, xid="4711", due=due)
    assert entry == replace(
        intended, state=State.ACKED, answered=NOON + timedelta(seconds=0.25), epoch=7, weak=True, xid="4711", due=due
    )
    assert await ledger.entries(STORE) == [entry]
    assert await ledger.entries(STORE, due=due) == [entry]
    assert await ledger.entries(STORE, due=NOON) == []
    assert await ledger.entries(STORE, identified=False) == []
    assert await ledger.entries(Store.REDIS, identified=None) == []


async def test_numbers_grow_for_each_store_and_environment(home: Home, make: Make) -> None:
    """Numbers are the store's own; the series is that of the start."""
    ledgers = make(home)
    one, other = ledgers.of("one"), ledgers.of("other")
    assert ledgers.of("one") is one
    marks = [
        (await ledger.intend(store, identified=False)).mark.n for ledger in (one, other) for store in (*KEEPERS, STORE)
    ]
    assert marks == [1, 1, 2, 1, 1, 2]
    assert one.series == other.series


async def test_all_or_the_latest_or_those_due_are_listed(ledger: Ledger) -> None:
    """The latest `limit` of all, oldest first; those due the longest; the wrong ones whether due or not."""
    found = [
        await acked(ledger, identified=number % 2 == 0, due=NOON - timedelta(minutes=number)) for number in range(6)
    ]
    assert await ledger.entries(STORE, identified=None) == found
    assert await ledger.entries(STORE, identified=None, limit=2) == found[4:]
    assert await ledger.entries(STORE, identified=False) == found[1::2]
    assert await ledger.entries(STORE, due=NOON - timedelta(minutes=1)) == [found[2], found[4]]
    assert await ledger.entries(STORE, due=NOON, limit=1) == [found[4]]
    await ledger.audited(STORE, [Audited(mark=found[0].mark, fate=Fate.LOST, at=NOON, rung=1, due=None)])
    listed = await ledger.entries(STORE, due=NOON - timedelta(hours=1))
    assert [(each.mark, each.fate, each.rung, each.verified) for each in listed] == [
        (found[0].mark, Fate.LOST, 1, None)
    ]


async def test_what_the_register_may_hold(ledger: Ledger) -> None:
    """The mark acknowledged last, and all later ones whose outcome is open; nothing of what was refused."""
    assert await ledger.expected(STORE) == (None,)
    first, second = [await ledger.intend(STORE, identified=False) for _ in range(2)]
    assert await ledger.expected(STORE) == (None, first.mark, second.mark)
    await ledger.settle(first, State.REFUSED)
    await ledger.settle(second, State.PERHAPS)
    assert await ledger.expected(STORE) == (None, second.mark)
    third = await acked(ledger)
    assert await ledger.expected(STORE) == (third.mark,)
    fourth = await ledger.intend(STORE, identified=True)
    assert await ledger.expected(STORE) == (third.mark, fourth.mark)
    await ledger.settle(fourth, State.ACKED)
    await ledger.retiring(STORE, [fourth.mark])
    await ledger.retired(STORE, [fourth.mark], due=None)
    assert await ledger.expected(STORE) == (fourth.mark,)


async def test_a_retired_entry_keeps_both_moments(ledger: Ledger, clock: TestClock) -> None:
    """When it was acknowledged, and when its deletion was."""
    entry = await acked(ledger, identified=True)
    clock.pass_(60)
    await ledger.retiring(STORE, [entry.mark])
    assert [each.state for each in await ledger.entries(STORE)] == [State.RETIRING]
    due = NOON + timedelta(hours=1)
    await ledger.retired(STORE, [entry.mark], due=due)
    expected = replace(entry, state=State.RETIRED, retired=NOON + timedelta(minutes=1), due=due)
    assert await ledger.entries(STORE) == [expected]


async def test_another_series_is_not_settled(ledger: Ledger) -> None:
    """An outcome belongs to its mark: to one of another start with the same number it does nothing."""
    entry = await ledger.intend(STORE, identified=True)
    await ledger.settle(replace(entry, mark=Mark("0badcafe", 1)), State.REFUSED)
    assert [each.state for each in await ledger.entries(STORE)] == [State.INTENDED]


async def test_a_cancelled_intent_was_never_sent(tmp_path: Path, make: Make) -> None:
    """Whoever is cancelled while his intent is written does not send it, and the ledger knows that."""
    ledger = make(tmp_path / "state.db").of("production")
    first = await acked(ledger)
    cancelled = asyncio.create_task(ledger.intend(STORE, identified=True))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert [(each.mark.n, each.state) for each in await ledger.entries(STORE)] == [(2, State.REFUSED)]
    assert await ledger.expected(STORE) == (first.mark,)


async def test_many_intents_share_a_transaction(tmp_path: Path, make: Make) -> None:
    """Whoever comes while a group is written makes the next: a hundred at once take two transactions or three."""
    ledgers = make(tmp_path / "state.db")
    ledger = ledgers.of("production")
    await ledger.expected(STORE)
    commits: list[None] = []
    engine = ledgers._book._database._engine
    sa.event.listen(engine, "commit", lambda _: commits.append(None))
    entries = await asyncio.gather(*(ledger.intend(STORE, identified=False) for _ in range(100)))
    assert sorted(each.mark.n for each in entries) == list(range(1, 101))
    assert len(commits) in {1, 2, 3}


async def test_who_asks_does_not_wait_for_all_that_comes_later(tmp_path: Path, make: Make) -> None:
    """While others intend without end, so that there is always a next group, what is there can be read."""
    ledgers = make(tmp_path / "state.db")
    ledger, groups = ledgers.of("production"), ledgers._book._groups
    await acked(ledger)
    await ledger.entries(STORE)  # nothing is left to be written

    async def without_end() -> None:
        while True:
            await ledger.intend(STORE, identified=False)

    others = [asyncio.create_task(without_end())]
    while groups._writing is None or groups._next is not None:  # noqa: ASYNC110  nobody tells of it
        await asyncio.sleep(0)
    others.append(asyncio.create_task(without_end()))  # while the first is being written, and so in turn with it
    while groups._next is None:  # noqa: ASYNC110  the same
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert len(await ledger.entries(STORE, identified=False)) >= 2
    for other in others:
        other.cancel()
    await asyncio.wait(others)


async def test_an_outcome_goes_to_disk_by_itself(tmp_path: Path, make: Make) -> None:
    """`settle` returns at once; the outcome is in the file soon, though nobody asks for anything more."""
    path = tmp_path / "state.db"
    await acked(make(path).of("production"))
    while await asyncio.to_thread(states, path) != ["acked"]:
        pass


def states(path: Path) -> list[str]:
    """The states of all entries, as another process finds them in the file."""
    with closing(sqlite3.connect(path)) as connection:
        return [state for (state,) in connection.execute("SELECT state FROM ledger_entries ORDER BY n")]


# The history.


async def test_an_epoch_lasts_while_the_server_is_the_same(ledger: Ledger, clock: TestClock) -> None:
    """Counters renew it, another server begins a new one; each place has its own."""
    replica = Place(Store.POSTGRES, Way.REPLICA, "eu-2")
    first, new = await ledger.see(Place(STORE), POSTGRES)
    assert (first.id, new, first.first, first.last, first.opening) == (1, True, NOON, NOON, POSTGRES)
    clock.pass_(2)
    renewed, new = await ledger.see(Place(STORE), replace(POSTGRES, lsn=5))
    assert (renewed.id, new, renewed.last, renewed.evidence) == (1, False, clock.wall, replace(POSTGRES, lsn=5))
    clock.pass_(0.1)
    renewed, _ = await ledger.see(Place(STORE), replace(POSTGRES, lsn=6))  # too soon after that to be kept for itself
    assert (await ledger.see(replica, POSTGRES))[1]
    promoted, new = await ledger.see(Place(STORE), replace(POSTGRES, timeline=4))
    assert (promoted.id, new) == (3, True)
    assert (await ledger.see(Place(Store.REDIS), REDIS))[0].evidence == REDIS
    epochs = await ledger.epochs()
    assert [each.place for each in epochs] == ["postgres", "postgres replica eu-2", "postgres", "redis"]
    assert epochs[0] == renewed


async def test_two_who_see_a_new_server_make_one_epoch(ledger: Ledger) -> None:
    """Whoever comes second finds it."""
    seen = await asyncio.gather(*(ledger.see(Place(STORE), POSTGRES) for _ in range(5)))
    assert [epoch.id for epoch, _ in seen] == [1] * 5
    assert sum(new for _, new in seen) == 1


async def test_breaks_stand_until_they_are_judged(ledger: Ledger) -> None:
    """A break comes back as it was, with an id, to runs of its store only, until one has judged it."""
    mark = Mark("0badcafe", 17)
    found = Break(
        id=0,
        place="postgres",
        at=NOON,
        expected=(None, mark),
        first=None,
        second=mark,
        writable=False,
        before=None,
        epoch=4,
    )
    await ledger.broke(found)
    await ledger.broke(replace(found, first=mark, second=None, before=3))
    breaks = await ledger.breaks(STORE)
    assert breaks == [replace(found, id=1), replace(found, id=2, first=mark, second=None, before=3)]
    assert await ledger.breaks(Store.REDIS) == []
    await ledger.judged(Store.REDIS, [1])
    await ledger.judged(STORE, [1])
    assert [each.id for each in await ledger.breaks(STORE)] == [2]


async def test_an_outage_is_kept_under_its_beginning(ledger: Ledger) -> None:
    """One that lasts grows; the latest comes first."""
    lasting = Outage(
        store=STORE, operation="write", began=NOON, ended=None, least=timedelta(), most=timedelta(seconds=1)
    )
    ended = replace(lasting, ended=NOON + timedelta(seconds=4), least=timedelta(seconds=3), most=timedelta(seconds=4))
    later = replace(lasting, began=NOON + timedelta(hours=1))
    for each in (lasting, ended, later):
        await ledger.outage(each)
    assert await ledger.outages(STORE) == [later, ended]
    assert await ledger.outages(STORE, limit=1) == [later]
    assert await ledger.outages(Store.REDIS) == []


def loss(**changes: object) -> Loss:
    """A loss of three writes."""
    made = Loss(
        environment="production",
        store=STORE,
        found=NOON,
        cause="failover",
        first=Mark("0badcafe", 3),
        last=Mark("0badcafe", 5),
        records=1,
        writes=3,
        suffix=True,
        least=timedelta(seconds=0.5),
        most=timedelta(seconds=1.5),
        details={"timelines": [3, 4], "ü": None},
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the fields of the test's choice


async def test_losses_stay_and_may_take_another_form(ledger: Ledger) -> None:
    """A loss is kept with its details; under its id it is changed; the latest comes first."""
    await ledger.lost(loss())
    await ledger.lost(loss(store=Store.REDIS, found=NOON + timedelta(hours=1)))
    assert await ledger.losses(STORE) == [loss(id=1)]
    await ledger.lost(loss(id=1, records=0, writes=2))
    assert await ledger.losses(STORE) == [loss(id=1, records=0, writes=2)]
    assert [each.id for each in await ledger.losses()] == [2, 1]
    assert [each.id for each in await ledger.losses(limit=1)] == [2]


async def test_what_was_found_before_is_accepted(ledger: Ledger, clock: TestClock) -> None:
    """Losses and wrong entries that were found before a moment, however often since, and none found later."""
    early, late = [await acked(ledger, identified=True) for _ in range(2)]
    await ledger.audited(STORE, [Audited(mark=early.mark, fate=Fate.LOST, at=NOON, rung=0, due=NOON)])
    await ledger.lost(loss())
    clock.pass_(60)
    both = [Audited(mark=each.mark, fate=Fate.LOST, at=clock.wall, rung=0, due=NOON) for each in (early, late)]
    await ledger.audited(STORE, both)
    await ledger.lost(loss(found=clock.wall))
    assert await ledger.accept(STORE, found_before=NOON + timedelta(seconds=1)) == 1
    assert [each.accepted for each in await ledger.entries(STORE)] == [clock.wall, None]
    assert [each.accepted for each in await ledger.losses(STORE)] == [None, clock.wall]
    assert await ledger.accept(STORE, found_before=NOON + timedelta(seconds=1)) == 0


async def test_restores_are_declared_once_for_each_moment(ledger: Ledger, clock: TestClock) -> None:
    """The latest declaration comes first; one of the same moment replaces it."""
    for hours, note in ((1, "a"), (2, "b"), (1, "again")):
        clock.pass_(1)
        await ledger.declare_restore(NOON - timedelta(hours=hours), note=note)
    assert [(each.at, each.note) for each in await ledger.restores()] == [
        (NOON - timedelta(hours=1), "again"),
        (NOON - timedelta(hours=2), "b"),
    ]


# How it stands.


async def test_standing_counts_records(ledger: Ledger, clock: TestClock) -> None:
    """By state and fate; looks that were due within the past hour; the age of the oldest that is right; RPO and RTO."""
    assert await ledger.standing(STORE) == Standing()
    entries = [await acked(ledger, identified=True, due=NOON + timedelta(minutes=1)) for _ in range(5)]
    await acked(ledger)
    await ledger.settle(await ledger.intend(STORE, identified=True), State.PERHAPS)
    await ledger.retiring(STORE, [entries[4].mark])
    await ledger.retired(STORE, [entries[4].mark], due=None)
    assert await ledger.standing(STORE) == Standing(live=4, indeterminate=1, expired=1)
    clock.pass_(60)
    later = clock.wall + timedelta(hours=1)
    fates = (Fate.FOUND, Fate.FOUND, Fate.LOST)
    looked = zip(entries, fates, strict=False)
    await ledger.audited(
        STORE, [Audited(mark=e.mark, fate=fate, at=clock.wall, rung=1, due=later) for e, fate in looked]
    )
    await ledger.lost(loss())
    await ledger.outage(
        Outage(store=STORE, operation="write", began=NOON, ended=None, least=timedelta(), most=timedelta(seconds=7))
    )
    assert await ledger.standing(STORE) == Standing(
        live=3,
        lost=1,
        indeterminate=1,
        expired=1,
        due=4,
        verified=3,
        oldest=timedelta(minutes=1),
        recovery_point=timedelta(seconds=1.5),
        recovery_time=timedelta(seconds=7),
    )
    clock.pass_(7200)
    stands = await ledger.standing(STORE)
    assert (stands.due, stands.verified, stands.oldest) == (4, 0, timedelta(hours=2, minutes=1))
    assert await ledger.accept(STORE, found_before=clock.wall) == 1
    assert (await ledger.standing(STORE)).lost == 0


# What is forgotten.


async def test_old_entries_are_forgotten_and_nothing_that_is_needed(home: Home, clock: TestClock, make: Make) -> None:
    """Old moves and retired records go; what is owed, the highest number and what the register may hold stay."""
    ledger = make(home, clock).of("production")
    owed, gone, kept = [await acked(ledger, identified=True) for _ in range(3)]
    await ledger.retiring(STORE, [gone.mark, kept.mark])
    await ledger.retired(STORE, [gone.mark], due=None)
    for _ in range(3):
        await acked(ledger)
    last = await acked(ledger)
    refused = await ledger.settle(await ledger.intend(STORE, identified=False), State.REFUSED)
    perhaps = await ledger.settle(await ledger.intend(STORE, identified=False), State.PERHAPS)
    clock.pass_(3600)
    await ledger.retired(STORE, [kept.mark], due=None)
    bound = NOON + timedelta(minutes=1)
    assert await ledger.prune(retired_before=bound, moves_before=bound) == 5
    left = [each.mark for each in await ledger.entries(STORE, identified=None)]
    assert left == [owed.mark, kept.mark, last.mark, perhaps.mark]
    assert refused.mark not in left
    assert await ledger.expected(STORE) == (last.mark, perhaps.mark)
    assert await ledger.prune(retired_before=bound, moves_before=bound) == 0


async def test_there_is_an_upper_bound_for_moves(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """However young they are, no more than so many stay."""
    monkeypatch.setattr("monitor.stores.ledger_bounds.MOST_MOVES", 10)
    monkeypatch.setattr("monitor.stores.ledger_bounds._AT_ONCE", 7)
    for _ in range(30):
        await acked(ledger)
    assert await ledger.prune(retired_before=NOON, moves_before=NOON) == 20
    assert [each.mark.n for each in await ledger.entries(STORE, identified=None)] == list(range(21, 31))


async def test_there_is_an_upper_bound_for_events(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of epochs, breaks, outages and losses the latest stay."""
    monkeypatch.setattr("monitor.stores.ledger_bounds._MOST_EVENTS", 2)
    for number in range(4):
        await ledger.see(Place(STORE), replace(POSTGRES, timeline=number))
        await ledger.lost(loss())
    await ledger.prune(retired_before=NOON, moves_before=NOON)
    assert [each.id for each in await ledger.losses()] == [4, 3]
    assert [each.id for each in await ledger.epochs()] == [3, 4]
    assert not (await ledger.see(Place(STORE), replace(POSTGRES, timeline=3)))[1]


# Over restarts.


@pytest.fixture(params=["file", "schema"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """Where ledgers are kept that outlive the daemon."""
    if request.param == "file":
        return tmp_path / "state.db"
    servers, database = request.getfixturevalue("servers"), request.getfixturevalue("database")
    return Schema(in_database(servers.postgres.dsn, database), "test")


async def test_a_ledger_goes_on_after_a_restart(lasting: Home, make: Make) -> None:
    """Entries, epochs and numbers are those of before; the series is another one."""
    before = make(lasting)
    first = await acked(before.of("production"), identified=True)
    epoch, _ = await before.of("production").see(Place(STORE), POSTGRES)
    await before.close()
    after = make(lasting).of("production")
    assert await after.entries(STORE) == [first]
    assert await after.expected(STORE) == (first.mark,)
    second = await after.intend(STORE, identified=False)
    assert second.mark.n == 2
    assert second.mark.series != first.mark.series
    assert (await after.see(Place(STORE), POSTGRES))[0].id == epoch.id
    assert await after.epochs() == [replace(epoch, last=(await after.epochs())[0].last)]


async def test_what_was_open_at_a_crash_is_perhaps(lasting: Home, make: Make) -> None:
    """An intent whose outcome nobody kept may be there and may not; reading alone changes nothing of it."""
    before = make(lasting)
    first = await acked(before.of("production"))
    second = await before.of("production").intend(STORE, identified=True)
    crash(before)
    reader = make(lasting).of("production")
    assert [each.state for each in await reader.entries(STORE)] == [State.INTENDED]
    after = make(lasting).of("production")
    assert await after.expected(STORE) == (first.mark, second.mark)
    assert [each.state for each in await after.entries(STORE)] == [State.PERHAPS]


KILLED = """
import asyncio, sys
from pathlib import Path
from monitor.core.ledger.entries import State
from monitor.ports import Store, SystemClock
from monitor.stores.ledger import Ledgers

async def main():
    ledger = Ledgers(Path(sys.argv[1]), clock=SystemClock()).of("production")
    first = await ledger.intend(Store.POSTGRES, identified=True)
    await ledger.settle(first, State.ACKED)
    await ledger.entries(Store.POSTGRES)
    second = await ledger.intend(Store.POSTGRES, identified=True)
    print(first.mark, second.mark, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_kill_9_between_intent_and_outcome(tmp_path: Path, make: Make) -> None:
    """A daemon that is killed leaves its intent on disk: that is `perhaps` after the restart, its number used."""
    path = tmp_path / "state.db"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    first, second = (Mark.parse(word) for word in (await process.stdout.readline()).decode().split())
    process.kill()
    await process.wait()
    ledger = make(path).of("production")
    assert await ledger.expected(STORE) == (first, second)
    assert [each.state for each in await ledger.entries(STORE)] == [State.ACKED, State.PERHAPS]
    assert (await ledger.intend(STORE, identified=True)).mark.n == 3


async def test_an_older_copy_of_the_file_takes_no_later_write_for_its_own(tmp_path: Path, make: Make) -> None:
    """After an older state file was put back, numbers come again under another series; a lost one begins anew."""
    path, copy = tmp_path / "state.db", tmp_path / "copy.db"
    before = make(path)
    first = await acked(before.of("production"))
    await before.close()
    shutil.copy(path, copy)
    between = make(path)
    lost = await acked(between.of("production"))
    await between.close()
    shutil.copy(copy, path)
    after = make(path).of("production")
    again = await after.intend(STORE, identified=True)
    assert again.mark.n == lost.mark.n == 2
    assert again.mark != lost.mark
    assert await after.expected(STORE) == (first.mark, again.mark)
    anew = make(tmp_path / "lost.db").of("production")
    assert await anew.expected(STORE) == (None,)
    assert anew.series not in {first.mark.series, lost.mark.series, again.mark.series}


async def test_moments_never_go_back(lasting: Home, clock: TestClock, make: Make) -> None:
    """A wall clock that is set back an hour is not followed, nor after a restart; lengths stay right."""
    before = make(lasting, clock)
    ledger = before.of("production")
    first = await acked(ledger)
    clock.wall -= timedelta(hours=1)
    clock.pass_(5)
    second = await acked(ledger)
    assert second.intended - first.intended == timedelta(seconds=5)
    await before.close()
    restarted = TestClock(NOON - timedelta(hours=1))
    again = make(lasting, restarted).of("production")
    third = await acked(again)
    assert third.intended == second.answered
    restarted.pass_(7)
    assert (await acked(again)).intended - third.intended == timedelta(seconds=7)


# Bad weather.


async def test_a_full_disk_sends_nothing_and_uses_no_number_twice(tmp_path: Path, make: Make) -> None:
    """Where an intent cannot be kept, that is an error and its number is used up; later all goes on."""
    ledgers = make(tmp_path / "state.db")
    ledger = ledgers.of("production")
    first = await acked(ledger)
    await ledger.entries(STORE)
    pages = await ledgers._book._database.write(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar_one())
    full = f"PRAGMA max_page_count={pages}"
    await ledgers._book._database.write(lambda c: c.exec_driver_sql(full).scalar_one())
    handed = [first.mark]

    async def until_full() -> None:
        while True:
            handed.append((await acked(ledger)).mark)

    with pytest.raises(StateError, match=r"cannot be used: .*full; free some space"):
        await until_full()
    expected = await ledger.expected(STORE)
    assert expected == (handed[-1],)
    await ledgers._book._database.write(lambda c: c.exec_driver_sql("PRAGMA max_page_count=1000000").scalar_one())
    after = await acked(ledger)
    assert after.mark.n == handed[-1].n + 2
    kept = await ledger.entries(STORE, identified=None)
    assert [each.mark for each in kept] == [*handed, after.mark]
    assert {each.state for each in kept} == {State.ACKED}


async def test_a_limit_of_the_process_is_said(tmp_path: Path) -> None:
    """A file that may not grow any more is an error with its cause, and no crash."""
    script = KILLED.replace("    first = ", LIMITED + "    first = ", 1)
    arguments = [sys.executable, "-c", script, str(tmp_path / "state.db")]
    ended = await asyncio.to_thread(subprocess.run, arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "StateError: the state file" in ended.stderr
    assert "disk I/O error; look into the kernel's log" in ended.stderr


LIMITED = """
    await ledger.expected(Store.POSTGRES)
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
"""


async def test_nothing_keeps_a_process_from_its_end(tmp_path: Path) -> None:
    """Ledgers that nobody closed, in memory or in a file, leave no thread that lives, and in memory no warning."""
    for which in ("None", "Path(sys.argv[1])"):
        script = KILLED.replace("Path(sys.argv[1])", which).replace("    await asyncio.sleep(600)\n", "")
        arguments = [sys.executable, "-W", "error", "-c", script, str(tmp_path / "state.db")]
        ended = await asyncio.to_thread(
            subprocess.run, arguments, capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode == 0
        assert which != "None" or ended.stderr == ""


async def test_a_database_that_goes_and_comes_back(make: Make, servers: Any, database: str) -> None:
    """Where the connection to a PostgreSQL broke, one intent fails, and the next goes on with another number."""
    home = Schema(in_database(servers.postgres.dsn, database), "test")
    ledger = make(home).of("production")
    first = await acked(ledger)
    await ledger.entries(STORE)
    await servers.postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()", database=database
    )
    with pytest.raises(StateError, match="the state database"):
        await ledger.intend(STORE, identified=True)
    second = await acked(ledger)
    assert second.mark.n == first.mark.n + 2
    assert await ledger.expected(STORE) == (second.mark,)


STEPS = st.lists(
    st.sampled_from(("acked", "refused", "perhaps, done", "perhaps, not done", "open, done", "open, not done"))
    | st.sampled_from(("flush", "crash", "close", "prune")),
    max_size=25,
)


@given(steps=STEPS, identified=st.booleans())
@settings(deadline=None, max_examples=40)
def test_any_sequence_keeps_the_invariants(steps: list[str], identified: bool) -> None:  # noqa: FBT001  hypothesis gives it
    """Whatever happens, however it ends, nothing is forgotten that counts.

    No number comes twice, an intent is on disk before anybody may send it, an outcome that was flushed stays, and what
    the register really holds is always expected.
    """
    with TemporaryDirectory() as folder:
        asyncio.run(_lives(Path(folder) / "state.db", steps, identified=identified))


async def _lives(path: Path, steps: list[str], *, identified: bool) -> None:
    made = [Ledgers(path, clock=SystemClock())]
    ledger = made[-1].of("production")
    register: Mark | None = None
    handed: list[int] = []
    told: dict[Mark, State] = {}
    flushed: dict[Mark, State] = {}
    for step in steps:
        if step in {"crash", "close"}:
            if step == "close":
                await made[-1].close()
                flushed |= told
            crash(made[-1])
            made.append(Ledgers(path, clock=SystemClock()))
            ledger, told = made[-1].of("production"), {}
        elif step == "prune":
            await ledger.prune(retired_before=ledger.now(), moves_before=ledger.now())
        elif step == "flush":
            await ledger.entries(STORE)
            flushed |= told
        else:
            entry = await ledger.intend(STORE, identified=identified)
            assert states(path)[-1] == "intended"
            handed.append(entry.mark.n)
            if "not done" not in step and step != "refused":
                register = entry.mark
            if not step.startswith("open"):
                told[entry.mark] = State(step.partition(",")[0])
                await ledger.settle(entry, told[entry.mark])
        assert register in await ledger.expected(STORE)
        kept = {each.mark: each.state for each in await _without_flush(path)}
        assert all(kept[mark] is state for mark, state in flushed.items() if mark in kept)
        assert [
            mark for mark, state in flushed.items() if state is State.ACKED and identified and mark not in kept
        ] == []
    assert len(set(handed)) == len(handed)
    for each in made:
        await each.close()


async def _without_flush(path: Path) -> list[Entry]:
    """What is in the file, as another process finds it."""
    beside = Ledgers(path, clock=SystemClock())
    try:
        return list(await beside.of("production").entries(STORE, identified=None))
    finally:
        await beside.close()


def test_due_and_fate_are_found_by_an_index() -> None:
    """What is asked every few seconds walks through no table."""
    names = {index.name: [column.name for column in index.columns] for index in ledger_entries.indexes}
    assert names["ledger_entries_due"] == ["environment", "store", "due"]
    assert names["ledger_entries_fate"][:3] == ["environment", "store", "identified"]


async def test_whoever_is_cancelled_breaks_nothing(home: Home, make: Make) -> None:
    """Runs that are cut off at any moment cost no connection, and leave no intent whose outcome is not known."""
    ledger = make(home).of("production")

    done = asyncio.Semaphore(0)

    async def life() -> None:
        while True:
            for step in (
                lambda: ledger.see(Place(STORE), POSTGRES),
                lambda: acked(ledger, identified=True),
                lambda: ledger.entries(STORE),
                lambda: ledger.accept(STORE, found_before=NOON),
                lambda: ledger.standing(STORE),
            ):
                await step()
                done.release()
                await asyncio.sleep(0)

    for turn in range(30):
        lives = [asyncio.create_task(life()) for _ in range(3)]
        for _ in range(turn % 6):
            await done.acquire()
        for _ in range(turn):
            await asyncio.sleep(0)
        for each in lives:
            each.cancel()
        ended = await asyncio.gather(*lives, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 3
    last = await acked(ledger)
    assert await ledger.expected(STORE) == (last.mark,)
    entries = await ledger.entries(STORE, identified=None, limit=100_000)
    assert {each.state for each in entries} <= {State.ACKED, State.REFUSED}
    assert len({each.mark.n for each in entries}) == len(entries)
    assert [each.id for each in await ledger.epochs()] == [1]
