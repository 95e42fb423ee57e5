"""One environment's stores under one roof: bounded connections, a schema made sure of, leftovers swept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property

from monitor.bindings import Binding
from monitor.core.eviction import Policy
from monitor.core.payload import Speech
from monitor.core.residue import ABANDONED, Broom, Instance
from monitor.core.verdict import Reason
from monitor.ports import (
    KEEPERS,
    Copies,
    Durables,
    Isolation,
    Ledger,
    Notices,
    Place,
    Profiles,
    Sessions,
    Store,
    StoreError,
    Surroundings,
    SystemClock,
    Tally,
    Tenants,
    Threads,
    Way,
)
from monitor.scribe import LedgerScribe
from monitor.stores import abandoned
from monitor.stores.api import Api, ApiAddress
from monitor.stores.bound.check import make_sure_of_binding
from monitor.stores.bound.context import Bound
from monitor.stores.bound.copies import BoundCopies
from monitor.stores.bound.identities import Identities
from monitor.stores.bound.notices import BoundNotices
from monitor.stores.bound.profiles import BoundProfiles
from monitor.stores.bound.sessions import BoundSessions, sentinel_patterns
from monitor.stores.bound.sweeping import sweep_bound
from monitor.stores.bound.sweeping_keys import sweep_copies
from monitor.stores.bound.tenants import BoundTenants
from monitor.stores.bound.threads import BoundThreads
from monitor.stores.copies import OwnCopies
from monitor.stores.crowd import OwnCrowd
from monitor.stores.durable_keys import KEEP, KeyDurables
from monitor.stores.durable_rows import RowDurables
from monitor.stores.evictions import OwnEvictions
from monitor.stores.gauges import OwnGauges
from monitor.stores.keys import count_keys, remembered_keys, sweep_keys
from monitor.stores.ledger import Ledgers
from monitor.stores.notices import OwnNotices
from monitor.stores.postgres import Postgres
from monitor.stores.profiles import OwnProfiles
from monitor.stores.provision import make_sure
from monitor.stores.registers import OwnRegisters
from monitor.stores.rows import count_rows, has_rows, sweep_rows
from monitor.stores.sentinels import redis_at
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
        binding: Binding | None = None,
        api: ApiAddress | None = None,
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
        self._prepared: set[Store | str] = set()
        self.binding = binding
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
                place: redis_at(url, tally=tally, timeout=timeout, place=place)
                for place, url in addresses.items()
                if place.store is Store.REDIS
            },
            api=None if api is None else Api(_with_headers(api, binding), tally=tally, timeout=timeout),
        )
        self.surroundings = Surroundings(places=self.ways.places, bound=binding.served() if binding else {})

    @property
    def instance(self) -> str:
        """The mark of this daemon in every record that it writes."""
        return self._instance.mark

    @property
    def speech(self) -> Speech:
        """What its conversations can hold."""
        return self.binding.speech if self.binding else Speech()

    @cached_property
    def bound(self) -> Bound:
        """What its binding names. Raises LookupError where it has none."""
        if self.binding is None:
            raise LookupError(f"environment {self.name} has no binding")
        auth = self.ways.api.address.auth if self.ways.api else None
        accounts = auth.accounts if auth else ()
        identities = Identities(self.binding.ids, environment=self.name, instance=self._instance, accounts=accounts)
        return Bound(ways=self.ways, binding=self.binding, identities=identities)

    def _is_bound(self, probe: str) -> bool:
        return probe in self.surroundings.bound

    @property
    def longest_run(self) -> timedelta:
        """How old a record must be for no run to need it any more."""
        return self._longest_run

    @cached_property
    def stores(self) -> frozenset[Store]:
        """The stores that it has."""
        return frozenset(place.store for place in self.places if place.way is Way.PRIMARY)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """Every way into its stores, the primaries first."""
        return self.ways.places

    @cached_property
    def threads(self) -> Threads:
        """Its conversations."""
        return BoundThreads(self.bound) if self._is_bound("thread") else OwnThreads(self.ways)

    @cached_property
    def sessions(self) -> Sessions:
        """Its sessions."""
        return BoundSessions(self.bound) if self._is_bound("session") else OwnSessions(self.ways)

    @cached_property
    def registers(self) -> OwnRegisters:
        """Its small numbers and lists that transactions change."""
        return OwnRegisters(self.ways)

    @cached_property
    def tenants(self) -> Tenants:
        """Its users, and every path to what is theirs."""
        return BoundTenants(self.bound) if self._is_bound("isolation") else OwnTenants(self.ways)

    @cached_property
    def copies(self) -> Copies:
        """Its sources and the places where a change must arrive."""
        return BoundCopies(self.bound) if self._is_bound("sync") else OwnCopies(self.ways)

    @cached_property
    def notices(self) -> Notices:
        """The channels by which changes are pushed."""
        return BoundNotices(self.bound) if self._is_bound("notify") else OwnNotices(self.ways)

    @cached_property
    def profiles(self) -> Profiles:
        """Its users' profiles and what is cached of them."""
        return BoundProfiles(self.bound) if self._is_bound("profile") else OwnProfiles(self.ways)

    @cached_property
    def crowd(self) -> OwnCrowd:
        """Many users at once, through its pooler or a pool."""
        return OwnCrowd(self.ways)

    @cached_property
    def evictions(self) -> OwnEvictions:
        """The memory of its Redis."""
        return OwnEvictions(self.ways, policy=self.policy)

    @cached_property
    def gauges(self) -> OwnGauges:
        """What tells how a load is borne."""
        return OwnGauges(self.ways)

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
        if store not in self.stores & KEEPERS:
            raise LookupError(f"environment {self.name} has no {store} that keeps what is written")
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

    def crowded(self, needs: Mapping[Store, int]) -> bool:
        """Whether somebody waits for connections to one of these stores."""
        return any(self._slots[store].waited_for for store in needs if store in self._slots)

    async def prepare(self, needs: Mapping[Store, int], *, probe: str = "") -> None:
        """Make sure that the servers are such as probes understand, and that the schema belongs to this environment.

        For a probe that goes through a binding, that what this names is there, and fits. Free after the first time.
        """
        if self._is_bound(probe) and probe != "notify":
            if probe not in self._prepared:
                await make_sure_of_binding(self.bound, probe)
                self._prepared.add(probe)
            return
        missing = self.stores.intersection(needs) - self._prepared
        if Store.POSTGRES in missing:
            await make_sure(self.ways.primary_postgres, environment=self.name, provision=self._provision)
        if Store.REDIS in missing:
            await make_sure_of_redis(self.ways.primary_redis)
        self._prepared |= missing

    def learn(self, error: StoreError) -> None:
        """A run failed in this way; where the schema did not fit, it is looked at again before the next run."""
        if error.reason is Reason.MISCONFIGURED:
            self._prepared -= {error.store, *self.surroundings.bound}

    async def sweep(self, store: Store, *, everybody: bool = False, dry_run: bool = False) -> int:
        """Remove leftovers from one store: what no run of any daemon will ask for again. Raises StoreError.

        `everybody` takes the records of all daemons as soon as no run can need them, not only after an hour. Returns
        how many rows or keys went (or would go).
        """
        age = self._longest_run
        broom = Broom(
            environment=self.name, instance=self._instance, own_age=age, any_age=age if everybody else ABANDONED
        )
        gone = await sweep_bound(self.bound, store, broom, dry_run=dry_run) if self.binding else 0
        if store is Store.API:
            return gone
        if store is Store.REDIS:
            return gone + await self._sweep_keys(broom, everybody=everybody, dry_run=dry_run)
        if not await self._has_own_rows():
            return gone
        await make_sure(self.ways.primary_postgres, environment=self.name, provision=self._provision)
        return gone + await sweep_rows(self.ways.primary_postgres, broom, dry_run=dry_run)

    async def tidy(self, store: Store) -> int:
        """Remove at once what this instance's own users have left in the application; -> how much that was.

        Only for one whose runs have all ended. Where users are accounts a daemon may be at work as the same ones: then
        only what is too old for any run goes. Raises StoreError, and LookupError without a binding.
        """
        age = self._longest_run if self.bound.identities.shared else timedelta()
        broom = Broom(environment=self.name, instance=self._instance, own_age=age)
        if store is Store.REDIS:
            return await self._sweep_keys(broom, everybody=False, dry_run=False)
        return await sweep_bound(self.bound, store, broom, dry_run=False)

    async def _has_own_rows(self) -> bool:
        """Whether the schema `holdfast` can hold any: an environment whose probes all go through a binding has none."""
        return self.binding is None or await has_rows(self.ways.primary_postgres)

    async def left(self, store: Store, *, everybody: bool = False) -> int:
        """How many rows or keys a sweep would find, of whatever age. Raises StoreError."""
        at_once = timedelta()
        broom = Broom(environment=self.name, instance=self._instance, own_age=at_once, any_age=at_once)
        if store is Store.API:
            return await sweep_bound(self.bound, store, broom, dry_run=True) if self.binding else 0
        if store is Store.REDIS:
            return await self._sweep_keys(broom, everybody=everybody, dry_run=True)
        left = await sweep_bound(self.bound, store, broom, dry_run=True) if self.binding else 0
        own = await sweep_rows(self.ways.primary_postgres, broom, dry_run=True) if await self._has_own_rows() else 0
        return left + own

    async def _sweep_keys(self, broom: Broom, *, everybody: bool, dry_run: bool) -> int:
        patterns = sentinel_patterns(self.bound) if self.binding else ()
        copies = await sweep_copies(self.bound, broom, dry_run=dry_run) if self.binding else 0
        redis = self.ways.primary_redis
        return copies + await sweep_keys(redis, broom, everybody=everybody, dry_run=dry_run, patterns=patterns)

    async def remembered(self, store: Store) -> int:
        """How many records of ledgers a sweep leaves alone, because a daemon looks for them again."""
        if store is Store.API:
            return 0
        if store is Store.REDIS:
            return await remembered_keys(self.ways.primary_redis, environment=self.name)
        return await abandoned.remembered(self.ways.primary_postgres) if await self._has_own_rows() else 0

    async def census(self, store: Store) -> int:
        """How many synthetic conversations, other records or keys a store holds now. Raises StoreError."""
        if store is Store.API:
            return 0
        if store is Store.REDIS:
            return await count_keys(self.ways.primary_redis, environment=self.name, instance=self._instance)
        return await count_rows(self.ways.primary_postgres) if await self._has_own_rows() else 0


def _with_headers(api: ApiAddress, binding: Binding | None) -> ApiAddress:
    """An API's address with the headers that its binding gives to every request, and what that says is secret."""
    if binding is None or binding.api is None:
        return api
    secrets = tuple(secret.get_secret_value() for secret in binding.secrets)
    return replace(api, headers=binding.api.headers, secrets=secrets)
