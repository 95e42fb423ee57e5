"""The ledger's rows on real servers: a register that is compared and set, records beside it, and looks at them."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.core.ledger.entries import Entry, Mark, State, content_of, digest_of
from monitor.core.ledger.evidence import same_server
from monitor.core.ledger.found import Written
from monitor.core.residue import Instance
from monitor.core.verdict import Reason
from monitor.embedded.postgres import EmbeddedPostgres, system_bindir
from monitor.embedded.servers import Servers
from monitor.metrics import Metrics
from monitor.ports import Outcome, Place, Store, StoreError, Way
from monitor.stores.durable_rows import OPERATIONS, STATEMENTS, OwnRows, RowDurables
from monitor.stores.postgres import Postgres
from monitor.stores.provision import make_sure
from monitor.stores.ways import Ways
from tests.conftest import Site
from tests.probes.breaking import Wire, cutting, wired

PRIMARY = Place(Store.POSTGRES)
REPLICA = Place(Store.POSTGRES, Way.REPLICA, "postgres-replica")
SERIES = "a1b2c3d4"
PLACES = {"wheel": None, "system": system_bindir()}
PLACES = {name: bindir for name, bindir in PLACES.items() if name == "wheel" or bindir}


def mark(n: int) -> Mark:
    """The n-th mark of these tests."""
    return Mark(SERIES, n)


def entry(n: int, *, identified: bool = False) -> Entry:
    """The n-th write."""
    return Entry(
        environment="ledgers",
        store=Store.POSTGRES,
        mark=mark(n),
        identified=identified,
        state=State.INTENDED,
        intended=datetime(2026, 1, 1, tzinfo=UTC),
    )


def digest(n: int) -> str:
    """That of the n-th record."""
    return digest_of(content_of("ledgers", Store.POSTGRES, mark(n)))


@dataclass(frozen=True)
class Ledger:
    """One daemon's side of a ledger: durables, and connections that are closed at the end."""

    ways: Ways
    stack: AsyncExitStack
    daemon: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "daemon", self.ways.instance.id)

    async def writer(self) -> OwnRows:
        """A new connection that writes."""
        writer = await RowDurables(self.ways).writer("test")
        self.stack.push_async_callback(writer.close)
        return writer

    async def reader(self, place: Place | None = None) -> OwnRows:
        """A new connection that looks."""
        reader = await RowDurables(self.ways).reader("test", place=place)
        self.stack.push_async_callback(reader.close)
        return reader


MakeLedger = Callable[..., Ledger]


def ways_of(*, instance: Instance, timeout: timedelta = timedelta(seconds=5), **dsns: str) -> Ways:
    """Ways into a primary, and into a replica if it has one."""
    tally = Metrics(location="test", version="0").tally("ledgers")
    places = {"primary": PRIMARY, "replica": REPLICA}
    return Ways(
        environment="ledgers",
        instance=instance,
        timeout=timeout,
        postgres={
            places[name]: Postgres(
                dsn, tally=tally, statement_timeout=timeout, connect_timeout=timeout, place=places[name]
            )
            for name, dsn in dsns.items()
        },
        redis={},
    )


@pytest.fixture(scope="module", params=PLACES.values(), ids=PLACES)
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Servers]:
    """A primary and its replica, whose schema is there."""
    bindir: Path | None = request.param
    async with Servers(fsync=False, replicas=True, postgres_bindir=bindir) as servers:
        ways = ways_of(instance=Instance("0123abcd", 1), primary=servers.postgres.dsn)
        await make_sure(ways.primary_postgres, environment="ledgers", provision=True)
        yield servers


@pytest.fixture
async def make_ledger(pair: Servers) -> AsyncIterator[MakeLedger]:
    """Make the ledger of a new daemon; `dsn` is another way to the primary."""
    async with AsyncExitStack() as stack:

        def make(dsn: str = pair.postgres.dsn, *, daemon: str | None = None) -> Ledger:
            instance = Instance(daemon or secrets.token_hex(4), 1)
            return Ledger(ways_of(instance=instance, primary=dsn, replica=replica_of(pair).dsn), stack)

        yield make


