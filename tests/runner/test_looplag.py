"""What this process adds to a latency by being late itself is no store's, and is not told as one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from monitor.core.budget import over_budget, suspect
from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Verdict
from monitor.desk import Desk
from monitor.looplag import LoopWatch
from monitor.probe import Run
from monitor.runner import run_once
from tests.runner import Bell, Doing, HeardMetrics, Place, desk_with

BUDGET = timedelta(milliseconds=200)
MS = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Runs of one step, and what is exported of them."""

    desk: Desk
    metrics: HeardMetrics
    place: Place

    async def step(self, *, answers_after: float, stalls: float = 0.0) -> RunRecord:
        """A run whose store answers after so many seconds, while something else holds up the loop for so many."""

        async def deed(run: Run) -> None:
            async with run.step("reload"):
                answer = asyncio.create_task(asyncio.sleep(answers_after))
                if stalls:
                    asyncio.get_running_loop().call_soon(time.sleep, stalls)
                await answer

        probe = Doing(deed=deed, budget=BUDGET, timeout=timedelta(seconds=29))
        self.metrics.expect("production", labels={}, probes=[probe], stores=self.place.stores)
        return await run_once(probe, self.place, self.desk)

    def exported(self, name: str) -> float | None:
        """A sample of the step."""
        return self.metrics.value(name, step="reload")


@pytest.fixture
async def measuring() -> AsyncIterator[Measuring]:
    """A desk whose loop is watched."""
    async with desk_with(Bell()) as (desk, metrics, _):
        watch = LoopWatch()
        watch.start()
        yield Measuring(desk=replace(desk, lag=watch.since), metrics=metrics, place=Place())
        watch.stop()


async def test_a_stall_of_the_loop_is_no_slowness_of_a_store(measuring: Measuring) -> None:
    """A step that was over its budget only since the loop stood still is suspect, and neither slow nor a latency."""
    stalled = await measuring.step(answers_after=0.01, stalls=0.4)
    assert stalled.steps[0].took > BUDGET
    assert stalled.verdict is Verdict.OK
    assert measuring.exported("holdfast_step_suspect_total") == 1
    assert measuring.exported("holdfast_step_duration_seconds_count") == 0
    assert measuring.exported("holdfast_budget_exceeded_total") == 0


async def test_a_slow_store_is_slow_also_while_the_loop_stalls(measuring: Measuring) -> None:
    """What is over its budget without the stall as well is told, whatever else this process had to do."""
    slow = await measuring.step(answers_after=0.6, stalls=0.05)
    assert slow.verdict is Verdict.SLOW
    assert measuring.exported("holdfast_budget_exceeded_total") == 1


async def test_nothing_is_suspect_while_nobody_watches() -> None:
    """A watch that was not started, or was stopped, knows of no lateness."""
    watch = LoopWatch()
    assert watch.since(0.0) == 0.0
    watch.start()
    time.sleep(0.05)  # noqa: ASYNC251  the stall
    assert watch.since(0.0) > 0.0
    watch.stop()
    assert watch.since(0.0) == 0.0


async def test_stalls_add_up() -> None:
    """Who asked for several things in turn may have waited for each: all stalls count, but for those before."""
    watch = LoopWatch()
    watch.start()
    time.sleep(0.1)  # noqa: ASYNC251  the stall
    await asyncio.sleep(0.02)
    moment = time.monotonic()
    for _ in range(3):
        time.sleep(0.05)  # noqa: ASYNC251  the stall
        await asyncio.sleep(0.02)
    together = watch.since(moment)
    assert together >= 3 * 0.03
    assert watch.since(0.0) >= together + 0.08
    watch.stop()


async def test_the_worst_of_each_while_is_told() -> None:
    """A stall is among what is told, however short it is beside the while."""
    told: list[float] = []
    heard = asyncio.Event()

    def hear(seconds: float) -> None:
        told.append(seconds)
        if max(told) > 0.02:
            heard.set()

    watch = LoopWatch(hear)
    watch.start()
    await asyncio.sleep(0)
    time.sleep(0.05)  # noqa: ASYNC251  the stall
    await asyncio.wait_for(heard.wait(), 30)
    watch.stop()


@pytest.mark.parametrize(
    ("took", "lag", "doubtful", "late"),
    [
        (50, 0, False, False),
        (50, 4, False, False),  # a timer is no finer
        (50, 6, True, False),
        (250, 0, False, True),
        (250, 60, True, False),  # 190 without
        (250, 40, True, True),  # 210 without
        (20_000, 150, False, True),  # less than a hundredth of it
    ],
)
def test_what_is_suspect(took: int, lag: int, *, doubtful: bool, late: bool) -> None:
    """More than a hundredth of the budget or of the time itself; and over budget is what is so without it."""
    step = StepTiming(name="reload", after=timedelta(), took=took * MS, lag=lag * MS)
    assert suspect(step, BUDGET) is doubtful
    assert over_budget([step], lambda _: BUDGET) == ([step] if late else [])
