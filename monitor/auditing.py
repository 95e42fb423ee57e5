"""How a run of `durability` writes to one store, looks at it, and keeps what that comes to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from monitor.core import duration
from monitor.core.ledger.audit import account, right
from monitor.core.ledger.conclusion import Failure
from monitor.core.ledger.entries import WRONG, Entry, Mark, State
from monitor.core.ledger.evidence import Evidence, PostgresEvidence, same_server
from monitor.core.ledger.found import Sighting
from monitor.core.ledger.ladder import spent
from monitor.core.ledger.look import Account, Look
from monitor.core.verdict import Kind
from monitor.ports import Durables, Ledger, Place, Reader, Scribe, Store, StoreError, Way
from monitor.probe import Run

_ALL = 1_000_000  # entries; a ladder of 7 days at one a minute is some 10,000
_MOVES = 2_000  # of the latest ones: what a loss between two looks can take away, at the highest rate and back
_LATEST = 200  # where nothing has happened, only the newest is of interest
_ASKED = 20  # transactions whose answer was lost, asked for in one run
_PERHAPS_THERE = frozenset({State.ACKED, State.PERHAPS, State.INTENDED})
FORGETFUL = "nothing older than this run is looked for: there is no daemon here whose ledger remembers it"


@dataclass(slots=True, kw_only=True)
class Audit:
    """One store in one run. `failures` and `left_out` are what it notes on its way, `found` what the look comes to."""

    run: Run
    store: Store
    ladder: tuple[timedelta, ...]
    patience: timedelta
    batch: int
    failures: list[Failure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    found: Account | None = None
    ledger: Ledger = field(init=False)
    scribe: Scribe = field(init=False)
    durables: Durables = field(init=False)

    def __post_init__(self) -> None:
        environment = self.run.environment
        self.ledger = environment.ledger
        self.scribe = environment.scribe(self.store)
        self.durables = environment.durables(self.store)

    async def carry_out(self) -> None:
        """Settle what was acknowledged, write, look, keep what that comes to, and remove what is old enough."""
        await self._accept()
        written = await self._write()
        alarm = self.scribe.alarm
        look = await self._look(written, full=bool(alarm))
        self.found = account(look, ladder=self.ladder)
        await self._keep(look, self.found, alarm=alarm)
        if self.ledger.durable:
            await self._retire(look, self.found)
        else:
            self.left_out.append(FORGETFUL)
            await self.scribe.leave(within=self.patience)

    def note(self, error: StoreError) -> None:
        """Something could not be done."""
        self.run.environment.learn(error)
        self.failures.append(Failure(reason=error.reason, message=str(error), place=str(error.place)))

    async def _accept(self) -> None:
        """What somebody has acknowledged by now is accepted as it is."""
        for fate in sorted(WRONG):
            if (moment := self.run.acknowledged.get(Kind(fate))) is not None:
                await self.ledger.accept(self.store, found_before=moment, fates={fate})

    async def _write(self) -> Entry | None:
        """One record. Where it cannot be written, what was written earlier can still be looked at."""
        try:
            timed = partial(self.run.step, "write_record")
            return await self.scribe.write(identified=True, within=self.patience, after=self.ladder[0], timed=timed)
        except StoreError as error:
            self.note(error)
            return None

    async def _look(self, written: Entry | None, *, full: bool) -> Look:
        """At what is due, unless there is a reason to look at all; once more on a new connection if that is not right.

        Replicas are asked in between, so that what they say is of the same time.
        """
        full = full or bool(await self.ledger.breaks(self.store))
        async with self.run.connection(self.durables.reader, step="connect") as reader:
            look = await self._look_at(reader, written, full=full)
            if not full and not (right(look) and _known(look)):
                look = await self._look_at(reader, written, full=True)
            look = replace(look, elsewhere=await self._ask_replicas())
            if look.breaks or not right(look):
                look = replace(look, second=await self._look_again(look))
            return replace(look, happened=await _happened(reader, look))

    async def _look_at(self, reader: Reader, written: Entry | None, *, full: bool) -> Look:
        """What the ledger knew just before, what is there, and what happened until then."""
        ledger, store = self.ledger, self.store
        if full:
            entries = list(await ledger.entries(store, limit=_ALL))
        else:
            entries = list(await ledger.entries(store, due=ledger.now(), limit=self.batch))
            if written is not None and written.mark not in {entry.mark for entry in entries}:
                entries.append(written)
        at, marks = ledger.now(), [entry.mark for entry in entries]
        async with self.run.step("look"):
            first = await reader.look(None if full else marks, known=marks)
        return Look(
            environment=self.run.environment.name,
            store=store,
            at=at,
            full=full,
            entries=tuple(entries),
            first=first,
            moves=tuple(await ledger.entries(store, identified=None, limit=_MOVES if full else _LATEST)),
            epochs=tuple(await ledger.epochs()),
            breaks=tuple(await ledger.breaks(store)),
            losses=tuple(await ledger.losses(store)),
            outages=tuple(await ledger.outages(store)),
            restores=tuple(await ledger.restores()),
            lifetime=self.durables.lifetime,
            evicts=store is Store.REDIS and self.run.environment.evictions.policy not in (None, "noeviction"),
        )

    async def _look_again(self, look: Look) -> Sighting:
        marks = [entry.mark for entry in look.entries]
        async with self.run.connection(self.durables.reader) as fresh:
            self.run.node = await fresh.node()
            async with self.run.step("look_again"):
                return await fresh.look(None if look.full else marks, known=marks)

    async def _ask_replicas(self) -> dict[str, Evidence]:
        """Whether another node takes writes. One that does not answer, or not in time, is only not asked."""
        elsewhere: dict[str, Evidence] = {}
        for place in self.run.environment.places:
            if place.store is self.store and place.way is Way.REPLICA:
                try:
                    connect = partial(self.durables.reader, place=place)
                    # An old primary that hangs must not take the time in which the loss is told.
                    async with asyncio.timeout(self.patience.total_seconds()):
                        async with self.run.step("ask_replicas"), self.run.connection(connect) as reader:
                            elsewhere[str(place)] = (await reader.look(())).evidence
                except StoreError as error:
                    self.left_out.append(f"{place} could not be asked whether it takes writes, too: {error}")
                except TimeoutError:
                    silent = f"it did not answer within {duration.text(self.patience)}"
                    self.left_out.append(f"{place} could not be asked whether it takes writes, too: {silent}")
        return elsewhere

    async def _keep(self, look: Look, found: Account, *, alarm: int) -> None:
        """What the look comes to is the ledger's. While it is in doubt, the next run looks at everything again."""
        ledger, store = self.ledger, self.store
        await ledger.audited(store, found.audited)
        for loss in found.losses:
            await ledger.lost(loss)
        if found.judged:
            await ledger.judged(store, found.judged)
        if not found.doubt:
            await ledger.see(Place(store), look.first.evidence)
            for place in self.run.environment.places:
                if str(place) in look.elsewhere:
                    await ledger.see(place, look.elsewhere[str(place)])
            if look.full:
                self.scribe.calm(alarm)

    async def _retire(self, look: Look, found: Account) -> None:
        """Remove what had its last look, and what was to be removed and perhaps was not."""
        audited = {each.mark: each for each in found.audited}
        done = [
            entry
            for entry in look.entries
            if entry.state is State.RETIRING
            or (entry.mark in audited and entry.state in _PERHAPS_THERE and spent(entry, audited[entry.mark]))
        ][: self.batch]
        if done:
            async with self.run.step("retire"):
                await self.scribe.retire(done, due=self.ledger.now() + self.ladder[0], within=self.patience)


def _known(look: Look) -> bool:
    """Whether the server is the one that was seen last."""
    own = [epoch.evidence for epoch in look.epochs if epoch.place == look.store]
    return bool(own) and same_server(own[-1], look.first.evidence)


async def _happened(reader: Reader, look: Look) -> dict[Mark, bool | None]:
    """What became of transactions whose answer was lost, where the server that took them has not been another since."""
    epochs = {epoch.id: epoch.evidence for epoch in look.epochs}
    known = [
        entry
        for entry in look.entries
        if entry.state in (State.PERHAPS, State.INTENDED)
        and entry.xid
        and entry.epoch is not None
        and entry.epoch in epochs
        and _same_history(epochs[entry.epoch], look.first.evidence)
    ]
    return {entry.mark: await reader.happened(entry.xid) for entry in known[-_ASKED:]}


def _same_history(one: Evidence, other: Evidence) -> bool:
    """Whether transaction ids of both mean the same."""
    match one, other:
        case PostgresEvidence(), PostgresEvidence():
            return (one.system, one.timeline) == (other.system, other.timeline)
    return False
