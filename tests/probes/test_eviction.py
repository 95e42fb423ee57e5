"""The probe eviction on real servers: each policy, what breaks it, what only keeps it from telling, and its plan."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.configfile import ConfigError, load
from monitor.core.eviction import POLICIES, Policy
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.valkey import EmbeddedValkey
from monitor.ports import Store
from monitor.probes.eviction import EvictionProbe
from monitor.stores import evictions
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import Wire, heals, kinds, run_ok, run_unknown, run_violated, unchanged, wired

PROBE = EvictionProbe()
SMALL = EvictionProbe.model_validate({"share": "64kb"})
LARGE = EvictionProbe.model_validate({"share": "1mb"})  # in several pieces
REDIS = shutil.which("redis-server")
StartValkey = Callable[..., Awaitable[EmbeddedValkey]]


@pytest.fixture
async def start_valkey() -> AsyncIterator[StartValkey]:
    """Start a Valkey of this test's own; keyword arguments are EmbeddedValkey's."""
    folder = PrivateFolder()
    async with AsyncExitStack() as stack:
        stack.callback(folder.close)

        async def start(**arguments: Any) -> EmbeddedValkey:
            own = {"fsync": False, "appendonly": False, "name": f"valkey{secrets.token_hex(3)}"} | arguments
            valkey = EmbeddedValkey(folder, **own)
            await valkey.start()
            stack.push_async_callback(valkey.stop)
            return valkey

        yield start


def through(valkey: EmbeddedValkey, port: int) -> str:
    """The URL of a Valkey at another port."""
    return valkey.url.replace(f":{valkey.port}/", f":{port}/")


async def leave_room(valkey: EmbeddedValkey, amount: int) -> None:
    """So many bytes may still be written."""
    info = await valkey.command("INFO", "memory")
    assert isinstance(info, bytes)
    used = next(int(line[12:]) for line in info.splitlines() if line.startswith(b"used_memory:"))
    await valkey.command("CONFIG", "SET", "maxmemory", used + amount)


async def fill(valkey: EmbeddedValkey, amount: int, *, ttl: int | None = None) -> None:
    """So many bytes are somebody else's, in one key."""
    expiry = "" if ttl is None else f", 'PX', {ttl * 1000}"
    await valkey.command("EVAL", f"redis.call('SET', 'neighbour', string.rep('x', {amount}){expiry})", 0)


