"""Rolling up while a daemon lives, sleeps and dies; and error budgets at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from monitor.budgets import Budgets
from monitor.core.record import NotRun, RunRecord, StepTiming
from monitor.core.rollup import DAY, HOUR, Rollup, merged, rolled
from monitor.core.slo import WINDOW, ErrorBudget
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.core.violations import Changes
from monitor.ports import StateError
from monitor.stores.state import KeptState
from monitor.trends import Trends

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
OK = Finding.of((), checks=1)
LOST = Finding.of([Violation(kind=Kind.LOST, subject="m", expected="a", actual="b")], checks=1)
TIMEOUT = Finding.unknown(Reason.TIMEOUT, "late")


class StoppedClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOON

    def now(self) -> datetime:
        """The moment that the test wants."""
        return self.at

    def monotonic(self) -> float:
        """Nothing takes any time."""
        return 0.0


class ForgetfulState(KeptState):
    """A real state that fails after so many rollups were kept."""

    left = 1_000_000

    async def keep_rollups(self, made: Sequence[Rollup], *, until: datetime | None = None) -> None:
        """Keep, or fail."""
        self.left -= 1
        if self.left < 0:
            raise StateError("the disk is full")
        await super().keep_rollups(made, until=until)


def run(
    at: datetime, finding: Finding = OK, *, environment: str = "production", probe: str = "thread", took: float = 0.01
) -> RunRecord:
    """A run of one step."""
    return RunRecord(
        run_id=f"{environment}-{probe}-{at.isoformat()}",
        environment=environment,
        probe=probe,
        started=at,
        took=timedelta(seconds=took),
        finding=finding,
        steps=(StepTiming(name="connect", after=timedelta(), took=timedelta(seconds=took)),),
    )


def missed(at: datetime, times: int, reason: Reason = Reason.MISSED, *, environment: str = "production") -> NotRun:
    """Turns that did not take place."""
    return NotRun(environment=environment, probe="thread", at=at, reason=reason, times=times)


def budget(*_: str) -> timedelta:
    """Every step may take this long."""
    return timedelta(seconds=1)


@pytest.fixture
def clock() -> StoppedClock:
    """Noon, until the test says otherwise."""
    return StoppedClock()


@pytest.fixture
async def state() -> ForgetfulState:
    """A state in memory."""
    made = ForgetfulState(None)
    await made.open()
    return made


@pytest.fixture
def trends(state: KeptState, clock: StoppedClock) -> Trends:
    """Rolls up this state."""
    return Trends(state, clock=clock, budgets=budget)


def three_days() -> Iterator[RunRecord]:
    """Runs of three probes around two midnights, with a day between in which the daemon slept."""
    for hours in (0, 1, 2, 11, 12, 13, 50, 51, 60):
        for minutes in (0, 7, 59):
            at = NOON + timedelta(hours=hours, minutes=minutes)
            yield run(at, took=0.001 * (hours + 1))
            yield run(at, TIMEOUT, probe="sync")
            yield run(at, environment="staging")


async def everything(state: KeptState) -> tuple[list[Rollup], list[Rollup]]:
    """All hours and days that are kept."""
    hours, days = [
        await state.rollups(length=length, since=NOON - 9 * DAY, until=NOON + 9 * DAY) for length in (HOUR, DAY)
    ]
    return hours, days


async def roll(trends: Trends) -> int:
    """Roll up as the daemon does."""
    return await trends.roll(settled=MINUTE, kept=7 * DAY)


async def test_hours_and_days_that_ended_are_rolled_up_once(
    state: KeptState, trends: Trends, clock: StoppedClock
) -> None:
    """What a daemon rolls up hour by hour is what rolling up all runs at once gives; the hour that goes on waits."""
    runs = list(three_days())
    await state.save(runs, [])
    hours = []
    for number in range(66):
        clock.at = NOON + number * HOUR + MINUTE
        hours.append(await roll(trends))
    ended = [each for each in runs if each.started < NOON + 65 * HOUR]
    kept, days = await everything(state)
    assert kept == sorted(rolled(ended, length=HOUR, budgets=budget), key=lambda each: each.start)
    midnight = NOON.replace(hour=0) + 3 * DAY
    assert days == sorted(merged([each for each in kept if each.start < midnight], DAY), key=lambda each: each.start)
    assert (sum(hours), max(hours)) == (9, 1)


async def test_a_daemon_catches_up_and_dies_in_the_midst_of_it(
    state: ForgetfulState, trends: Trends, clock: StoppedClock
) -> None:
    """Wherever the state fails, the next turn goes on; what comes of it is what one turn without failures gives."""
    await state.save(list(three_days()), [])
    clock.at = NOON + 5 * DAY
    for steps in range(100):
        state.left = steps
        try:
            await roll(trends)
            break
        except StateError:
            continue
    assert await state.rolled_until() == NOON + 5 * DAY - HOUR
    hours, days = await everything(state)
    assert hours == sorted(rolled(three_days(), length=HOUR, budgets=budget), key=lambda each: each.start)
    assert days == sorted(merged(hours, DAY), key=lambda each: each.start)
    assert await roll(trends) == 0


async def test_what_has_just_ended_is_waited_for(state: KeptState, trends: Trends, clock: StoppedClock) -> None:
    """An hour is rolled up once whatever began in it is kept for certain."""
    await state.save([run(NOON + 59 * MINUTE)], [])
    clock.at = NOON + HOUR + MINUTE - timedelta(seconds=1)
    assert await roll(trends) == 0
    clock.at = NOON + HOUR + MINUTE
    assert await roll(trends) == 1
    assert await state.rolled_until() == NOON + HOUR


async def test_it_begins_where_all_runs_are_there(state: KeptState, trends: Trends) -> None:
    """Of hours that were pruned before, failures remain: they are no hour's runs."""
    await state.save([run(NOON - 30 * DAY, TIMEOUT), run(NOON - 7 * DAY + MINUTE, TIMEOUT), run(NOON - 2 * HOUR)], [])
    assert await roll(trends) == 1
    hours, _ = await everything(state)
    assert [each.start for each in hours] == [NOON - 2 * HOUR]