def replica_of(servers: Servers) -> EmbeddedPostgres:
    """The replica, which these servers have."""
    assert servers.postgres_replica is not None
    return servers.postgres_replica


@pytest.mark.parametrize("identified", [False, True], ids=["register", "record"])
async def test_a_register_moves_only_from_what_is_expected(make_ledger: MakeLedger, *, identified: bool) -> None:
    """It is made where nothing is expected, moves from any mark that is expected, and else stays and is told."""
    writer = await make_ledger().writer()

    async def write(n: int, *expected: int | None) -> Written:
        marks = tuple(None if each is None else mark(each) for each in expected)
        return await writer.write(entry(n, identified=identified), expected=marks)

    assert await writer.read() is None
    assert await write(1, 0) == Written(moved=False, before=None)
    assert await writer.read() is None
    assert await write(1, None) == Written(moved=True, before=None)
    assert await write(2, None) == Written(moved=False, before=mark(1))
    assert await write(2, 1) == Written(moved=True, before=mark(1))
    assert await write(3, 1) == Written(moved=False, before=mark(2))
    assert await write(3, None, 1, 2) == Written(moved=True, before=mark(2))
    assert await write(4, 4) == Written(moved=False, before=mark(3))
    assert await writer.read() == mark(3)
    found = await writer.look(None)
    assert found.digests == ({mark(n): digest(n) for n in (1, 2, 3)} if identified else {})


async def test_what_is_no_mark_counts_as_nothing_and_is_written_over(pair: Servers, make_ledger: MakeLedger) -> None:
    """Somebody wrote into the register by hand: that is no mark, and does not stop the ledger for ever."""
    ledger = make_ledger()
    writer = await ledger.writer()
    await writer.write(entry(1), expected=(None,))
    by_hand = f"UPDATE holdfast.ledger_registers SET mark = 'by hand' WHERE daemon = '{ledger.daemon}'"  # noqa: S608
    await pair.postgres.sql(by_hand)
    assert await writer.read() is None
    assert await writer.write(entry(2), expected=(mark(1),)) == Written(moved=False, before=None)
    assert await writer.write(entry(3), expected=(None,)) == Written(moved=True, before=None)
    assert await writer.read() == mark(3)


async def test_of_writes_at_once_exactly_one_moves_the_register(make_ledger: MakeLedger) -> None:
    """However they meet, the others are told what the one that moved it left there."""
    ledger = make_ledger()
    writers = [await ledger.writer() for _ in range(4)]
    before: Mark | None = None
    for turn in range(40):
        marks = [4 * turn + place for place in range(4)]
        answers = await asyncio.gather(
            *(
                writer.write(entry(n, identified=bool(n % 2)), expected=(before,))
                for writer, n in zip(writers, marks, strict=True)
            ),
            return_exceptions=True,
        )
        moved = [mark(n) for n, answer in zip(marks, answers, strict=True) if getattr(answer, "moved", False)]
        assert len(moved) == 1
        told = [answer for answer in answers if isinstance(answer, Written) and not answer.moved]
        assert {each.before for each in told} <= set(moved)
        if before is not None:  # of two that make a register at once, one may find it there and not yet see it
            assert len(told) == 3
        before = moved[0]
        assert await writers[0].read() == before


DROPS = {
    "record": "BEFORE INSERT ON holdfast.ledger_records",
    "register": "BEFORE UPDATE ON holdfast.ledger_registers",
}


