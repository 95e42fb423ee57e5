"""One environment's stores under one roof: bounded connections, a schema made sure of, leftovers swept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from monitor.core.residue import ABANDONED, Broom, Instance
from monitor.core.verdict import Reason
from monitor.ports import Store, StoreError, Tally
from monitor.stores.postgres import Postgres
from monitor.stores.provision import make_sure
from monitor.stores.redis import Redis
from monitor.stores.sessions import OwnSessions, count_sessions, sweep_sessions
from monitor.stores.slots import Slots
from monitor.stores.threads import OwnThreads, count_threads, sweep_threads


class LiveEnvironment:
    """A deployment that is watched, seen through Holdfast's own schema and prefix."""

    def __init__(
        self,
        name: str,
        *,
        instance: Instance,
        tally: Tally,
        postgres_dsn: str | None,
        redis_url: str | None,
        connections: Mapping[Store, int],
        provision: bool,
        timeout: timedelta = timedelta(seconds=5),
        longest_run: timedelta = timedelta(minutes=1),
    ) -> None:
        self.name = name
        self._instance = instance
        self._longest_run = longest_run
        self._provision = provision
        self._prepared: set[Store] = set()
        self._slots = {store: Slots(limit) for store, limit in connections.items()}
        self.postgres = (
            Postgres(postgres_dsn, tally=tally, statement_timeout=timeout, connect_timeout=timeout)
            if postgres_dsn
            else None
        )
        self.redis = Redis(redis_url, tally=tally, timeout=timeout) if redis_url else None
        self._threads = (
            OwnThreads(self.postgres, instance=instance, statement_timeout=timeout) if self.postgres else None
        )
        self._sessions = OwnSessions(self.redis, environment=name, instance=instance) if self.redis else None

    @property
    def instance(self) -> str:
        """The mark of this daemon in every record that it writes."""
        return self._instance.mark

    @property
    def stores(self) -> frozenset[Store]:
        """The stores that it has."""
        pairs = ((Store.POSTGRES, self.postgres), (Store.REDIS, self.redis))
        return frozenset(store for store, client in pairs if client is not None)

    @property
    def threads(self) -> OwnThreads:
        """Its conversations."""
        if self._threads is None:
            raise LookupError(f"environment {self.name} has no postgres")
        return self._threads

    @property
    def sessions(self) -> OwnSessions:
        """Its sessions."""
        if self._sessions is None:
            raise LookupError(f"environment {self.name} has no redis")
        return self._sessions

    @asynccontextmanager
    async def slots(self, needs: Mapping[Store, int]) -> AsyncIterator[None]:
        """Wait for room for so many connections per store, always in the same order of stores, and hold it."""
        async with AsyncExitStack() as stack:
            for store in Store:
                if store in needs:
                    await stack.enter_async_context(self._slots[store].hold(needs[store]))
            yield

    async def prepare(self, needs: Mapping[Store, int]) -> None:
        """Make sure that the schema is there and belongs to this environment; free after the first time."""
        if Store.POSTGRES in needs and self.postgres and Store.POSTGRES not in self._prepared:
            await make_sure(self.postgres, environment=self.name, provision=self._provision)
            self._prepared.add(Store.POSTGRES)

    def learn(self, error: StoreError) -> None:
        """A run failed in this way; where the schema did not fit, it is looked at again before the next run."""
        if error.reason is Reason.MISCONFIGURED:
            self._prepared.discard(error.store)

    async def sweep(self, store: Store, *, everybody: bool = False, dry_run: bool = False) -> int:
        """Remove leftovers from one store: what no run of any daemon will ask for again. Raises StoreError.

        `everybody` takes the records of all daemons as soon as no run can need them, not only after an hour. Returns
        how many rows or keys went (or would go).
        """
        age = self._longest_run
        broom = Broom(
            environment=self.name, instance=self._instance, own_age=age, any_age=age if everybody else ABANDONED
        )
        if store is Store.REDIS and self.redis:
            return await sweep_sessions(self.redis, broom, everybody=everybody, dry_run=dry_run)
        if store is Store.POSTGRES and self.postgres:
            await make_sure(self.postgres, environment=self.name, provision=self._provision)
            return await sweep_threads(self.postgres, broom, dry_run=dry_run)
        raise LookupError(f"environment {self.name} has no {store}")

    async def census(self, store: Store) -> int:
        """How many synthetic conversations or keys a store holds now. Raises StoreError."""
        if store is Store.REDIS and self.redis:
            return await count_sessions(self.redis, environment=self.name, instance=self._instance)
        if store is Store.POSTGRES and self.postgres:
            return await count_threads(self.postgres)
        raise LookupError(f"environment {self.name} has no {store}")
