"""The demo's PostgreSQL and Valkey together: started at the same time, gone without a trace."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from monitor.embedded.folder import PrivateFolder
from monitor.embedded.postgres import EmbeddedPostgres
from monitor.embedded.valkey import EmbeddedValkey


class Servers:
    """``async with Servers() as servers``: both servers answer, the database and its role are there.

    Leaving the block stops them and removes the folder; so does the death of this process, within 3 s.
    Make it and enter it in the main thread. `servers.postgres`, `servers.valkey` and `servers.folder` are set
    from the start.
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
    ) -> None:
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
        self._stack = AsyncExitStack()

    @property
    def folder(self) -> Path:
        """The private folder, which holds all data and logs."""
        return self.private.path

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.callback(self.private.close)
            stack.push_async_callback(self.postgres.stop)
            stack.push_async_callback(self.valkey.stop)
            starts = [asyncio.create_task(self._start_postgres()), asyncio.create_task(self.valkey.start())]
            try:
                await asyncio.gather(*starts)
            finally:
                for start in starts:
                    start.cancel()
                await asyncio.gather(*starts, return_exceptions=True)
            self._stack = stack.pop_all()
        return self

    async def _start_postgres(self) -> None:
        await self.postgres.start()
        await self.postgres.create_application()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
