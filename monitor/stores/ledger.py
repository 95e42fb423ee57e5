"""The ledger of acknowledged writes in the state database: intents on disk before they are sent, in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from monitor.core.ledger.entries import WRONG, Entry, Fate, Mark, State
from monitor.core.ledger.found import Audited, Standing
from monitor.ports import Clock, Ledger, Store
from monitor.stores.home import Home
from monitor.stores.ledger_book import Book
from monitor.stores.ledger_bounds import Bounds, forget, forget_events
from monitor.stores.ledger_course import Course, load
from monitor.stores.ledger_history import History
from monitor.stores.ledger_kept import entry, entry_row, seconds
from monitor.stores.ledger_standing import counted, standing
from monitor.stores.tables import ledger_entries, ledger_losses

_AT_ONCE = 1000  # entries that one transaction changes: an intent waits no longer than for so many

_c = ledger_entries.c
_ONE = (
    _c.environment == sa.bindparam("of"),
    _c.store == sa.bindparam("there"),
    _c.n == sa.bindparam("number"),
    _c.series == sa.bindparam("since"),
)
_HERE = (_c.environment == sa.bindparam("of"), _c.store == sa.bindparam("there"))
_SOME = sa.select(ledger_entries).where(*_HERE).limit(sa.bindparam("at_most"))
_LATEST = _SOME.order_by(_c.n.desc())
_DUE = _SOME.where(
    sa.or_(_c.due <= sa.bindparam("at"), sa.and_(_c.fate.in_(sorted(WRONG)), _c.accepted.is_(None)))
).order_by(_c.due, _c.n)
_IDENTIFIED = {query: query.where(_c.identified) for query in (_LATEST, _DUE)}
_MOVES = {query: query.where(~_c.identified) for query in (_LATEST, _DUE)}
_OUTCOME = ("state", "answered", "epoch", "weak", "xid", "due")
_INTEND = sa.insert(ledger_entries)
_SETTLE = sa.update(ledger_entries).where(*_ONE).values({name: sa.bindparam(f"new_{name}") for name in _OUTCOME})
_RETIRING = sa.update(ledger_entries).where(*_ONE).values(state=State.RETIRING)
_RETIRED = (
    sa.update(ledger_entries)
    .where(*_ONE)
    .values(state=State.RETIRED, due=sa.bindparam("new_due"), retired=sa.bindparam("new_retired"))
)
_AUDITED = (
    sa.update(ledger_entries)
    .where(*_ONE)
    .values(
        fate=sa.bindparam("new_fate"),
        rung=sa.bindparam("new_rung"),
        due=sa.bindparam("new_due"),
        verified=sa.func.coalesce(sa.bindparam("new_verified", type_=sa.Float), _c.verified),
        accepted=sa.case(
            (
                sa.bindparam("is_wrong", type_=sa.Boolean),
                sa.func.coalesce(sa.bindparam("new_accepted", type_=sa.Float), _c.accepted),
            ),
            else_=None,
        ),
        wrong=sa.case(
            (sa.bindparam("is_wrong", type_=sa.Boolean), sa.func.coalesce(_c.wrong, sa.bindparam("at"))), else_=None
        ),
    )
)


class Ledgers:
    """The ledgers of all environments in one state database, or in memory without a home.

    `of` gives that of one environment. Intents and outcomes of all of them go to disk together: whoever comes while
    a group is being written makes the next. Opened by the first that asks.
    """

    def __init__(self, home: Home, *, clock: Clock) -> None:
        self._book = Book(home, clock=clock)
        self._ledgers: dict[str, KeptLedger] = {}

    def of(self, environment: str) -> Ledger:
        """The ledger of one environment, always the same."""
        return self._ledgers.setdefault(environment, KeptLedger(environment, self._book))

    async def close(self) -> None:
        """Write what waits, and let go of it."""
        await self._book.close()


class KeptLedger(History):
    """The ledger of one environment."""

    def __init__(self, environment: str, book: Book) -> None:
        super().__init__(environment, book)
        self._courses: dict[Store, Course] = {}
        self._loading = asyncio.Lock()

    @property
    def durable(self) -> bool:
        """Whether it survives this process."""
        return self._book.home is not None

    @property
    def series(self) -> str:
        """The series of the writes that it hands out now."""
        return self._book.series

    def now(self) -> datetime:
        """The moment, by the ledger's clock."""
        return self._book.clock.now()

    async def intend(self, store: Store, *, identified: bool) -> Entry:
        """A new write, kept on disk when this returns. Its number is used up even if it could not be kept."""
        course = await self._course(store)
        new = Entry(
            environment=self._environment,
            store=store,
            mark=course.next(self.series),
            identified=identified,
            state=State.INTENDED,
            intended=self.now(),
        )
        try:
            await self._book.keep(_INTEND, entry_row(new))
        except asyncio.CancelledError:
            await self.settle(new, State.REFUSED)  # whoever asked for it will not send it
            raise
        course.intended(new.mark)
        return new

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
        store = Store(entry.store)
        course = await self._course(store)
        answered = self.now() if state in {State.ACKED, State.REFUSED} else None
        ended = replace(entry, state=state, answered=answered, epoch=epoch, weak=weak, xid=xid, due=due)
        kept = entry_row(ended)
        self._book.put(_SETTLE, {**self._which(store, entry.mark), **{f"new_{name}": kept[name] for name in _OUTCOME}})
        course.settled(entry.mark, state)
        if entry.identified:
            self._changed(store)
        return ended

    async def expected(self, store: Store) -> tuple[Mark | None, ...]:
        """What the register may hold."""
        return (await self._course(store)).expected()

    async def entries(
        self, store: Store, *, due: datetime | None = None, identified: bool | None = True, limit: int = 1000
    ) -> Sequence[Entry]:
        """Entries that may be looked for, oldest first: the latest `limit` of all, or those due the longest."""
        asked: dict[str, object] = {"there": store, "at_most": limit}
        query = _LATEST
        if due is not None:
            query, asked["at"] = _DUE, due.timestamp()
        if identified is not None:
            query = _IDENTIFIED[query] if identified else _MOVES[query]
        return sorted(map(entry, await self._rows(query, **asked)), key=lambda each: each.mark.n)

    async def audited(self, store: Store, found: Sequence[Audited]) -> None:
        """Keep what a look found."""
        for start in range(0, len(found), _AT_ONCE):
            await self._audited(store, found[start : start + _AT_ONCE])
        self._changed(store)

    async def _audited(self, store: Store, found: Sequence[Audited]) -> None:
        at = max(each.at for each in found)
        numbers = [each.mark.n for each in found]
        due = sa.select(sa.func.count()).where(*self._at(store), _c.due <= at.timestamp(), _c.n.in_(numbers))
        rows = [
            {
                **self._which(store, each.mark),
                "new_fate": each.fate,
                "new_rung": each.rung,
                "new_due": seconds(each.due),
                "new_verified": each.at.timestamp() if each.fate is Fate.FOUND else None,
                "new_accepted": seconds(each.accepted),
                "is_wrong": each.fate in WRONG,
                "at": each.at.timestamp(),
            }
            for each in found
        ]

        def work(connection: sa.Connection) -> int:
            were_due: int = connection.execute(due).scalar_one()
            connection.execute(_AUDITED, rows)
            return were_due

        self._counted_of(store).took(await self._book.write(work), at=at)

    async def retiring(self, store: Store, marks: Collection[Mark]) -> None:
        """Their deletion is intended; on disk when this returns."""
        await self._book.keep(_RETIRING, *(self._which(store, mark) for mark in marks))
        self._changed(store)

    async def retired(self, store: Store, marks: Collection[Mark], *, due: datetime | None) -> None:
        """Their deletion was acknowledged."""
        told = {"new_due": seconds(due), "new_retired": self.now().timestamp()}
        await self._book.keep(_RETIRED, *({**self._which(store, mark), **told} for mark in marks))
        self._changed(store)

    async def accept(self, store: Store, *, found_before: datetime, fates: Collection[Fate] = WRONG) -> int:
        """What was found to be so before a moment is accepted: it is no violation any more. -> how many entries."""
        now, before = self.now().timestamp(), found_before.timestamp()
        entries = (
            sa.update(ledger_entries)
            .where(
                *self._at(store), _c.identified, _c.fate.in_(sorted(fates)), _c.accepted.is_(None), _c.wrong < before
            )
            .values(accepted=now)
        )
        lost = ledger_losses.c
        losses = (
            sa.update(ledger_losses)
            .where(lost.environment == self._environment, lost.store == store, lost.accepted.is_(None))
            .where(lost.found < before)
            .values(accepted=now)
        )

        def work(connection: sa.Connection) -> int:
            if Fate.LOST in fates:
                connection.execute(losses)
            return connection.execute(entries).rowcount

        accepted = await self._book.write(work)
        self._changed(store)
        return accepted

    async def standing(self, store: Store) -> Standing:
        """How it stands. It is counted again only after something changed, or a look fell due."""
        count, now = self._counted_of(store), self.now()
        records, changes = count.still(now), count.changes
        if records is None:
            records = await self._book.read(lambda connection: counted(connection, self._environment, store, now=now))
            if count.changes == changes:
                count.of = records
        return standing(records, taken=count.within_the_hour(now), now=now)

    async def prune(self, *, retired_before: datetime, moves_before: datetime) -> int:
        """Forget retired entries and moves of the register that are older; -> how many."""
        bounds = Bounds(retired=retired_before.timestamp(), moves=moves_before.timestamp())
        gone = 0
        for store in Store:
            gone += await forget(self._book, self._environment, store, bounds)
            self._changed(store)
        await forget_events(self._book, self._environment)
        return gone

    async def _course(self, store: Store) -> Course:
        if store not in self._courses:
            async with self._loading:
                if store not in self._courses:
                    self._courses[store] = await self._book.write(
                        lambda connection: load(connection, self._environment, store)
                    )
        return self._courses[store]

    def _at(self, store: Store) -> tuple[sa.ColumnElement[bool], ...]:
        return (_c.environment == self._environment, _c.store == store)

    def _which(self, store: Store, mark: Mark) -> dict[str, object]:
        return {"of": self._environment, "there": store, "number": mark.n, "since": mark.series}
