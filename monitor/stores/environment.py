"""One environment's stores under one roof: bounded connections, a schema made sure of, leftovers swept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from monitor.core.verdict import Reason
from monitor.ports import Store, StoreError, Tally
from monitor.stores.postgres import Postgres
from monitor.stores.provision import make_sure
from monitor.stores.redis import Redis
from monitor.stores.sessions import OwnSessions, count_sessions, sweep_environment, sweep_sessions
from monitor.stores.slots import Slots
from monitor.stores.threads import OwnThreads, count_threads, sweep_threads

ABANDONED = timedelta(hours=1)
"""No run lives so long: an older conversation has no daemon that will come back for it."""


class LiveEnvironment:
    """A deployment that is watched, seen through Holdfast's own schema and prefix."""

    def __init__(
        self,
        name: str,
        *,
        instance: str,
        tally: Tally,
        postgres_dsn: str | None,
        redis_url: str | None,
        connections: Mapping[Store, int],
        provision: bool,
        timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        self.name = name
        self.instance = instance
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

    async def sweep(
        self, *, own_age: timedelta = timedelta(), everything: bool = False, dry_run: bool = False
    ) -> dict[Store, int]:
        """Remove leftovers: this instance's older than `own_age`, and what any daemon abandoned.

        `everything` removes the synthetic data of all instances of this environment, whatever its age. Returns how
        many rows and keys went per store. Raises StoreError.
        """
        gone: dict[Store, int] = {}
        if self.postgres:
            await make_sure(self.postgres, environment=self.name, provision=self._provision)
            any_age = timedelta() if everything else ABANDONED
            gone[Store.POSTGRES] = await sweep_threads(
                self.postgres, instance=self.instance, own_age=own_age, any_age=any_age, dry_run=dry_run
            )
        if self.redis and everything:
            gone[Store.REDIS] = await sweep_environment(self.redis, environment=self.name, dry_run=dry_run)
        elif self.redis:
            gone[Store.REDIS] = await sweep_sessions(
                self.redis, environment=self.name, instance=self.instance, dry_run=dry_run
            )
        return gone

    async def census(self) -> dict[Store, int]:
        """How many synthetic conversations and keys there are now. Raises StoreError."""
        found: dict[Store, int] = {}
        if self.postgres:
            found[Store.POSTGRES] = await count_threads(self.postgres)
        if self.redis:
            found[Store.REDIS] = await count_sessions(self.redis, environment=self.name, instance=self.instance)
        return found