@pytest.mark.parametrize("program", ["valkey", "redis"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_each_policy_is_right_where_there_is_room(
    make_site: MakeSite, start_valkey: StartValkey, policy: Policy, program: str
) -> None:
    """Whether it is declared or not, nothing is left out, nothing is evicted, and nothing is left behind."""
    server = Path(REDIS) if REDIS and program == "redis" else None
    valkey = await start_valkey(settings={"maxmemory-policy": policy}, server=server)
    for declared in (None, policy):
        site = await make_site(postgres_dsn=None, redis_url=valkey.url, policy=declared)
        record = await run_ok(site, PROBE)
        assert (record.finding.checks, record.finding.left_out) == (9, ())
    assert await valkey.command("DBSIZE") == 0


async def test_without_a_limit_it_is_said_that_nothing_was_pressed(
    make_site: MakeSite, start_valkey: StartValkey
) -> None:
    """Where maxmemory is 0 no ballast is written, and the verdict says what was not checked."""
    valkey = await start_valkey(maxmemory="0")
    site = await make_site(postgres_dsn=None, redis_url=valkey.url)
    record = await run_ok(site, PROBE)
    assert "press" not in {step.name for step in record.steps}
    assert [sentence.partition(":")[0] for sentence in record.finding.left_out] == [
        "what happens when memory is short is not checked"
    ]


async def test_a_server_that_is_nearly_full_is_left_alone(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """Beyond nine tenths of maxmemory no ballast is written; a smaller share may still fit."""
    valkey = await start_valkey(maxmemory="20mb")
    await fill(valkey, 10 << 20)
    site = await make_site(postgres_dsn=None, redis_url=valkey.url)
    large = EvictionProbe.model_validate({"share": "16mb"})
    record = await run_ok(site, large)
    assert [sentence.partition(":")[0] for sentence in record.finding.left_out] == ["no memory pressure was made"]
    assert "press" not in {step.name for step in record.steps}
    assert (await run_ok(site, SMALL)).finding.left_out == ()


async def pressing(make_site: MakeSite, valkey: EmbeddedValkey, wire: Wire, *, policy: Policy | None) -> Site:
    """An environment in which a neighbour fills the memory between the canaries and the look at them."""
    site = await make_site(postgres_dsn=None, redis_url=through(valkey, wire.port), policy=policy)
    await site.environment.prepare(PROBE.needs)
    await valkey.command("CONFIG", "SET", "maxmemory-samples", 64)
    wire.edit(lambda _: (unchanged, unchanged))

    async def neighbour(number: int) -> None:
        if number == 1:  # the look, after the writer
            await leave_room(valkey, 100_000)
            await fill(valkey, 1_000_000)
            await valkey.command("PING")  # what has to go goes with the next command

    wire.before = neighbour
    return site


@pytest.mark.parametrize("real", [policy for policy in POLICIES if policy != "noeviction"])
async def test_what_the_servers_policy_permits_is_no_violation_where_nothing_is_declared(
    make_site: MakeSite, start_valkey: StartValkey, real: Policy
) -> None:
    """Canaries go as the policy of the server says: the run is right, and says how many went.

    Where the server draws at random it may once spare them all.
    """
    valkey = await start_valkey(settings={"maxmemory-policy": real})
    said: list[str] = []
    async with wired(valkey.port) as wire:
        while not said:
            site = await pressing(make_site, valkey, wire, policy=None)
            record = await site.run(PROBE)
            assert record.verdict in {Verdict.OK, Verdict.SLOW}, record.finding.message
            said = [sentence for sentence in record.finding.left_out if f"as {real} permits" in sentence]
            assert said or real.endswith("random")
    assert len(said) == 1


@pytest.mark.parametrize(
    ("declared", "real"),
    [("noeviction", "volatile-ttl"), ("noeviction", "allkeys-lru"), ("volatile-lru", "allkeys-lru")],
)
async def test_what_goes_against_the_declaration_is_evicted(
    make_site: MakeSite, start_valkey: StartValkey, declared: Policy, real: Policy
) -> None:
    """A canary that should have stayed is a violation with both policies in its evidence; healed, it is forgiven.

    The server looks for what is oldest among a few keys and by whole seconds: it may once spare all canaries.
    """
    valkey = await start_valkey(settings={"maxmemory-policy": real})
    async with wired(valkey.port) as wire:
        spared = True
        while spared:
            await valkey.command("CONFIG", "SET", "maxmemory", "64mb")
            site = await pressing(make_site, valkey, wire, policy=declared)
            record = await site.run(PROBE)
            spared = record.finding.reason is Reason.MISCONFIGURED
        assert kinds(record) == {Kind.EVICTED}, record.finding.message
        for violation in record.finding.violations:
            assert (violation.evidence["declared_policy"], violation.evidence["policy"]) == (declared, real)
            if declared == "volatile-lru":
                assert violation.evidence["ttl_seconds"] is None
        wire.heal()
        await valkey.command("DEL", "neighbour")
        await valkey.command("CONFIG", "SET", "maxmemory", "64mb", "maxmemory-policy", declared)
        await heals(site, PROBE)


async def test_another_policy_than_declared_is_misconfigured_before_anything_is_lost(
    make_site: MakeSite, start_valkey: StartValkey
) -> None:
    """Both are named, and what to do; as soon as they agree, the run is right."""
    valkey = await start_valkey(settings={"maxmemory-policy": "allkeys-lru"})
    site = await make_site(postgres_dsn=None, redis_url=valkey.url, policy="volatile-lru")
    record = await run_unknown(site, PROBE, Reason.MISCONFIGURED)
    assert "the declared policy is volatile-lru, and the server's is allkeys-lru" in record.finding.message
    await valkey.command("CONFIG", "SET", "maxmemory-policy", "volatile-lru")
    await run_ok(site, PROBE)


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
async def test_a_full_server_that_answers_ping_is_capacity(
    make_site: MakeSite, start_valkey: StartValkey, policy: Policy
) -> None:
    """PING is answered and writes are refused: the message says so, and how full it is; nothing is left behind."""
    valkey = await start_valkey(settings={"maxmemory-policy": policy})
    site = await make_site(postgres_dsn=None, redis_url=valkey.url, policy=policy)
    await leave_room(valkey, 1_000_000)
    await fill(valkey, 4_000_000)
    record = await run_unknown(site, PROBE, Reason.CAPACITY)
    for words in ("PING is answered, and writes are refused", "MB are used", f"the policy {policy}"):
        assert words in record.finding.message
    assert await valkey.command("PING") == b"PONG"
    assert await valkey.command("DBSIZE") == 1
    await valkey.command("DEL", "neighbour")
    await run_ok(site, SMALL)


async def test_a_server_that_fills_up_while_it_is_pressed_is_relieved(
    make_site: MakeSite, start_valkey: StartValkey, make_proxy: MakeProxy
) -> None:
    """Whoever takes the rest of the memory between two pieces: our ballast and canaries go at once."""
    valkey = await start_valkey()
    proxy = await make_proxy(valkey.port)
    site = await make_site(postgres_dsn=None, redis_url=through(valkey, proxy.port))
    await site.environment.prepare(PROBE.needs)

    def greedy(command: list[bytes]) -> list[bytes]:
        if command[0] == b"SET" and command[1].endswith(b"piece-ac"):
            return [
                b"EVAL",
                b"redis.call('SET', 'neighbour', string.rep('x', 70000000)) return redis.status_reply('OK')",
                b"0",
            ]
        return command

    proxy.rewrite = greedy
    await run_unknown(site, LARGE, Reason.CAPACITY)
    assert await valkey.command("KEYS", "*") == [b"neighbour"]


async def test_a_lost_canary_is_not_called_evicted(make_site: MakeSite, site: Site) -> None:
    """Somebody deletes or changes a canary while nothing is evicted: lost, or corrupt."""
    valkey = site.servers.valkey
    async with wired(valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=through(valkey, wire.port))
        await here.environment.prepare(PROBE.needs)
        for script, kind in (("DEL', KEYS[1]", Kind.LOST), ("APPEND', KEYS[1], '!'", Kind.CORRUPT)):
            wire.edit(lambda _: (unchanged, unchanged))

            async def somebody(number: int, script: str = script) -> None:
                if number == 1:
                    (key,) = await valkey.command("KEYS", "holdfast:*:canary:*:staying-b")  # type: ignore[misc, union-attr]
                    await valkey.command("EVAL", f"redis.call('{script})", 1, key)  # type: ignore[arg-type]

            wire.before = somebody
            await run_violated(here, PROBE, {kind})
            wire.heal()
            await heals(here, PROBE)


async def test_a_restart_in_between_accuses_nobody(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """A server that came back empty has lost canaries, but evicted none: what it lost is for durability to tell."""
    valkey = await start_valkey()
    async with wired(valkey.port) as wire:
        site = await make_site(postgres_dsn=None, redis_url=through(valkey, wire.port))
        await site.environment.prepare(PROBE.needs)
        wire.edit(lambda _: (unchanged, unchanged))

        async def restart(number: int) -> None:
            if number == 1:
                await valkey.restart()

        wire.before = restart
        record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
        assert "another process than at the start of the run" in record.finding.message


@pytest.mark.parametrize(
    ("hidden", "missing"), [(b"maxmemory:", "maxmemory"), (b"evicted_keys:", "evicted_keys"), (b"run_id:", "run_id")]
)
async def test_a_proxy_that_hides_the_memory_is_named(
    make_site: MakeSite, site: Site, hidden: bytes, missing: str
) -> None:
    """Where INFO lacks a field nothing can be told, and the message says which."""
    valkey = site.servers.valkey
    async with wired(valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=through(valkey, wire.port))
        await here.environment.prepare(PROBE.needs)
        wire.edit(
            lambda _: (unchanged, lambda data: data.replace(b"\n" + hidden, b"\n" + b"x" * (len(hidden) - 1) + b":"))
        )
        record = await run_unknown(here, PROBE, Reason.MISCONFIGURED)
        assert f"INFO does not tell what is needed ('{missing}')" in record.finding.message


async def test_without_the_right_to_info_it_is_refused(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """The message says what to extend; with the right the run is right."""
    valkey = await start_valkey()
    site = await make_site(postgres_dsn=None, redis_url=valkey.url)
    await site.environment.prepare(PROBE.needs)
    await valkey.command("ACL", "SETUSER", "default", "-info")
    record = await run_unknown(site, PROBE, Reason.REFUSED)
    assert "holdfast setup ENV --print" in record.finding.message
    await valkey.command("ACL", "SETUSER", "default", "+info")
    await run_ok(site, PROBE)


async def test_a_replica_and_a_server_that_loads_are_read_only(make_site: MakeSite, start_valkey: StartValkey) -> None:
    """Neither is called full, and neither is accused."""
    primary = await start_valkey(settings={"rdbcompression": "no"})
    replica = await start_valkey(replica_of=primary)
    async with asyncio.timeout(20):
        while b"master_link_status:up" not in await replica.command("INFO", "replication"):  # type: ignore[operator]
            pass
    await run_unknown(await make_site(postgres_dsn=None, redis_url=replica.url), PROBE, Reason.READ_ONLY)
    await primary.command("EVAL", "for n = 1, 2000 do redis.call('SET', 'k' .. n, string.rep('x', 1000)) end", 0)
    await primary.save()
    site = await make_site(postgres_dsn=None, redis_url=primary.url)
    await run_ok(site, PROBE)
    await primary.kill()
    await primary.start_loading(seconds_per_key=0.03)
    await run_unknown(site, PROBE, Reason.READ_ONLY)
    await primary.kill()


async def test_what_a_killed_daemon_leaves_is_swept(make_site: MakeSite, site: Site) -> None:
    """Canaries without an expiry and ballast are found in the index, and by their form."""
    valkey = site.servers.valkey
    async with wired(valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=through(valkey, wire.port), longest_run=timedelta(0))
        await here.environment.prepare(PROBE.needs)
        wire.edit(lambda _: (lambda data: wire.cut() or b"" if data.count(b"piece-ab") else data, unchanged))  # type: ignore[func-returns-value]
        await run_unknown(here, LARGE, Reason.UNREACHABLE)
        wire.heal()
        assert await here.environment.census(Store.REDIS) == 9
        assert await here.environment.sweep(Store.REDIS) == 9
        assert await valkey.command("KEYS", f"holdfast:{here.environment.name}:*") == []
        await run_ok(here, PROBE)


@pytest.mark.parametrize("share", ["64kb", "1mb", "1100kb"])
async def test_the_plan_is_what_goes_over_the_wire(
    site: Site, make_site: MakeSite, make_proxy: MakeProxy, share: str
) -> None:
    """Every command of a run is in the plan as often as it was sent, and the ballast is as heavy."""
    probe = EvictionProbe.model_validate({"share": share})
    valkey = site.servers.valkey
    proxy = await make_proxy(valkey.port)
    here = await make_site(postgres_dsn=None, redis_url=through(valkey, proxy.port))
    await run_ok(here, probe)
    sent: Counter[str] = Counter()
    weight: Counter[str] = Counter()

    def count(command: list[bytes]) -> list[bytes]:
        sent[command[0].decode()] += 1
        if command[0] == b"SET":
            weight["ballast" if b":ballast:" in command[1] else "canary"] += len(command[2])
        return command

    proxy.rewrite = count
    await run_ok(here, probe)
    planned: Counter[str] = Counter()
    for use in probe.plan():
        for command in evictions.OPERATIONS[use.operation]:
            planned[command.split()[0]] += use.times
    for setup in ("AUTH", "CLIENT"):  # once for each connection
        assert sent.pop(setup) == 2
    assert sent == planned
    payload = {use.operation: use.payload for use in probe.plan()}
    assert weight == {"ballast": payload["press"], "canary": payload["plant_canaries"]}
    assert payload["press"] == probe.share


@pytest.mark.parametrize(
    ("share", "words"),
    [
        ("63kb", "is 63kb; 64kb to 16mb are possible"),
        ("17mb", "is 17mb; 64kb to 16mb are possible"),
        ("1", "write it like 64kb, 1mb or 2gb"),
        ("1 mb", "write it like 64kb, 1mb or 2gb"),
        (True, "expected an amount of memory, found true or false"),
    ],
)
def test_a_share_out_of_bounds_is_refused(tmp_path: Path, share: object, words: str) -> None:
    """What is no amount, or too small or too large a one, is said in the words of a configuration."""
    file = tmp_path / "holdfast.yaml"
    file.write_text(yaml.safe_dump({"probes": {"eviction": {"share": share}}}))
    with pytest.raises(ConfigError, match=words) as refused:
        load(file, probes={"eviction": EvictionProbe}, environ={})
    assert isinstance(share, bool) or str(share) in str(refused.value)
