"""Write by the ledger, go away, come back, and look at what is due, or at everything where anything happened."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import ClassVar

from pydantic import Field, model_validator

from monitor.core.ledger.audit import account, right
from monitor.core.ledger.conclusion import Failure, Shown, conclude
from monitor.core.ledger.entries import Entry, Mark, State
from monitor.core.ledger.evidence import Evidence, PostgresEvidence, same_server
from monitor.core.ledger.found import Sighting
from monitor.core.ledger.ladder import spent
from monitor.core.ledger.look import Account, Look
from monitor.core.verdict import Finding, Kind, Reason
from monitor.ports import Durables, Ledger, Place, Reader, Scribe, StateError, Store, StoreError, Way
from monitor.probe import Duration, Probe, Run, Use

_ALL = 1_000_000  # entries; a ladder of 7 days at one a minute is some 10,000
_MOVES = 2_000  # of the latest ones: what a loss between two looks can take away, at the highest rate and back
_MARK = 15  # bytes of a mark
_RECORD = 100  # bytes of a record's content, about
_ASKED = 20  # transactions whose answer was lost, asked for in one run


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """One store in one run: who writes there, who is looked at, and what is known of it so far."""

    run: Run
    store: Store
    ledger: Ledger
    scribe: Scribe
    durables: Durables

    @classmethod
    def of(cls, run: Run, store: Store) -> Audit:
        """That of one of the environment's stores."""
        environment = run.environment
        return cls(
            run=run,
            store=store,
            ledger=environment.ledger,
            scribe=environment.scribe(store),
            durables=environment.durables(store),
        )


class DurabilityProbe(Probe[Sequence[Shown]]):
    """What was acknowledged is there again after minutes, hours and days, whatever happened to the server meanwhile.

    A loss is named with its cause, its extent, and how much time it is; also over restarts of this daemon.
    """

    name: ClassVar = "durability"
    kinds: ClassVar = frozenset({Kind.LOST, Kind.CORRUPT, Kind.PHANTOM, Kind.RESURRECTED, Kind.DIVERGED})
    needs: ClassVar = {Store.POSTGRES: 2, Store.REDIS: 2}
    either: ClassVar = True
    steps: ClassVar = ("write_record", "connect", "look", "look_again", "ask_replicas", "retire")

    every: Duration = Field(default=timedelta(minutes=1), description="One run, and one record a store, each so often.")
    timeout: Duration = Field(default=timedelta(seconds=30), description="The end of a run, whatever happens.")
    rate: float = Field(
        default=1.0, ge=0, le=20, description="How often a second each store's register is moved between runs."
    )
    ladder: tuple[Duration, ...] = Field(
        default=(timedelta(minutes=1), timedelta(hours=1), timedelta(hours=24), timedelta(days=7)),
        description="How old a record is when it is looked for again; after the last it is removed.",
    )
    patience: Duration = Field(default=timedelta(seconds=2), description="How long a write may take to be answered.")
    batch: int = Field(default=1000, ge=10, le=100_000, description="Records that are due, looked for in one run.")

    @model_validator(mode="after")
    def _ladder_rises(self) -> DurabilityProbe:
        if not self.ladder or self.ladder[0] <= timedelta():
            raise ValueError("ladder needs at least one age, and the first must be longer than nothing")
        if any(later <= earlier for earlier, later in pairwise(self.ladder)):
            raise ValueError("each age of the ladder must be greater than the one before")
        if not timedelta() < self.patience < self.timeout:
            raise ValueError("patience must be longer than nothing, and shorter than timeout")
        return self

    def left_out(self, places: Collection[Place]) -> tuple[str, ...]:
        """Where there is no second node, nobody can be asked whether it takes writes as well."""
        behind = {place.store for place in places if place.way is Way.REPLICA}
        return tuple(
            f"a second writable {place.store} (split brain) is not looked for: none of its replicas is configured"
            for place in places
            if place.way is Way.PRIMARY and place.store not in behind
        )

    def plan(self) -> tuple[Use, ...]:
        """What one healthy run sends once the ladder is full, and the pulse until the next."""
        moves = round(self.rate * self.every.total_seconds())
        rows, keys = partial(Use, store=Store.POSTGRES), partial(Use, store=Store.REDIS)
        return (
            rows(operation="introduce", times=1 if moves else 3),
            rows(operation="move_register", times=moves, rows=moves, payload=moves * _MARK),
            rows(operation="leave_record", times=1, rows=2, payload=_MARK + _RECORD),
            rows(operation="look_at_records", times=1),
            rows(operation="delete_records", times=1, rows=1),
            keys(operation="open_durable", times=0 if moves else 2),
            keys(operation="move_register", times=moves, rows=moves, payload=moves * _MARK),
            keys(operation="write_record", times=1, rows=2, payload=_MARK + _RECORD),
            keys(operation="look_at_records", times=1),
            keys(operation="delete_records", times=1, rows=1),
        )

    async def observe(self, run: Run) -> Sequence[Shown]:
        """Each store by itself, so that what one shows is not hidden by what the other lacks."""
        return tuple([await self._shown(Audit.of(run, store)) for store in sorted(run.environment.stores)])

    def judge(self, seen: Sequence[Shown]) -> Finding:
        """What the accounts come to that the ledger was given."""
        return conclude(seen)

    async def _shown(self, audit: Audit) -> Shown:
        """Settle what was acknowledged, write, look, keep what that comes to, and remove what is old enough."""
        failures: list[Failure] = []
        found: Account | None = None
        left_out = [] if audit.ledger.durable else [_FORGETFUL]
        try:
            await self._accept(audit)
            written = await self._write(audit, failures)
            look, alarm = await self._look(audit, written, left_out)
            found = account(look, ladder=self.ladder)
            await _keep(audit, look, found, alarm=alarm)
            if audit.ledger.durable:
                await self._retire(audit, look, found)
            else:
                await audit.scribe.leave(within=self.patience)
        except StoreError as error:
            audit.run.environment.learn(error)
            failures.append(Failure(reason=error.reason, message=str(error), place=str(error.place)))
        except StateError as error:
            failures.append(Failure(reason=Reason.INTERNAL, message=f"the ledger cannot be kept: {error}", place=""))
        return Shown(store=audit.store, account=found, failures=tuple(failures), left_out=tuple(left_out))

    async def _accept(self, audit: Audit) -> None:
        """What somebody has acknowledged by now is accepted as it is."""
        if (moment := max(audit.run.acknowledged.values(), default=None)) is not None:
            await audit.ledger.accept(audit.store, found_before=moment)

    async def _write(self, audit: Audit, failures: list[Failure]) -> Entry | None:
        """One record. Where it cannot be written, what was written earlier can still be looked at."""
        try:
            async with audit.run.step("write_record"):
                return await audit.scribe.write(identified=True, within=self.patience, after=self.ladder[0])
        except StoreError as error:
            audit.run.environment.learn(error)
            failures.append(Failure(reason=error.reason, message=str(error), place=str(error.place)))
            return None

    async def _look(self, audit: Audit, written: Entry | None, left_out: list[str]) -> tuple[Look, int]:
        """At what is due, unless there is a reason to look at all; once more on a new connection if that is not right.

        Replicas are asked in between, so that what they say is of the same time. Returns the look, and how the alarm
        stood before it.
        """
        run, ledger, store = audit.run, audit.ledger, audit.store
        alarm = audit.scribe.alarm
        full = bool(alarm or await ledger.breaks(store))
        async with run.connection(audit.durables.reader, step="connect") as reader:
            look = await self._look_at(audit, reader, written, full=full)
            if not full and not (right(look) and _known(look)):
                look = await self._look_at(audit, reader, written, full=True)
            look = replace(look, elsewhere=await _ask_replicas(audit, left_out))
            if look.breaks or not right(look):
                look = replace(look, second=await _look_again(audit, look))
            look = replace(look, happened=await _happened(reader, look))
        return look, alarm

    async def _look_at(self, audit: Audit, reader: Reader, written: Entry | None, *, full: bool) -> Look:
        """What the ledger knew just before, what is there, and what happened until then."""
        ledger, store = audit.ledger, audit.store
        if full:
            entries = list(await ledger.entries(store, limit=_ALL))
        else:
            entries = list(await ledger.entries(store, due=ledger.now(), limit=self.batch))
            if written is not None and written.mark not in {entry.mark for entry in entries}:
                entries.append(written)
        at = ledger.now()
        async with audit.run.step("look"):
            first = await reader.look(None if full else [entry.mark for entry in entries])
        return Look(
            environment=audit.run.environment.name,
            store=store,
            at=at,
            full=full,
            entries=tuple(entries),
            first=first,
            moves=tuple(await ledger.entries(store, identified=None, limit=_MOVES)),
            epochs=tuple(await ledger.epochs()),
            breaks=tuple(await ledger.breaks(store)),
            losses=tuple(await ledger.losses(store)),
            outages=tuple(await ledger.outages(store)),
            restores=tuple(await ledger.restores()),
            lifetime=audit.durables.lifetime,
        )

    async def _retire(self, audit: Audit, look: Look, found: Account) -> None:
        """Remove what had its last look, and what was to be removed and perhaps was not."""
        audited = {each.mark: each for each in found.audited}
        done = [
            entry
            for entry in look.entries
            if entry.state is State.RETIRING
            or (entry.mark in audited and entry.owed and spent(entry, audited[entry.mark]))
        ][: self.batch]
        if done:
            async with audit.run.step("retire"):
                await audit.scribe.retire(done, due=audit.ledger.now() + self.ladder[0], within=self.patience)