@pytest.mark.parametrize("dropped", DROPS)
async def test_what_a_trigger_drops_was_not_written_at_all(site: Site, dropped: str) -> None:
    """Register and record go together: where one is dropped in silence, the other is not there either."""
    await site.environment.prepare({Store.POSTGRES: 1})
    writer = await site.environment.durables(Store.POSTGRES).writer("test")
    await writer.write(entry(1, identified=True), expected=(None,))
    await site.sql(
        f"""
        CREATE FUNCTION public.drops() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
        CREATE TRIGGER drops {DROPS[dropped]} FOR EACH ROW EXECUTE FUNCTION public.drops();
        """
    )
    with pytest.raises(StoreError, match="trigger or a rule") as caught:
        await writer.write(entry(2, identified=True), expected=(mark(1),))
    assert (caught.value.reason, caught.value.outcome) == (Reason.INCONCLUSIVE, Outcome.FAILED)
    await writer.close()
    reader = await site.environment.durables(Store.POSTGRES).reader("test")
    found = await reader.look(None)
    await reader.close()
    assert (found.register, set(found.digests)) == (mark(1), {mark(1)})


async def test_a_record_that_is_there_already_refuses_the_whole_write(pair: Servers, make_ledger: MakeLedger) -> None:
    """The server itself says no, and the register has not moved."""
    ledger = make_ledger()
    writer = await ledger.writer()
    await writer.write(entry(1, identified=True), expected=(None,))
    await pair.postgres.sql(
        "INSERT INTO holdfast.ledger_records (daemon, series, n, content)"  # noqa: S608  constants
        f" VALUES ('{ledger.daemon}', '{SERIES}', 2, 'x')"
    )
    with pytest.raises(StoreError) as caught:
        await writer.write(entry(2, identified=True), expected=(mark(1),))
    assert caught.value.outcome is Outcome.FAILED
    assert await (await ledger.reader()).read() == mark(1)


@dataclass
class Cut:
    """Cuts the wire where an answer of the server holds these bytes, which never arrive."""

    wire: Wire
    at: bytes = b"nothing"

    def __call__(self, data: bytes) -> bytes:
        """Hand on, or cut."""
        if self.at not in data:
            return data
        self.wire.cut()
        return b""


ANSWERED = b"s\0\0\0\4"  # PortalSuspended: the one row that was asked for is there
CUTS = {
    "register": (False, ANSWERED, Outcome.INDETERMINATE, True),
    "record": (True, ANSWERED, Outcome.FAILED, False),
    "commit": (True, b"COMMIT\0", Outcome.INDETERMINATE, True),
}


@pytest.mark.parametrize("case", CUTS)
async def test_a_lost_answer_is_indeterminate_where_it_may_have_happened(
    pair: Servers, make_ledger: MakeLedger, case: str
) -> None:
    """Before COMMIT nothing happened; after it all did, and the transaction is known by its id."""
    identified, at, outcome, happens = CUTS[case]
    async with wired(pair.postgres.port) as wire:
        cut = Cut(wire)
        wire.edit(lambda _: (bytes, cut))
        ledger = make_ledger(pair.postgres.dsn.replace(f":{pair.postgres.port}/", f":{wire.port}/"))
        writer = await ledger.writer()
        await writer.write(entry(1, identified=identified), expected=(None,))
        cut.at = at
        with pytest.raises(StoreError) as caught:
            await writer.write(entry(2, identified=identified), expected=(mark(1),))
        assert (caught.value.reason, caught.value.outcome) == (Reason.UNREACHABLE, outcome)
    reader = await make_ledger(daemon=ledger.daemon).reader()
    found = await reader.look(None)
    assert found.register == mark(2 if happens else 1)
    assert (mark(2) in found.digests) is (happens and identified)
    assert await reader.happened(writer.xid) is (True if case == "commit" else None)


