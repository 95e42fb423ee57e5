"""The stores that an environment may have, the ways into them, and how a request to one can fail."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from monitor.core.record import Node
from monitor.core.verdict import Reason


class Store(StrEnum):
    """The stores that an environment may have."""

    POSTGRES = "postgres"
    REDIS = "redis"
    API = "api"


KEEPERS: frozenset[Store] = frozenset({Store.POSTGRES, Store.REDIS})
"""The stores that keep what is written to them, each with a ledger; an API is a way to what they keep."""


class Way(StrEnum):
    """The ways into a store: its primary, a pooler before it, or a replica behind it."""

    PRIMARY = "primary"
    POOLER = "pooler"
    REPLICA = "replica"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """One way into one store. `name` tells replicas apart, as the configuration names them."""

    store: Store
    way: Way = Way.PRIMARY
    name: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.store, "" if self.way is Way.PRIMARY else self.way, self.name) if part)


class Outcome(StrEnum):
    """How a request to a store ended: done, not done, or nobody knows (the answer was lost)."""

    OK = "ok"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"


class StoreError(Exception):
    """A store did not do what it was asked, and why. The message is fit to be shown: no secret is in it.

    `outcome` is `indeterminate` where the request may have taken effect although no answer came. `place` is the way
    into the store that failed: a replica that is down says nothing of its primary.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        store: Store,
        outcome: Outcome = Outcome.FAILED,
        place: Place | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.store = store
        self.outcome = outcome
        self.place = place or Place(store)


class MissingError(StoreError):
    """A change found nothing that it could change, although that had been acknowledged. Nothing was done."""

    def __init__(self, message: str, *, store: Store) -> None:
        super().__init__(Reason.INCONCLUSIVE, message, store=store)


class MisroutedError(StoreError):
    """A reply carried another nonce than the request: it belongs to somebody else's question.

    `session` asks for a second time and calls it a violation; every other probe can tell nothing by such replies.
    """

    def __init__(self, *, sent: str, received: str, address: str) -> None:
        super().__init__(
            Reason.INCONCLUSIVE,
            f"Redis at {address} answered a request with the nonce {sent} by {received}",
            store=Store.REDIS,
        )
        self.sent = sent
        self.received = received


class Tally(Protocol):
    """Where a store counts what it was asked and what that cost the target."""

    def add(self, store: Store, outcome: Outcome, *, seconds: float, sent_bytes: int) -> None:
        """One request to a store: how it ended, how long the store was busy with it, how much it was sent."""


class Connection(Protocol):
    """One open connection to one store."""

    async def node(self) -> Node:
        """The server at the other end."""

    async def close(self) -> None:
        """Really close it: say goodbye, bounded in time, then drop the socket."""
