"""Certificates for servers of tests, and a server that has one."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.embedded.folder import PrivateFolder
from monitor.embedded.postgres import EmbeddedPostgres, system_bindir


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate that signs itself, so that it is its own authority, and its key."""

    certificate: Path
    key: Path


def signed(folder: PrivateFolder, name: str, *, expired: bool = False) -> Certificate:
    """A certificate for a host, whose key only the servers' user may read."""
    home = folder.subfolder(f"tls-{secrets.token_hex(4)}")
    made = Certificate(certificate=home / "crt", key=home / "key")
    address = f"IP:{name}" if name[0].isdigit() else f"DNS:{name}"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-subj", f"/CN={name}", "-addext", f"subjectAltName={address}"]
    sign = ["openssl", "x509", "-in", home / "crt", "-signkey", home / "key", "-days", "-1" if expired else "1"]
    for command in ([*make, "-keyout", made.key], sign):  # only the second makes one that is expired already
        subprocess.run([*command, "-out", made.certificate], check=True, capture_output=True)
    for file in (made.certificate, made.key):
        folder.write(file, file.read_text())
    return made


@asynccontextmanager
async def postgres_by_tls(folder: PrivateFolder, own: Certificate) -> AsyncIterator[EmbeddedPostgres]:
    """Debian's PostgreSQL, which has TLS: that of the wheels is made without."""
    tls = {"ssl": "on", "ssl_cert_file": str(own.certificate), "ssl_key_file": str(own.key)}
    server = EmbeddedPostgres(folder, bindir=system_bindir(), fsync=False, settings=tls)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        await server.start()
        await server.create_application()
        yield server
