"""The long memory of the state database: rollups, and what is asked of the runs that they are made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from monitor.core.record import NotRun, RunRecord
from monitor.core.rollup import DAY, HOUR, Rollup
from monitor.core.sketch import quantile_in
from monitor.core.verdict import Reason, Verdict
from monitor.ports.rollups import Tally
from monitor.stores.database import Database, insert
from monitor.stores.kept_runs import moment_of, run
from monitor.stores.rollup_rows import not_run_row, rollup, rollup_row, turns
from monitor.stores.tables import facts, not_run, rollups, runs

_ROLLED = "rolled until"  # the fact that tells up to when all runs are rolled up
_KEY = [column.name for column in rollups.primary_key]
_COUNTS = [column for column in rollups.columns if column.name not in {"steps", "propagations"}]


class KeptRollups:
    """The part of a state that is about rollups."""

    _database: Database

    async def rollups(
        self,
        *,
        length: timedelta,
        since: datetime,
        until: datetime,
        environment: str | None = None,
        probe: str | None = None,
        counts_only: bool = False,
    ) -> list[Rollup]:
        """Rollups of this length that start within a time, the earliest first; without steps if only counts matter."""
        c = rollups.c
        query = (
            sa.select(*(_COUNTS if counts_only else rollups.columns))
            .where(c.length == int(length.total_seconds()), *_within(c.start, since, until))
            .order_by(c.start, c.environment, c.probe)
        )
        for column, value in ((c.environment, environment), (c.probe, probe)):
            if value is not None:
                query = query.where(column == value)
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [rollup(row, counts_only=counts_only) for row in rows]

    async def medians(
        self, *, length: timedelta, since: datetime, until: datetime, environment: str
    ) -> Mapping[tuple[str, str], Mapping[datetime, float]]:
        """How long the steps of an environment took, by probe and step, as the median of each rollup by its start."""
        c = rollups.c
        query = sa.select(c.probe, c.start, c.steps).where(
            c.length == int(length.total_seconds()), *_within(c.start, since, until), c.environment == environment
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        found: dict[tuple[str, str], dict[datetime, float]] = defaultdict(dict)
        for probe, start, steps in rows:
            for step, (_, _, _, took) in steps.items():
                if (median := quantile_in(took, 0.5)) is not None:
                    found[probe, step][moment_of(start)] = median
        return found

    async def keep_rollups(self, made: Sequence[Rollup], *, until: datetime | None = None) -> None:
        """Keep rollups, each in the place of an earlier one of the same span; with `until`, all before is rolled up."""
        rows = [rollup_row(each) for each in made]

        def work(connection: sa.Connection) -> None:
            if rows:
                new = insert(connection, rollups)
                changed = {name: column for name, column in new.excluded.items() if name not in _KEY}
                connection.execute(new.on_conflict_do_update(index_elements=_KEY, set_=changed), rows)
            if until is not None:
                remember(connection, _ROLLED, until.isoformat())

        await self._database.write(work)

    async def rolled_until(self) -> datetime | None:
        """The moment before which all runs are rolled up, once there is one. Runs after it are never pruned."""
        query = sa.select(facts.c.value).where(facts.c.name == _ROLLED)
        rolled = await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())
        return datetime.fromisoformat(rolled) if rolled else None

    async def prune_rollups(self, *, hourly: datetime, daily: datetime) -> int:
        """Forget what started before; -> how many."""
        c = rollups.c
        statements = [
            sa.delete(rollups).where(c.length == int(length.total_seconds()), c.start < before.timestamp())
            for length, before in ((HOUR, hourly), (DAY, daily))
        ]
        return await self._database.write(
            lambda connection: sum(connection.execute(statement).rowcount for statement in statements)
        )

    async def keep_not_run(self, due: Sequence[NotRun]) -> None:
        """Keep runs that were due and did not take place; the same ones again change nothing."""
        rows = [not_run_row(each) for each in due]
        await self._database.write(
            lambda connection: connection.execute(insert(connection, not_run).on_conflict_do_nothing(), rows)
        )

    async def not_run(self, environment: str, *, since: datetime, until: datetime) -> list[NotRun]:
        """What did not take place in an environment within a time."""
        c = not_run.c
        query = sa.select(not_run).where(c.environment == environment, *_within(c.at, since, until))
        rows = await self._database.read(lambda connection: connection.execute(query).mappings().all())
        return [turns(row) for row in rows]

    async def runs_between(
        self, environment: str, probe: str, *, since: datetime, until: datetime, size: int
    ) -> AsyncIterator[list[RunRecord]]:
        """The runs that began within a time, the earliest first, in groups of no more than `size`."""
        c = runs.c
        query = (
            sa.select(runs)
            .where(c.environment == environment, c.probe == probe, *_within(c.started, since, until))
            .order_by(c.started, c.run_id)
            .limit(size)
        )
        rows: Sequence[sa.RowMapping] = ()
        while True:
            more = query
            if rows:  # the first condition is implied by the second, and helps it to an index
                last = rows[-1]["started"], rows[-1]["run_id"]
                more = query.where(c.started >= last[0], sa.tuple_(c.started, c.run_id) > sa.tuple_(*last))
            rows = await self._database.read(
                lambda connection, more=more: connection.execute(more).mappings().all()  # type: ignore[misc]
            )
            if rows:
                yield [run(row) for row in rows]
            if len(rows) < size:
                return

    async def first_run(self, *, since: datetime | None = None) -> datetime | None:
        """When the earliest run that is kept began, or did not take place, at `since` or later where that is given."""
        after = since.timestamp() if since is not None else 0
        queries = [sa.select(sa.func.min(column)).where(column >= after) for column in (runs.c.started, not_run.c.at)]
        found = await self._database.read(
            lambda connection: [connection.execute(query).scalar_one() for query in queries]
        )
        return min((moment_of(each) for each in found if each is not None), default=None)

    async def places(self) -> list[tuple[str, str]]:
        """Every environment and probe of which there is a run, or one that did not take place."""
        return await self._database.read(_places)

    async def tally(self, environment: str, *, since: datetime, until: datetime) -> Tally:
        """How many runs of an environment that began within a time ended how; with those that did not take place."""
        return await self._database.read(lambda connection: _tally(connection, environment, since, until))

    async def tally_rolled(self, environment: str, *, length: timedelta, since: datetime, until: datetime) -> Tally:
        """The same by rollups of this length that start within a time."""
        c = rollups.c
        # The database adds up: what is kept of steps is read by nobody for it.
        sums = [sa.func.sum(c.verdicts[each].as_integer()) for each in Verdict]
        sums += [sa.func.sum(c.reasons[each].as_integer()) for each in Reason]
        query = sa.select(*sums).where(
            c.environment == environment, c.length == int(length.total_seconds()), *_within(c.start, since, until)
        )
        found = [int(each or 0) for each in await self._database.read(lambda on: on.execute(query).one())]
        return dict(zip(Verdict, found, strict=False)), dict(zip(Reason, found[len(Verdict) :], strict=True))


def remember(connection: sa.Connection, name: str, value: str) -> None:
    """Keep a small fact."""
    row = insert(connection, facts).values(name=name, value=value)
    connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def _within(column: sa.Column[float], since: datetime, until: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (column >= since.timestamp(), column < until.timestamp())


def _places(connection: sa.Connection) -> list[tuple[str, str]]:
    """By hops from each to the next in the index: to look at all runs would take as long as there are many."""
    found = set()
    for table in (runs, not_run):
        for environment in _hops(connection, table.c.environment):
            for probe in _hops(connection, table.c.probe, table.c.environment == environment):
                found.add((environment, probe))
    return sorted(found)


def _hops(connection: sa.Connection, column: sa.Column[str], *where: sa.ColumnElement[bool]) -> Iterator[str]:
    """Each value of a column once, in order."""
    value: str | None = ""
    while value is not None:
        value = connection.execute(sa.select(sa.func.min(column)).where(column > value, *where)).scalar_one()
        if value is not None:
            yield value


def _tally(
    connection: sa.Connection, environment: str, since: datetime, until: datetime
) -> tuple[Counter[Verdict], Counter[Reason]]:
    verdicts, reasons = Counter[Verdict](), Counter[Reason]()
    c = runs.c
    ended = (
        sa.select(c.verdict, c.reason, sa.func.count())
        .where(c.environment == environment, *_within(c.started, since, until))
        .group_by(c.verdict, c.reason)
    )
    for probe in _hops(connection, c.probe, c.environment == environment):  # so that the index leads to the time
        for verdict, reason, times in connection.execute(ended.where(c.probe == probe)):
            verdicts[Verdict(verdict)] += times
            if reason is not None:
                reasons[Reason(reason)] += times
    due = (
        sa.select(not_run.c.reason, sa.func.sum(not_run.c.times))
        .where(not_run.c.environment == environment, *_within(not_run.c.at, since, until))
        .group_by(not_run.c.reason)
    )
    for reason, times in connection.execute(due):
        verdicts[Verdict.UNKNOWN] += int(times)
        reasons[Reason(reason)] += int(times)
    return verdicts, reasons
