"""The demo's servers together: started at the same time, gone without a trace."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from monitor.embedded.folder import PrivateFolder
from monitor.embedded.pgbouncer import EmbeddedPgBouncer
from monitor.embedded.platform import EmbeddedPlatform, make_sure_it_is_here
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.server import Server
from monitor.embedded.valkey import EmbeddedValkey


class Servers:
    """``async with Servers() as servers``: PostgreSQL and Valkey answer, the database and its role are there.

    With `replicas` each has a replica behind it, with `pooler` a PgBouncer stands before PostgreSQL, with `platform`
    the sample platform before both; NotInstalledError where that is not to be had.

    Leaving the block stops them and removes the folder; so does the death of this process, within 3 s.
    Make it and enter it in the main thread. The servers and `servers.folder` are set from the
    start.
    """

    def __init__(
        self,
        *,
        fsync: bool = True,
        postgres_bindir: Path | None = None,
        postgres_settings: Mapping[str, str] | None = None,
        postgres_hba: Sequence[str] = (),
        valkey_server: Path | None = None,
        valkey_settings: Mapping[str, str] | None = None,
        valkey_appendonly: bool = True,
        valkey_maxmemory: str = "64mb",
        replicas: bool = False,
        pooler: bool = False,
        platform: bool = False,
    ) -> None:
        if platform:
            make_sure_it_is_here()
        self.private = PrivateFolder()
        self.postgres = EmbeddedPostgres(
            self.private, bindir=postgres_bindir, fsync=fsync, settings=postgres_settings, hba=postgres_hba
        )
        self.valkey = EmbeddedValkey(
            self.private,
            server=valkey_server,
            fsync=fsync,
            appendonly=valkey_appendonly,
            maxmemory=valkey_maxmemory,
            settings=valkey_settings,
        )
        self.postgres_replica = (
            EmbeddedPostgres(self.private, fsync=fsync, name="postgres-replica", replica_of=self.postgres)
            if replicas
            else None
        )
        self.valkey_replica = (
            EmbeddedValkey(
                self.private,
                server=valkey_server,
                appendonly=valkey_appendonly,
                maxmemory=valkey_maxmemory,
                name="valkey-replica",
                replica_of=self.valkey,
            )
            if replicas
            else None
        )
        self.pgbouncer = EmbeddedPgBouncer(self.private, self.postgres) if pooler else None
        self.platform = EmbeddedPlatform(self.private, self.postgres, self.valkey) if platform else None
        self._stack = AsyncExitStack()

    @property
    def all(self) -> tuple[Server, ...]:
        """Every server that there is, primaries first."""
        behind = (self.postgres_replica, self.valkey_replica, self.pgbouncer, self.platform)
        servers = (self.postgres, self.valkey, *behind)
        return tuple(server for server in servers if server is not None)

    @property
    def folder(self) -> Path:
        """The private folder, which holds all data and logs."""
        return self.private.path

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self.private.close)
            for server in self.all:
                stack.push_async_callback(server.stop)
            starts = [asyncio.create_task(self._start_postgres()), asyncio.create_task(self._start_valkey())]
            try:
                await asyncio.gather(*starts)
            finally:
                for start in starts:
                    start.cancel()
                await asyncio.gather(*starts, return_exceptions=True)
            if self.platform is not None:
                await self.platform.start()
            self._stack = stack.pop_all()
        return self

    async def _start_postgres(self) -> None:
        await self.postgres.start()
        await self.postgres.create_application()
        behind = (self.postgres_replica, self.pgbouncer)
        await asyncio.gather(*(server.start() for server in behind if server is not None))

    async def _start_valkey(self) -> None:
        await self.valkey.start()
        if self.valkey_replica is not None:
            await self.valkey_replica.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
