"""When runs take place, on the real APScheduler, at intervals of a tenth of a second.

APScheduler reads datetime.now itself and cannot be given a clock: where the wall clock has to jump, the name `datetime`
is replaced in its modules, beside the shift of the Clock port that everything else goes by.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from monitor.core.spread import share
from monitor.core.verdict import Reason, Verdict
from monitor.ports import Store
from monitor.probe import Probe, Run
from monitor.schedule import FIRST_ROUND, Schedule, _first_start
from tests.runner import (
    Another,
    Bell,
    Doing,
    HeardMetrics,
    Place,
    ShiftedClock,
    desk_with,
    every,
    nothing,
    sick,
)

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  made aware
LENGTHS = st.integers(1, 864_000).map(lambda each: timedelta(milliseconds=100 * each))


@given(place=st.tuples(NAMES, NAMES), length=LENGTHS, start=MOMENTS, restart=MOMENTS)
def test_starts_lie_on_a_grid_that_restarts_do_not_move(
    place: tuple[str, str], length: timedelta, start: datetime, restart: datetime
) -> None:
    """The first start is within one interval, and whole intervals from that of any other start of the daemon."""
    one, other = _first_start(place, length, start), _first_start(place, length, restart)
    tolerance = timedelta(microseconds=5)
    assert start - tolerance <= one <= start + length + tolerance
    apart = (other - one) % length
    assert min(apart, length - apart) <= tolerance


def test_starts_are_spread_over_the_interval() -> None:
    """A thousand probes leave no twentieth of their interval empty, and crowd none."""
    shares = [share(f"environment-{number}", probe) for number in range(500) for probe in ("thread", "session")]
    crowds = [sum(1 for each in shares if place <= each * 20 < place + 1) for place in range(20)]
    assert sum(crowds) == 1000
    assert min(crowds) > 20
    assert max(crowds) < 100


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A schedule that runs, and all that is needed to see what it does."""

    schedule: Schedule
    bell: Bell
    metrics: HeardMetrics
    clock: ShiftedClock
    place: Place

    def watch(self, *probes: Probe[object], place: Place | None = None) -> None:
        """Watch probes, with their series."""
        place = place or self.place
        self.metrics.expect(place.name, labels={}, probes=probes, stores=place.stores)
        self.schedule.watch(place, probes)

    def missed(self, probe: str = "doing") -> float:
        """How many runs of a probe were counted as missed."""
        return self.metrics.value("holdfast_unknown_total", reason=Reason.MISSED, probe=probe) or 0

    def ended(self, probe: str = "doing") -> int:
        """How many runs of a probe have ended."""
        return self.bell.counts[f"run production/{probe}"]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """A schedule that has been started, with nothing to do yet."""
    bell = Bell()
    async with desk_with(bell) as (desk, metrics, clock):
        schedule = Schedule(desk)
        schedule.start()
        place = Place()
        yield Stage(schedule=schedule, bell=bell, metrics=metrics, clock=clock, place=place)
        place.gate.set()
        await schedule.drain(timedelta(seconds=5))


async def test_a_probe_runs_again_and_again(stage: Stage) -> None:
    """Runs come one after another, each counted, and the first round is then done."""
    stage.watch(every(100))
    assert not stage.schedule.first_round_done
    await stage.bell.more("run production/doing", 5)
    assert stage.schedule.first_round_done
    assert stage.metrics.value("holdfast_runs_total", verdict=Verdict.OK) == stage.ended()
    assert stage.metrics.value("holdfast_environment_up") == 1
    assert stage.metrics.registry.get_sample_value("holdfast_schedule_lag_seconds_count", {"location": "test"}) >= 4


async def test_a_rare_probe_has_its_first_turn_soon(stage: Stage) -> None:
    """A probe that runs once an hour runs within seconds of the start all the same."""
    stage.watch(every(3_600_000))
    async with asyncio.timeout(FIRST_ROUND.total_seconds()):
        await stage.bell.more("run production/doing")
    assert stage.schedule.first_round_done


async def test_a_first_turn_that_came_before_the_start_is_not_left_out() -> None:
    """Where the grid's moment passed after a probe was watched and before the scheduler started, it runs at once."""
    bell, place, probe = Bell(), Place(), every(3_600_000)
    async with desk_with(bell) as (desk, metrics, clock):
        now = clock.now()
        clock.shift = _first_start((place.name, probe.name), probe.every, now - probe.every) - now - FIRST_ROUND / 2
        metrics.expect(place.name, labels={}, probes=[probe], stores=place.stores)
        schedule = Schedule(desk)
        schedule.watch(place, [probe])
        schedule.start()
        await bell.more("run production/doing")
        await schedule.drain(timedelta())