_FORGETFUL = "nothing older than this run is looked for: there is no daemon here whose ledger remembers it"


async def _ask_replicas(audit: Audit, left_out: list[str]) -> dict[str, Evidence]:
    """Whether another node takes writes. One that does not answer is only not asked."""
    run, elsewhere = audit.run, {}
    for place in run.environment.places:
        if place.store is audit.store and place.way is Way.REPLICA:
            try:
                connect = partial(audit.durables.reader, place=place)
                async with run.step("ask_replicas"), run.connection(connect) as reader:
                    elsewhere[str(place)] = (await reader.look(())).evidence
            except StoreError as error:
                left_out.append(f"{place} could not be asked whether it takes writes, too: {error}")
    return elsewhere


async def _look_again(audit: Audit, look: Look) -> Sighting:
    run = audit.run
    async with run.connection(audit.durables.reader) as fresh:
        run.node = await fresh.node()
        async with run.step("look_again"):
            return await fresh.look(None if look.full else [entry.mark for entry in look.entries])


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


async def _keep(audit: Audit, look: Look, found: Account, *, alarm: int) -> None:
    """What the look comes to is the ledger's. While it is in doubt, the next run looks at everything again."""
    ledger, store = audit.ledger, audit.store
    await ledger.audited(store, found.audited)
    for loss in found.losses:
        await ledger.lost(loss)
    if found.judged:
        await ledger.judged(store, found.judged)
    if not found.doubt:
        await ledger.see(Place(store), look.first.evidence)
        for place in audit.run.environment.places:
            if str(place) in look.elsewhere:
                await ledger.see(place, look.elsewhere[str(place)])
        if look.full:
            audit.scribe.calm(alarm)
