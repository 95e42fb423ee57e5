"""A server that is too old, or of a kind that is not supported, is said to be so before anything is asked of it."""

from __future__ import annotations

import pytest

from monitor.core.verdict import Reason
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.server import free_port
from monitor.embedded.valkey import EmbeddedValkey
from monitor.ports import Store
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe
from monitor.stores.versions import too_old
from tests.conftest import MakeSite, Site
from tests.probes.breaking import run_ok, run_unknown, unchanged, wired

POSTGRES, REDIS = Store.POSTGRES, Store.REDIS


@pytest.mark.parametrize(
    ("store", "version", "expected"),
    [
        (POSTGRES, "12.22", "the server is PostgreSQL 12.22; Holdfast needs PostgreSQL 13 or newer"),
        (POSTGRES, "9.6.24", "the server is PostgreSQL 9.6.24; Holdfast needs PostgreSQL 13 or newer"),
        (POSTGRES, "13.0", ""),
        (POSTGRES, "15.14 (Debian 15.14-0+deb12u1)", ""),
        (POSTGRES, "19beta1", ""),
        (POSTGRES, "", ""),
        (REDIS, "5.0.14", "the server is Redis 5.0.14; Holdfast needs Redis 6 or newer"),
        (REDIS, "6.0.0", ""),
        (REDIS, "7.2.4", ""),
        (REDIS, "255.255.255", ""),
        (REDIS, "unstable", ""),
    ],
)
def test_a_version_is_too_old_or_not(store: Store, version: str, expected: str) -> None:
    """The first number decides; of a version that says nothing nobody complains."""
    assert too_old(store, version) == expected


async def test_an_old_postgresql_is_misconfigured(make_site: MakeSite, site: Site) -> None:
    """A PostgreSQL that calls itself 12 is not asked for anything; once it calls itself 18 the run is right."""
    async with wired(site.servers.postgres.port) as wire:
        dsn = site.dsn.replace(f":{site.servers.postgres.port}/", f":{wire.port}/")
        here = await make_site(postgres_dsn=dsn, redis_url=None)
        wire.edit(lambda _: (unchanged, lambda data: data.replace(b"server_version\x0018", b"server_version\x0012")))
        record = await run_unknown(here, ThreadProbe(), Reason.MISCONFIGURED)
        assert "the server is PostgreSQL 12." in record.finding.message
        assert record.finding.message.endswith("Holdfast needs PostgreSQL 13 or newer")
        wire.heal()
        await run_ok(here, ThreadProbe())


async def test_an_old_redis_is_misconfigured(make_site: MakeSite, site: Site) -> None:
    """A Redis that calls itself 5 is not asked for anything more; once it calls itself 7 the run is right."""
    valkey = site.servers.valkey
    async with wired(valkey.port) as wire:
        here = await make_site(postgres_dsn=None, redis_url=valkey.url.replace(f":{valkey.port}/", f":{wire.port}/"))
        wire.edit(lambda _: (unchanged, lambda data: data.replace(b"redis_version:7", b"redis_version:5")))
        record = await run_unknown(here, SessionProbe(), Reason.MISCONFIGURED)
        assert record.finding.message.endswith("the server is Redis 5.2.4; Holdfast needs Redis 6 or newer")
        wire.heal()
        await run_ok(here, SessionProbe())


async def test_a_redis_cluster_is_misconfigured(make_site: MakeSite) -> None:
    """A real node of a Redis Cluster is said to be one, whether it owns the keys or not."""
    folder = PrivateFolder()
    valkey = EmbeddedValkey(folder, fsync=False, settings={"cluster-enabled": "yes", "cluster-port": str(free_port())})
    try:
        await valkey.start()
        here = await make_site(postgres_dsn=None, redis_url=valkey.url)
        for owned in (False, True):
            if owned:
                await valkey.command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            record = await run_unknown(here, SessionProbe(), Reason.MISCONFIGURED)
            assert "this is a Redis Cluster, which this version does not support" in record.finding.message
    finally:
        await valkey.stop()
        folder.close()
