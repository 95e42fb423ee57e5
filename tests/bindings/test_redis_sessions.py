"""The promise of sessions, asked of an application's own keys on a real server: kept, and broken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from monitor.bindings import Binding
from monitor.core.verdict import Kind
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.valkey import EmbeddedValkey
from monitor.probes.session import SessionProbe
from monitor.stores import sessions
from monitor.stores.bound.plans import sent_keys
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import heals, run_ok, run_violated

Command = list[bytes]
Rewrite = Callable[[Command], Command]

PROBE = SessionProbe(brief_ttl=timedelta(milliseconds=150))
BUSY = SessionProbe(brief_ttl=timedelta(milliseconds=150), updates=20)
PLATFORM: Mapping[str, Any] = {
    "key": "session:{user_id}:{session_id}",
    "value": {
        "session_id": "{session_id}",
        "user_id": "{user_id}",
        "data": "{payload}",
        "version": 1,
        "tags": ["a", {"b": None}],
    },
}
COOKIE = {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}
CONNECT: Mapping[str, Any] = {"key": "sess:{session_id}", "value": {"cookie": COOKIE, "user": "{payload}"}}
DJANGO: Mapping[str, Any] = {
    "key": ":1:django.contrib.sessions.cache{session_id}",
    "encoding": "pickle",
    "value": {"user": "{payload}", "_session_expiry": 3600},
}
IN_TEXT: Mapping[str, Any] = {"key": "s:{session_id}", "value": {"a": {"b": "{payload_text}"}, "owner": "u {user_id}"}}
HASH: Mapping[str, Any] = {
    "key": "{{tenant}}:{user_id}:{session_id}:h",
    "encoding": "hash",
    "value": {"user": "{user_id}", "data 'x'": "{payload_text}", "version": 3},
}
WAYS: dict[str, Mapping[str, Any]] = {
    "plain json": {"key": "session:{user_id}:{session_id}"},
    "platform, watch": PLATFORM,
    "platform, lua": {**PLATFORM, "discipline": "lua"},
    "fixed expiry": {**PLATFORM, "sliding": False, "ttl": "30m"},
    "connect-redis": CONNECT,
    "connect-redis, lua": {**CONNECT, "discipline": "lua"},
    "django": DJANGO,
    "text in json": IN_TEXT,
    "text in json, lua": {**IN_TEXT, "discipline": "lua"},
    "hash, watch": HASH,
    "hash, lua": {**HASH, "discipline": "lua"},
    "hash, field by field": {**HASH, "discipline": "fields"},
    "hash, bare": {"key": "h:{session_id}", "encoding": "hash", "discipline": "fields"},
}
NAIVE: dict[str, Mapping[str, Any]] = {
    name: {**WAYS[name], "discipline": "naive"} for name in ("plain json", "platform, watch", "django", "hash, watch")
}

MakeBound = Callable[..., Awaitable[Site]]


@pytest.fixture
def database() -> str:
    """None is made: nothing here is asked of PostgreSQL."""
    return "none"


@pytest.fixture
def make_bound(make_site: MakeSite, site: Site) -> MakeBound:
    """Make an environment whose sessions are an application's, on the shared Valkey or a proxy before it."""

    async def make(session: Mapping[str, Any], *, port: int | None = None, **changes: Any) -> Site:
        valkey = site.servers.valkey
        url = valkey.url.replace(f":{valkey.port}/", f":{port or valkey.port}/")
        binding = Binding.model_validate({"redis": {"session": session}})
        return await make_site(postgres_dsn=None, redis_url=url, binding=binding, **changes)

    return make


@pytest.mark.parametrize("way", WAYS)
async def test_an_application_s_sessions_are_kept(make_bound: MakeBound, way: str) -> None:
    """Whatever the keys, the encoding and the discipline, a healthy server is found healthy, and nothing is left."""
    here = await make_bound(WAYS[way])
    await run_ok(here, BUSY)
    left = await here.servers.valkey.command("KEYS", f"*{here.environment.instance}*")
    assert left == []


@pytest.mark.parametrize("way", NAIVE)
async def test_updates_that_read_and_then_write_are_lost(make_bound: MakeBound, way: str) -> None:
    """Two clients at once who neither watch nor script lose updates, whatever the encoding, and that is seen."""
    here = await make_bound(NAIVE[way])
    await run_violated(here, BUSY, {Kind.LOST_UPDATE})


