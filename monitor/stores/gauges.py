"""How far the replicas of PostgreSQL are behind, and whom row-level security binds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from monitor.ports import Place, Store, StoreError, Way
from monitor.stores.rows import Transactions
from monitor.stores.ways import Ways

_LOG = "pg_wal_lsn_diff({position}, '0/0')::bigint"
STATEMENTS: Mapping[str, str] = {
    "unbound": (
        "SELECT CASE WHEN rolsuper THEN format('the role %I is a superuser', rolname)"
        " WHEN rolbypassrls THEN format('the role %I has BYPASSRLS', rolname) ELSE '' END"
        " FROM pg_roles WHERE rolname = current_user"
    ),
    "written": f"SELECT {_LOG.format(position='pg_current_wal_flush_lsn()')}",
    "replayed": f"SELECT {_LOG.format(position='pg_last_wal_replay_lsn()')}",
}
"""Every statement, by name."""
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "who_is_bound": (STATEMENTS["unbound"],),
    "log_written": (STATEMENTS["written"],),
    "log_replayed": (STATEMENTS["replayed"],),
}
"""What a probe may ask for, and all that is then sent; the last is for replicas."""


class OwnGauges:
    """The primary of PostgreSQL and its replicas."""

    def __init__(self, ways: Ways) -> None:
        self._ways = ways

    async def connect(self, label: str) -> OwnGauge:
        """New connections; a replica that cannot be reached is silent."""
        primary = await self._opened(Place(Store.POSTGRES), label)
        gauge = OwnGauge(primary)
        places = sorted(place for place in self._ways.postgres if place.way is Way.REPLICA)
        for place, found in zip(places, await self._replicas(places, label), strict=True):
            if isinstance(found, StoreError):
                gauge.silent[place.name] = str(found)
            else:
                gauge.replicas[place.name] = found
        return gauge

    async def _opened(self, place: Place, label: str) -> Transactions:
        postgres = self._ways.postgres[place]
        return Transactions(postgres, await postgres.connect(label), ways=self._ways)

    async def _replicas(self, places: Sequence[Place], label: str) -> list[Transactions | StoreError]:
        async def opened(place: Place) -> Transactions | StoreError:
            try:
                return await self._opened(place, label)
            except StoreError as error:
                return error

        return list(await asyncio.gather(*map(opened, places)))


class OwnGauge:
    """Connections on which single statements are asked."""

    def __init__(self, primary: Transactions) -> None:
        self._primary = primary
        self.replicas: dict[str, Transactions] = {}
        self.silent: dict[str, str] = {}

    async def unbound(self) -> str:
        """Why row-level security does not bind the role."""
        return str(await _asked(self._primary, "unbound"))

    async def written(self) -> int:
        """What is flushed: what a COMMIT waits for, and what is sent to replicas."""
        return int(str(await _asked(self._primary, "written")))

    async def replayed(self) -> Mapping[str, int]:
        """Where each replica is."""
        found: dict[str, int] = {}
        for name, replica in list(self.replicas.items()):
            try:
                position = await _asked(replica, "replayed")
            except StoreError as error:
                self.silent[name] = str(error)
            else:
                if position is None:
                    self.silent[name] = "it replays nothing: is it a replica at all?"
                else:
                    found[name] = int(str(position))
            if name in self.silent:
                await self.replicas.pop(name).close()
        return found

    async def close(self) -> None:
        """Really close them."""
        for connection in (self._primary, *self.replicas.values()):
            await connection.close()


async def _asked(on: Transactions, statement: str) -> object:
    async with on.postgres.asked():
        found: object = await on.connection.fetchval(STATEMENTS[statement])
    return found
