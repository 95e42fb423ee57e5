"""The ledger of acknowledged writes, and the two things that are asked of a store for its sake: write, and look."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from monitor.core.ledger.entries import WRONG, Entry, Fate, Mark, State
from monitor.core.ledger.evidence import Epoch, Evidence
from monitor.core.ledger.found import Audited, Break, Loss, Outage, Restore, Sighting, Standing, Written
from monitor.ports.stores import Connection, Place, Store

Timed: TypeAlias = Callable[[], AbstractAsyncContextManager[None]]
"""Makes what times an operation."""


class Writer(Connection, Protocol):
    """One connection by which writes are made. Every method raises StoreError."""

    @property
    def evidence(self) -> Evidence:
        """Who the server is, asked when the connection was opened."""

    @property
    def xid(self) -> str:
        """PostgreSQL's transaction id of the latest identified write, known before its COMMIT; else empty."""

    async def read(self) -> Mark | None:
        """What the register holds."""

    async def write(self, entry: Entry, *, expected: Collection[Mark | None]) -> Written:
        """Move the register to the entry's mark and, if it is identified, leave its record: both or neither.

        Only where the register holds one of `expected` (None: there is no register). The StoreError of a write whose
        answer was lost has the outcome `indeterminate`.
        """

    async def delete(self, marks: Collection[Mark]) -> None:
        """Delete these records, and no more of them than that."""

    async def leave(self) -> None:
        """Delete the register and all records of this daemon: for a ledger that remembers nothing."""


class Reader(Connection, Protocol):
    """One connection by which it is looked. Every method raises StoreError."""

    async def look(self, wanted: Collection[Mark] | None, *, known: Collection[Mark] = ()) -> Sighting:
        """The register and the records of these marks, or of all of this daemon's, in one snapshot.

        All are those that the store can list, and those that are `known` to the ledger: a list can be lost, too.
        """

    async def happened(self, xid: str) -> bool | None:
        """Whether a transaction of PostgreSQL is known to have committed; None where the server cannot tell."""


class Durables(Protocol):
    """One store, as what keeps writes."""

    @property
    def lifetime(self) -> timedelta | None:
        """After what time a register and a record go by themselves where nobody touches them; None: never."""

    async def writer(self, label: str) -> Writer:
        """A new connection to the primary. Raises StoreError."""

    async def reader(self, label: str, *, place: Place | None = None) -> Reader:
        """A new connection to the primary, or to another place. Raises StoreError."""


class Ledger(Protocol):
    """The ledger of one environment, in the state database. Every method raises StateError.

    Moments come from its own clock, which never goes back, not even over restarts.
    """

    @property
    def durable(self) -> bool:
        """Whether it survives this process; else who writes must also clean up."""

    @property
    def series(self) -> str:
        """The series of the writes that it hands out now."""

    def now(self) -> datetime:
        """The moment, by the ledger's clock."""

    async def intend(self, store: Store, *, identified: bool) -> Entry:
        """A new write, kept on disk when this returns."""

    async def settle(
        self,
        entry: Entry,
        state: State,
        *,
        epoch: int | None = None,
        weak: bool = False,
        xid: str = "",
        due: datetime | None = None,
    ) -> Entry:
        """How a write ended; on disk with the next group of others, or `perhaps` after a crash."""

    async def see(self, place: Place, evidence: Evidence) -> tuple[Epoch, bool]:
        """Note evidence; -> the epoch that it belongs to, and whether that is new."""

    async def epochs(self) -> Sequence[Epoch]:
        """All epochs that are remembered, the oldest first."""

    async def expected(self, store: Store) -> tuple[Mark | None, ...]:
        """What the register may hold: the mark acknowledged last, and all intended later whose outcome is open.

        (None,) where nothing was ever acknowledged.
        """

    async def entries(
        self, store: Store, *, due: datetime | None = None, identified: bool | None = True, limit: int = 1000
    ) -> Sequence[Entry]:
        """Entries that may be looked for, oldest first: all, or those due at a moment (wrong ones always are).

        Where there are more than `limit`, the latest of all, or those due the longest. `identified` None or False
        brings moves of the register, too, or alone, as far back as they are kept.
        """

    async def audited(self, store: Store, found: Sequence[Audited]) -> None:
        """Keep what a look found."""

    async def retiring(self, store: Store, marks: Collection[Mark]) -> None:
        """Their deletion is intended; on disk when this returns."""

    async def retired(self, store: Store, marks: Collection[Mark], *, due: datetime | None) -> None:
        """Their deletion was acknowledged."""

    async def broke(self, found: Break) -> None:
        """Keep that a register held what was not expected; its id is given here."""

    async def breaks(self, store: Store) -> Sequence[Break]:
        """Those that no run has judged yet."""

    async def judged(self, store: Store, ids: Collection[int]) -> None:
        """A run has judged these breaks."""

    async def outage(self, ended: Outage) -> None:
        """Keep an outage; one that lasts is kept again and again under its beginning."""

    async def outages(self, store: Store, *, limit: int = 100) -> Sequence[Outage]:
        """The latest first."""

    async def lost(self, loss: Loss) -> None:
        """Keep a loss, or its new form under its id."""

    async def losses(self, store: Store | None = None, *, limit: int = 100) -> Sequence[Loss]:
        """The latest first."""

    async def accept(self, store: Store, *, found_before: datetime, fates: Collection[Fate] = WRONG) -> int:
        """What was found to be so before a moment is accepted: it is no violation any more. -> how many entries.

        With LOST among `fates`, the losses are accepted, too.
        """

    async def declare_restore(self, at: datetime, *, note: str = "") -> None:
        """What was acknowledged later than this moment is forgiven, and nothing before it."""

    async def restores(self) -> Sequence[Restore]:
        """Every declared restore, the latest first."""

    async def standing(self, store: Store) -> Standing:
        """How it stands."""

    async def prune(self, *, retired_before: datetime, moves_before: datetime) -> int:
        """Forget retired entries and moves of the register that are older; -> how many."""


class Scribe(Protocol):
    """Who writes to one store by the ledger: intent, send, outcome. One at a time, whoever asks.

    `within` is how long connecting, and then what is asked, may take.
    """

    @property
    def alarm(self) -> int:
        """Not 0 where everything is worth a look: after the start, a break or a new epoch."""

    def calm(self, alarm: int) -> None:
        """Everything was looked at since the alarm stood so; one that was raised meanwhile stands."""

    async def write(
        self, *, identified: bool, within: timedelta = ..., after: timedelta = ..., timed: Timed = ...
    ) -> Entry:
        """One write; -> its entry with the outcome. Its record, if it has one, is due `after` that for the first time.

        Within `timed` only the store is awaited, not the ledger's disk.

        Raises StoreError where it was not acknowledged, StateError where its intent could not be kept: then nothing
        was sent.
        """

    async def retire(self, entries: Sequence[Entry], *, due: datetime | None, within: timedelta = ...) -> None:
        """Delete records: intent, bounded delete, acknowledgement. Raises as `write` does."""

    async def leave(self, *, within: timedelta = ...) -> None:
        """Delete all that this daemon has there, where its ledger is about to forget it. Raises as `write` does."""

    async def close(self) -> None:
        """Let go of the connection. Whoever writes next opens one."""