def job(script: str) -> Rewrite:
    """Run a script on the server at each TIME, as a job of somebody else would; `own` holds keys of own sessions."""
    text = f"for _, own in ipairs(redis.call('KEYS', '*holdfast-*-own*')) do {script} end return redis.call('TIME')"
    return lambda command: [b"EVAL", text.encode(), b"0"] if command[0] == b"TIME" else command


def saved(change: Callable[[bytes], bytes]) -> Rewrite:
    """Change what is stored by SET."""
    return lambda command: [*command[:2], change(command[2]), *command[3:]] if command[0] == b"SET" else command


def elsewhere(command: Command) -> Command:
    """Read another session than was asked for."""
    reads = command[0] in {b"GET", b"HGETALL"} and b"-own" in command[1]
    return [command[0], command[1].replace(b"-own", b"-other").replace(b"-0:", b"-1:")] if reads else command


def reformed(change: Callable[[dict[str, Any]], object]) -> Rewrite:
    """Change the JSON that is stored."""

    def changed(stored: bytes) -> bytes:
        value = json.loads(stored)
        change(value)
        return json.dumps(value, ensure_ascii=False).encode()

    return saved(changed)


@dataclass(frozen=True, kw_only=True)
class Break:
    """One way to break an application's sessions, and what must be found."""

    way: str
    finds: Kind
    rewrite: Rewrite


