"""A way into PostgreSQL by which the next connection is made as the last one was, with what asyncpg learned for it."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from monitor.stores.connecting import connect
from monitor.stores.tls import KeptContext

_KNOWN_FOR = 60.0  # seconds; then a server to which TLS is left is asked again whether it offers it
_FILES = {"sslrootcert": "root.crt", "sslcrl": "root.crl", "sslcert": "postgresql.crt", "sslkey": "postgresql.key"}
_WANTS_TLS = re.compile("SSL|TLS|secure", re.IGNORECASE)  # poolers say all by the same state


class Door:
    """Knows whether the last connection had TLS, and by which context.

    asyncpg reads its files and asks the server each time anew, even where the server has no TLS. Here a connection is
    made by a context that asyncpg itself has made, or without TLS where the server had none and the DSN leaves it to
    the server. What is left to the server is forgotten after a minute and whenever a connection fails. Where one
    fails over TLS, asyncpg's own way is tried within the same time; never where a server fails otherwise, for that is
    what probes are there to see. Of several hosts, or of a service, nothing is learned.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        parts = urlsplit(dsn)
        given = dict(parse_qsl(parts.query))
        host = parts.netloc.rpartition("@")[2]
        self._unusual = not host or "," in host or "host" in given or "service" in given or "PGSERVICE" in os.environ
        self._optional = (given.get("sslmode") or os.environ.get("PGSSLMODE") or "prefer") in {"allow", "prefer"}
        words = {name: value for name, value in given.items() if name.startswith("ssl")}
        words |= {name: value for name, value in os.environ.items() if name.startswith(("PGSSL", "SSLKEYLOGFILE"))}
        self._context = KeptContext(words, _files(given))
        self._tls = not self._optional
        self._known_until = 0.0 if self._optional else inf

    async def connect(self, *, timeout: float, **options: object) -> asyncpg.Connection[Any]:  # noqa: ASYNC109  asyncpg's
        """A new connection. Raises as asyncpg does."""
        began = monotonic()
        if (known := self._known()) is None:
            return await self._learning(timeout=timeout, **options)
        try:
            return await connect(self._dsn, timeout=timeout, ssl=known, **options)
        except BaseException as error:
            left = timeout - (monotonic() - began)
            if self._optional:
                self._known_until = 0.0
            if not _over_tls(error) or left <= 0:
                raise
            self._context.doubt()
        return await self._learning(timeout=left, **options)

    def _known(self) -> ssl.SSLContext | Literal[False] | None:
        """What asyncpg takes as `ssl`; None where it has to find out by itself."""
        if self._unusual or monotonic() >= self._known_until:
            return None
        return self._context.recall() if self._tls else False

    async def _learning(self, **options: object) -> asyncpg.Connection[Any]:
        made_of = self._context.made_of()
        connection = await connect(self._dsn, **options)
        # The only place where asyncpg says whether there is TLS. Should it be gone one day, nothing is learned.
        transport = getattr(connection, "_transport", None)
        if self._unusual or transport is None:
            return connection
        context = transport.get_extra_info("sslcontext")
        if context is not None:
            self._context.keep(context, made_of)
        if self._optional:
            self._tls, self._known_until = context is not None, monotonic() + _KNOWN_FOR
        return connection


def _over_tls(error: BaseException) -> bool:
    """Whether this may be the answer to who comes with TLS, or without, where it is wanted otherwise."""
    match error:
        case asyncpg.InvalidPasswordError():
            return False
        case asyncpg.InvalidAuthorizationSpecificationError():  # pg_hba.conf has no line for who comes so
            return True
        case asyncpg.ProtocolViolationError():
            return bool(_WANTS_TLS.search(str(error)))
    return isinstance(error, ssl.SSLError) or type(error) is ConnectionError  # asyncpg's "rejected SSL upgrade"


def _files(given: Mapping[str, str]) -> list[Path]:
    """The files of which asyncpg makes a context, whether they are there or not."""
    named = (given.get(name) or os.environ.get(f"PG{name.upper()}") for name in _FILES)
    try:
        home = Path.home() / ".postgresql"
    except RuntimeError:  # a uid without a name
        home = Path()
    return [Path(name) if name else home / usual for name, usual in zip(named, _FILES.values(), strict=True)]