@pytest.mark.parametrize("identified", [False, True], ids=["register", "record"])
async def test_wherever_a_connection_is_cut_the_outcome_told_is_true(
    pair: Servers, make_ledger: MakeLedger, *, identified: bool
) -> None:
    """At every chunk of a write, in either direction: failed is absent, done is there, and the record goes with it."""
    outcomes: set[Outcome] = set()
    async with wired(pair.postgres.port) as wire:
        at = 0
        while Outcome.OK not in outcomes:
            at += 1
            counted = [-(1 << 30)]
            wire.edit(cutting(wire, at, counted))
            ledger = make_ledger(pair.postgres.dsn.replace(f":{pair.postgres.port}/", f":{wire.port}/"))
            writer = await ledger.writer()
            counted[0] = 0
            try:
                await writer.write(entry(1, identified=identified), expected=(None,))
                outcome = Outcome.OK
            except StoreError as error:
                outcome = error.outcome
            outcomes.add(outcome)
            reader = await make_ledger(daemon=ledger.daemon).reader()
            process = writer.connection.get_server_pid()
            alive = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {process}"  # noqa: S608  constants
            while outcome is not Outcome.OK and await pair.postgres.sql(alive) != "0\n":
                pass  # the server has not yet noticed that its client is gone
            found = await reader.look(None)
            assert set(found.digests) == ({found.register} - {None} if identified else set())
            if outcome is not Outcome.INDETERMINATE:
                assert (found.register is not None) is (outcome is Outcome.OK)
    assert outcomes == ({*Outcome} if identified else {Outcome.OK, Outcome.INDETERMINATE})


@pytest.fixture
async def frozen(pair: Servers) -> AsyncIterator[Servers]:
    """Servers whose synchronous standby has stopped to answer."""
    replica = replica_of(pair)
    await pair.postgres.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
    await pair.postgres.reload()
    replica.pause()
    yield pair
    replica.resume()
    await pair.postgres.sql("ALTER SYSTEM RESET synchronous_standby_names")
    await pair.postgres.reload()


@pytest.mark.parametrize("identified", [False, True], ids=["register", "record"])
async def test_a_cancelled_wait_for_a_standby_is_weak(
    frozen: Servers, make_ledger: MakeLedger, *, identified: bool
) -> None:
    """It is acknowledged, with a warning alone that says that the standby need not have it; the next one is not."""
    ledger = make_ledger()
    writer = await ledger.writer()
    writing = asyncio.create_task(writer.write(entry(1, identified=identified), expected=(None,)))
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    while not await frozen.postgres.sql(cancel):
        assert not writing.done()
    assert await writing == Written(moved=True, before=None, weak=True)
    replica_of(frozen).resume()
    assert await writer.write(entry(2, identified=identified), expected=(mark(1),)) == Written(
        moved=True, before=mark(1)
    )


@pytest.mark.parametrize("identified", [False, True], ids=["register", "record"])
async def test_a_commit_that_is_not_answered_in_time_is_indeterminate(frozen: Servers, *, identified: bool) -> None:
    """It waits for its standby, which no timeout of the server's ends; it is there all the same."""
    instance = Instance(secrets.token_hex(4), 1)
    ways = ways_of(instance=instance, timeout=timedelta(milliseconds=200), primary=frozen.postgres.dsn)
    async with AsyncExitStack() as stack:
        ledger = Ledger(ways, stack)
        with pytest.raises(StoreError) as caught:
            await (await ledger.writer()).write(entry(1, identified=identified), expected=(None,))
        assert (caught.value.reason, caught.value.outcome) == (Reason.TIMEOUT, Outcome.INDETERMINATE)
        replica_of(frozen).resume()
        found = await (await ledger.reader()).look(None)
    assert (found.register, set(found.digests)) == (mark(1), {mark(1)} if identified else set())


async def test_another_warning_is_not_weakness(site: Site) -> None:
    """A trigger may warn of what it likes."""
    await site.environment.prepare({Store.POSTGRES: 1})
    await site.sql(
        """
        CREATE FUNCTION public.warns() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE WARNING 'synchronous replication'; RETURN NEW; END $$;
        CREATE TRIGGER warns BEFORE INSERT ON holdfast.ledger_registers FOR EACH ROW EXECUTE FUNCTION public.warns();
        """
    )
    writer = await site.environment.durables(Store.POSTGRES).writer("test")
    assert await writer.write(entry(1), expected=(None,)) == Written(moved=True, before=None)
    await writer.close()


