"""One live deployment, as a probe sees it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from monitor.core.levels import Isolation
from monitor.core.payload import Speech
from monitor.ports.copies import Copies
from monitor.ports.crowd import Crowd
from monitor.ports.evictions import Evictions
from monitor.ports.gauges import Gauges
from monitor.ports.ledger import Durables, Ledger, Scribe
from monitor.ports.notices import Notices
from monitor.ports.profiles import Profiles
from monitor.ports.registers import Registers
from monitor.ports.sessions import Sessions
from monitor.ports.stores import Place, Store, StoreError
from monitor.ports.surroundings import Surroundings
from monitor.ports.tenants import Tenants
from monitor.ports.threads import Threads
from monitor.ports.words import Words


class Environment(Protocol):
    """One live deployment that is watched."""

    @property
    def name(self) -> str:
        """Its name in the configuration."""

    @property
    def stores(self) -> frozenset[Store]:
        """The stores that it has."""

    @property
    def instance(self) -> str:
        """The mark of this daemon in every record that it writes."""

    @property
    def places(self) -> tuple[Place, ...]:
        """Every way into its stores, the primaries first."""

    @property
    def surroundings(self) -> Surroundings:
        """What a probe finds there before it asks any store."""

    @property
    def speech(self) -> Speech:
        """What its conversations can hold."""

    @property
    def isolation(self) -> Isolation:
        """The isolation level that its application relies on."""

    @property
    def threads(self) -> Threads:
        """Its conversations. Raises LookupError if it has no PostgreSQL."""

    @property
    def sessions(self) -> Sessions:
        """Its sessions. Raises LookupError if it has no Redis."""

    @property
    def registers(self) -> Registers:
        """Its small numbers and lists that transactions change. Raises LookupError if it has no PostgreSQL."""

    @property
    def tenants(self) -> Tenants:
        """Its users, and every path to what is theirs. Raises LookupError if it has no PostgreSQL."""

    @property
    def copies(self) -> Copies:
        """Its sources and the places where a change must arrive. Raises LookupError if it has no PostgreSQL."""

    @property
    def notices(self) -> Notices:
        """The channels by which changes are pushed."""

    @property
    def profiles(self) -> Profiles:
        """Its users' profiles and what is cached of them. Raises LookupError if it lacks one of both stores."""

    @property
    def crowd(self) -> Crowd:
        """Many users at once, through its pooler or a pool. Raises LookupError if it has no PostgreSQL."""

    @property
    def evictions(self) -> Evictions:
        """The memory of its Redis. Raises LookupError if it has none."""

    @property
    def gauges(self) -> Gauges:
        """What tells how a load is borne. Raises LookupError if it has no PostgreSQL."""

    @property
    def words(self) -> Words:
        """Its indexes on text and the table under them. Raises LookupError if it has no PostgreSQL."""

    @property
    def ledger(self) -> Ledger:
        """Which writes were acknowledged, kept outside the stores that it accuses."""

    def durables(self, store: Store) -> Durables:
        """One of its stores as what keeps writes. Raises LookupError if it does not have it."""

    def scribe(self, store: Store) -> Scribe:
        """Who writes there by the ledger, always the same. Raises LookupError if it does not have the store."""

    def slots(self, needs: Mapping[Store, int]) -> AbstractAsyncContextManager[None]:
        """Wait for room for so many connections per store, and hold it."""

    def crowded(self, needs: Mapping[Store, int]) -> bool:
        """Whether somebody waits for connections to one of these stores."""

    async def prepare(self, needs: Mapping[Store, int], *, probe: str = "") -> None:
        """Make sure that what a probe uses is there: Holdfast's own schema, or what its binding names.

        Free after the first time. Without a probe it is Holdfast's own schema.
        """

    def learn(self, error: StoreError) -> None:
        """A run failed in this way; where the schema did not fit, it is looked at again before the next run."""
