"""What a probe may ask of an environment. The stores answer; nothing here does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic
from typing import Literal, Protocol

from monitor.core.conversation import Transcript
from monitor.core.expiry import Lease, Removals
from monitor.core.payload import Message, Thread
from monitor.core.record import Node, RunRecord
from monitor.core.session import Session
from monitor.core.sightings import Look
from monitor.core.verdict import Reason
from monitor.core.violations import KeptViolation, Stage


class Store(StrEnum):
    """The stores that an environment may have."""

    POSTGRES = "postgres"
    REDIS = "redis"


class Outcome(StrEnum):
    """How a request to a store ended: done, not done, or nobody knows (the answer was lost)."""

    OK = "ok"
    FAILED = "failed"
    INDETERMINATE = "indeterminate"


class StoreError(Exception):
    """A store did not do what it was asked, and why. The message is fit to be shown: no secret is in it.

    `outcome` is `indeterminate` where the request may have taken effect although no answer came.
    """

    def __init__(self, reason: Reason, message: str, *, store: Store, outcome: Outcome = Outcome.FAILED) -> None:
        super().__init__(message)
        self.reason = reason
        self.store = store
        self.outcome = outcome


class MissingError(StoreError):
    """A change found nothing that it could change, although that had been acknowledged. Nothing was done."""

    def __init__(self, message: str, *, store: Store) -> None:
        super().__init__(Reason.INCONCLUSIVE, message, store=store)


class MisroutedError(Exception):
    """A reply carried another nonce than the request: it belongs to somebody else's question."""

    def __init__(self, *, sent: str, received: str, address: str) -> None:
        super().__init__(f"Redis at {address} answered a request with the nonce {sent} by {received}")
        self.sent = sent
        self.received = received


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The moment, in UTC; for moments, never for lengths."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; for lengths, never for moments."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since the machine's boot or so."""
        return monotonic()


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


Discipline = Literal["watch", "lua", "fields", "naive"]
"""How an application changes a value that others change too. `naive` reads, then writes, and loses updates."""

Count = Callable[[], Awaitable[int]]


class ThreadConnection(Connection, Protocol):
    """Conversations over one connection. Every method returns once the store has acknowledged, or raises StoreError."""

    async def create(self, thread: Thread) -> None:
        """Store a new, empty conversation."""

    async def append(self, thread: Thread, message: Message) -> None:
        """Append one message in a transaction of its own."""

    async def append_batch(
        self, thread: Thread, messages: Sequence[Message], *, before_commit: Callable[[], Awaitable[None]]
    ) -> None:
        """Append several in one transaction; `before_commit` is awaited when all are sent and none is committed."""

    async def append_and_roll_back(self, thread: Thread, message: Message) -> None:
        """Append one message and take it back by ROLLBACK."""

    async def edit(self, thread: Thread, message: Message) -> None:
        """Replace the content of the message with this id."""

    async def delete_message(self, thread: Thread, message: Message) -> None:
        """Delete one message."""

    async def delete_thread(self, thread: Thread) -> None:
        """Delete a conversation and all its messages."""

    async def load(self, thread: Thread) -> Transcript:
        """Read a conversation back as its owner sees it."""

    def watch(self, thread: Thread, messages: Sequence[Message]) -> AbstractAsyncContextManager[Count]:
        """A counter of how many of these messages are visible now, each time by a new snapshot."""


class Threads(Protocol):
    """The place where an environment keeps conversations."""

    async def connect(self, label: str) -> ThreadConnection:
        """A new connection; `label` names the probe to whoever looks at the server."""


class SessionConnection(Connection, Protocol):
    """Sessions over one connection. Every method returns once the store has acknowledged, or raises StoreError.

    Every pipeline carries a nonce; where another one comes back, MisroutedError is raised.
    """

    async def save(self, session: Session, *, ttl: float) -> Lease:
        """Store a session under its key, to expire after `ttl` seconds."""

    async def look(self, *keys: str) -> Look:
        """Read keys and their times to live, with the server's clock before and after."""

    async def touch(self, key: str, *, ttl: float) -> Lease:
        """Extend the life of a key, as sliding expiry does on each use."""

    async def increment(self, session: Session, counter: str) -> None:
        """Add one to a counter inside a stored session."""

    async def damage(self, key: str) -> None:
        """Overwrite part of a stored value of our own with rubbish, keeping its expiry."""

    async def delete(self, *keys: str) -> None:
        """Delete keys of our own."""

    async def removals(self) -> Removals:
        """How many keys the server has evicted and expired since its start."""


class Sessions(Protocol):
    """The place where an environment keeps sessions."""

    def under(self, discipline: Discipline) -> Sessions:
        """The same sessions, kept and changed in another way."""

    def key(self, run_id: str, name: str) -> str:
        """The key of a session of one run; no other daemon makes the same."""

    async def connect(self, label: str) -> SessionConnection:
        """A new connection; `label` names the probe to whoever looks at the server."""


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
    def threads(self) -> Threads:
        """Its conversations. Raises LookupError if it has no PostgreSQL."""

    @property
    def sessions(self) -> Sessions:
        """Its sessions. Raises LookupError if it has no Redis."""

    def slots(self, needs: Mapping[Store, int]) -> AbstractAsyncContextManager[None]:
        """Wait for room for so many connections per store, and hold it."""

    async def prepare(self, needs: Mapping[Store, int]) -> None:
        """Make sure that the schema is there and belongs to this environment; free after the first time."""

    def learn(self, error: StoreError) -> None:
        """A run failed in this way; where the schema did not fit, it is looked at again before the next run."""


class StateError(Exception):
    """The state database did not do what it was asked; the message names the file and the next step."""


class State(Protocol):
    """Where the daemon keeps what must survive it. Every method raises StateError, and nothing else."""

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Keep runs, and the present form of violations, in one transaction."""

    async def runs(
        self, *, environment: str | None = None, probe: str | None = None, verdict: str | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """The latest runs first."""

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:
        """The latest opened first; of all stages unless some are named."""

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:
        """Forget what is older: runs that were right, runs that were not, closed violations. Returns how many went."""

    async def recall(self, name: str) -> str | None:
        """A small fact by its name."""

    async def remember(self, name: str, value: str | None) -> None:
        """Keep a small fact, or forget it."""