RECORDS = 2500


async def fill(servers: Servers, daemon: str, *, records: int = RECORDS, age: str = "0 s") -> None:
    """A ledger of so many records, as this daemon would have left it."""
    moment = f"clock_timestamp() - interval '{age}'"
    await servers.postgres.sql(
        f"""
        INSERT INTO holdfast.ledger_registers (daemon, mark, moved_at)
            VALUES ('{daemon}', '{SERIES}/{records}', {moment});
        INSERT INTO holdfast.ledger_records (daemon, series, n, content, created_at)
            SELECT '{daemon}', '{SERIES}', n, 'x', {moment} FROM generate_series(1, {records}) AS n;
        """  # noqa: S608  constants
    )


async def test_a_look_is_one_snapshot_however_many_records(pair: Servers, make_ledger: MakeLedger) -> None:
    """While a writer goes on, each look has the register at the last of its records, and all before it."""
    ledger = make_ledger()
    await fill(pair, ledger.daemon)
    writer, reader = await ledger.writer(), await ledger.reader()
    written = RECORDS

    async def go_on() -> None:
        nonlocal written
        while True:
            await writer.write(entry(written + 1, identified=True), expected=(mark(written),))
            written += 1

    writing = asyncio.create_task(go_on())
    seen = set()
    while len(seen) < 10:
        found = await reader.look(None)
        assert found.register is not None
        assert set(found.digests) == {mark(n) for n in range(1, found.register.n + 1)}
        seen.add(found.register)
        assert not writing.done()
    writing.cancel()
    await asyncio.wait([writing])


async def test_a_look_brings_what_was_asked_for(pair: Servers, make_ledger: MakeLedger) -> None:
    """Only records that were wanted and are there; of other daemons, how much they have and how long silent."""
    ledger, other = make_ledger(), make_ledger()
    await fill(pair, ledger.daemon)
    await fill(pair, other.daemon, records=3, age="1 hour")
    reader = await ledger.reader()
    assert (await reader.look(())).digests == {}
    wanted = [mark(1), mark(RECORDS), mark(RECORDS + 1), Mark("another", 1)]
    assert set((await reader.look(wanted)).digests) == {mark(1), mark(RECORDS)}
    every_second = {mark(n) for n in range(2, RECORDS + 1, 2)}
    found = await reader.look(every_second)
    assert set(found.digests) == every_second
    ((daemon, records, silent),) = [each for each in found.others if each[0] == other.daemon]
    assert (daemon, records) == (other.daemon, 3)
    assert silent >= 3600
    assert ledger.daemon not in {each[0] for each in found.others}


async def test_exactly_the_records_named_are_deleted(pair: Servers, make_ledger: MakeLedger) -> None:
    """Whatever the number of marks, those go and no other; who leaves takes all that is its own, and nothing else."""
    ledger, other = make_ledger(), make_ledger()
    for each in (ledger, other):
        await fill(pair, each.daemon)
    writer = await ledger.writer()
    await writer.delete([mark(n) for n in range(2, RECORDS + 1, 2)])
    await writer.delete([mark(1), mark(1), mark(RECORDS + 7)])
    await writer.delete(())
    assert set((await writer.look(None)).digests) == {mark(n) for n in range(3, RECORDS + 1, 2)}
    await writer.leave()
    left = await writer.look(None)
    assert (left.register, left.digests) == (None, {})
    assert len((await (await other.reader()).look(None)).digests) == RECORDS


