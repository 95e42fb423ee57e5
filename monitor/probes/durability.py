"""Write by the ledger, go away, come back, and look at what is due, or at everything where anything happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import ClassVar

from pydantic import Field, model_validator

from monitor.auditing import Audit
from monitor.core import collation
from monitor.core.confirmation import Reading
from monitor.core.ledger.conclusion import Failure, Shown, conclude
from monitor.core.verdict import Finding, Kind, Reason
from monitor.ports import KEEPERS, StateError, Store, StoreError, Surroundings, Way
from monitor.probe import Duration, Probe, Run, Use

_MARK = 15  # bytes of a mark
_RECORD = 100  # bytes of a record's content, about


class DurabilityProbe(Probe[Sequence[Shown]]):
    """What was acknowledged is there again after minutes, hours and days, whatever happened to the server meanwhile.

    A loss is named with its cause, its extent, and how much time it is; also over restarts of this daemon. It stands
    until the data is back, somebody acknowledges it or declares a restore, or the records' ladder has ended. What an
    index on text answers is what its table holds.
    """

    name: ClassVar = "durability"
    kinds: ClassVar = frozenset(
        {
            Kind.LOST,
            Kind.CORRUPT,
            Kind.PHANTOM,
            Kind.RESURRECTED,
            Kind.DIVERGED,
            Kind.DUPLICATED,
            Kind.REORDERED,
        }
    )
    needs: ClassVar = {Store.POSTGRES: 2, Store.REDIS: 2}
    either: ClassVar = True
    steps: ClassVar = ("write_record", "connect", "look", "look_again", "ask_replicas", "retire", "compare_indexes")

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

    def left_out(self, around: Surroundings) -> tuple[str, ...]:
        """Where there is no second node, nobody can be asked whether it takes writes as well."""
        behind = {place.store for place in around.places if place.way is Way.REPLICA}
        return tuple(
            f"a second writable {place.store} (split brain) is not looked for: none of its replicas is configured"
            for place in around.places
            if place.way is Way.PRIMARY and place.store in self.needs and place.store not in behind
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
            rows(operation="compare_indexes", times=1),
            keys(operation="open_durable", times=0 if moves else 2),
            keys(operation="move_register", times=moves, rows=moves, payload=moves * _MARK),
            keys(operation="write_record", times=1, rows=2, payload=_MARK + _RECORD),
            keys(operation="look_at_records", times=1),
            keys(operation="delete_records", times=1, rows=1),
        )

    async def observe(self, run: Run) -> Sequence[Shown]:
        """Each store by itself, so that what one shows is not hidden by what the other lacks."""
        return tuple([await self._shown(run, store) for store in sorted(run.environment.stores & KEEPERS)])

    def judge(self, seen: Sequence[Shown]) -> Finding:
        """What the accounts come to that the ledger was given, and what the indexes answered."""
        return conclude(seen)

    async def _shown(self, run: Run, store: Store) -> Shown:
        audit = Audit(run=run, store=store, ladder=self.ladder, patience=self.patience, batch=self.batch)
        indexes = None
        try:
            await audit.carry_out()
            if store is Store.POSTGRES:
                indexes = await _compare_indexes(run)
        except StoreError as error:
            audit.note(error)
        except StateError as error:
            why = f"the ledger cannot be kept: {error}"
            audit.failures.append(Failure(reason=Reason.INTERNAL, message=why, place=""))
        return Shown(
            store=store,
            account=audit.found,
            indexes=indexes,
            failures=tuple(audit.failures),
            left_out=tuple(audit.left_out),
        )


async def _compare_indexes(run: Run) -> Reading[collation.Look]:
    words = run.environment.words
    async with run.connection(words.connect) as connection:
        return await run.reading(
            lambda on: on.look(), collation.right, on=connection, connect=words.connect, step="compare_indexes"
        )
