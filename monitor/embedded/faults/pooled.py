"""Other clients of the pooler, who do to its server connections what applications do."""

from __future__ import annotations

import asyncio

from monitor.embedded.faults.fault import Change, Site, by_sql, drop_fault_schema
from monitor.embedded.pgbouncer import SMALL, EmbeddedPgBouncer
from monitor.embedded.process import EmbeddedError

POOL_SIZE = int(SMALL["default_pool_size"])
_AN_HOUR = 3600.0
_MARKS = """
CREATE SEQUENCE holdfast_fault.arrived; CREATE SEQUENCE holdfast_fault.released;
GRANT USAGE ON SCHEMA holdfast_fault TO holdfast;
GRANT ALL ON SEQUENCE holdfast_fault.arrived, holdfast_fault.released TO holdfast;
"""
_VISIT = """
BEGIN; {change};
SELECT nextval('holdfast_fault.arrived');
DO $$ BEGIN
    WHILE {waits} LOOP PERFORM pg_sleep(0.01); END LOOP;
END $$;
COMMIT;
"""
"""A transaction that does not end before something has happened."""
_OTHERS_MISSING = f"(SELECT last_value FROM holdfast_fault.arrived) < {POOL_SIZE}"  # noqa: S608  a constant
_NOT_RELEASED = "NOT (SELECT is_called FROM holdfast_fault.released)"


async def _prepare(site: Site) -> EmbeddedPgBouncer:
    if (pooler := site.servers.pgbouncer) is None:
        raise EmbeddedError("there is no pooler to break")
    await drop_fault_schema(site)
    await by_sql(_MARKS)(site)
    return pooler


def in_every_pooled_session(change: str) -> Change:
    """Clients that change the session of each connection which the pooler has to the server, and go away."""

    async def through_pooler(site: Site) -> None:
        pooler = await _prepare(site)
        script = _VISIT.format(change=change, waits=_OTHERS_MISSING)
        await asyncio.gather(*(pooler.sql(script) for _ in range(POOL_SIZE)))
        await drop_fault_schema(site)

    return through_pooler


class Hoarders:
    """Clients that keep every connection which the pooler has to the server, each in a transaction without an end."""

    def __init__(self) -> None:
        self._clients: list[asyncio.Task[str]] = []

    async def come(self, site: Site) -> None:
        """Take all, and return when there is none left."""
        pooler = await _prepare(site)
        script = _VISIT.format(change="SELECT", waits=_NOT_RELEASED)
        self._clients = [asyncio.create_task(pooler.sql(script, within=_AN_HOUR)) for _ in range(POOL_SIZE)]
        while int(await site.servers.postgres.sql("SELECT last_value FROM holdfast_fault.arrived")) < POOL_SIZE:
            pass

    async def go(self, site: Site) -> None:
        """Give all back."""
        if self._clients:
            await site.servers.postgres.sql("SELECT nextval('holdfast_fault.released')")
            await asyncio.gather(*self._clients)
            self._clients = []
        await drop_fault_schema(site)
