"""What the tests of faults measure together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest

from monitor.embedded.servers import Servers
from monitor.ports import SystemClock
from tests.faults.detection import PAGE, Measured


@pytest.fixture(scope="session")
def measured() -> Iterator[Measured]:
    """What is measured goes to docs/detection.md where that is asked for and every fault was injected."""
    found = Measured()
    yield found
    if os.environ.get("HOLDFAST_RENEW_TABLE") and found.complete():
        today = SystemClock().now().date().isoformat()
        PAGE.write_text(found.page(date=today, cores=os.cpu_count() or 1), encoding="utf-8")


async def versions(servers: Servers) -> set[str]:
    """What runs there."""
    info = await servers.valkey.command("INFO", "server")
    valkey = re.findall(r"valkey_version:(\S+)", info.decode() if isinstance(info, bytes) else "")
    return {f"PostgreSQL {(await servers.postgres.sql('SHOW server_version')).split()[0]}", f"Valkey {valkey[0]}"}
