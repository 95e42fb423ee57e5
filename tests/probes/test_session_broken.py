"""Sessions that a real Valkey loses, changes, mixes up or keeps too long: each caught, named, and closed in the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest

from monitor.core.verdict import Kind, Reason
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.valkey import EmbeddedValkey
from monitor.probes.session import SessionProbe
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import Wire, heals, run_ok, run_unknown, run_violated, unchanged, wired

Command = list[bytes]
Rewrite = Callable[[Command], Command]

BRIEF = timedelta(milliseconds=150)
PROBE = SessionProbe(brief_ttl=BRIEF)
LUA = SessionProbe(brief_ttl=BRIEF, discipline="lua")
NAIVE = SessionProbe(brief_ttl=BRIEF, discipline="naive", updates=20)


def is_save(command: Command) -> bool:
    """Whether this is SET key value PX n."""
    return command[0] == b"SET" and b"PX" in command[3:]


def is_update(command: Command) -> bool:
    """Whether this is SET key value KEEPTTL."""
    return command[0] == b"SET" and command[-1] == b"KEEPTTL"


def lives(change: Callable[[int], int | None]) -> Rewrite:
    """Change the expiry of each SET; None takes it away."""

    def rewrite(command: Command) -> Command:
        if not is_save(command):
            return command
        life = change(int(command[4]))
        return command[:3] if life is None else [*command[:4], b"%d" % life]

    return rewrite


def value(change: Callable[[bytes], bytes], *, of: Callable[[Command], bool]) -> Rewrite:
    """Change the value of some SETs."""
    return lambda command: [*command[:2], change(command[2]), *command[3:]] if of(command) else command


def job(script: str, *, instead_of: bytes = b"TIME") -> Rewrite:
    """Run a script on the server at each TIME (or ECHO), as a job of somebody else would; `own` holds own sessions."""
    answer = "redis.call('TIME')" if instead_of == b"TIME" else "ARGV[1]"
    text = f"for _, own in ipairs(redis.call('KEYS', 'holdfast:*:session:*-own')) do {script} end return {answer}"

    def rewrite(command: Command) -> Command:
        return [b"EVAL", text.encode(), b"0", *command[1:]] if command[0] == instead_of else command

    return rewrite


def key(command_name: bytes, *, becomes: bytes, after: int = 0) -> Rewrite:
    """Send a command about an own session as one about another key, from the `after`-th such command on."""
    seen = 0

    def rewrite(command: Command) -> Command:
        nonlocal seen
        if command[0] != command_name or not command[1].endswith(b"-own"):
            return command
        seen += 1
        return [command[0], command[1].replace(b"-own", becomes), *command[2:]] if seen > after else command

    return rewrite


def add_one(stored: bytes) -> bytes:
    """A session whose counter is one ahead."""
    session = json.loads(stored)
    session["counters"]["messages"] += 1
    return json.dumps(session, ensure_ascii=False).encode()


@dataclass(frozen=True, kw_only=True)
class Break:
    """One way to break sessions, and what must be found."""

    finds: Kind
    rewrite: Rewrite
    probe: SessionProbe = PROBE


BREAKS: dict[str, Callable[[], Break]] = {
    "expiry never set": lambda: Break(finds=Kind.TTL_MISSING, rewrite=lives(lambda _: None)),
    "expiry forgotten by updates": lambda: Break(
        finds=Kind.TTL_MISSING, rewrite=lambda command: command[:3] if is_update(command) else command
    ),
    "a job that makes keys persistent": lambda: Break(
        finds=Kind.TTL_MISSING, rewrite=job("redis.call('PERSIST', own)")
    ),
    "half the time to live": lambda: Break(finds=Kind.TTL_EARLY, rewrite=lives(lambda life: life // 2)),
    "seconds taken for milliseconds": lambda: Break(
        finds=Kind.TTL_EARLY, rewrite=lives(lambda life: life // 1000 or 1)
    ),
    "a job that shortens lives": lambda: Break(finds=Kind.TTL_EARLY, rewrite=job("redis.call('PEXPIRE', own, 5000)")),
    "use does not prolong": lambda: Break(finds=Kind.TTL_EARLY, rewrite=key(b"PEXPIRE", becomes=b"-nobody")),
    "twice the time to live": lambda: Break(finds=Kind.TTL_LATE, rewrite=lives(lambda life: life * 2)),
    "a job that prolongs lives": lambda: Break(finds=Kind.TTL_LATE, rewrite=job("redis.call('EXPIRE', own, 86400)")),
    "deleted by somebody": lambda: Break(finds=Kind.LOST, rewrite=job("redis.call('DEL', own)")),
    "deleted by somebody between updates": lambda: Break(
        finds=Kind.LOST,
        rewrite=job(
            "local value = redis.call('GET', own)"
            " if value and cjson.decode(value).counters.messages >= 3 then redis.call('DEL', own) end",
            instead_of=b"ECHO",
        ),
    ),
    "the same with updates by script": lambda: Break(
        finds=Kind.LOST,
        probe=LUA,
        rewrite=job(
            "local value = redis.call('GET', own)"
            " if value and cjson.decode(value).counters.messages >= 3 then redis.call('DEL', own) end",
            instead_of=b"ECHO",
        ),
    ),
    "updates that read, then write": lambda: Break(
        finds=Kind.LOST_UPDATE, rewrite=lambda command: command, probe=NAIVE
    ),
    "another session's value": lambda: Break(finds=Kind.LEAKED, rewrite=key(b"GET", becomes=b"-other")),
    "another session's value after the reconnect": lambda: Break(
        finds=Kind.LEAKED, rewrite=key(b"GET", becomes=b"-other", after=1), probe=LUA
    ),
    "a letter changed": lambda: Break(
        finds=Kind.CORRUPT, rewrite=value(lambda stored: stored.replace(b"dark", b"dork"), of=is_save)
    ),
    "encoding mangled": lambda: Break(
        finds=Kind.CORRUPT, rewrite=value(lambda stored: stored.decode("latin-1").encode(), of=is_save)
    ),
    "truncated": lambda: Break(finds=Kind.CORRUPT, rewrite=value(lambda stored: stored[:200], of=is_save)),
    "truncated by updates": lambda: Break(finds=Kind.CORRUPT, rewrite=value(lambda stored: stored[:200], of=is_update)),
    "delete does not delete": lambda: Break(finds=Kind.RESURRECTED, rewrite=key(b"DEL", becomes=b"-nobody")),
    "each update made twice": lambda: Break(finds=Kind.DUPLICATED, rewrite=value(add_one, of=is_update)),
    "each update made twice by script": lambda: Break(
        finds=Kind.DUPLICATED,
        rewrite=lambda command: [word.replace(b"[ARGV[1]] + 1", b"[ARGV[1]] + 2") for word in command],
        probe=LUA,
    ),
}


@pytest.fixture
async def proxy(site: Site, make_proxy: MakeProxy) -> TcpProxy:
    """A proxy before Valkey, on which no expiry of another test is counted."""
    await site.servers.valkey.command("FLUSHALL")
    return await make_proxy(site.servers.valkey.port)


async def behind(make_site: MakeSite, valkey: EmbeddedValkey, port: int | None = None) -> Site:
    """An environment with nothing but this Valkey, as it is seen at another port."""
    url = valkey.url.replace(f":{valkey.port}/", f":{port or valkey.port}/")
    return await make_site(postgres_dsn=None, redis_url=url)


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_promise_is_named_and_closes_when_it_is_kept_again(
    make_site: MakeSite, site: Site, proxy: TcpProxy, name: str
) -> None:
    """Healthy: ok. Broken: violated with exactly that kind. Healed: ok, and the violation closed."""
    broken = BREAKS[name]()
    here = await behind(make_site, site.servers.valkey, proxy.port)
    healthy = PROBE if broken.probe is NAIVE else broken.probe
    await run_ok(here, healthy)
    proxy.rewrite = broken.rewrite
    await run_violated(here, broken.probe, {broken.finds})
    proxy.rewrite = None
    await heals(here, healthy)


FLOOD = """
for number = 1, 40000 do
    redis.call('SET', 'flood:' .. ARGV[2] .. ':' .. number, string.rep('x', 1000))
