"""Redis keeps the ledger's writes: what is asked of it, and what it says of itself, on Valkey and on Debian's Redis."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from monitor.core.ledger.entries import Entry, Mark, State, content_of, digest_of
from monitor.core.ledger.evidence import RedisEvidence, same_server
from monitor.core.ledger.found import Sighting, Written
from monitor.core.residue import Instance
from monitor.core.verdict import Reason
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.process import NotInstalledError
from monitor.embedded.valkey import EmbeddedValkey
from monitor.ports import MisroutedError, Outcome, Place, Store, StoreError, Way
from monitor.stores import durable_keys
from monitor.stores.durable_keys import KEEP, SNAPSHOT, KeyDurables, KeyReader, KeyWriter
from monitor.stores.provision import redis_acl
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import Edit, Wire, unchanged, wired

REPLICA = Place(Store.REDIS, Way.REPLICA, "other")
StartServer = Callable[..., Awaitable[EmbeddedValkey]]


@pytest.fixture(params=["valkey", "redis"])
async def start_server(request: pytest.FixtureRequest) -> AsyncIterator[StartServer]:
    """Start a server of this test's own: the wheel's Valkey, and Debian's Redis. Keywords are EmbeddedValkey's."""
    program = shutil.which("redis-server") if request.param == "redis" else None
    if request.param == "redis" and program is None:
        raise NotInstalledError("there is no redis-server; on Debian, apt-get install redis-server")
    folder = PrivateFolder()
    async with AsyncExitStack() as stack:
        stack.callback(folder.close)

        async def start(**arguments: Any) -> EmbeddedValkey:
            own = {"fsync": False, "appendonly": False, "name": f"server{secrets.token_hex(3)}"} | arguments
            server = EmbeddedValkey(folder, server=Path(program) if program else None, **own)
            await server.start()
            stack.push_async_callback(server.stop)
            return server

        yield start


@pytest.fixture
async def here(make_site: MakeSite, start_server: StartServer) -> tuple[Site, EmbeddedValkey]:
    """An environment with a Redis of its own."""
    server = await start_server()
    return await make_site(postgres_dsn=None, redis_url=server.url), server


def entry(site: Site, n: int, *, identified: bool = False, series: str = "0badcafe") -> Entry:
    """An intent, as the ledger hands it out."""
    return Entry(
        environment=site.environment.name,
        store=Store.REDIS,
        mark=Mark(series, n),
        identified=identified,
        state=State.INTENDED,
        intended=datetime(2026, 3, 1, tzinfo=UTC),
    )


def own_keys(site: Site) -> str:
    """What the keys of this daemon's ledger begin with."""
    return f"holdfast:{site.environment.name}:{site.environment.ways.instance.id}"


def digests(entries: Iterable[Entry]) -> dict[Mark, str]:
    """What must be found of identified entries."""
    return {each.mark: digest_of(content_of(each.environment, each.store, each.mark)) for each in entries}


@asynccontextmanager
async def writing(site: Site, **arguments: timedelta) -> AsyncIterator[KeyWriter]:
    """A writer, closed at the end."""
    writer = await KeyDurables(site.environment.ways, **arguments).writer("test")
    try:
        yield writer
    finally:
        await writer.close()


@asynccontextmanager
async def reading(site: Site, place: Place | None = None) -> AsyncIterator[KeyReader]:
    """A reader, closed at the end."""
    reader = await KeyDurables(site.environment.ways).reader("test", place=place)
    try:
        yield reader
    finally:
        await reader.close()


async def looked(site: Site, *wanted: Mark, place: Place | None = None) -> Sighting:
    """One look on a new connection, at these marks or at all that the index names."""
    async with reading(site, place) as reader:
        return await reader.look(wanted or None)


async def filled(site: Site, count: int) -> list[Entry]:
    """So many records, written one after another; the register holds the last."""
    entries = [entry(site, n, identified=True) for n in range(1, count + 1)]
    async with writing(site) as writer:
        before = await writer.read()
        for each in entries:
            assert (await writer.write(each, expected=[before])).moved
            before = each.mark
    return entries


