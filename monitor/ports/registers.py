"""Small numbers and lists that transactions change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from monitor.core.atomicity import Ending, Trial
from monitor.core.history.operations import MicroOperation
from monitor.core.levels import Isolation
from monitor.core.schedules.notation import Schedule, Step, Value
from monitor.core.schedules.results import Answer
from monitor.core.verdict import Reason
from monitor.ports.stores import Connection, Store, StoreError

Registered = Mapping[int, int]
"""Rows of one set: the value of each, by its number."""


class ConflictError(StoreError):
    """The server ended a transaction because of others beside it, as it may: `why` is 40001, 40P01 or a wrong tag."""

    def __init__(self, message: str, *, why: str) -> None:
        super().__init__(Reason.INCONCLUSIVE, message, store=Store.POSTGRES)
        self.why = why


class RegisterConnection(Connection, Protocol):
    """Sets of registers over one connection, each set named by a UUID.

    Every method returns once the server has answered, or raises StoreError; ConflictError where a transaction was
    ended because of another one.
    """

    async def make(self, sets: Mapping[UUID, Registered]) -> None:
        """Store new sets, in a transaction of its own."""

    async def look(self, rows: UUID) -> Registered:
        """Read a set by a snapshot of this moment, in a transaction of its own."""

    async def remove(self, sets: Sequence[UUID]) -> None:
        """Delete whole sets, in a transaction of its own."""

    async def begin(self, *, level: Isolation | None = None) -> None:
        """Begin a transaction, without `level` at the one that the role, the database or the server gives it."""

    async def carry_out(self, rows: UUID, step: Step, *, known: Value = None) -> Value:
        """One statement of a schedule, in the open transaction; `known` is what it is to add to."""

    async def insert(self, rows: UUID, values: Registered) -> None:
        """Add rows to a set, in the open transaction."""

    async def fail(self, rows: UUID, number: int) -> None:
        """Insert a row that is there already, which the server refuses; the transaction can then only be ended."""

    async def savepoint(self, words: str) -> None:
        """SAVEPOINT, ROLLBACK TO SAVEPOINT or RELEASE SAVEPOINT."""

    async def end(self, how: str) -> str:
        """COMMIT or ROLLBACK; returns the tag by which that was answered."""

    async def transact(self, rows: UUID, wanted: Sequence[MicroOperation], *, end: str) -> tuple[MicroOperation, ...]:
        """Append to lists and read them in one transaction of its own; returns what was done and read."""

    async def lists(self, rows: UUID) -> Mapping[int, tuple[int, ...]]:
        """Read all lists of a set by a snapshot of this moment, in a transaction of its own."""

    async def process(self) -> int:
        """The number of the server process that carries out the open transaction."""

    async def end_process(self, number: int) -> bool:
        """End another server process of the same role; False where it cannot be found or ended."""

    async def waits(self, number: int) -> bool:
        """Whether a server process waits for a lock that another one holds."""

    async def gone(self, number: int) -> bool:
        """Wait until a server process is no more; False if it is still there when patience ends."""

    async def commit_if_alive(self) -> str:
        """COMMIT where the server process is gone: the tag if somebody answered all the same, else nothing."""

    async def default_level(self) -> str:
        """The isolation level at which transactions of this connection begin."""

    def vanish(self) -> None:
        """Drop the connection without a word, as a client that crashes does."""


class Registers(Protocol):
    """The place where an environment keeps registers."""

    async def connect(self, label: str) -> RegisterConnection:
        """A new connection; `label` names the probe to whoever looks at the server."""

    async def attempt(
        self, ending: Ending, rows: UUID, *, actor: RegisterConnection, observer: RegisterConnection
    ) -> Trial:
        """Carry out one transaction that ends in this way, on a new set of rows; what `observer` saw of it."""

    async def play(
        self,
        schedule: Schedule,
        rows: UUID,
        *,
        actors: Sequence[RegisterConnection],
        observer: RegisterConnection,
        level: Isolation | None = None,
    ) -> tuple[Answer, ...]:
        """Carry out a schedule on a set of registers that is there; the answers, step by step.

        Its transactions begin at `level`, or as the application's do. What a server refuses so that transactions do
        not disturb each other is an answer; any other failure is raised.
        """