async def test_the_first_round_of_many_is_little_more_than_what_comes_after_it() -> None:
    """Every probe of two hundred environments has its first turn in the round; no second of it has twice the mean.

    Where the grid of a probe has it run in the round, that is its first turn, and there is no other.
    """
    began = datetime(2026, 11, 23, tzinfo=UTC)

    class Still(ShiftedClock):
        def now(self) -> datetime:
            return began

    async with desk_with(Bell()) as (desk, _, _):
        schedule = Schedule(replace(desk, clock=Still()))
        schedule.expect(400)
        for number in range(200):
            schedule.watch(Place(f"e{number}"), [every(15_000), every(300_000, Another)])
        turns: dict[tuple[str, ...], list[float]] = {}
        for job in schedule._scheduler.get_jobs():
            first = getattr(job.trigger, "start_date", None) or job.trigger.run_date
            turns.setdefault(tuple(job.id.split("/")[-2:]), []).append((first - began).total_seconds())
    length = schedule.round.total_seconds()
    assert length == 20
    firsts = [[start for start in starts if start <= length] for starts in turns.values()]
    assert [len(starts) for starts in firsts] == [1] * 400
    crowds = Counter(int(start) for starts in firsts for start in starts)
    assert max(crowds.values()) < 2 * 400 / length


async def test_a_probe_never_overlaps_itself_and_misses_are_counted(stage: Stage) -> None:
    """While a run waits for its connections no other starts, and every turn meanwhile is counted and logged."""
    stage.place.gate.clear()
    with capture_logs() as logs:
        stage.watch(every(100))
        await stage.bell.more("missed production/doing", 3)
    assert (stage.schedule.in_flight, stage.place.most_within, stage.ended()) == (1, 1, 0)
    lines = [each for each in logs if each["event"] == "run.missed"]
    assert {(each["environment"], each["probe"], each["log_level"]) for each in lines} == {
        ("production", "doing", "warning")
    }
    assert sum(each["times"] for each in lines) == stage.missed()
    assert stage.metrics.value("holdfast_runs_total", verdict=Verdict.UNKNOWN) == stage.missed()
    stage.place.gate.set()
    await stage.bell.more("run production/doing", 3)
    assert stage.place.most_within == 1


async def test_turns_that_a_busy_machine_slept_through_are_missed(stage: Stage) -> None:
    """Where the whole process stood still, what was due meanwhile is counted and not made up for."""
    stage.watch(every(100))
    await stage.bell.more("run production/doing", 2)
    before, ended = stage.missed(), stage.ended()
    time.sleep(0.55)  # noqa: ASYNC251  to keep the loop from turning is the point
    await stage.bell.more("run production/doing", 2)
    assert stage.missed() - before >= 3
    assert stage.ended() - ended < 5


async def test_a_pause_is_counted_and_shown_and_can_be_ended(stage: Stage) -> None:
    """What is due during a pause is unknown/paused, nothing runs, and a resumed environment is probed again."""
    stage.schedule.pause("production", stage.clock.now() + timedelta(hours=1))
    stage.watch(every(100))
    await stage.bell.more("paused production/doing", 3)
    paused = stage.bell.counts["paused production/doing"]
    assert stage.ended() == 0
    assert stage.metrics.value("holdfast_unknown_total", reason=Reason.PAUSED) == paused
    assert stage.metrics.value("holdfast_runs_total", verdict=Verdict.UNKNOWN) == paused + stage.missed()
    assert stage.metrics.value("holdfast_paused") == 1
    stage.schedule.resume("production")
    await stage.bell.more("run production/doing")
    assert stage.metrics.value("holdfast_paused") == 0


async def test_a_pause_ends_by_itself(stage: Stage) -> None:
    """When the moment has come that was named, probing goes on."""
    stage.schedule.pause("production", stage.clock.now() + timedelta(hours=1))
    stage.watch(every(100))
    await stage.bell.more("paused production/doing")
    stage.clock.shift = timedelta(hours=1, seconds=1)
    await stage.bell.more("run production/doing")
    assert stage.schedule.paused_until("production") is None
    assert stage.metrics.value("holdfast_paused") == 0


async def test_a_pause_is_shown_again_where_the_metrics_were_shaped_anew(stage: Stage) -> None:
    """A new configuration with other labels keeps a pause, and shows it."""
    stage.watch(every(3_600_000))
    stage.schedule.pause("production", stage.clock.now() + timedelta(hours=1))
    stage.metrics.shape(location="test", labels=(), budgets=[timedelta(seconds=3)])
    stage.watch(every(3_600_000))
    assert stage.metrics.value("holdfast_paused") == 1


class SickStore:
    """A store that is sick until a test heals it."""

    def __init__(self) -> None:
        self.healthy = False
        self.asked = 0

    async def answer(self, _run: Run) -> object:
        """What a probe does."""
        self.asked += 1
        if not self.healthy:
            raise sick()
        return None


