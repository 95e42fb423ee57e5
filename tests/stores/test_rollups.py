"""Rollups in the state database, in files and in schemas of a real PostgreSQL, and what they are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from monitor.core.record import NotRun, Propagation, RunRecord, StepTiming
from monitor.core.rollup import DAY, HOUR, Rollup, merged, rolled
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.stores import migrate
from monitor.stores.database import Database
from monitor.stores.home import Schema
from monitor.stores.state import KeptState
from monitor.stores.tables import runs

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOST = Violation(kind=Kind.LOST, subject="m", expected="a", actual="b")


def run(
    minutes: float, finding: Finding | None = None, *, environment: str = "production", probe: str = "thread"
) -> RunRecord:
    """A run that began so many minutes after noon."""
    return RunRecord(
        run_id=f"{environment}-{probe}-{minutes:07.2f}",
        environment=environment,
        probe=probe,
        started=NOON + timedelta(minutes=minutes),
        took=timedelta(milliseconds=12),
        finding=finding or Finding.of((), checks=3),
        steps=(
            StepTiming(name="connect", after=timedelta(), took=timedelta(milliseconds=3)),
            StepTiming(name="reload", after=timedelta(seconds=1), took=timedelta(seconds=3), failed=True),
        ),
        propagations=(
            Propagation(
                source="postgres",
                target="eu-2",
                took=timedelta(milliseconds=70),
                resolution=timedelta(milliseconds=2, microseconds=5),
            ),
        ),
    )


def rollups_of(*runs: RunRecord) -> list[Rollup]:
    """The hours of some runs."""
    return rolled(runs, length=HOUR, budgets=lambda *_: timedelta(seconds=2))


@pytest.fixture
async def state(home: Path | Schema) -> AsyncIterator[KeptState]:
    """An open state in a new home."""
    made = KeptState(home)
    await made.open()
    yield made
    await made.close()


async def test_rollups_come_back_as_they_were(state: KeptState) -> None:
    """By length, time, environment and probe, the earliest first; without steps where only counts are asked for."""
    unknown = Finding.unknown(Reason.TIMEOUT, "late")
    hours = rollups_of(run(1), run(61, unknown), run(2, environment="staging"), run(130, probe="sync"))
    await state.keep_rollups([*hours, *merged(hours, DAY)])
    until = NOON + 3 * HOUR
    earliest_first = sorted(hours, key=lambda each: (each.start, each.environment, each.probe))
    assert await state.rollups(length=HOUR, since=NOON, until=until) == earliest_first
    assert await state.rollups(length=DAY, since=NOON - DAY, until=until) == merged(hours, DAY)
    of_one = await state.rollups(
        length=HOUR, since=NOON + HOUR, until=until, environment="production", probe="thread", counts_only=True
    )
    verdicts, reasons = await state.tally_rolled("production", length=HOUR, since=NOON, until=until - HOUR)
    assert (+Counter(verdicts), +Counter(reasons)) == ({Verdict.OK: 1, Verdict.UNKNOWN: 1}, {Reason.TIMEOUT: 1})
    assert of_one == [replace(earliest_first[2], steps={}, propagations={})]
    assert await state.prune_rollups(hourly=NOON + HOUR, daily=NOON - DAY) == 2
    assert await state.rollups(length=HOUR, since=NOON, until=until) == earliest_first[2:]


async def test_a_rollup_that_is_made_again_takes_the_place_of_the_first(state: KeptState) -> None:
    """Rolling up twice counts nothing twice; up to when all is rolled up is kept with it."""
    assert await state.rolled_until() is None
    (first,) = rollups_of(run(1))
    (again,) = rollups_of(run(1), run(2))
    await state.keep_rollups([first])
    await state.keep_rollups([again], until=NOON + HOUR)
    assert await state.rollups(length=HOUR, since=NOON, until=NOON + HOUR) == [again]
    await state.keep_rollups([], until=NOON + 2 * HOUR)
    assert await state.rolled_until() == NOON + 2 * HOUR


async def test_runs_are_read_in_groups(state: KeptState) -> None:
    """All of one place that began within a time, the earliest first, each once, also where two began at once."""
    twins = [replace(run(5), run_id=f"twin-{number}") for number in range(3)]
    wanted = [run(0), *twins, run(59.99)]
    others = [run(-0.01), run(60), run(3, probe="sync"), run(3, environment="staging")]
    await state.save([*others, *reversed(wanted)], [])
    groups = [
        group async for group in state.runs_between("production", "thread", since=NOON, until=NOON + HOUR, size=2)
    ]
    assert groups == [wanted[:2], wanted[2:4], wanted[4:]]
    assert await state.first_run(since=NOON - HOUR) == others[0].started
    assert await state.first_run(since=run(60).started + timedelta(seconds=1)) is None


async def test_runs_are_tallied_with_those_that_did_not_take_place(state: KeptState) -> None:
    """By verdict and by reason since a moment; each turn counts once, however often it is kept."""
    await state.save([run(-1), run(1), run(2), run(3, Finding.unknown(Reason.TIMEOUT, "late"))], [])
    await state.save([run(4, Finding.of((LOST,), checks=1)), run(5, environment="staging")], [])
    missed = [
        NotRun(environment="production", probe=probe, at=NOON + timedelta(minutes=minutes), reason=reason, times=times)
        for probe, minutes, reason, times in [
            ("thread", -1, Reason.MISSED, 9),
            ("thread", 1, Reason.MISSED, 2),
            ("thread", 1, Reason.PAUSED, 1),
            ("pool", 1, Reason.MISSED, 4),
        ]
    ]
    for _ in range(2):
        await state.keep_not_run(missed)
    assert await state.first_run() == missed[0].at
    assert await state.tally("production", since=NOON, until=NOON + timedelta(minutes=5)) == (
        {Verdict.OK: 2, Verdict.UNKNOWN: 8, Verdict.VIOLATED: 1},
        {Reason.TIMEOUT: 1, Reason.MISSED: 6, Reason.PAUSED: 1},
    )
    found = await state.not_run("production", since=NOON, until=NOON + HOUR)
    assert sorted(found, key=lambda each: (each.probe, each.reason)) == [missed[3], missed[1], missed[2]]
    assert await state.places() == [("production", "pool"), ("production", "thread"), ("staging", "thread")]


async def test_what_is_not_rolled_up_is_never_pruned(state: KeptState) -> None:
    """However old they are, runs wait for their rollup, and so do turns that did not take place."""
    unknown = Finding.unknown(Reason.TIMEOUT, "late")
    await state.save([run(1), run(2, unknown), run(61), run(62, unknown)], [])
    for minutes in (3, 63):
        await state.keep_not_run(
            [NotRun(environment="staging", probe="x", at=NOON + timedelta(minutes=minutes), reason=Reason.MISSED)]
        )
    await state.keep_rollups([], until=NOON + HOUR)
    late = NOON + DAY
    assert await state.prune(runs=late, failures=late, violations=late) == 3
    assert [each.started for each in await state.runs()] == [run(62).started, run(61).started]
    assert len(await state.not_run("staging", since=NOON, until=late)) == 1


OLD_RUN = {
    "run_id": "old",
    "environment": "production",
    "probe": "sync",
    "started": NOON.timestamp(),
    "took": 0.5,
    "verdict": "ok",
    "message": "",
    "checks": 1,
    "kinds": [],
    "steps": [
        ["connect", 0.000129, 0.01, False],
        ["pages", 0.5, 0.000001, False, 250],
        ["connect", 0.25, 3.0, True],
    ],
    "server": {},
    "left_out": ["the pooler"],
}


def filled(connection: sa.Connection, revision: str) -> None:
    """A database as an older Holdfast left it, with a run in it."""
    config = Config()
    config.set_main_option("script_location", str(migrate._FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    connection.execute(sa.insert(runs), [OLD_RUN])


async def test_an_older_state_keeps_what_is_in_it(home: Path | Schema) -> None:
    """A filled database of the revision before is brought up to date with its runs; what it did not know is empty."""
    older = Database(home)
    await older.write(lambda connection: filled(connection, "0003"))
    await older.close()
    state = KeptState(home)
    await state.open()
    (found,) = await state.runs()
    assert (found.run_id, found.finding.left_out) == ("old", ("the pooler",))
    microseconds = timedelta(microseconds=1)
    assert [(step.name, step.after // microseconds, step.took // microseconds) for step in found.steps] == [
        ("connect", 129, 10_000),
        ("connect", 250_000, 3_000_000),
        ("pages", 500_000, 1),
    ]
    assert [(step.failed, step.messages) for step in found.steps] == [(False, 0), (True, 0), (False, 250)]
    assert found.propagations == ()
    new = run(1)
    await state.save([new], [])
    assert [each.propagations for each in await state.runs()] == [new.propagations, ()]
    assert (await state.rolled_until(), await state.places()) == (
        None,
        [("production", "sync"), ("production", "thread")],
    )
    await state.close()


async def test_medians_are_those_of_the_sketches(state: KeptState) -> None:
    """By probe, step and start, of one environment and time, without those steps of which none succeeded."""
    hours = rollups_of(run(1), run(61), run(2, environment="staging"), run(130, probe="sync"))
    await state.keep_rollups(hours)
    found = await state.medians(length=HOUR, since=NOON, until=NOON + 2 * HOUR, environment="production")
    took = [each.steps["connect"].took.quantile(0.5) for each in hours if each.environment == "production"]
    assert found == {("thread", "connect"): {NOON: took[0], NOON + HOUR: took[1]}}