def of_redis(sighting: Sighting) -> RedisEvidence:
    """What the server said of itself."""
    assert isinstance(sighting.evidence, RedisEvidence)
    return sighting.evidence


async def test_a_register_moves_only_from_what_is_expected(here: tuple[Site, EmbeddedValkey]) -> None:
    """Nothing, then a mark after another; where it holds something else, nothing at all is written."""
    site, server = here
    first, second, third = (entry(site, n, identified=n != 1) for n in (1, 2, 3))
    async with writing(site) as writer:
        assert await writer.read() is None
        assert await writer.write(first, expected=[Mark("x", 9)]) == Written(moved=False, before=None)
        assert await writer.read() is None
        assert await writer.write(first, expected=[None]) == Written(moved=True, before=None)
        assert await writer.write(second, expected=[Mark("x", 9), first.mark]) == Written(moved=True, before=first.mark)
        assert await writer.write(third, expected=[first.mark, None]) == Written(moved=False, before=second.mark)
        sighting = await looked(site)
        assert (sighting.register, dict(sighting.digests)) == (second.mark, digests([second]))
        assert (await looked(site, first.mark, second.mark, third.mark)).digests == sighting.digests
        await writer.delete([second.mark, third.mark])
        assert (await looked(site, second.mark)).digests == {}
        await writer.leave()
    assert await server.command("DBSIZE") == 0


async def test_what_was_never_a_mark_is_no_mark(here: tuple[Site, EmbeddedValkey]) -> None:
    """A register that somebody overwrote is read as nothing, and moves from nothing."""
    site, server = here
    async with writing(site) as writer:
        await server.command("SET", f"{own_keys(site)}:register", "?")
        assert await writer.read() is None
        assert await writer.write(entry(site, 1), expected=[None]) == Written(moved=True, before=None)


async def test_a_script_that_fails_midway_writes_neither(here: tuple[Site, EmbeddedValkey]) -> None:
    """Where the index cannot be written, there is no record, and the register has not moved."""
    site, server = here
    await server.command("SET", f"{own_keys(site)}:records", "?")
    one = entry(site, 1, identified=True)
    async with writing(site) as writer:
        with pytest.raises(StoreError, match="WRONGTYPE") as failure:
            await writer.write(one, expected=[None])
    assert failure.value.outcome is Outcome.FAILED
    sighting = await looked(site, one.mark)
    assert (sighting.register, sighting.digests) == (None, {})


async def test_two_writers_at_once_move_it_once(here: tuple[Site, EmbeddedValkey]) -> None:
    """Of many who expect the same only one writes anything."""
    site, _ = here
    entries = [entry(site, n, identified=True) for n in range(1, 9)]

    async def write(one: Entry) -> Written:
        async with writing(site) as writer:
            return await writer.write(one, expected=[None])

    written = await asyncio.gather(*map(write, entries))
    (winner,) = (one for one, each in zip(entries, written, strict=True) if each.moved)
    sighting = await looked(site)
    assert (sighting.register, dict(sighting.digests)) == (winner.mark, digests([winner]))
    assert {each.before for each in written if not each.moved} == {winner.mark}


@pytest.mark.parametrize("answered", [False, True], ids=["request", "answer"])
async def test_a_cut_leaves_both_or_neither_and_nobody_knows(
    make_site: MakeSite,
    here: tuple[Site, EmbeddedValkey],
    answered: bool,  # noqa: FBT001
) -> None:
    """Whether the request or its answer is lost, the outcome is indeterminate; the store has all of it or nothing."""
    _, server = here
    async with wired(server.port) as wire:
        site = await make_site(postgres_dsn=None, redis_url=server.url.replace(f":{server.port}/", f":{wire.port}/"))
        one = entry(site, 1, identified=True)
        wire.edit(cutting_a_write(wire, answered=answered))
        async with writing(site) as writer:
            with pytest.raises(StoreError) as failure:
                await writer.write(one, expected=[None])
        assert failure.value.outcome is Outcome.INDETERMINATE
        wire.heal()
        sighting = await looked(site, one.mark)
    expected = (one.mark, digests([one])) if answered else (None, {})
    assert (sighting.register, dict(sighting.digests)) == expected