end
return redis.call('TIME')
"""


async def test_a_key_that_is_evicted_for_memory_is_called_evicted(make_site: MakeSite, make_proxy: MakeProxy) -> None:
    """Under real memory pressure with allkeys-lru the server drops a session, and its counters say why."""
    folder = PrivateFolder()
    settings = {
        "maxmemory-policy": "allkeys-lru",
        "maxmemory-samples": "64",
        "maxmemory-eviction-tenacity": "100",  # evict to the end before the next command
    }
    valkey = EmbeddedValkey(folder, fsync=False, appendonly=False, maxmemory="4mb", settings=settings, name="full")
    try:
        await valkey.start()
        proxy = await make_proxy(valkey.port)
        here = await behind(make_site, valkey, proxy.port)
        await run_ok(here, PROBE)
        times = 0

        def flood(command: Command) -> Command:
            nonlocal times
            if command[0] != b"TIME":
                return command
            times += 1
            if times not in {7, 9}:  # the first TIME of the look after three saves, and of the second look
                return command
            return [b"EVAL", FLOOD.encode(), b"0", b"", b"%d" % times]

        proxy.rewrite = flood
        await run_violated(here, PROBE, {Kind.EVICTED})
        proxy.rewrite = None
        await valkey.command("FLUSHALL", "SYNC")  # what is freed later still counts, and evicts what is written now
        await heals(here, PROBE)
    finally:
        await valkey.stop()
        folder.close()


@pytest.fixture
async def wire(site: Site) -> AsyncIterator[Wire]:
    """A proxy before Valkey that edits bytes."""
    async with wired(site.servers.valkey.port) as opened:
        yield opened


STRAY = b"$16\r\nffffffffffffffff\r\n"


def shifting(*, only: int | None = None) -> Callable[[int], tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]]:
    """Put a stray reply before the first nonce of each connection (or of one): all that follow come one too late."""

    def edits(number: int) -> tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]:
        shifted = only is not None and number != only

        def back(data: bytes) -> bytes:
            nonlocal shifted
            if not shifted and data.startswith(b"$16\r\n"):
                shifted = True
                return STRAY + data
            return data

        return unchanged, back

    return edits


async def test_replies_shifted_by_one_are_misrouted(make_site: MakeSite, site: Site, wire: Wire) -> None:
    """A reply that belongs to another request is noticed by its nonce, again on new connections, and named."""
    here = await behind(make_site, site.servers.valkey, wire.port)
    await run_ok(here, PROBE)
    wire.edit(shifting())
    record = await run_violated(here, PROBE, {Kind.MISROUTED})
    assert "'ffffffffffffffff'" in record.finding.message
    wire.heal()
    await heals(here, PROBE)


@pytest.mark.parametrize("connection", [0, 1, 2])
async def test_replies_shifted_once_are_no_proof(make_site: MakeSite, site: Site, wire: Wire, connection: int) -> None:
    """Where the replies of one connection are shifted and those of new ones are not, the run cannot tell."""
    here = await behind(make_site, site.servers.valkey, wire.port)
    await here.environment.prepare(PROBE.needs)
    wire.edit(shifting(only=connection))
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert record.finding.message.endswith("on new connections it did not happen again")


@pytest.mark.parametrize("step", [3600, -3600, 5, -5], ids=lambda step: f"{step:+d}s")
@pytest.mark.parametrize("after", [5, 9], ids=lambda after: f"after-{after}")
async def test_a_step_of_the_server_s_clock_is_no_violation(
    make_site: MakeSite, site: Site, proxy: TcpProxy, step: int, after: int
) -> None:
    """Where TIME jumps in mid-run, times prove nothing: the run ends soon, says so, and accuses nobody."""
    here = await behind(make_site, site.servers.valkey, proxy.port)
    times = 0
    stepped = f"local time = redis.call('TIME') return {{tostring(tonumber(time[1]) + {step}), time[2]}}"

    def rewrite(command: Command) -> Command:
        nonlocal times
        if command[0] != b"TIME":
            return command
        times += 1
        return [b"EVAL", stepped.encode(), b"0"] if times > after else command

    proxy.rewrite = rewrite
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert "clock moved by" in record.finding.message
    assert record.took < timedelta(seconds=3)


async def test_one_wrong_look_is_no_proof(make_site: MakeSite, site: Site, proxy: TcpProxy) -> None:
    """Where the first look is wrong and the second right, the run cannot tell, and says what it saw."""
    here = await behind(make_site, site.servers.valkey, proxy.port)
    seen = 0

    def rewrite(command: Command) -> Command:
        nonlocal seen
        if command[0] == b"GET" and command[1].endswith(b"-own"):
            seen += 1
            return [b"GET", command[1].replace(b"-own", b"-other")] if seen == 1 else command
        return command

    proxy.rewrite = rewrite
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert record.finding.message == (
        "after saving: leaked was seen once, and a second look on a new connection did not confirm it"
    )


async def test_without_the_control_absence_proves_nothing(make_site: MakeSite, site: Site, proxy: TcpProxy) -> None:
    """Where the session beside the deleted one is gone too, the run cannot tell whether deletion works."""
    here = await behind(make_site, site.servers.valkey, proxy.port)

    def rewrite(command: Command) -> Command:
        if command[0] == b"DEL" and len(command) == 2:
            return [*command, command[1].replace(b"-own", b"-other")]
        return command

    proxy.rewrite = rewrite
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert "the session beside is not visible" in record.finding.message


async def test_damage_that_did_not_happen_means_a_blind_detector(
    make_site: MakeSite, site: Site, proxy: TcpProxy
) -> None:
    """Where the damage that the probe does on purpose leaves no trace, its silence about damage proves nothing."""
    here = await behind(make_site, site.servers.valkey, proxy.port)
    proxy.rewrite = lambda command: [b"STRLEN", command[1]] if command[0] == b"SETRANGE" else command
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert "damage that was done on purpose was not seen" in record.finding.message