async def test_a_transaction_is_known_to_have_happened_or_not(make_ledger: MakeLedger) -> None:
    """Committed, rolled back; and neither while it runs, where it is not of this server, or where there is none."""
    ledger = make_ledger()
    writer, reader = await ledger.writer(), await ledger.reader()
    await writer.write(entry(1, identified=True), expected=(None,))
    assert await reader.happened(writer.xid) is True
    await writer.write(entry(2), expected=(mark(1),))
    assert writer.xid == ""
    await writer.connection.execute("BEGIN")
    xid = await writer.connection.fetchval("SELECT pg_current_xact_id()::text")
    assert await reader.happened(xid) is None
    await writer.connection.execute("ROLLBACK")
    assert await reader.happened(xid) is False
    assert await reader.happened("999999999") is None
    assert await reader.happened("") is None


async def test_a_standby_says_so_and_takes_no_write(pair: Servers, make_ledger: MakeLedger) -> None:
    """It is not writable, has the primary's identifier and no timeline of its own; a write is refused by itself."""
    ledger = make_ledger()
    writer = await ledger.writer()
    await writer.write(entry(1, identified=True), expected=(None,))
    position = (await pair.postgres.sql("SELECT pg_current_wal_insert_lsn()")).strip()
    await replica_of(pair).sql(
        f"DO $$ BEGIN WHILE pg_last_wal_replay_lsn() < '{position}' LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
    )
    found = await (await ledger.reader(REPLICA)).look(None)
    own, primary = found.evidence, writer.evidence
    assert (found.register, found.digests) == (mark(1), {mark(1): digest(1)})
    assert (own.writable, own.timeline, own.system) == (False, 0, primary.system)
    assert primary.writable
    assert primary.timeline == 1
    assert own.lsn > 0
    strayed = make_ledger(replica_of(pair).dsn, daemon=ledger.daemon)
    for identified in (False, True):
        with pytest.raises(StoreError) as caught:
            await (await strayed.writer()).write(entry(2, identified=identified), expected=(mark(1),))
        assert (caught.value.reason, caught.value.outcome) == (Reason.READ_ONLY, Outcome.FAILED)


async def test_a_replica_without_the_tables_has_nothing_yet(pair: Servers, make_ledger: MakeLedger) -> None:
    """It may lag behind the making of the schema; a primary without it is misconfigured."""
    ways = make_ledger().ways
    bare = {
        place: Postgres(
            server.superuser_dsn("postgres"),
            tally=Metrics(location="test", version="0").tally("ledgers"),
            statement_timeout=ways.timeout,
            connect_timeout=ways.timeout,
            place=place,
        )
        for place, server in ((PRIMARY, pair.postgres), (REPLICA, replica_of(pair)))
    }
    durables = RowDurables(replace(ways, postgres=bare))
    replica = await durables.reader("test", place=REPLICA)
    found = await replica.look(None)
    await replica.close()
    assert (found.register, found.digests, found.evidence.writable) == (None, {}, False)
    primary = await durables.reader("test")
    with pytest.raises(StoreError) as caught:
        await primary.look(None)
    await primary.close()
    assert caught.value.reason is Reason.MISCONFIGURED


async def test_a_restart_changes_the_start_and_nothing_else(pair: Servers, make_ledger: MakeLedger) -> None:
    """The same server on the same timeline, up for a shorter time, with the position of its WAL ahead or the same."""
    ledger = make_ledger()
    before = (await ledger.reader()).evidence
    again = (await ledger.reader()).evidence
    assert same_server(before, again)
    assert again.uptime >= before.uptime
    await pair.postgres.restart()
    after = (await ledger.reader()).evidence
    assert not same_server(before, after)
    assert (after.system, after.timeline, after.writable) == (before.system, before.timeline, True)
    assert after.started > before.started
    assert after.uptime < before.uptime + timedelta(minutes=1)
    assert after.lsn >= before.lsn
    assert after.delay == timedelta(milliseconds=200)


