"""Sessions, as a probe asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from monitor.core.expiry import Lease, Removals
from monitor.core.session import Session
from monitor.core.sightings import Look
from monitor.ports.stores import Connection

Discipline = Literal["watch", "lua", "fields", "naive"]
"""How an application changes a value that others change too. `naive` reads, then writes, and loses updates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What an application declares of its sessions: how many seconds they live, whether each use begins that anew."""

    ttl: float
    sliding: bool


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

    @property
    def declared(self) -> Declared | None:
        """What an application declares of its sessions; None where the probe's own settings say it."""

    def key(self, run_id: str, name: str, *, user: str) -> str:
        """The key of a user's session of one run; no other daemon makes the same."""

    async def connect(self, label: str) -> SessionConnection:
        """A new connection; `label` names the probe to whoever looks at the server."""
