"""One environment's stores under one roof: bounded connections, a schema made sure of, leftovers swept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import cached_property

from monitor.core.eviction import Policy
from monitor.core.residue import ABANDONED, Broom, Instance
from monitor.core.verdict import Reason
from monitor.ports import Durables, Isolation, Ledger, Place, Store, StoreError, SystemClock, Tally, Way
from monitor.scribe import LedgerScribe
from monitor.stores import abandoned
from monitor.stores.copies import OwnCopies
from monitor.stores.crowd import OwnCrowd
from monitor.stores.durable_keys import KEEP, KeyDurables
from monitor.stores.durable_rows import RowDurables
from monitor.stores.evictions import OwnEvictions
from monitor.stores.keys import count_keys, remembered_keys, sweep_keys
from monitor.stores.ledger import Ledgers
from monitor.stores.notices import OwnNotices
from monitor.stores.postgres import Postgres
from monitor.stores.profiles import OwnProfiles
from monitor.stores.provision import make_sure
from monitor.stores.redis import Redis
from monitor.stores.registers import OwnRegisters
from monitor.stores.rows import count_rows, sweep_rows
from monitor.stores.sessions import OwnSessions
from monitor.stores.slots import Slots
from monitor.stores.tenants import OwnTenants
from monitor.stores.threads import OwnThreads
from monitor.stores.versions import make_sure_of_redis
from monitor.stores.ways import Ways
from monitor.stores.words import OwnWords


class LiveEnvironment:
    """A deployment that is watched, seen through Holdfast's own schema and prefix.

    Without a `ledger` it has one in memory, which forgets with this object. `turns` are the locks of those who write by
    it, one a store, where others write by the same ledger, too; `ladder` is for how long it looks for a record.
    """

    def __init__(
        self,
        name: str,
        *,
        instance: Instance,
        tally: Tally,
        addresses: Mapping[Place, str],
        connections: Mapping[Store, int],
        provision: bool,
        isolation: Isolation = "read committed",
        policy: Policy | None = None,
        timeout: timedelta = timedelta(seconds=5),
        longest_run: timedelta = timedelta(minutes=1),
        ledger: Ledger | None = None,
        turns: Mapping[Store, asyncio.Lock] | None = None,
        ladder: timedelta = timedelta(),
    ) -> None:
        self.name = name
        self._keep = max(KEEP, ladder + timedelta(days=1))
        self._ledger = ledger
        self._turns = turns or {}
        self._scribes: dict[Store, LedgerScribe] = {}
        self.isolation: Isolation = isolation
        self.policy: Policy | None = policy
        self._instance = instance
        self._longest_run = longest_run
        self._provision = provision
        self._prepared: set[Store] = set()
        self._slots = {store: Slots(limit) for store, limit in connections.items()}
        self.ways = Ways(
            environment=name,
            instance=instance,
            timeout=timeout,
            postgres={
                place: Postgres(dsn, tally=tally, statement_timeout=timeout, connect_timeout=timeout, place=place)
                for place, dsn in addresses.items()
                if place.store is Store.POSTGRES
            },
            redis={
                place: Redis(url, tally=tally, timeout=timeout, place=place)
                for place, url in addresses.items()
                if place.store is Store.REDIS
            },
        )

    @property
    def instance(self) -> str:
        """The mark of this daemon in every record that it writes."""
        return self._instance.mark

    @property
    def longest_run(self) -> timedelta:
        """How old a record must be for no run to need it any more."""
        return self._longest_run

    @property
    def stores(self) -> frozenset[Store]:
        """The stores that it has."""
        return frozenset(place.store for place in self.places if place.way is Way.PRIMARY)

    @property
    def places(self) -> tuple[Place, ...]:
        """Every way into its stores, the primaries first."""
        return self.ways.places

    @cached_property
    def threads(self) -> OwnThreads:
        """Its conversations."""
        return OwnThreads(self.ways)

    @cached_property
    def sessions(self) -> OwnSessions:
        """Its sessions."""
        return OwnSessions(self.ways)

    @cached_property
    def registers(self) -> OwnRegisters:
        """Its small numbers and lists that transactions change."""
        return OwnRegisters(self.ways)

    @cached_property
    def tenants(self) -> OwnTenants:
        """Its users, and every path to what is theirs."""
        return OwnTenants(self.ways)

    @cached_property
    def copies(self) -> OwnCopies:
        """Its sources and the places where a change must arrive."""
        return OwnCopies(self.ways)

    @cached_property
    def notices(self) -> OwnNotices:
        """The channels by which changes are pushed."""
        return OwnNotices(self.ways)

    @cached_property
    def profiles(self) -> OwnProfiles:
        """Its users' profiles and what is cached of them."""
        return OwnProfiles(self.ways)

    @cached_property
    def crowd(self) -> OwnCrowd:
        """Many users at once, through its pooler or a pool."""
        return OwnCrowd(self.ways)

    @cached_property
    def evictions(self) -> OwnEvictions:
        """The memory of its Redis."""
        return OwnEvictions(self.ways, policy=self.policy)

    @cached_property
    def words(self) -> OwnWords:
        """Its indexes on text and the table under them."""
        return OwnWords(self.ways)

    @cached_property
    def ledger(self) -> Ledger:
        """Which writes were acknowledged."""
        return self._ledger or Ledgers(None, clock=SystemClock()).of(self.name)

    def durables(self, store: Store) -> Durables:
        """One of its stores as what keeps writes. Raises LookupError if it does not have it."""
        if store not in self.stores:
            raise LookupError(f"environment {self.name} has no {store}")
        return RowDurables(self.ways) if store is Store.POSTGRES else KeyDurables(self.ways, keep=self._keep)

    def scribe(self, store: Store) -> LedgerScribe:
        """Who writes there by the ledger, always the same. Raises LookupError if it does not have the store."""
        if store not in self._scribes:
            self._scribes[store] = LedgerScribe(
                store,
                ledger=self.ledger,
                durables=self.durables(store),
                clock=SystemClock(),
                turn=self._turns.get(store),
            )
        return self._scribes[store]

    @asynccontextmanager
    async def slots(self, needs: Mapping[Store, int]) -> AsyncIterator[None]:
        """Wait for room for so many connections per store, always in the same order of stores, and hold it.

        A store that is not there needs none: a probe may want one without needing it.
        """
        async with AsyncExitStack() as stack:
            for store in Store:
                if store in needs and store in self._slots:
                    await stack.enter_async_context(self._slots[store].hold(needs[store]))
            yield

    async def prepare(self, needs: Mapping[Store, int]) -> None:
        """Make sure that the servers are such as probes understand, and that the schema belongs to this environment.

        Free after the first time.
        """
        missing = self.stores.intersection(needs) - self._prepared
        if Store.POSTGRES in missing:
            await make_sure(self.ways.primary_postgres, environment=self.name, provision=self._provision)
        if Store.REDIS in missing:
            await make_sure_of_redis(self.ways.primary_redis)
        self._prepared |= missing

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
        if store is Store.REDIS:
            return await sweep_keys(self.ways.primary_redis, broom, everybody=everybody, dry_run=dry_run)
        await make_sure(self.ways.primary_postgres, environment=self.name, provision=self._provision)
        return await sweep_rows(self.ways.primary_postgres, broom, dry_run=dry_run)

    async def left(self, store: Store, *, everybody: bool = False) -> int:
        """How many rows or keys a sweep would find, of whatever age. Raises StoreError."""
        at_once = timedelta()
        broom = Broom(environment=self.name, instance=self._instance, own_age=at_once, any_age=at_once)
        if store is Store.REDIS:
            return await sweep_keys(self.ways.primary_redis, broom, everybody=everybody, dry_run=True)
        return await sweep_rows(self.ways.primary_postgres, broom, dry_run=True)

    async def remembered(self, store: Store) -> int:
        """How many records of ledgers a sweep leaves alone, because a daemon looks for them again."""
        if store is Store.REDIS:
            return await remembered_keys(self.ways.primary_redis, environment=self.name)
        return await abandoned.remembered(self.ways.primary_postgres)

    async def census(self, store: Store) -> int:
        """How many synthetic conversations, other records or keys a store holds now. Raises StoreError."""
        if store is Store.REDIS:
            return await count_keys(self.ways.primary_redis, environment=self.name, instance=self._instance)
        return await count_rows(self.ways.primary_postgres)