async def test_a_promotion_changes_the_timeline() -> None:
    """What was a standby takes writes on the next timeline; it has been up all the while."""
    async with Servers(fsync=False, replicas=True) as servers, AsyncExitStack() as stack:
        replica = replica_of(servers)
        ways = ways_of(instance=Instance("0123abcd", 1), primary=servers.postgres.dsn, replica=replica.dsn)
        ledger = Ledger(ways, stack)
        primary = (await ledger.reader()).evidence
        standby = (await ledger.reader(REPLICA)).evidence
        await servers.postgres.kill()
        await replica.promote()
        promoted = (await ledger.reader(REPLICA)).evidence
    assert (primary.timeline, standby.timeline, promoted.timeline) == (1, 0, 2)
    assert (primary.writable, standby.writable, promoted.writable) == (True, False, True)
    assert primary.system == standby.system == promoted.system
    assert standby.started == promoted.started
    assert len({same_server(*each) for each in itertools.combinations((primary, standby, promoted), 2)}) == 1
    assert not same_server(standby, promoted)


async def test_a_server_may_keep_its_identifier_to_itself(site: Site) -> None:
    """Where the role may not ask for it, the rest of the evidence is there, in the look's one snapshot too."""
    await site.environment.prepare({Store.POSTGRES: 1})
    await site.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    reader = await site.environment.durables(Store.POSTGRES).reader("test")
    found = await reader.look(None)
    await reader.close()
    assert (found.evidence.system, found.evidence.timeline, found.evidence.writable) == ("", 1, True)


def asked(log: bytes) -> Counter[str]:
    """The statements in a server's log, with their numbers left out."""
    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", log.decode())
    return Counter(re.sub(r"timeout = \d+", "timeout = …", each) for each in statements)


async def test_what_is_sent_is_what_the_plan_shows(site: Site) -> None:
    """Every operation sends exactly its statements, as PostgreSQL logs them, each in one round trip once prepared."""
    await site.environment.prepare({Store.POSTGRES: 1})
    await site.sql(f"ALTER DATABASE {site.database} SET log_statement = 'all'")
    server = site.servers.postgres
    async with wired(server.port) as wire, AsyncExitStack() as stack:
        turns: list[str] = []

        def noted(side: str) -> Callable[[bytes], bytes]:
            return lambda data: (turns.append(side), data)[1]

        wire.edit(lambda _: (noted("there"), noted("back")))
        ways = ways_of(instance=Instance("0123abcd", 1), primary=site.dsn.replace(f":{server.port}/", f":{wire.port}/"))
        before = server.log.stat().st_size
        rows = await Ledger(ways, stack).writer()
        assert asked(server.log.read_bytes()[before:]) == Counter(OPERATIONS["introduce"])
        number = itertools.count(1)

        async def write(*, identified: bool) -> None:
            n = next(number)
            await rows.write(entry(n, identified=identified), expected=(mark(n - 1) if n > 1 else None,))

        operations = {
            "move_register": lambda: write(identified=False),
            "leave_record": lambda: write(identified=True),
            "read_register": rows.read,
            "look_at_server": lambda: rows.look(()),
            "look_at_records": lambda: rows.look([mark(1)]),
            "look_at_all_records": lambda: rows.look(None),
            "ask_for_outcome": lambda: rows.happened("3"),
            "delete_records": lambda: rows.delete([mark(1)]),
            "leave": rows.leave,
        }
        assert {*operations, "introduce"} == set(OPERATIONS)
        for name, operation in operations.items():
            await operation()  # prepares
            number = itertools.count(1) if name == "leave" else number
            before = server.log.stat().st_size
            turns.clear()
            await operation()
            assert asked(server.log.read_bytes()[before:]) == Counter(OPERATIONS[name])
            assert [side for side, _ in itertools.groupby(turns)] == ["there", "back"] * len(OPERATIONS[name])
    assert STATEMENTS["evidence without system"] not in {each for every in OPERATIONS.values() for each in every}