def cutting_a_write(wire: Wire, *, answered: bool) -> Callable[[int], tuple[Edit, Edit]]:
    """Cut a connection when a script is sent, or when it is answered."""
    sent = False

    def there(data: bytes) -> bytes:
        nonlocal sent
        sent = sent or b"EVAL" in data
        if sent and not answered:
            wire.cut()
            return b""
        return data

    def back(data: bytes) -> bytes:
        if sent:
            wire.cut()
            return b""
        return data

    return lambda _: (there, back)


async def test_an_answer_to_somebody_else_leaves_a_write_indeterminate(
    make_site: MakeSite, here: tuple[Site, EmbeddedValkey]
) -> None:
    """Where the nonce is not ours, nobody knows what became of what was sent behind it."""
    _, server = here
    async with wired(server.port) as wire:
        site = await make_site(postgres_dsn=None, redis_url=server.url.replace(f":{server.port}/", f":{wire.port}/"))
        of_a_script = re.compile(rb"^\$16\r\n.{16}(?=\r\n\*2\r\n:)")
        wire.edit(lambda _: (unchanged, lambda data: of_a_script.sub(b"$16\r\n" + b"0" * 16, data)))
        async with writing(site) as writer:
            with pytest.raises(MisroutedError) as failure:
                await writer.write(entry(site, 1), expected=[None])
        assert failure.value.outcome is Outcome.INDETERMINATE


async def test_a_full_server_refuses_and_nothing_has_moved(here: tuple[Site, EmbeddedValkey]) -> None:
    """Under noeviction the register of a full server stands still, whatever the script does; what is there is read."""
    site, server = here
    (one,) = await filled(site, 1)
    async with writing(site) as writer:
        await server.command("CONFIG", "SET", "maxmemory", 1)
        for identified in (False, True):
            with pytest.raises(StoreError) as failure:
                await writer.write(entry(site, 2, identified=identified), expected=[one.mark])
            assert (failure.value.reason, failure.value.outcome) == (Reason.CAPACITY, Outcome.FAILED)
        assert await writer.read() == one.mark
    sighting = await looked(site)
    assert (sighting.register, dict(sighting.digests)) == (one.mark, digests([one]))


async def test_a_replica_shows_what_it_has_and_takes_nothing(
    make_site: MakeSite, here: tuple[Site, EmbeddedValkey], start_server: StartServer
) -> None:
    """A look at a replica is right; a writer that was sent to one knows it, and is refused before it compares."""
    site, server = here
    replica = await following(server, start_server)
    one, two = await filled(site, 2)
    await server.command("WAIT", 1, 5000)
    beside = await make_site(
        site.environment.name,
        postgres_dsn=None,
        redis_url=replica.url,
        others={REPLICA: server.url},
        instance=site.environment.ways.instance,
    )
    sighting = await looked(beside)
    assert (sighting.register, dict(sighting.digests)) == (two.mark, digests([one, two]))
    assert not of_redis(sighting).writable
    assert of_redis(await looked(beside, place=REPLICA)).writable
    async with writing(beside) as writer:
        assert not writer.evidence.writable
        with pytest.raises(StoreError) as failure:
            await writer.write(entry(site, 3), expected=[None])
        assert (failure.value.reason, failure.value.outcome) == (Reason.READ_ONLY, Outcome.FAILED)


async def following(server: EmbeddedValkey, start_server: StartServer) -> EmbeddedValkey:
    """A replica that follows."""
    replica = await start_server(replica_of=server)
    async with asyncio.timeout(20):
        while b"master_link_status:up" not in await replica.command("INFO", "replication"):  # type: ignore[operator]
            pass
    return replica


