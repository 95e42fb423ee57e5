"""Channels on which real servers lose, double, change or invent messages: each caught, named, and closed in the end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from monitor.core.verdict import Kind, Reason
from monitor.embedded.messages import of_server
from monitor.embedded.proxy import Edit
from monitor.probes.notify import NotifyProbe
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import heals, run_ok, run_unknown, run_violated

Command = list[bytes]
Rewrite = Callable[[Command], Command]
Rewriting = Callable[[Rewrite | None], None]

PROBE = NotifyProbe(deadline=timedelta(seconds=2), patience=timedelta(milliseconds=200))


def of(name: bytes, change: Callable[[Command], Command], *, only: bytes = b"") -> Rewrite:
    """Change commands of one name, or those of them that hold some bytes."""
    return lambda command: change(command) if command[0] == name and any(only in word for word in command) else command


def elsewhere(command: Command) -> Command:
    """The same to another channel or stream."""
    return [command[0], b"holdfast:elsewhere", *command[2:]]


def changed(command: Command) -> Command:
    """The same with another text."""
    return [*command[:-1], command[-1].replace("ünï".encode(), b"uni")]


_TWICE = b"redis.call('XADD', KEYS[1], unpack(ARGV)) return redis.call('XADD', KEYS[1], unpack(ARGV))"
REWRITES: dict[str, tuple[Kind, Rewrite]] = {
    "published elsewhere": (Kind.LOST, of(b"PUBLISH", elsewhere, only=b"3 \xc3")),
    "published in another encoding": (Kind.CORRUPT, of(b"PUBLISH", changed, only=b"5 \xc3")),
    "added elsewhere": (Kind.LOST, of(b"XADD", elsewhere, only=b"2 \xc3")),
    "added in another encoding": (Kind.CORRUPT, of(b"XADD", changed)),
    "taken and not kept as pending": (
        Kind.LOST,
        of(b"XREADGROUP", lambda command: [*command[:4], b"NOACK", *command[4:]]),
    ),
    "pending is not told": (Kind.LOST, of(b"XPENDING", lambda command: [*command[:-1], b"0"])),
    "added twice": (
        Kind.DUPLICATED,
        of(b"XADD", lambda command: [b"EVAL", _TWICE, b"1", *command[1:]], only=b"2 \xc3"),
    ),
    "discarded and carried out": (Kind.PHANTOM, of(b"DISCARD", lambda _: [b"EXEC"])),
}


@pytest.fixture
async def behind(
    site: Site, make_site: MakeSite, make_proxy: MakeProxy
) -> tuple[Site, Callable[[Rewrite | None], None]]:
    """An environment with a Redis behind a proxy, and what sets how that rewrites."""
    valkey = site.servers.valkey
    proxy = await make_proxy(valkey.port)
    here = await make_site(postgres_dsn=None, redis_url=valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/"))

    def rewriting(rewrite: Rewrite | None) -> None:
        proxy.rewrite = rewrite

    return here, rewriting


@pytest.mark.parametrize("name", REWRITES)
async def test_what_redis_breaks_is_named_and_closed_once_healed(behind: tuple[Site, Rewriting], name: str) -> None:
    """Healthy, broken in one way, healed."""
    here, rewriting = behind
    kind, rewrite = REWRITES[name]
    await run_ok(here, PROBE)
    rewriting(rewrite)
    record = await run_violated(here, PROBE, {kind})
    assert all(violation.evidence["channel"] in {"pub/sub", "stream"} for violation in record.finding.violations)
    rewriting(None)
    await heals(here, PROBE)


async def test_silence_is_no_loss(site: Site, make_site: MakeSite, make_proxy: MakeProxy) -> None:
    """Where no notification comes at all, a pooler may stand in between: that cannot be told from loss."""
    postgres = site.servers.postgres
    proxy = await make_proxy(postgres.port)
    here = await make_site(redis_url=None, postgres_dsn=site.dsn.replace(f":{postgres.port}/", f":{proxy.port}/"))
    await run_ok(here, PROBE)

    def edits() -> tuple[Edit, Edit]:
        return bytes, of_server(lambda message: [] if message[:1] == b"A" else [message])

    proxy.edits = edits
    record = await run_unknown(here, PROBE, Reason.INCONCLUSIVE)
    assert "LISTEN/NOTIFY: nothing at all arrived" in record.finding.message
    proxy.edits = None
    await run_ok(here, PROBE)
