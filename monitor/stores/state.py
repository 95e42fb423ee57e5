"""The state database: what must survive the daemon. SQLite by default."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from monitor.core.record import RunRecord
from monitor.core.verdict import Kind, Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.ports import Acknowledgement
from monitor.stores.database import Database, insert
from monitor.stores.home import Home
from monitor.stores.kept_rollups import KeptRollups, remember
from monitor.stores.kept_runs import moment_of, run, run_row, text
from monitor.stores.tables import facts, not_run, runs, violations

_MINUTE = 60.0  # seconds
_PART = 100  # runs that are asked for at once: to decode them takes the loop some milliseconds


class KeptState(KeptRollups):
    """Runs, rollups, violations and small facts in a SQLite file, a schema of a PostgreSQL, or in memory."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._database = Database(home)

    async def open(self) -> None:
        """Make it where it is missing and bring its tables up to date. Raises StateError."""
        await self._database.open()

    async def close(self) -> None:
        """Let go of it."""
        await self._database.close()

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Keep runs, and the present form of violations, in one transaction."""

        def work(connection: sa.Connection) -> None:
            if ended:
                new = insert(connection, runs).on_conflict_do_nothing()
                connection.execute(new, [run_row(each) for each in ended])
            for each in changed:
                connection.execute(_upsert(insert(connection, violations), _violation_row(each)))

        await self._database.write(work)

    async def runs(
        self, *, environment: str | None = None, probe: str | None = None, verdict: str | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """The latest runs first."""
        wanted = {runs.c.environment: environment, runs.c.probe: probe, runs.c.verdict: verdict}
        query = sa.select(runs).order_by(runs.c.started.desc()).limit(min(limit, _PART))
        for column, value in wanted.items():
            if value is not None:
                query = query.where(column == value)
        found, part = dict[str, RunRecord](), query
        while True:
            rows = await self._rows(part)
            new = {row["run_id"]: run(row) for row in rows if row["run_id"] not in found}
            found |= new
            if len(rows) < _PART or not new or len(found) >= limit:
                return list(found.values())[:limit]
            part = query.where(runs.c.started <= rows[-1]["started"])
            await asyncio.sleep(0)

    async def run(self, run_id: str) -> RunRecord | None:
        """One run by its whole id."""
        rows = await self._rows(sa.select(runs).where(runs.c.run_id == run_id))
        return run(rows[0]) if rows else None

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:
        """The latest opened first; of all stages unless some are named."""
        query = sa.select(violations).order_by(violations.c.opened.desc()).limit(limit)
        if stages:
            query = query.where(violations.c.stage.in_([*stages]))
        return [_violation(row) for row in await self._rows(query)]

    async def acknowledgements(self) -> list[Acknowledgement]:
        """Of all violations that stand acknowledged; without their evidence, for the daemon asks each second."""
        of = violations.c
        query = sa.select(of.id, of.environment, of.probe, of.acknowledged, of.note)
        rows = await self._rows(query.where(of.stage == Stage.ACKNOWLEDGED))
        return [
            Acknowledgement(
                id=row["id"],
                environment=row["environment"],
                probe=row["probe"],
                at=moment_of(row["acknowledged"]),
                note=row["note"] or "",
            )
            for row in rows
        ]

    async def acknowledge(self, id_: str, *, at: datetime, note: str) -> bool:
        """Acknowledge a violation where it stands, and add a note if there is one. Returns whether it stood."""
        of = violations.c
        changed: dict[str, object] = {"stage": Stage.ACKNOWLEDGED, "acknowledged": at.timestamp()}
        if note:
            changed["note"] = sa.func.coalesce(of.note + "\n", "") + text(note)
        statement = sa.update(violations).where(of.id == id_, of.stage != Stage.CLOSED).values(changed)
        return await self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:
        """Forget what is older: runs that were right, runs that were not, closed violations; -> how many.

        Runs stay until they are rolled up, however old they are.
        """
        rolled = await self.rolled_until()
        if rolled is not None:
            runs, failures = min(runs, rolled), min(failures, rolled)
        return await self._prune(runs.timestamp(), failures.timestamp(), violations.timestamp())

    async def _prune(self, right_before: float, wrong_before: float, closed_before: float) -> int:
        right = runs.c.verdict.in_([Verdict.OK, Verdict.SLOW])
        statements = (
            sa.delete(not_run).where(not_run.c.at < right_before),
            sa.delete(violations).where(violations.c.stage == Stage.CLOSED, violations.c.closed < closed_before),
        )
        gone = await self._deleted(*statements)
        return gone + await self._forget(right, right_before) + await self._forget(~right, wrong_before)

    async def _forget(self, which: sa.ColumnElement[bool], before: float) -> int:
        """Delete runs minute by minute: what is to be kept at once waits no longer than for the next of them."""
        began, gone, since = runs.c.started, 0, 0.0
        while True:
            old = (which, began >= since, began < before)
            rows = await self._rows(sa.select(began).where(*old).order_by(began).limit(1))
            if not rows:
                return gone
            since = rows[0]["started"] + _MINUTE
            gone += await self._deleted(sa.delete(runs).where(*old, began < since))

    async def _deleted(self, *statements: sa.Delete) -> int:
        return await self._database.write(
            lambda connection: sum(connection.execute(statement).rowcount for statement in statements)
        )

    async def recall(self, name: str) -> str | None:
        """A small fact by its name."""
        query = sa.select(facts.c.value).where(facts.c.name == name)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one_or_none())

    async def remember(self, name: str, value: str | None) -> None:
        """Keep a small fact, or forget it."""

        def work(connection: sa.Connection) -> None:
            if value is None:
                connection.execute(sa.delete(facts).where(facts.c.name == name))
            else:
                remember(connection, name, value)

        await self._database.write(work)

    async def _rows(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        return await self._database.read(lambda connection: connection.execute(query).mappings().all())


def _upsert(new: Any, row: dict[str, object]) -> Any:  # noqa: ANN401  what `insert` gave
    new = new.values(row)
    # Somebody may have acknowledged it in the file since the daemon looked, and what is closed never opens again.
    here, there = violations.c, new.excluded
    newer = sa.func.coalesce(here.acknowledged, 0) > sa.func.coalesce(there.acknowledged, 0)
    closed = sa.or_(here.stage == Stage.CLOSED, there.stage == Stage.CLOSED)
    stage = sa.case((closed, Stage.CLOSED), (newer, Stage.ACKNOWLEDGED), else_=there.stage)
    changed = {name: there[name] for name in ("last_seen", "last_run_id", "times")}
    told = {
        name: sa.case((newer, here[name]), else_=sa.func.coalesce(there[name], here[name]))
        for name in ("acknowledged", "note")
    }
    ended = {"stage": stage, "closed": sa.func.coalesce(there.closed, here.closed)}
    return new.on_conflict_do_update(index_elements=["id"], set_={**changed, **told, **ended})


def _violation_row(kept: KeptViolation) -> dict[str, object]:
    row: dict[str, object] = {column.name: getattr(kept, column.name) for column in violations.columns}
    for name in ("opened", "last_seen", "closed", "acknowledged"):
        moment = getattr(kept, name)
        row[name] = moment.timestamp() if moment else None
    for name in ("subject", "expected", "actual"):
        row[name] = text(getattr(kept, name))
    row["evidence"] = json.loads(json.dumps(kept.evidence, default=str))
    row["note"] = text(kept.note) or None
    return row


def _violation(row: sa.RowMapping) -> KeptViolation:
    values = dict(row)
    for name in ("opened", "last_seen", "closed", "acknowledged"):
        values[name] = moment_of(values[name]) if values[name] is not None else None
    values["kind"], values["stage"] = Kind(values["kind"]), Stage(values["stage"])
    values["note"] = values["note"] or ""
    return KeptViolation(**values)