async def test_a_promoted_replica_names_whom_it_followed(
    make_site: MakeSite, here: tuple[Site, EmbeddedValkey], start_server: StartServer
) -> None:
    """After a promotion the second replication id is the old one's, up to the offset at which it took over."""
    site, server = here
    replica = await following(server, start_server)
    entries = await filled(site, 3)
    await server.command("WAIT", 1, 5000)
    before = of_redis(await looked(site))
    await server.kill()
    await replica.command("REPLICAOF", "NO", "ONE")
    after_failover = await make_site(
        site.environment.name, postgres_dsn=None, redis_url=replica.url, instance=site.environment.ways.instance
    )
    sighting = await looked(after_failover)
    after = of_redis(sighting)
    assert dict(sighting.digests) == digests(entries)
    assert (after.replid2, after.writable) == (before.replid, True)
    assert 0 < after.second_offset <= before.offset + 1
    assert (after.run_id == before.run_id, after.replid == before.replid) == (False, False)
    assert not same_server(before, after)


@pytest.mark.parametrize("keeps", ["nothing", "log", "snapshot"])
async def test_a_restart_is_another_run_that_has_what_was_kept(
    make_site: MakeSite, start_server: StartServer, keeps: str
) -> None:
    """The run id tells a restart; what is there then is what its files held. A snapshot also brings the old id back."""
    server = await start_server(appendonly=keeps == "log")
    site = await make_site(postgres_dsn=None, redis_url=server.url)
    entries = await filled(site, 3)
    if keeps == "snapshot":
        await following(server, start_server)
    before = of_redis(await looked(site))
    if keeps == "snapshot":
        await server.save()
    await server.kill()
    await server.start()
    sighting = await looked(site)
    after = of_redis(sighting)
    assert dict(sighting.digests) == ({} if keeps == "nothing" else digests(entries))
    assert sighting.register == (None if keeps == "nothing" else entries[-1].mark)
    assert after.run_id != before.run_id
    assert after.uptime <= before.uptime + timedelta(minutes=1)
    assert after.appending == (keeps == "log")
    assert (after.replid2 == before.replid) == (keeps == "snapshot" and await loads_its_past(server))


async def loads_its_past(server: EmbeddedValkey) -> bool:
    """Whether a server takes the replication id in its snapshot for that of a primary it followed: since Redis 7."""
    info = await server.command("INFO", "server")
    return isinstance(info, bytes) and b"redis_version:6" not in info


async def test_flushes_are_counted(here: tuple[Site, EmbeddedValkey]) -> None:
    """FLUSHALL and FLUSHDB, from whoever they come, and in scripts."""
    site, server = here
    await filled(site, 2)
    assert of_redis(await looked(site)).flushes == 0
    await server.command("FLUSHALL")
    await server.command("FLUSHDB", "ASYNC")
    await server.command("EVAL", "return redis.call('FLUSHALL')", 0)
    sighting = await looked(site)
    assert (of_redis(sighting).flushes, sighting.register, sighting.digests) == (3, None, {})


async def test_evictions_are_counted_and_the_ledgers_own_marks_find_what_an_index_has_lost(
    here: tuple[Site, EmbeddedValkey],
) -> None:
    """Under pressure keys go, the evidence says how many and by which policy; a lost index hides nothing."""
    site, server = here
    entries = await filled(site, 5)
    await server.command("DEL", f"{own_keys(site)}:records")
    async with reading(site) as reader:
        known = [each.mark for each in entries]
        assert dict((await reader.look(None, known=known)).digests) == digests(entries)
        assert (await reader.look(None)).digests == {}
    await server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", 1)
    await server.command("PING")  # what has to go goes with the next command
    evidence = of_redis(await looked(site))
    assert evidence.policy == "allkeys-random"
    assert evidence.evicted >= len(entries)


