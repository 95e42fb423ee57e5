"""One environment on the shared servers for each test, and its configuration in a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from monitor.embedded.servers import Servers
from tests.conftest import in_database
from tests.system import described, write


@dataclass(frozen=True, kw_only=True)
class Place:
    """A test's own database, the shared Valkey emptied, and where its files are."""

    servers: Servers
    database: str
    folder: Path

    @property
    def dsn(self) -> str:
        """How the ordinary role connects."""
        return in_database(self.servers.postgres.dsn, self.database)

    @property
    def url(self) -> str:
        """How Valkey is connected to."""
        return self.servers.valkey.url

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.folder / "holdfast.yaml"

    @property
    def state(self) -> Path:
        """The state database."""
        return self.folder / "state.db"

    def values(self, **more: Any) -> dict[str, Any]:
        """The configuration as values, to be changed and written."""
        return described(self.folder, **({"dsn": self.dsn, "url": self.url} | more))

    def configured(self, values: Mapping[str, Any] | None = None, **more: Any) -> Path:
        """Write the configuration; -> its file."""
        return write(self.file, values or self.values(**more))

    async def sql(self, script: str) -> str:
        """Run SQL as superuser in this test's database."""
        return (await self.servers.postgres.sql(script, database=self.database)).strip()

    async def rows(self) -> int:
        """How many synthetic rows there are, whoever wrote them, row-level security or not."""
        return int(
            await self.sql("SELECT (SELECT count(*) FROM holdfast.threads) + (SELECT count(*) FROM holdfast.messages)")
        )

    async def keys(self) -> list[str]:
        """Every key in Valkey."""
        found = await self.servers.valkey.command("KEYS", "*")
        assert isinstance(found, list)
        return sorted(key.decode() for key in found if isinstance(key, bytes))


@pytest.fixture
async def place(servers: Servers, database: str, tmp_path: Path) -> AsyncIterator[Place]:
    """A test's own place on the shared servers."""
    await servers.valkey.command("FLUSHALL")
    yield Place(servers=servers, database=database, folder=tmp_path)
    servers.postgres.resume()
    servers.valkey.resume()
