"""A Redis behind real Sentinels: who is asked, what they say, and the primary after a failover."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from monitor.core.verdict import Reason
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.process import EmbeddedError
from monitor.embedded.server import free_port
from monitor.embedded.valkey import EmbeddedValkey
from monitor.probes.durability import DurabilityProbe
from monitor.probes.session import SessionProbe
from tests.conftest import MakeSite
from tests.probes.breaking import run_ok, run_unknown

KEY = "sentinels-own"
SESSION = SessionProbe()


class EmbeddedSentinel(EmbeddedValkey):
    """One Sentinel, behind a password of its own, that watches a primary by the name `cache`."""

    title = "Sentinel"

    def __init__(self, folder: PrivateFolder, primary: EmbeddedValkey) -> None:
        super().__init__(folder, name="sentinel")
        self._settings = {
            "bind": "127.0.0.1",
            "daemonize": "no",
            "dir": str(self._home),
            "requirepass": KEY,
            "sentinel monitor": f"cache 127.0.0.1 {primary.port} 1",
            "sentinel auth-pass": f"cache {primary.password}",
            "sentinel down-after-milliseconds": "cache 60000",
        }

    def _command(self) -> list[str | Path]:
        return [*super()._command(), "--sentinel"]

    async def primary(self) -> int:
        """The port of the primary that it names."""
        match await self.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "cache"):
            case [bytes(), bytes() as port]:
                return int(port)
        raise AssertionError("it names none")


Group: TypeAlias = tuple[EmbeddedSentinel, EmbeddedValkey, EmbeddedValkey]


@pytest.fixture(scope="module")
async def group() -> AsyncIterator[Group]:
    """A Sentinel, the primary that it watches, and a replica of that."""
    folder = PrivateFolder()
    primary = EmbeddedValkey(folder, fsync=False, name="one")
    replica = EmbeddedValkey(folder, fsync=False, name="two", replica_of=primary)
    async with AsyncExitStack() as stack:
        stack.callback(folder.close)
        for server in (primary, replica):
            stack.push_async_callback(server.stop)
            await server.start()
        sentinel = EmbeddedSentinel(folder, primary)
        stack.push_async_callback(sentinel.stop)
        await sentinel.start()
        yield sentinel, primary, replica


def url_of(sentinel: EmbeddedSentinel, server: EmbeddedValkey, *, master: str = "cache", key: str = KEY) -> str:
    """The URL with a first Sentinel that is down."""
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}"
    return f"redis+sentinel://:{server.password}@{hosts}/{master}/0?sentinel_password={key}"


@pytest.mark.parametrize(
    ("master", "key", "reason", "words"),
    [
        ("cash", KEY, Reason.MISCONFIGURED, "it watches no primary by the name 'cash'"),
        ("cache", "wrong", Reason.REFUSED, "?sentinel_username=…&sentinel_password=… at the end"),
    ],
)
async def test_what_a_sentinel_says_is_told(
    make_site: MakeSite, group: Group, *, master: str, key: str, reason: Reason, words: str
) -> None:
    """What the one Sentinel that runs says is the reason, though another is unreachable; no password is told."""
    sentinel, primary, _ = group
    site = await make_site("watched", postgres_dsn=None, redis_url=url_of(sentinel, primary, master=master, key=key))
    told = (await run_unknown(site, SESSION, reason)).finding.message
    assert words in told
    assert primary.password not in told


async def test_sentinels_that_are_down_are_unreachable(make_site: MakeSite) -> None:
    """Where no Sentinel answers each is named, and the run cannot tell."""
    url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/cache"
    site = await make_site("watched", postgres_dsn=None, redis_url=url)
    told = (await run_unknown(site, SESSION, Reason.UNREACHABLE)).finding.message
    assert told.count("Sentinel at 127.0.0.1:") == 2


async def test_a_failover_is_followed(make_site: MakeSite, group: Group) -> None:
    """The primary is found by the second Sentinel where the first is down; after a failover, the new one is."""
    sentinel, primary, replica = group
    site = await make_site("watched", postgres_dsn=None, redis_url=url_of(sentinel, primary))
    nodes = []
    for server in (primary, replica):
        await _named(sentinel, server)
        await run_ok(site, SESSION)
        await run_ok(site, DurabilityProbe(rate=0))
        connection = await site.environment.sessions.connect("test")
        nodes.append(await connection.node())
        await connection.close()
    assert [(node.address, node.primary) for node in nodes] == [
        (f"127.0.0.1:{server.port}", True) for server in (primary, replica)
    ]


async def _named(sentinel: EmbeddedSentinel, server: EmbeddedValkey) -> None:
    """Let a Sentinel name a server as the primary, by a failover where it does not yet."""
    while await sentinel.primary() != server.port:
        with suppress(EmbeddedError):  # it has not found the replica yet, or the failover is under way
            await sentinel.command("SENTINEL", "FAILOVER", "cache")
        await asyncio.sleep(0.05)
