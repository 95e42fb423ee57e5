"""TLS that does not fit is refused, and the message says what to check. Only Debian's servers have TLS here."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.core.verdict import Reason
from monitor.embedded.folder import PrivateFolder
from monitor.embedded.postgres import EmbeddedPostgres, system_bindir
from monitor.embedded.server import free_port
from monitor.embedded.valkey import EmbeddedValkey
from monitor.probe import Probe
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe
from tests.certificates import Certificate, postgres_by_tls, signed
from tests.conftest import MakeSite
from tests.probes.breaking import run_ok, run_unknown

REDIS = shutil.which("redis-server")
THREAD, SESSION = ThreadProbe(), SessionProbe(brief_ttl=timedelta(milliseconds=150))

pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(system_bindir() is None or REDIS is None, reason="Debian's servers are not installed"),
]


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


@pytest.fixture(scope="module")
async def redis(folder: PrivateFolder, right: Certificate) -> AsyncIterator[tuple[EmbeddedValkey, str]]:
    """Debian's Redis with TLS, and its address by TLS."""
    port = free_port()
    tls = {"tls-port": str(port), "tls-cert-file": str(right.certificate), "tls-key-file": str(right.key)}
    server = EmbeddedValkey(folder, server=Path(REDIS or ""), fsync=False, settings={**tls, "tls-auth-clients": "no"})
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        await server.start()
        yield server, server.url.replace(f":{server.port}/", f":{port}/").replace("redis://", "rediss://")


async def refused(make_site: MakeSite, probe: Probe[object], *words: str, **addresses: str | None) -> None:
    """One run is refused, and the message holds these words."""
    record = await run_unknown(await make_site("tls", **addresses), probe, Reason.REFUSED)
    for word in words:
        assert word in record.finding.message


async def test_postgresql_by_tls_is_right(
    make_site: MakeSite, postgres: EmbeddedPostgres, right: Certificate, folder: PrivateFolder
) -> None:
    """Where the certificate fits, it is verified, and the run is right; then it is swapped for others under way."""
    dsn = f"{postgres.dsn}?sslmode=verify-full&sslrootcert={right.certificate}"
    await run_ok(await make_site("tls", postgres_dsn=dsn, redis_url=None), THREAD)
    for host, word in (("other.example", "IP address mismatch"), ("127.0.0.1", "expired")):
        wrong = signed(folder, host, expired=word == "expired")
        await postgres.sql(f"ALTER SYSTEM SET ssl_cert_file = '{wrong.certificate}'")
        await postgres.sql(f"ALTER SYSTEM SET ssl_key_file = '{wrong.key}'")
        await postgres.reload()
        dsn = f"{postgres.dsn}?sslmode=verify-full&sslrootcert={wrong.certificate}"
        words = (word, "check sslmode and the certificates in the DSN")
        await refused(make_site, THREAD, *words, postgres_dsn=dsn, redis_url=None)
    await postgres.sql("ALTER SYSTEM RESET ssl_cert_file")
    await postgres.sql("ALTER SYSTEM RESET ssl_key_file")
    await postgres.reload()


async def test_an_authority_that_nobody_knows_is_refused(
    make_site: MakeSite,
    postgres: EmbeddedPostgres,
    redis: tuple[EmbeddedValkey, str],
    folder: PrivateFolder,
) -> None:
    """A certificate of another authority is refused by either store."""
    stranger = signed(folder, "stranger.example").certificate
    dsn = f"{postgres.dsn}?sslmode=verify-ca&sslrootcert={stranger}"
    await refused(make_site, THREAD, "certificate verify failed", postgres_dsn=dsn, redis_url=None)
    url = f"{redis[1]}?ssl_ca_certs={stranger}"
    await refused(make_site, SESSION, "certificate verify failed", postgres_dsn=None, redis_url=url)


async def test_redis_by_tls_is_right(
    make_site: MakeSite, redis: tuple[EmbeddedValkey, str], right: Certificate, folder: PrivateFolder
) -> None:
    """Where the certificate fits, it is verified, and the run is right; then it is swapped for an expired one."""
    server, url = redis
    await run_ok(
        await make_site("tls", postgres_dsn=None, redis_url=f"{url}?ssl_ca_certs={right.certificate}"), SESSION
    )
    expired = signed(folder, "127.0.0.1", expired=True)
    for use in (expired, right):
        await server.command("CONFIG", "SET", "tls-cert-file", str(use.certificate), "tls-key-file", str(use.key))
        if use is expired:
            words = ("expired", "the certificates")
            url_now = f"{url}?ssl_ca_certs={expired.certificate}"
            await refused(make_site, SESSION, *words, postgres_dsn=None, redis_url=url_now)


async def test_a_plain_client_of_a_tls_port_is_unreachable(
    make_site: MakeSite, redis: tuple[EmbeddedValkey, str]
) -> None:
    """redis:// where the server speaks TLS is hung up on."""
    here = await make_site("tls", postgres_dsn=None, redis_url=redis[1].replace("rediss://", "redis://"))
    record = await run_unknown(here, SESSION, Reason.UNREACHABLE)
    assert "check that the server runs" in record.finding.message
