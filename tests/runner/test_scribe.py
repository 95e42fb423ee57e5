"""Writing by the ledger: intent before the send, whatever becomes of the answer, and nothing overwritten unseen."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.core.ledger.entries import Fate, State
from monitor.core.verdict import Reason
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers
from monitor.ports import Outcome, Store, StoreError, SystemClock
from monitor.probes.durability import DurabilityProbe
from monitor.stores.ledger import Ledgers
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import run_ok

REDIS = Store.REDIS
PROBE = DurabilityProbe(rate=0)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A Redis behind a proxy, and the file of the ledger."""

    site: Site
    proxy: TcpProxy
    file: Path

    def states(self) -> list[str]:
        """What is on disk of every entry, read as another process would."""
        with sqlite3.connect(self.file) as connection:
            return [state for (state,) in connection.execute("SELECT state FROM ledger_entries ORDER BY n")]


@pytest.fixture
async def scene(make_site: MakeSite, make_proxy: MakeProxy, servers: Servers, tmp_path: Path) -> AsyncIterator[Scene]:
    """One environment with a ledger that lasts."""
    ledgers = Ledgers(tmp_path / "state.db", clock=SystemClock())
    name = f"env-{secrets.token_hex(4)}"
    proxy = await make_proxy(servers.valkey.port)
    url = servers.valkey.url.replace(f":{servers.valkey.port}/", f":{proxy.port}/")
    site = await make_site(name, ledger=ledgers.of(name), redis_url=url, postgres_dsn=None)
    yield Scene(site=site, proxy=proxy, file=tmp_path / "state.db")
    await ledgers.close()


async def test_the_intent_is_on_disk_before_anything_is_sent(scene: Scene) -> None:
    """At the moment at which a write passes on its way to the server, the ledger's file already has it."""
    seen: list[str] = []

    def look(command: list[bytes]) -> list[bytes]:
        if command[0] == b"EVAL":
            seen.append(scene.states()[-1])
        return command

    scene.proxy.rewrite = look
    scribe = scene.site.environment.scribe(REDIS)
    for identified in (False, True):
        entry = await scribe.write(identified=identified)
        assert entry.state is State.ACKED
        assert (entry.due is not None) == identified
    assert seen == ["intended", "intended"]


async def test_a_lost_answer_is_perhaps_and_both_are_right(scene: Scene) -> None:
    """A write that the server took and whose answer never came is neither a loss nor a break; a look resolves it."""
    environment = scene.site.environment
    scribe = environment.scribe(REDIS)
    await scribe.write(identified=True)
    deaf = [False]

    def edits() -> tuple[type[bytes], object]:
        return bytes, lambda data: b"" if deaf[0] else data

    def listen(command: list[bytes]) -> list[bytes]:
        deaf[0] = command[0] == b"EVAL"
        return command

    scene.proxy.edits, scene.proxy.rewrite = edits, listen  # type: ignore[assignment]
    with pytest.raises(StoreError) as caught:
        await scribe.write(identified=True, within=timedelta(milliseconds=300))
    assert (caught.value.reason, caught.value.outcome) == (Reason.TIMEOUT, Outcome.INDETERMINATE)
    scene.proxy.edits = scene.proxy.rewrite = None
    await scribe.write(identified=True)
    assert [entry.state for entry in await environment.ledger.entries(REDIS)] == ["acked", "perhaps", "acked"]
    assert await environment.ledger.breaks(REDIS) == []
    await run_ok(scene.site, PROBE)
    assert [entry.fate for entry in await environment.ledger.entries(REDIS)] == [Fate.FOUND] * 4


async def test_a_run_that_is_cut_off_leaves_perhaps(scene: Scene) -> None:
    """Whoever is cancelled while a write is under way does not know what became of it, and says so."""
    environment = scene.site.environment
    scribe = environment.scribe(REDIS)
    await scribe.write(identified=False)
    sent = asyncio.Event()

    def swallow(command: list[bytes]) -> list[bytes]:
        if command[0] != b"EVAL":
            return command
        sent.set()
        return []

    scene.proxy.rewrite = swallow
    writing = asyncio.create_task(scribe.write(identified=True))
    await sent.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    scene.proxy.rewrite = None
    await scribe.write(identified=False)
    entries = await environment.ledger.entries(REDIS, identified=None)
    assert [entry.state for entry in entries] == ["acked", "perhaps", "acked"]
    assert await environment.ledger.breaks(REDIS) == []


async def test_nothing_unexpected_is_overwritten_unseen(scene: Scene) -> None:
    """Where the register holds something else, that is read twice and kept as evidence before the next write."""
    environment = scene.site.environment
    scribe = environment.scribe(REDIS)
    first = await scribe.write(identified=False)
    second = await scribe.write(identified=False)
    valkey = scene.site.servers.valkey
    register = f"holdfast:{environment.name}:{environment.instance.partition('-')[0]}:register"
    assert await valkey.command("GET", register) == str(second.mark).encode()
    await valkey.command("SET", register, str(first.mark))
    scribe.calm(scribe.alarm)
    third = await scribe.write(identified=False)
    (broken,) = await environment.ledger.breaks(REDIS)
    assert (broken.first, broken.second, broken.expected) == (first.mark, first.mark, (second.mark,))
    assert scribe.alarm > 0
    states = [entry.state for entry in await environment.ledger.entries(REDIS, identified=None)]
    assert states == ["acked", "acked", "refused", "acked"]
    assert await valkey.command("GET", register) == str(third.mark).encode()


async def test_while_nobody_listens_nothing_is_intended(scene: Scene) -> None:
    """A write for which there is no connection was never sent, and needs no entry."""
    scribe = scene.site.environment.scribe(REDIS)
    await scribe.write(identified=False)
    await scene.proxy.stop()
    with pytest.raises(StoreError) as caught:
        await scribe.write(identified=True)
    assert caught.value.reason is Reason.UNREACHABLE
    assert len(await scene.site.environment.ledger.entries(REDIS, identified=None)) == 1
