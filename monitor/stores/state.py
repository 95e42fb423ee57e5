"""The state database: what must survive the daemon. SQLite by default."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import StaticPool

from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.core.violations import KeptViolation, Stage
from monitor.ports import StateError
from monitor.stores.migrate import upgrade
from monitor.stores.tables import facts, runs, violations

_BUSY = 2  # seconds to wait for another writer of the same file, e.g. `holdfast violations ack`


class SqliteState:
    """Runs, violations and small facts in one SQLite file, or in memory where the path is None."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._name = f"the state file {path}" if path else "the state in memory"
        url = f"sqlite+aiosqlite:///{path or ':memory:'}"
        self._engine = create_async_engine(url, connect_args={"timeout": _BUSY}, poolclass=StaticPool)
        self._one_at_a_time = asyncio.Lock()  # they share one connection: who ends first would roll back the others

        @sa.event.listens_for(self._engine.sync_engine, "connect")
        def _pragmas(connection: DBAPIConnection, _record: object) -> None:
            # WAL: `holdfast violations` reads while the daemon writes. FULL: what is kept survives a power cut.
            for pragma in ("journal_mode=WAL", "synchronous=FULL"):
                connection.cursor().execute(f"PRAGMA {pragma}")

    async def open(self) -> None:
        """Make the file where it is missing and bring its tables up to date. Raises StateError."""
        async with self._asked(writing=True) as connection:
            await connection.run_sync(upgrade)

    async def close(self) -> None:
        """Let go of the file."""
        await self._engine.dispose()

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Keep runs, and the present form of violations, in one transaction."""
        async with self._asked(writing=True) as connection:
            if ended:
                await connection.execute(insert(runs).on_conflict_do_nothing(), [_run_row(each) for each in ended])
            for each in changed:
                await connection.execute(_upsert(_violation_row(each)))

    async def runs(
        self, *, environment: str | None = None, probe: str | None = None, verdict: str | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """The latest runs first."""
        wanted = {runs.c.environment: environment, runs.c.probe: probe, runs.c.verdict: verdict}
        query = sa.select(runs).order_by(runs.c.started.desc()).limit(limit)
        for column, value in wanted.items():
            if value is not None:
                query = query.where(column == value)
        async with self._asked() as connection:
            return [_run(row) for row in (await connection.execute(query)).mappings()]

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:
        """The latest opened first; of all stages unless some are named."""
        query = sa.select(violations).order_by(violations.c.opened.desc()).limit(limit)
        if stages:
            query = query.where(violations.c.stage.in_([*stages]))
        async with self._asked() as connection:
            return [_violation(row) for row in (await connection.execute(query)).mappings()]

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:
        """Forget what is older: runs that were right, runs that were not, closed violations."""
        return await self._prune(runs.timestamp(), failures.timestamp(), violations.timestamp())

    async def _prune(self, right_before: float, wrong_before: float, closed_before: float) -> int:
        right = runs.c.verdict.in_([Verdict.OK, Verdict.SLOW])
        statements = (
            sa.delete(runs).where(right, runs.c.started < right_before),
            sa.delete(runs).where(~right, runs.c.started < wrong_before),
            sa.delete(violations).where(violations.c.stage == Stage.CLOSED, violations.c.closed < closed_before),
        )
        async with self._asked(writing=True) as connection:
            return sum([(await connection.execute(statement)).rowcount for statement in statements])

    async def recall(self, name: str) -> str | None:
        """A small fact by its name."""
        async with self._asked() as connection:
            return (await connection.execute(sa.select(facts.c.value).where(facts.c.name == name))).scalar_one_or_none()

    async def remember(self, name: str, value: str | None) -> None:
        """Keep a small fact, or forget it."""
        async with self._asked(writing=True) as connection:
            if value is None:
                await connection.execute(sa.delete(facts).where(facts.c.name == name))
            else:
                row = insert(facts).values(name=name, value=value)
                await connection.execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": value}))

    @asynccontextmanager
    async def _asked(self, *, writing: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection, in a transaction where something is written; failures become StateError."""
        try:
            async with (
                self._one_at_a_time,
                self._engine.begin() if writing else self._engine.connect() as connection,
            ):
                yield connection
        except (SQLAlchemyError, OSError, ValueError) as error:
            reason = (str(getattr(error, "orig", None) or error) or type(error).__name__).splitlines()[0]
            raise StateError(f"{self._name} cannot be used: {reason}; {_advice(reason)}") from None