async def test_the_age_of_a_save_is_by_the_servers_own_clock(here: tuple[Site, EmbeddedValkey]) -> None:
    """Before the first save it is that of the start, and a save begins it anew."""
    site, server = here
    first = of_redis(await looked(site))
    assert first.age is not None
    assert abs(first.age - first.uptime) <= timedelta(seconds=1)
    await server.save()
    saved = of_redis(await looked(site))
    assert saved.age is not None
    assert saved.saved >= first.saved
    assert saved.age <= saved.uptime + timedelta(seconds=1)


async def test_what_nobody_comes_back_for_goes_by_itself(here: tuple[Site, EmbeddedValkey]) -> None:
    """Everything that is written expires, the register and the indexes later with each move."""
    site, server = here
    await filled(site, 1)
    keys = await server.command("KEYS", "*")
    assert isinstance(keys, list)
    assert len(keys) == 4
    longest = KEEP.total_seconds() * 1000
    for key in keys:
        assert isinstance(key, bytes)
        left = await server.command("PTTL", key)
        assert isinstance(left, int)
        assert longest - 60_000 < left <= longest
    async with writing(site, keep=timedelta(milliseconds=1)) as writer:
        await writer.write(entry(site, 2, identified=True), expected=[entry(site, 1).mark])
    async with asyncio.timeout(10):
        while await server.command("EXISTS", keys[0], keys[1], keys[2], keys[3]) > 1:  # type: ignore[operator]
            pass  # the first record has its old time to live


async def test_other_ledgers_are_seen_and_how_long_they_are_silent(
    make_site: MakeSite, here: tuple[Site, EmbeddedValkey]
) -> None:
    """Each daemon that writes is known to the others, until it leaves; each sees and deletes only its own."""
    site, _ = here
    other = await make_site(
        site.environment.name,
        postgres_dsn=None,
        redis_url=here[1].url,
        instance=Instance("feedface", 3),
    )
    await filled(site, 2)
    assert (await looked(site)).others == ()
    await filled(other, 3)
    ((daemon, records, silent),) = (await looked(site)).others
    assert (daemon, records) == ("feedface", 3)
    assert 0 <= silent < 60
    ((daemon, records, _),) = (await looked(other)).others
    assert (daemon, records) == (site.environment.ways.instance.id, 2)
    async with writing(other) as writer:
        await writer.leave()
    sighting = await looked(site)
    assert (sighting.others, len(sighting.digests)) == ((), 2)


async def test_a_look_at_many_holds_the_server_up_in_pieces_only(
    make_site: MakeSite, here: tuple[Site, EmbeddedValkey], make_proxy: MakeProxy
) -> None:
    """20,000 records come back whole, and no command reads more of them than it may."""
    _, server = here
    proxy = await make_proxy(server.port)
    site = await make_site(postgres_dsn=None, redis_url=server.url.replace(f":{server.port}/", f":{proxy.port}/"))
    entries = [entry(site, n, identified=True) for n in range(1, 20_001)]
    own = own_keys(site)
    for start in range(0, len(entries), 1000):
        some = entries[start : start + 1000]
        named = [(f"{own}:record:{each.mark.series}:{each.mark.n}", each) for each in some]
        contents = [word for key, each in named for word in (key, content_of(each.environment, each.store, each.mark))]
        await server.command("MSET", *contents)
        await server.command("ZADD", f"{own}:records", *(word for each in some for word in (1, str(each.mark))))
    sizes: list[int] = []

    def count(command: list[bytes]) -> list[bytes]:
        if command[0] == b"MGET":
            sizes.append(sum(b":record:" in key for key in command))
        return command

    proxy.rewrite = count
    assert dict((await looked(site)).digests) == digests(entries)
    assert (sum(sizes), max(sizes)) == (len(entries), SNAPSHOT)


async def test_a_server_that_loads_its_data_is_nobody_yet(make_site: MakeSite, start_server: StartServer) -> None:
    """Whoever asks it meanwhile is told that it is loading, whatever it says of itself."""
    server = await start_server(settings={"rdbcompression": "no"})
    site = await make_site(postgres_dsn=None, redis_url=server.url)
    await server.command("EVAL", "for n = 1, 2000 do redis.call('SET', 'k' .. n, string.rep('x', 1000)) end", 0)
    await server.save()
    await server.kill()
    await server.start_loading(seconds_per_key=0.03)
    for attempt in (looked(site), filled(site, 1)):
        with pytest.raises(StoreError, match="loading") as failure:
            await attempt
        assert failure.value.reason is Reason.READ_ONLY
    await server.kill()


