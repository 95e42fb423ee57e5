"""Writing by the ledger: the intent is on disk before anything is sent, and the outcome follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime, timedelta

from monitor.core import duration
from monitor.core.ledger.entries import Entry, Mark, State
from monitor.core.ledger.evidence import Epoch, Evidence, same_server
from monitor.core.ledger.found import Break, Sighting, Written
from monitor.core.ledger.outage import Attempt, Operation
from monitor.core.verdict import Reason
from monitor.ports import Clock, Durables, Ledger, Outcome, Place, Store, StoreError, Writer
from monitor.ports.ledger import Timed

LABEL = "durability"
PATIENCE = timedelta(seconds=2)
_TRIES = 2  # a register that does not hold what was expected is written again once it is known what it holds


class LedgerScribe:
    """Who writes to one store of one environment by the ledger, one write at a time.

    `kept` says whether its connection outlives a write. `alarm` counts what makes everything worth a look: a register
    that held something else, a server that is another one, and the start; `calm` takes it back. `witness` hears how
    each attempt to connect, read or write ended. `turn` is the lock that all scribes of one ledger and store share.
    """

    def __init__(
        self, store: Store, *, ledger: Ledger, durables: Durables, clock: Clock, turn: asyncio.Lock | None = None
    ) -> None:
        self.kept = False
        self.alarm = 1
        self.witness: Callable[[Attempt], None] | None = None
        self._store = store
        self._place = Place(store)
        self._ledger = ledger
        self._durables = durables
        self._clock = clock
        self._turn = turn or asyncio.Lock()
        self._writer: Writer | None = None
        self._seen = False
        self._epoch: int | None = None
        self._adopted: tuple[Mark | None, ...] = ()
        self._unmoved: Attempt | None = None

    @property
    def epoch(self) -> int | None:
        """The epoch of the server that acknowledged the latest write, None before any did."""
        return self._epoch

    def calm(self, alarm: int) -> None:
        """Everything was looked at since the alarm stood so; one that was raised meanwhile stands."""
        if self.alarm == alarm:
            self.alarm = 0

    async def write(
        self,
        *,
        identified: bool,
        within: timedelta = PATIENCE,
        after: timedelta = timedelta(minutes=1),
        timed: Timed = nullcontext,
    ) -> Entry:
        """One write; -> its entry with the outcome. Its record, if it has one, is due `after` that for the first time.

        `within` is how long connecting, and then writing, may take. Within `timed` only the store is awaited.
        """
        async with self._turns():
            for _ in range(_TRIES):
                writer = await self._connected(within)
                expected = (*await self._ledger.expected(self._store), *self._adopted)
                entry = await self._ledger.intend(self._store, identified=identified)
                due = self._ledger.now() + after if identified else None
                written = await self._send(writer, entry, expected=expected, within=within, due=due, timed=timed)
                if written.moved:
                    return await self._acknowledged(writer, entry, weak=written.weak, due=due)
                await self._settle(writer, entry, State.REFUSED, due=due)
                await self._broke(expected, written, within=within)
        raise StoreError(
            Reason.INCONCLUSIVE,
            f"{self._store}: the register of this daemon is changed by somebody else all the time; do two daemons have "
            "one state database?",
            store=self._store,
        )

    async def retire(self, entries: Sequence[Entry], *, due: datetime | None, within: timedelta = PATIENCE) -> None:
        """Delete records: intent, bounded delete, acknowledgement. When `due`, it is looked whether they stay gone."""
        marks = [entry.mark for entry in entries]
        try:
            async with self._turns():
                writer = await self._connected(within)
                await self._ledger.retiring(self._store, marks)
                async with self._bounded(within, "a deletion"):
                    await writer.delete(marks)
                await self._ledger.retired(self._store, marks, due=due)
        except BaseException:
            self.alarm += 1  # who looks at everything sees that it is still to be done
            raise

    async def leave(self, *, within: timedelta = PATIENCE) -> None:
        """Delete all that this daemon has there, where its ledger is about to forget it."""
        async with self._turns():
            entries = await self._ledger.entries(self._store)
            marks = [entry.mark for entry in entries if entry.state is not State.RETIRED]
            writer = await self._connected(within)
            await self._ledger.retiring(self._store, marks)
            async with self._bounded(within, "a deletion"):
                await writer.leave()
            await self._ledger.retired(self._store, marks, due=None)
            self._adopted = (None,)

    async def close(self) -> None:
        """Let go of the connection."""
        async with self._turn:
            await self._hang_up()

    @asynccontextmanager
    async def _turns(self) -> AsyncIterator[None]:
        """One after the other; a connection on which anything failed is not used again."""
        async with self._turn:
            whole = False
            try:
                yield
                whole = True
            finally:
                if not (whole and self.kept):
                    await self._hang_up()

    async def _connected(self, within: timedelta) -> Writer:
        if self._writer is None:
            began = self._clock.monotonic()
            try:
                async with self._bounded(within, "the attempt to connect"):
                    self._writer = await self._durables.writer(LABEL)
            except StoreError:
                self._tell(began, connect=False, read=False, write=False)
                raise
            self._seen = False
            self._tell(began, connect=True)
        return self._writer

    async def _send(
        self,
        writer: Writer,
        entry: Entry,
        *,
        expected: tuple[Mark | None, ...],
        within: timedelta,
        due: datetime | None,
        timed: Timed,
    ) -> Written:
        began = self._clock.monotonic()
        try:
            async with timed(), self._bounded(within, "a write"):
                written = await writer.write(entry, expected=expected)
        except StoreError as error:
            lost = error.outcome is Outcome.INDETERMINATE
            await self._settle(writer, entry, State.PERHAPS if lost else State.REFUSED, due=due)
            self._tell(began, write=False)
            await self._try_to_read(writer, error, within=within)
            raise
        except BaseException:  # the end of a run or of the daemon: it may be there, and it may not
            await asyncio.shield(self._settle(writer, entry, State.PERHAPS, due=due))
            raise
        if written.moved and self._unmoved is not None and self.witness is not None:
            self.witness(self._unmoved)  # who answered that nothing moved, and then writes, could have written then
        now = Attempt(operation="write", began=began, ended=self._clock.monotonic(), at=self._ledger.now(), ok=True)
        self._unmoved = None if written.moved else now
        self._tell(began, connect=True, read=True, write=True if written.moved else None)
        return written

    async def _acknowledged(self, writer: Writer, entry: Entry, *, weak: bool, due: datetime | None) -> Entry:
        """Only now the evidence of the connection is noted: had anything been lost, it would tell the cause."""
        if not self._seen:
            epoch, new = await self._ledger.see(self._place, writer.evidence)
            self._seen, self._epoch = True, epoch.id
            self.alarm += new
        self._adopted = ()
        return await self._settle(writer, entry, State.ACKED, weak=weak, due=due)

    async def _settle(
        self, writer: Writer, entry: Entry, state: State, *, due: datetime | None, weak: bool = False
    ) -> Entry:
        """With its transaction, and the epoch where it is known of which server that is."""
        epoch = self._epoch if self._seen else None
        xid = writer.xid if entry.identified and state is not State.REFUSED else ""
        return await self._ledger.settle(entry, state, epoch=epoch, weak=weak, xid=xid, due=due)

    async def _broke(self, expected: tuple[Mark | None, ...], written: Written, *, within: timedelta) -> None:
        """The register held something else. A second connection says whether that is so before it is overwritten."""
        self.alarm += 1
        await self._hang_up()
        async with self._bounded(within, "the second look at a register"):
            seen = await self._look()
        latest = await self._latest_epoch()
        before = self._epoch if self._epoch is not None or latest is None else latest.id
        epoch = await self._epoch_of(seen.evidence)
        await self._ledger.broke(
            Break(
                id=0,
                place=str(self._place),
                at=self._ledger.now(),
                expected=expected,
                first=written.before,
                second=seen.register,
                writable=seen.evidence.writable,
                before=before,
                epoch=epoch.id,
            )
        )
        if seen.evidence.writable:
            self._adopted = (seen.register,)

    async def _look(self) -> Sighting:
        reader = await self._durables.reader(LABEL)
        try:
            return await reader.look(())
        finally:
            await reader.close()

    async def _latest_epoch(self) -> Epoch | None:
        own = [epoch for epoch in await self._ledger.epochs() if epoch.place == str(self._place)]
        return own[-1] if own else None

    async def _epoch_of(self, evidence: Evidence) -> Epoch:
        """The epoch of what was seen; where it is the one that stands, its counters are left as they were before."""
        latest = await self._latest_epoch()
        if latest is not None and same_server(latest.evidence, evidence):
            return latest
        return (await self._ledger.see(self._place, evidence))[0]

    async def _try_to_read(self, writer: Writer, error: StoreError, *, within: timedelta) -> None:
        """Where a server answers that it does not write, it may still read; else it is as with the write."""
        if self.witness is None:
            return
        began = self._clock.monotonic()
        worked = error.outcome is Outcome.FAILED and error.reason not in (Reason.UNREACHABLE, Reason.TIMEOUT)
        if worked:
            try:
                async with self._bounded(within, "a read"):
                    await writer.read()
            except StoreError:
                worked = False
        self._tell(began, read=worked)

    def _tell(
        self, began: float, *, connect: bool | None = None, read: bool | None = None, write: bool | None = None
    ) -> None:
        if self.witness is None:
            return
        ended, at = self._clock.monotonic(), self._ledger.now()
        found: tuple[tuple[Operation, bool | None], ...] = (("connect", connect), ("read", read), ("write", write))
        for operation, ok in found:
            if ok is not None:
                self.witness(Attempt(operation=operation, began=began, ended=ended, at=at, ok=ok))

    @asynccontextmanager
    async def _bounded(self, within: timedelta, what: str) -> AsyncIterator[None]:
        """At the most so long; whatever is unanswered then may have taken effect."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                yield
        except TimeoutError:
            raise StoreError(
                Reason.TIMEOUT,
                f"{self._store}: {what} was not answered within {duration.text(within)}",
                store=self._store,
                outcome=Outcome.INDETERMINATE,
            ) from None

    async def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()