async def test_a_sick_store_is_left_alone_and_then_tried_once(stage: Stage) -> None:
    """Both probes of a sick store wait, each turn counted as missed; then one trial runs, and heals both."""
    store = SickStore()
    stage.watch(every(100, deed=store.answer), every(100, Another, deed=nothing))
    await stage.bell.until(lambda: bool(stage.schedule.sick("production")))
    asked, others = store.asked, stage.ended("another")
    await stage.bell.more("missed production/doing", 3)
    await stage.bell.more("missed production/another", 3)
    assert (store.asked, stage.metrics.value("holdfast_environment_up")) == (asked, 0)
    assert stage.ended("another") <= others + 1  # one may have been under way
    stage.place.gate.clear()
    store.healthy = True
    stage.clock.passed += 400
    await stage.bell.until(lambda: stage.place.within == 1)
    await stage.bell.more("missed production/doing", 2)
    await stage.bell.more("missed production/another", 2)
    assert (stage.place.within, stage.schedule.in_flight) == (1, 1)
    stage.place.gate.set()
    await stage.bell.more("run production/doing", 2)
    await stage.bell.more("run production/another", 2)
    assert stage.schedule.sick("production") == {}
    assert stage.metrics.value("holdfast_environment_up") == 1


async def test_of_two_turns_at_the_same_moment_one_is_the_trial(stage: Stage) -> None:
    """Two probes that are due in the same turn of the loop do not both try a sick store."""
    store = SickStore()
    stage.watch(every(3_600_000, deed=store.answer), every(3_600_000, Another, deed=store.answer))
    await stage.schedule.run_now("production", "doing")
    assert list(stage.schedule.sick("production")) == [Store.POSTGRES]
    stage.clock.passed += 6
    asked = store.asked
    await asyncio.gather(*(stage.schedule._tick(("production", probe)) for probe in ("doing", "another")))
    assert store.asked == asked + 1
    assert stage.schedule.sick("production")[Store.POSTGRES].failures == 2


async def test_only_what_says_something_of_the_store_makes_it_sick(stage: Stage) -> None:
    """A violation, a fault of Holdfast's own or a schema that does not fit is no reason to leave a store alone."""

    async def unfit(_run: Run) -> object:
        raise sick(Reason.MISCONFIGURED)

    async def faulty(_run: Run) -> object:
        raise ValueError

    for deed in (unfit, faulty):
        stage.watch(every(3_600_000, deed=deed))
        await stage.schedule.run_now("production", "doing")
        assert stage.schedule.sick("production") == {}


async def test_a_run_that_was_asked_for_joins_the_one_under_way(stage: Stage) -> None:
    """Two people who ask at once get the same run."""
    stage.watch(every(3_600_000))
    stage.place.gate.clear()
    asked = [asyncio.create_task(stage.schedule.run_now("production", "doing")) for _ in range(2)]
    await asyncio.sleep(0)
    assert stage.schedule.in_flight == 1
    stage.place.gate.set()
    one, other = await asyncio.gather(*asked)
    assert one is other


async def test_who_stops_waiting_does_not_cut_off_the_run(stage: Stage) -> None:
    """A request that is given up leaves the run it asked for under way."""
    stage.watch(every(3_600_000))
    stage.place.gate.clear()
    asked = asyncio.create_task(stage.schedule.run_now("production", "doing"))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert stage.schedule.in_flight == 1
    stage.place.gate.set()
    await stage.bell.until(lambda: stage.ended() == 1)


async def test_what_is_not_watched_cannot_be_run(stage: Stage) -> None:
    """An unknown environment or probe is a KeyError."""
    stage.watch(every(3_600_000))
    for place in (("production", "another"), ("elsewhere", "doing")):
        with pytest.raises(KeyError):
            await stage.schedule.run_now(*place)


async def test_an_end_waits_for_what_is_under_way(stage: Stage) -> None:
    """Nothing more starts, what runs may end, and also what somebody asked for meanwhile."""
    stage.watch(every(100), every(3_600_000, Another))
    stage.place.gate.clear()
    await stage.bell.more("missed production/doing")
    ending = asyncio.create_task(stage.schedule.drain(timedelta(seconds=20)))
    await asyncio.sleep(0)
    asked = asyncio.create_task(stage.schedule.run_now("production", "another"))
    await asyncio.sleep(0)
    assert stage.schedule.in_flight == 2
    stage.place.gate.set()
    assert await ending == 0
    assert (await asked).verdict is Verdict.OK
    assert (stage.ended(), stage.schedule.in_flight, stage.schedule._scheduler.running) == (1, 0, False)