def _advice(reason: str) -> str:
    for words, advice in (
        ("malformed", "move it away, and a new one is made; its violations and runs are then forgotten"),
        ("not a database", "it is some other file; choose another path in `state`"),
        ("readonly", "make the file and its folder writable for the user that Holdfast runs as"),
        ("unable to open", "make sure that its folder exists and that the user that Holdfast runs as may write there"),
        ("full", "free some space"),
        ("locked", "another process is writing to it; is a second daemon using the same file?"),
    ):
        if words in reason:
            return advice
    return "probing goes on, and nothing of it is kept until this is mended"


def _upsert(row: dict[str, object]) -> sa.sql.dml.Insert:
    new = insert(violations).values(row)
    # Somebody may have acknowledged it in the file while the daemon was about to repeat that it is open.
    stands = sa.and_(violations.c.stage == Stage.ACKNOWLEDGED, new.excluded.stage == Stage.OPEN)
    stage = sa.case((stands, violations.c.stage), else_=new.excluded.stage)
    changed = {name: new.excluded[name] for name in ("last_seen", "last_run_id", "times", "closed")}
    kept = {name: sa.func.coalesce(new.excluded[name], violations.c[name]) for name in ("acknowledged", "note")}
    return new.on_conflict_do_update(index_elements=["id"], set_={**changed, **kept, "stage": stage})


def _text(value: str) -> str:
    """A text that UTF-8 can carry. One that it cannot would keep all that waits behind it from being kept."""
    return value.encode("utf-8", "backslashreplace").decode()


def _run_row(record: RunRecord) -> dict[str, object]:
    finding = record.finding
    return {
        "run_id": record.run_id,
        "environment": record.environment,
        "probe": record.probe,
        "started": record.started.timestamp(),
        "took": record.took.total_seconds(),
        "verdict": finding.verdict,
        "reason": finding.reason,
        "message": _text(finding.message),
        "checks": finding.checks,
        "kinds": sorted({violation.kind for violation in finding.violations}),
        "left_out": [_text(sentence) for sentence in finding.left_out],
        "steps": [
            [
                step.name,
                round(step.after.total_seconds(), 6),
                round(step.took.total_seconds(), 6),
                step.failed,
                *([step.messages] if step.messages else ()),
            ]
            for step in record.steps
        ],
        "server": dict(record.server),
    }


def _run(row: sa.RowMapping) -> RunRecord:
    """A run as it was kept: of its violations the kinds remain here, the evidence is kept with the violation."""
    found = tuple(Violation(kind=Kind(kind), subject="", expected="", actual="") for kind in row["kinds"])
    finding = Finding(
        verdict=Verdict(row["verdict"]),
        checks=row["checks"],
        violations=found,
        reason=Reason(row["reason"]) if row["reason"] else None,
        message=row["message"],
        left_out=tuple(row["left_out"]),
    )
    steps = tuple(
        StepTiming(
            name=name,
            after=timedelta(seconds=after),
            took=timedelta(seconds=took),
            failed=failed,
            messages=sum(messages),  # one number, or none
        )
        for name, after, took, failed, *messages in row["steps"]
    )
    return RunRecord(
        run_id=row["run_id"],
        environment=row["environment"],
        probe=row["probe"],
        started=_moment(row["started"]),
        took=timedelta(seconds=row["took"]),
        finding=finding,
        steps=steps,
        server=row["server"],
    )


def _violation_row(kept: KeptViolation) -> dict[str, object]:
    row: dict[str, object] = {column.name: getattr(kept, column.name) for column in violations.columns}
    for name in ("opened", "last_seen", "closed", "acknowledged"):
        moment = getattr(kept, name)
        row[name] = moment.timestamp() if moment else None
    for name in ("subject", "expected", "actual"):
        row[name] = _text(getattr(kept, name))
    row["evidence"] = json.loads(json.dumps(kept.evidence, default=str))
    row["note"] = _text(kept.note) or None
    return row


def _violation(row: sa.RowMapping) -> KeptViolation:
    values = dict(row)
    for name in ("opened", "last_seen", "closed", "acknowledged"):
        values[name] = _moment(values[name]) if values[name] is not None else None
    values["kind"], values["stage"] = Kind(values["kind"]), Stage(values["stage"])
    values["note"] = values["note"] or ""
    return KeptViolation(**values)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