BREAKS: dict[str, Break] = {
    "expiry taken away": Break(
        way="platform, watch", finds=Kind.TTL_MISSING, rewrite=job("redis.call('PERSIST', own)")
    ),
    "expiry taken from a hash": Break(
        way="hash, field by field", finds=Kind.TTL_MISSING, rewrite=job("redis.call('PERSIST', own)")
    ),
    "fixed expiry prolonged": Break(
        way="fixed expiry", finds=Kind.TTL_LATE, rewrite=job("redis.call('EXPIRE', own, 3600)")
    ),
    "expiry shortened": Break(way="django", finds=Kind.TTL_EARLY, rewrite=job("redis.call('EXPIRE', own, 60)")),
    "deleted": Break(way="connect-redis", finds=Kind.LOST, rewrite=job("redis.call('DEL', own)")),
    "a letter changed": Break(
        way="connect-redis", finds=Kind.CORRUPT, rewrite=saved(lambda stored: stored.replace(b"dark", b"dork"))
    ),
    "a letter of a pickle changed": Break(
        way="django", finds=Kind.CORRUPT, rewrite=saved(lambda stored: stored.replace(b"dark", b"dork"))
    ),
    "a pickle truncated": Break(way="django", finds=Kind.CORRUPT, rewrite=saved(lambda stored: stored[:300])),
    "another user named beside it": Break(
        way="platform, watch", finds=Kind.CORRUPT, rewrite=reformed(lambda value: value.update(user_id="somebody"))
    ),
    "the cookie lost": Break(
        way="connect-redis", finds=Kind.CORRUPT, rewrite=reformed(lambda value: value.pop("cookie"))
    ),
    "the payload lost": Break(
        way="connect-redis", finds=Kind.CORRUPT, rewrite=reformed(lambda value: value.pop("user"))
    ),
    "another's session": Break(way="platform, watch", finds=Kind.LEAKED, rewrite=elsewhere),
    "another's pickle": Break(way="django", finds=Kind.LEAKED, rewrite=elsewhere),
    "another's hash": Break(way="hash, field by field", finds=Kind.LEAKED, rewrite=elsewhere),
    "a hash's fields changed": Break(
        way="hash, watch", finds=Kind.CORRUPT, rewrite=job("redis.call('HSET', own, 'version', 4)")
    ),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_promise_is_named_and_closes(
    make_bound: MakeBound, make_proxy: MakeProxy, site: Site, name: str
) -> None:
    """Healthy: ok. Broken: violated with exactly that kind. Healed: ok, and the violation closed."""
    broken = BREAKS[name]
    proxy = await make_proxy(site.servers.valkey.port)
    await site.servers.valkey.command("FLUSHALL")
    here = await make_bound(WAYS[broken.way], port=proxy.port)
    await run_ok(here, PROBE)
    proxy.rewrite = broken.rewrite
    await run_violated(here, PROBE, {broken.finds})
    proxy.rewrite = None
    await heals(here, PROBE)


async def test_a_fixed_expiry_is_not_moved(make_bound: MakeBound, make_proxy: MakeProxy, site: Site) -> None:
    """Where each use does not prolong a session, none of the run's commands does."""
    proxy = await make_proxy(site.servers.valkey.port)
    sent: list[Command] = []

    def note(command: Command) -> Command:
        sent.append(command)
        return command

    proxy.rewrite = note
    here = await make_bound(WAYS["fixed expiry"], port=proxy.port)
    await run_ok(here, PROBE)
    lives = {command[4] for command in sent if command[0] == b"SET" and command[3] == b"PX"}
    prolonged = [command for command in sent if command[0] == b"PEXPIRE" and b"-own" in command[1]]
    assert (lives, prolonged) == ({b"1800000", b"150"}, [])


@pytest.mark.parametrize("way", ["platform, lua", "fixed expiry", "django", "hash, watch", "hash, lua", "hash, bare"])
async def test_the_plan_is_what_goes_over_the_wire(
    make_bound: MakeBound, make_proxy: MakeProxy, site: Site, way: str
) -> None:
    """What `holdfast plan` shows for the binding is sent, as often as it says, and under its keys."""
    proxy = await make_proxy(site.servers.valkey.port)
    here = await make_bound(WAYS[way], port=proxy.port)
    await run_ok(here, PROBE)
    sent: Counter[str] = Counter()

    def count(command: Command) -> Command:
        sent[command[0].decode()] += 1
        return command

    proxy.rewrite = count
    await run_ok(here, PROBE)

    binding = here.environment.binding
    assert binding is not None
    planned: Counter[str] = Counter()
    for use in PROBE.plan():
        for command in sent_keys(binding, "session", use.operation, sessions.OPERATIONS) or ():
            planned[command.split()[0]] += use.times
    for setup in ("AUTH", "CLIENT"):  # once for each connection
        assert sent.pop(setup) == 3
    reads, writes = ("HGETALL", "HSET") if way.startswith("hash") else ("GET", "SET")
    if WAYS[way].get("sliding", True) is False:  # a look after each use is left out with it
        planned -= Counter({"ECHO": 1, "TIME": 2, reads: 1, "PTTL": 1})
    for per_key in (reads, "PTTL"):  # a look asks for up to three keys
        assert planned.pop(per_key) <= sent.pop(per_key) <= 100
    again = sent["WATCH"] - planned["WATCH"]  # none but where a WATCH lost a race
    for command in ("WATCH", "MULTI", "EXEC", writes) if again else ():
        planned[command] += again
    planned["ECHO"] += 2 * again
    assert +sent == +planned


FLOOD = (
    "for number = 1, 40000 do redis.call('SET', 'flood:' .. ARGV[1] .. ':' .. number, string.rep('x', 1000)) end"
    " return redis.call('TIME')"
)


async def test_a_session_that_is_evicted_is_called_evicted(make_site: MakeSite, make_proxy: MakeProxy) -> None:
    """Under real memory pressure the server drops an application's session, and its counters say why."""
    folder = PrivateFolder()
    settings = {"maxmemory-policy": "allkeys-lru", "maxmemory-samples": "64", "maxmemory-eviction-tenacity": "100"}
    valkey = EmbeddedValkey(folder, fsync=False, appendonly=False, maxmemory="4mb", settings=settings, name="full")
    try:
        await valkey.start()
        proxy = await make_proxy(valkey.port)
        url = valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/")
        binding = Binding.model_validate({"redis": {"session": PLATFORM}})
        here = await make_site(postgres_dsn=None, redis_url=url, binding=binding)
        await run_ok(here, PROBE)
        times = 0

        def flood(command: Command) -> Command:
            nonlocal times
            times += command[0] == b"TIME"
            if command[0] != b"TIME" or times not in {7, 9}:  # the first of each look after three saves
                return command
            return [b"EVAL", FLOOD.encode(), b"0", b"%d" % times]

        proxy.rewrite = flood
        await run_violated(here, PROBE, {Kind.EVICTED})
        proxy.rewrite = None
        await valkey.command("FLUSHALL", "SYNC")  # what is freed later still counts, and evicts what is written now
        await heals(here, PROBE)
    finally:
        await valkey.stop()
        folder.close()
