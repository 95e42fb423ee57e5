"""What a ledger keeps besides its entries: epochs, breaks, outages, losses and declared restores."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from monitor.core.ledger.evidence import Epoch, Evidence, as_json, same_server
from monitor.core.ledger.found import Break, Loss, Outage, Restore
from monitor.ports import Place, Store
from monitor.stores.database import insert
from monitor.stores.ledger_book import Book
from monitor.stores.ledger_kept import (
    break_,
    break_row,
    epoch,
    epoch_row,
    loss,
    loss_row,
    outage,
    outage_row,
    restore,
)
from monitor.stores.ledger_standing import Counted
from monitor.stores.tables import ledger_breaks, ledger_epochs, ledger_losses, ledger_outages, ledger_restores

_RENEWED_EVERY = timedelta(seconds=1)  # on disk; who asks in this process has the newest

_RENEW = (
    sa.update(ledger_epochs)
    .where(ledger_epochs.c.id == sa.bindparam("which"))
    .values(last=sa.bindparam("seen"), evidence=sa.bindparam("said", type_=sa.JSON))
)

# Made once: to put a query together takes SQLAlchemy as long as SQLite takes to answer it.
_OF = sa.bindparam("of", type_=sa.String)
_THERE = sa.bindparam("there", type_=sa.String)
_LIMIT = sa.bindparam("at_most", type_=sa.Integer)
_e, _b, _o, _l, _r = ledger_epochs.c, ledger_breaks.c, ledger_outages.c, ledger_losses.c, ledger_restores.c
_EPOCHS = sa.select(ledger_epochs).where(_e.environment == _OF).order_by(_e.id)
_BREAKS = sa.select(ledger_breaks).where(_b.environment == _OF, _b.place.startswith(_THERE), ~_b.judged).order_by(_b.id)
_OUTAGES = (
    sa.select(ledger_outages).where(_o.environment == _OF, _o.store == _THERE).order_by(_o.began.desc()).limit(_LIMIT)
)
_ALL_LOSSES = (
    sa.select(ledger_losses).where(_l.environment == _OF).order_by(_l.found.desc(), _l.id.desc()).limit(_LIMIT)
)
_LOSSES = _ALL_LOSSES.where(_l.store == _THERE)
_RESTORES = sa.select(ledger_restores).where(_r.environment == _OF).order_by(_r.declared.desc())


class History:
    """The history of one environment."""

    def __init__(self, environment: str, book: Book) -> None:
        self._environment = environment
        self._book = book
        self._seeing = asyncio.Lock()  # two that see a new server at once would make two epochs of it
        self._latest: dict[str, Epoch] | None = None
        self._renewed: dict[str, datetime] = {}
        self._counted: dict[str, Counted] = {}

    async def see(self, place: Place, evidence: Evidence) -> tuple[Epoch, bool]:
        """Note evidence; -> the epoch that it belongs to, and whether that is new."""
        name = str(place)
        async with self._seeing:
            if self._latest is None:
                self._latest = {each.place: each for each in await self.epochs()}
            now, before = self._book.clock.now(), self._latest.get(name)
            if before is None or not same_server(before.evidence, evidence):
                new = Epoch(
                    id=0,
                    environment=self._environment,
                    place=name,
                    first=now,
                    last=now,
                    evidence=evidence,
                    opening=evidence,
                )
                if before is not None:  # it ends here, and what it said last tells why
                    self._renew(before)
                self._latest[name] = await self._book.write(partial(_begin, new=new))
                self._renewed[name] = now
                return self._latest[name], True
            self._latest[name] = renewed = replace(before, last=now, evidence=evidence)
            if now - self._renewed.get(name, before.first) >= _RENEWED_EVERY:
                self._renewed[name] = now
                self._renew(renewed)
            return renewed, False

    def _renew(self, epoch: Epoch) -> None:
        self._book.put(_RENEW, {"which": epoch.id, "seen": epoch.last.timestamp(), "said": as_json(epoch.evidence)})

    async def epochs(self) -> Sequence[Epoch]:
        """All epochs that are remembered, the oldest first."""
        kept = [epoch(row) for row in await self._rows(_EPOCHS)]
        newest = {each.id: each for each in (self._latest or {}).values()}
        return [newest.get(each.id, each) for each in kept]

    async def broke(self, found: Break) -> None:
        """Keep that a register held what was not expected; its id is given here."""
        await self._book.keep(sa.insert(ledger_breaks), break_row(self._environment, found))

    async def breaks(self, store: Store) -> Sequence[Break]:
        """Those that no run has judged yet."""
        return [break_(row) for row in await self._rows(_BREAKS, there=store)]

    async def judged(self, store: Store, ids: Collection[int]) -> None:
        """A run has judged these breaks."""
        c = ledger_breaks.c
        mine = (c.environment == self._environment, c.place.startswith(store), c.id.in_(ids))
        await self._book.write(
            lambda connection: connection.execute(sa.update(ledger_breaks).where(*mine).values(judged=True))
        )

    async def outage(self, ended: Outage) -> None:
        """Keep an outage; one that lasts is kept again and again under its beginning."""
        row = outage_row(self._environment, ended)
        so_far = {name: row[name] for name in ("ended", "least", "most")}

        def work(connection: sa.Connection) -> None:
            new = insert(connection, ledger_outages).values(row)
            key = list(ledger_outages.primary_key)
            connection.execute(new.on_conflict_do_update(index_elements=key, set_=so_far))

        await self._book.write(work)
        self._changed(ended.store)

    async def outages(self, store: Store, *, limit: int = 100) -> Sequence[Outage]:
        """The latest first."""
        return [outage(row) for row in await self._rows(_OUTAGES, there=store, at_most=limit)]

    async def lost(self, loss: Loss) -> None:
        """Keep a loss, or its new form under its id."""
        row = loss_row(loss)
        change = (
            sa.update(ledger_losses).where(ledger_losses.c.id == loss.id).values(row)
            if loss.id
            else sa.insert(ledger_losses).values(row)
        )
        await self._book.write(lambda connection: connection.execute(change))
        self._changed(loss.store)

    async def losses(self, store: Store | None = None, *, limit: int = 100) -> Sequence[Loss]:
        """The latest first."""
        if store is None:
            return [loss(row) for row in await self._rows(_ALL_LOSSES, at_most=limit)]
        return [loss(row) for row in await self._rows(_LOSSES, there=store, at_most=limit)]

    async def declare_restore(self, at: datetime, *, note: str = "") -> None:
        """What was acknowledged later than this moment is forgiven, and nothing before it."""
        told = {"declared": self._book.clock.now().timestamp(), "note": note}

        def work(connection: sa.Connection) -> None:
            new = insert(connection, ledger_restores).values(environment=self._environment, at=at.timestamp(), **told)
            key = list(ledger_restores.primary_key)
            connection.execute(new.on_conflict_do_update(index_elements=key, set_=told))

        await self._book.write(work)

    async def restores(self) -> Sequence[Restore]:
        """Every declared restore, the latest first."""
        return [restore(row) for row in await self._rows(_RESTORES)]

    def _counted_of(self, store: str) -> Counted:
        return self._counted.setdefault(store, Counted())

    def _changed(self, store: str) -> None:
        self._counted_of(store).changed()

    async def _rows(self, query: sa.Select[Any], **asked: object) -> Sequence[sa.RowMapping]:
        asked["of"] = self._environment
        return await self._book.read(lambda connection: connection.execute(query, asked).mappings().all())


def _begin(connection: sa.Connection, new: Epoch) -> Epoch:
    """Keep a new epoch, unless whoever was to hear of it was cancelled, and it is there; -> with its id."""
    c = ledger_epochs.c
    here = (c.environment == new.environment, c.place == new.place)
    query = sa.select(ledger_epochs).where(*here).order_by(c.id.desc()).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    if row is not None and same_server(epoch(row).evidence, new.evidence):
        return replace(epoch(row), last=new.last, evidence=new.evidence)
    key = connection.execute(sa.insert(ledger_epochs).values(epoch_row(new))).inserted_primary_key
    return replace(new, id=int(key[0]) if key else 0)