async def test_an_end_is_bounded(stage: Stage) -> None:
    """What does not end in time is cut off and counted, and leaves no record."""
    stage.watch(every(100), every(100, Another))
    stage.place.gate.clear()
    await stage.bell.until(lambda: stage.missed() >= 1 and stage.missed("another") >= 1)
    assert await stage.schedule.drain(timedelta(milliseconds=20)) == 2
    assert (stage.ended(), stage.place.within, stage.schedule.in_flight) == (0, 0, 0)


async def test_an_end_before_the_start_is_quick() -> None:
    """A daemon that could not listen drains a schedule that never ran."""
    async with desk_with(Bell()) as (desk, _, _clock):
        assert await Schedule(desk).drain(timedelta(seconds=5)) == 0


async def test_nothing_runs_where_nothing_is_watched_any_more(stage: Stage) -> None:
    """An environment that left is never probed again, while another goes on; its last run ends without a fuss."""
    stage.watch(every(100))
    stage.watch(every(100), place=Place("staging"))
    await stage.bell.more("run production/doing")
    stage.place.gate.clear()
    await stage.bell.until(lambda: stage.place.within == 1)
    stage.schedule.unwatch("production")
    stage.metrics.forget("production")
    stage.place.gate.set()
    await stage.bell.until(lambda: stage.place.within == 0)
    prepared = stage.place.prepared
    await stage.bell.more("run staging/doing", 4)
    assert stage.place.prepared <= prepared + 1  # the one that was under way
    assert stage.schedule.first_round_done
    with pytest.raises(KeyError):
        await stage.schedule.run_now("production", "doing")


async def test_a_probe_that_keeps_its_interval_keeps_its_rhythm(stage: Stage) -> None:
    """Other settings count from the next run on, at the same moments; a new interval has its own."""
    seen: list[str] = []

    def noting(text: str) -> Doing:
        async def deed(_run: Run) -> object:
            seen.append(text)
            return None

        return every(3_600_000, deed=deed)

    def due() -> datetime:
        return stage.schedule._scheduler.get_job("production/doing").next_run_time

    stage.watch(noting("old"))
    before = due()
    stage.watch(noting("new"))
    assert due() == before
    await stage.schedule.run_now("production", "doing")
    assert seen == ["new"]
    stage.watch(every(1_800_000))
    assert due() - stage.clock.now() <= timedelta(minutes=30)
    stage.watch(every(3_600_000, Another))
    assert [job.id for job in stage.schedule._scheduler.get_jobs()] == [
        "first/production/another",
        "production/another",
    ]


class JumpingDatetime(datetime):
    """What APScheduler takes for datetime, on a wall clock that a test can set."""

    shift = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """The moment."""
        return super().now(tz) + cls.shift


@pytest.mark.parametrize("hours", [1, -1], ids=["ahead", "back"])
async def test_a_clock_that_jumps_misses_nothing(stage: Stage, hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a jump of the wall clock every probe goes on at its interval, and the hour counts as neither run nor miss.

    A stall of the test's own machine may cost some turns; an hour would be 36,000.
    """
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", JumpingDatetime)
    monkeypatch.setattr("apscheduler.executors.base.datetime", JumpingDatetime)
    stage.watch(every(100))
    await stage.bell.more("run production/doing", 2)
    ended = stage.ended()
    monkeypatch.setattr(JumpingDatetime, "shift", timedelta(hours=hours))
    stage.clock.shift = timedelta(hours=hours)
    stage.schedule.realign()
    await stage.bell.more("run production/doing", 5)
    assert stage.missed() < 50
    assert stage.ended() - ended < 50
    assert stage.metrics.value("holdfast_paused") == 0


async def test_people_are_told_when_a_store_goes_and_comes_back(stage: Stage) -> None:
    """environment.ready at the first contact, environment.unreachable once when it goes, ready when it is back."""
    store = SickStore()
    store.healthy = True
    with capture_logs() as logs:
        stage.watch(every(3_600_000, deed=store.answer))
        for healthy in (True, True, False, False, True):
            store.healthy = healthy
            stage.clock.passed += 1000
            await stage.schedule.run_now("production", "doing")
    told = [(line["event"], line["store"]) for line in logs if line["event"].startswith("environment.")]
    assert told == [(f"environment.{event}", Store.POSTGRES) for event in ("ready", "unreachable", "ready")]
    (gone,) = (line for line in logs if line["event"] == "environment.unreachable")
    assert (gone["reason"], gone["environment"]) == (Reason.UNREACHABLE, "production")
    assert "connection refused" in gone["message"]


async def test_a_new_configuration_ends_a_backoff(stage: Stage) -> None:
    """Whoever corrects a DSN sees at the next turn whether that helped."""
    stage.watch(every(3_600_000, deed=SickStore().answer))
    await stage.schedule.run_now("production", "doing")
    assert list(stage.schedule.sick("production")) == [Store.POSTGRES]
    stage.watch(every(3_600_000))
    assert stage.schedule.sick("production") == {}