async def test_what_did_not_take_place_is_rolled_up(state: KeptState, trends: Trends, clock: StoppedClock) -> None:
    """Turns of an hour are kept together, wait while the state fails, and count by their reason."""
    for minutes in (1, 2, 3):
        trends.not_run(missed(NOON + minutes * MINUTE, 2))
    trends.not_run(missed(NOON + MINUTE, 1, Reason.PAUSED, environment="staging"))
    await trends.flush()
    trends.not_run(missed(NOON + 59 * MINUTE, 1))
    trends.not_run(missed(NOON + HOUR, 5))
    await trends.flush()
    clock.at = NOON + HOUR + MINUTE
    assert await roll(trends) == 1
    hours, _ = await everything(state)
    assert [(each.environment, each.verdicts, each.reasons) for each in hours] == [
        ("production", {Verdict.UNKNOWN: 7}, {Reason.MISSED: 7}),
        ("staging", {Verdict.UNKNOWN: 1}, {Reason.PAUSED: 1}),
    ]


def lived(budgets: Budgets, trends: Trends, ended: Sequence[RunRecord | NotRun]) -> None:
    """Tell of what ended, as a daemon does."""
    for each in ended:
        if isinstance(each, NotRun):
            budgets.not_run(each)
            trends.not_run(each)
        else:
            budgets.ran(each, Changes())


async def test_a_budget_is_right_at_any_moment(state: KeptState, trends: Trends, clock: StoppedClock) -> None:
    """Before and after hours and days are rolled up, and after a restart in between: each run counts once."""
    budgets = Budgets(state, clock=clock)
    good = bad = 0
    for hour in range(40):
        if hour % 7 == 3:  # a restart: what was told to the one before is in the state
            budgets = Budgets(state, clock=clock)
            await budgets.refresh(["production"])
        await budgets.refresh(["production"])
        at = clock.at + MINUTE
        ended = [run(at), run(at, LOST, probe="sync"), run(at, TIMEOUT, probe="pool"), run(at, environment="staging")]
        turns = [missed(at, 3), missed(at, 2, Reason.PAUSED)]
        lived(budgets, trends, [*ended, *turns])
        await state.save(ended, [])
        good, bad = good + 1, bad + 5
        expected = ErrorBudget(objective=0.99, window=WINDOW, good=good, bad=bad)
        assert budgets.of("production", objective=0.99) == expected
        clock.at += HOUR
        await trends.flush()
        if hour % 3:
            await trends.roll(settled=2 * MINUTE, kept=7 * DAY)
        await budgets.refresh(["production"])
        assert budgets.of("production", objective=0.99) == expected
    assert budgets.of("staging", objective=0.99) is None


async def test_a_budget_forgets_what_is_older_than_its_window(
    state: KeptState, trends: Trends, clock: StoppedClock
) -> None:
    """Of 30 days each whole hour counts, by days where they are whole."""
    begins = NOON - WINDOW
    await state.save([run(begins + number * HOUR, LOST) for number in (-2, -1, 0, 1, 14, 40)], [])
    await trends.roll(settled=MINUTE, kept=60 * DAY)
    clock.at = NOON + timedelta(minutes=30)
    budgets = Budgets(state, clock=clock)
    await budgets.refresh(["production"])
    assert budgets.of("production", objective=0.5) == ErrorBudget(objective=0.5, window=WINDOW, good=0, bad=3)


async def test_an_environment_that_left_is_forgotten(state: KeptState, clock: StoppedClock) -> None:
    """Memory holds nothing of what is not watched."""
    budgets = Budgets(state, clock=clock)
    await budgets.refresh(["production"])
    budgets.ran(run(NOON), Changes())
    await budgets.refresh([])
    assert budgets.of("production", objective=0.99) is None


async def test_rolling_up_gives_the_loop_to_others(state: KeptState, trends: Trends, clock: StoppedClock) -> None:
    """While many runs are rolled up, others have their turns in between."""
    await state.save([run(NOON + timedelta(seconds=number)) for number in range(600)], [])
    clock.at = NOON + HOUR + MINUTE
    rolling = asyncio.create_task(roll(trends))
    turns = 0
    while not rolling.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 60
    assert (await everything(state))[0] == rolled(
        [run(NOON + timedelta(seconds=number)) for number in range(600)], length=HOUR, budgets=budget
    )
