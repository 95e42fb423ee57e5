"""A restored copy of a store, as what may hold a ledger's writes. Nothing is ever written there."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlsplit, urlunsplit

from monitor.core.residue import Instance
from monitor.ports import Durables, Place, Store, Tally
from monitor.stores.durable_keys import KeyDurables
from monitor.stores.durable_rows import RowDurables
from monitor.stores.postgres import Postgres
from monitor.stores.redis import Redis
from monitor.stores.ways import Ways

_TIMEOUT = timedelta(seconds=30)  # of one statement: a scratch server reads its files for the first time


class Restored:
    """A copy at an address. It may be a standby, and the role in the address one that may only read.

    `durables` are the copy as what keeps writes; PostgreSQL refuses to change anything on their connections.
    """

    def __init__(self, store: Store, url: str, *, environment: str, instance: Instance, tally: Tally) -> None:
        self._environment = environment
        self._postgres: Postgres | None = None
        redis = {}
        if store is Store.POSTGRES:
            self._postgres = Postgres(
                _read_only(url), tally=tally, statement_timeout=_TIMEOUT, connect_timeout=_TIMEOUT
            )
        else:
            redis = {Place(store): Redis(url, tally=tally, timeout=_TIMEOUT)}
        ways = Ways(
            environment=environment,
            instance=instance,
            timeout=_TIMEOUT,
            postgres={Place(store): self._postgres} if self._postgres else {},
            redis=redis,
        )
        self.durables: Durables = RowDurables(ways) if self._postgres else KeyDurables(ways)

    async def unfit(self) -> str:
        """Why it cannot be a copy of this environment, or nothing. Raises StoreError."""
        if self._postgres is None:
            return ""
        connection = await self._postgres.connect("verify")
        try:
            async with self._postgres.asked():
                if await connection.fetchval("SELECT to_regclass('holdfast.ledger_registers')") is None:
                    return "it has no table holdfast.ledger_registers; is it the right database?"
                name = await connection.fetchval("SELECT name FROM holdfast.environment")
        finally:
            await self._postgres.close(connection, broken=False)
        other = name is not None and name != self._environment
        return f"it belongs to the environment {name}; is it the right database?" if other else ""


def _read_only(dsn: str) -> str:
    """The same address, at which every transaction only reads."""
    parts = urlsplit(dsn)
    query = "&".join(filter(None, (parts.query, "default_transaction_read_only=on")))
    return urlunsplit(parts._replace(query=query))
