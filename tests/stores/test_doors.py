"""A connection is made as the last one was, and never with less of TLS than the DSN asks for. Debian's have TLS."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis import exceptions

import monitor.stores.doors
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.postgres import EmbeddedPostgres, system_bindir
from monitor.embedded.server import free_port
from monitor.embedded.servers import Servers
from monitor.embedded.valkey import EmbeddedValkey
from monitor.stores.doors import Door
from monitor.stores.redis_driver import Driver
from tests.certificates import Certificate, postgres_by_tls, signed

REDIS = shutil.which("redis-server")
debian = pytest.mark.skipif(system_bindir() is None or REDIS is None, reason="Debian's servers are not installed")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What asyncpg was told of TLS at each connection; None is nothing."""
    told = list[Any]()
    plain = monitor.stores.doors.connect

    async def connect(dsn: str, **options: Any) -> Any:
        told.append(options.get("ssl"))
        return await plain(dsn, **options)

    monkeypatch.setattr(monitor.stores.doors, "connect", connect)
    return told


async def has_tls(door: Door) -> bool:
    """Connect, and ask the server whether this connection has TLS."""
    connection = await door.connect(timeout=5)
    try:
        return bool(await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    finally:
        await connection.close()


async def test_a_server_without_tls_is_asked_for_it_once_a_minute(
    servers: Servers, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the DSN leaves it to the server, what it answered holds for a minute."""
    door = Door(servers.postgres.dsn)
    assert [await has_tls(door) for _ in range(3)] == [False] * 3
    assert asked == [None, False, False]
    monkeypatch.setattr(monitor.stores.doors, "_KNOWN_FOR", 0.0)
    door = Door(servers.postgres.dsn)
    assert [await has_tls(door) for _ in range(2)] == [False] * 2
    assert asked == [None, False, False, None, None]


async def test_of_several_hosts_nothing_is_learned(
    servers: Servers, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one host answers says nothing of another; nor does it where a service says which host it is."""
    here = servers.postgres
    several = here.dsn.replace(f":{here.port}/", f":{free_port()},127.0.0.1:{here.port}/")
    for door in (Door(several), Door(f"{here.dsn}?service=none")):
        assert [await has_tls(door) for _ in range(2)] == [False] * 2
    monkeypatch.setenv("PGSERVICE", "none")
    door = Door(here.dsn)
    assert [await has_tls(door) for _ in range(2)] == [False] * 2
    assert asked == [None] * 6


async def test_what_is_not_about_tls_is_not_tried_again(servers: Servers, asked: list[Any]) -> None:
    """A server that fails is what probes are there to see: only an answer over TLS has a second attempt."""
    here = servers.postgres
    door = Door(here.dsn)
    assert not await has_tls(door)
    await here.sql("ALTER ROLE holdfast CONNECTION LIMIT 0")
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await has_tls(door)
    finally:
        await here.sql("ALTER ROLE holdfast CONNECTION LIMIT -1")
    assert asked == [None, False]
    assert not await has_tls(door)
    assert asked == [None, False, None]


@pytest.fixture(scope="module")
def folder() -> Iterator[PrivateFolder]:
    """A folder for servers of this module's own."""
    made = PrivateFolder()
    yield made
    made.close()


@pytest.fixture(scope="module")
def right(folder: PrivateFolder) -> Certificate:
    """A certificate for the address that the servers have."""
    return signed(folder, "127.0.0.1")


@pytest.fixture(scope="module")
async def postgres(folder: PrivateFolder, right: Certificate) -> AsyncIterator[EmbeddedPostgres]:
    """Debian's PostgreSQL with TLS."""
    async with postgres_by_tls(folder, right) as server:
        yield server


async def now(postgres: EmbeddedPostgres, **settings: str | Path) -> None:
    """Let new connections meet a server with these settings."""
    await postgres.sql("".join(f"ALTER SYSTEM SET {name} = '{value}';" for name, value in settings.items()))
    await postgres.reload()


@debian
@pytest.mark.debian
async def test_a_kept_context_looks_at_the_certificate_each_time(
    postgres: EmbeddedPostgres, folder: PrivateFolder, right: Certificate, tmp_path: Path, asked: list[Any]
) -> None:
    """One for another host is refused, as is one of another authority, and a server that has no TLS any more."""
    other = signed(folder, "other.example")
    bundle = tmp_path / "bundle.crt"
    bundle.write_text(right.certificate.read_text() + other.certificate.read_text())
    door, beside = (Door(f"{postgres.dsn}?sslmode=verify-full&sslrootcert={bundle}") for _ in range(2))
    assert [await has_tls(each) for each in (door, door, beside)] == [True] * 3
    assert asked[0] is None
    assert isinstance(asked[1], ssl.SSLContext)
    assert asked[2] is asked[1]  # the settings are equal

    await now(postgres, ssl_cert_file=other.certificate, ssl_key_file=other.key)
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        await has_tls(door)
    assert asked[3:] == [asked[1], None]
    assert await has_tls(Door(f"{postgres.dsn}?sslmode=verify-ca&sslrootcert={bundle}"))
    await now(postgres, ssl_cert_file=right.certificate, ssl_key_file=right.key)
    assert [await has_tls(door) for _ in range(2)] == [True] * 2

    bundle.write_text(other.certificate.read_text())
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        await has_tls(beside)
    bundle.write_text(right.certificate.read_text())
    assert [await has_tls(beside) for _ in range(2)] == [True] * 2

    require = Door(f"{postgres.dsn}?sslmode=require")
    assert [await has_tls(require) for _ in range(2)] == [True] * 2
    await now(postgres, ssl="off")
    for each in (beside, require):
        with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
            await has_tls(each)
    await now(postgres, ssl="on")
    assert await has_tls(require)


@debian
@pytest.mark.debian
async def test_a_server_that_begins_or_ceases_to_offer_tls_is_met(
    postgres: EmbeddedPostgres, asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where TLS is left to the server: it is given up at once where it is refused, and taken where it is demanded."""
    door = Door(postgres.dsn)
    assert [await has_tls(door) for _ in range(2)] == [True] * 2
    assert isinstance(asked[1], ssl.SSLContext)
    await now(postgres, ssl="off")
    assert [await has_tls(door) for _ in range(2)] == [False] * 2
    assert asked[2:] == [asked[1], None, False]

    rules = postgres.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"hostnossl all holdfast all reject\n{before}")
    await now(postgres, ssl="on")
    assert [await has_tls(door) for _ in range(2)] == [True] * 2
    assert asked[5:7] == [False, None]
    rules.write_text(before)
    await postgres.reload()
    monkeypatch.setenv("PGSSLMODE", "disable")
    assert [await has_tls(Door(postgres.dsn)) for _ in range(2)] == [False] * 2


@debian
@pytest.mark.debian
async def test_a_kept_context_looks_at_the_certificate_of_redis_each_time(
    folder: PrivateFolder, right: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired one is refused by the context of the last connection; then the next connection makes another."""
    made, make = list[ssl.SSLContext](), ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    port, expired = free_port(), signed(folder, "127.0.0.1", expired=True)
    tls = {"tls-port": str(port), "tls-cert-file": str(right.certificate), "tls-key-file": str(right.key)}
    server = EmbeddedValkey(folder, server=Path(REDIS or ""), fsync=False, settings={**tls, "tls-auth-clients": "no"})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        await server.start()
        url = server.url.replace(f":{server.port}/", f":{port}/").replace("redis://", "rediss://")
        driver = Driver(f"{url}?ssl_ca_certs={right.certificate}", timeout=timedelta(seconds=5))
        for use, contexts in ((right, 1), (right, 1), (expired, 1), (right, 2), (right, 2)):
            await server.command("CONFIG", "SET", "tls-cert-file", str(use.certificate), "tls-key-file", str(use.key))
            if use is right:
                await (await driver.connect("holdfast/test")).close()
            else:
                with pytest.raises(exceptions.ConnectionError, match="certificate verify failed"):
                    await driver.connect("holdfast/test")
            assert len(made) == contexts