async def test_a_proxy_that_hides_who_the_server_is_is_named(
    make_site: MakeSite, here: tuple[Site, EmbeddedValkey]
) -> None:
    """Without a run id nothing can be told of a server; the message says what is missing."""
    _, server = here
    async with wired(server.port) as wire:
        site = await make_site(postgres_dsn=None, redis_url=server.url.replace(f":{server.port}/", f":{wire.port}/"))
        wire.edit(lambda _: (unchanged, lambda data: data.replace(b"run_id:", b"nil_id:")))
        with pytest.raises(StoreError, match=r"INFO does not tell what evidence needs .'run_id'.") as failure:
            await looked(site)
        assert failure.value.reason is Reason.MISCONFIGURED


async def test_the_printed_acl_is_enough(make_site: MakeSite, here: tuple[Site, EmbeddedValkey]) -> None:
    """A user with the ACL of `holdfast setup --print` writes, looks, deletes and leaves; with less, it is said."""
    _, server = here
    words = redis_acl(user="fenced").replace("CHOOSE-A-PASSWORD", "planted").split()
    await server.command(*words)
    site = await make_site(postgres_dsn=None, redis_url=f"redis://fenced:planted@127.0.0.1:{server.port}/0")
    one, two = await filled(site, 2)
    assert dict((await looked(site)).digests) == digests([one, two])
    await server.command("ACL", "SETUSER", "fenced", "-zadd")
    async with writing(site) as writer:
        with pytest.raises(StoreError, match="holdfast setup ENV --print") as failure:
            await writer.write(entry(site, 3, identified=True), expected=[two.mark])
        assert (failure.value.reason, failure.value.outcome) == (Reason.REFUSED, Outcome.FAILED)
        assert await writer.read() == two.mark
        await writer.delete([one.mark])
        await writer.leave()
    assert await server.command("DBSIZE") == 0


async def test_the_catalogue_of_operations_is_what_is_sent(
    make_site: MakeSite, here: tuple[Site, EmbeddedValkey], make_proxy: MakeProxy
) -> None:
    """Each operation sends the commands that the catalogue names, in its order."""
    _, server = here
    proxy = await make_proxy(server.port)
    site = await make_site(postgres_dsn=None, redis_url=server.url.replace(f":{server.port}/", f":{proxy.port}/"))
    sent: list[str] = []

    def note(command: list[bytes]) -> list[bytes]:
        sent.append(" ".join(word.decode() for word in command[: 2 if command[0] == b"INFO" else 1]))
        return command

    proxy.rewrite = note
    asked: dict[str, list[str]] = {}

    async def operation(name: str, work: Awaitable[object]) -> None:
        sent.clear()
        await work
        asked[name] = sent.copy()

    one, two = entry(site, 1), entry(site, 2, identified=True)
    async with writing(site) as writer, reading(site) as reader:
        sent[:] = sent[sent.index("ECHO") : -1]
        asked["open_durable"] = [each for each in sent if each not in {"AUTH", "CLIENT"}]
        await operation("read_register", writer.read())
        await operation("move_register", writer.write(one, expected=[None]))
        await operation("write_record", writer.write(two, expected=[one.mark]))
        await operation("look_at_records", reader.look([two.mark]))
        await operation("delete_records", writer.delete([two.mark]))
        await operation("leave", writer.leave())
        asked["leave"] = asked["leave"][2:]  # after it has listed its records, of which there are none
    for name, commands in asked.items():
        shown = durable_keys.OPERATIONS[name]
        expected = [each if each.startswith("INFO") else each.split()[0] for each in shown]
        assert Counter(commands) == Counter(expected), name
