"""Rollups: any split of the runs comes to the same, and the fewest of them cover a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.record import NotRun, Propagation, RunRecord, StepTiming
from monitor.core.rollup import DAY, HOUR, Rollup, floor, merged, rolled, spans
from monitor.core.sketch import Sketch
from monitor.core.slo import WINDOW, ErrorBudget, counted
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LOST = Violation(kind=Kind.LOST, subject="m", expected="a", actual="b")
FINDINGS = (
    Finding.of((), checks=1),
    Finding.slow("late", checks=1),
    Finding.of((LOST,), checks=1),
    *(Finding.unknown(reason, "why") for reason in Reason),
)
MOMENTS = st.integers(0, 60 * 60 * 24 * 3).map(lambda seconds: NOON + timedelta(seconds=seconds))
TOOK = st.integers(0, 4_000_000).map(lambda microseconds: timedelta(microseconds=microseconds))
STEPS = st.builds(
    StepTiming,
    name=st.sampled_from(["connect", "append", "reload"]),
    after=st.just(timedelta()),
    took=TOOK,
    failed=st.booleans(),
)
ARRIVALS = st.builds(
    Propagation,
    source=st.just("postgres"),
    target=st.sampled_from(["eu-2", "cache"]),
    took=TOOK,
    resolution=st.just(timedelta(milliseconds=1)),
)
RUNS = st.lists(
    st.builds(
        RunRecord,
        run_id=st.just("run"),
        environment=st.sampled_from(["staging", "production"]),
        probe=st.sampled_from(["thread", "session"]),
        started=MOMENTS,
        took=TOOK,
        finding=st.sampled_from(FINDINGS),
        steps=st.lists(STEPS, max_size=4).map(tuple),
        propagations=st.lists(ARRIVALS, max_size=2).map(tuple),
    ),
    max_size=12,
)


def budget(_environment: str, _probe: str, step: str) -> timedelta | None:
    """One step is of a probe that nobody knows any more."""
    return {"connect": timedelta(seconds=1), "append": timedelta(seconds=2)}.get(step)


def hours(runs: list[RunRecord], not_run: tuple[NotRun, ...] = ()) -> list[Rollup]:
    """The hourly rollups of some runs."""
    return rolled(runs, length=HOUR, budgets=budget, not_run=not_run)


@given(RUNS, st.integers(0, 12))
def test_any_split_of_the_runs_merges_to_the_same(runs: list[RunRecord], at: int) -> None:
    """Hours of halves are the hours of the whole, and days of hours are days of the runs themselves."""
    whole = hours(runs)
    assert merged([*hours(runs[:at]), *hours(runs[at:])], HOUR) == whole
    assert merged(whole, DAY) == rolled(runs, length=DAY, budgets=budget)
    assert merged([*merged(whole[at:], DAY), *merged(whole[:at], DAY)], DAY) == merged(whole, DAY)
    assert sum(sum(each.verdicts.values()) for each in whole) == len(runs)
    assert all(each.start <= run.started < each.end for each in whole for run in runs if _is_of(run, each))


def _is_of(run: RunRecord, rollup: Rollup) -> bool:
    place = (run.environment, run.probe, floor(run.started, HOUR))
    return place == (rollup.environment, rollup.probe, rollup.start)


def test_a_rollup_says_what_the_metrics_count() -> None:
    """Steps that failed are in none of their figures, however long they took; what was not run counts by its reason."""
    steps = [(0.5, False), (1.5, False), (9.0, True)]
    run = RunRecord(
        run_id="run",
        environment="production",
        probe="thread",
        started=NOON + timedelta(minutes=59),
        took=timedelta(seconds=12),
        finding=Finding.unknown(Reason.TIMEOUT, "late"),
        steps=tuple(
            StepTiming(name="connect", after=timedelta(), took=timedelta(seconds=took), failed=failed)
            for took, failed in steps
        ),
    )
    missed = NotRun(environment="production", probe="thread", at=NOON, reason=Reason.MISSED, times=3)
    (found,) = hours([run], (missed,))
    assert (found.start, found.end) == (NOON, NOON + HOUR)
    assert (found.verdicts, found.reasons) == ({Verdict.UNKNOWN: 4}, {Reason.TIMEOUT: 1, Reason.MISSED: 3})
    step = found.steps["connect"]
    assert (step.count, step.over, step.budget, step.took) == (2, 1, 1.0, Sketch.of([0.5, 1.5]))


@given(MOMENTS, MOMENTS)
def test_the_fewest_rollups_cover_a_time(one: datetime, other: datetime) -> None:
    """Whole hours, none twice and none left out, and all whole days at once."""
    since, until = sorted((one, other))
    found = spans(since, until)
    covered = [start + number * HOUR for length, start, end in found for number in range(int((end - start) / HOUR))]
    assert covered == [
        moment
        for number in range(int(DAY / HOUR) * 4 + 1)
        if since <= (moment := floor(NOON, DAY) + number * HOUR) and moment + HOUR <= until
    ]
    assert all(start == floor(start, length) and end == floor(end, length) for length, start, end in found)
    assert [length for length, *_ in found] in ([], [HOUR], [DAY], [HOUR, DAY], [DAY, HOUR], [HOUR, DAY, HOUR])


def test_the_budget_counts_as_the_alerts_do() -> None:
    """Ok and slow are good; violated, and unknown but for a pause, are bad."""
    verdicts = {Verdict.OK: 90, Verdict.SLOW: 5, Verdict.VIOLATED: 1, Verdict.UNKNOWN: 9}
    assert counted(verdicts, {Reason.PAUSED: 5, Reason.MISSED: 3, Reason.TIMEOUT: 1}) == (95, 5)
    assert counted({}, {}) == (0, 0)


def test_what_is_left_of_a_budget() -> None:
    """Whole, half, spent, overspent; and an objective of all allows nothing."""

    def left(objective: float, good: int, bad: int) -> float:
        return round(ErrorBudget(objective=objective, window=WINDOW, good=good, bad=bad).left, 9)

    assert [left(0.99, 1000, 0), left(0.99, 995, 5), left(0.99, 990, 10), left(0.99, 970, 30)] == [1, 0.5, 0, -2]
    assert [left(1, 10, 0), left(1, 10, 2), left(0.99, 0, 0)] == [1, -2, 1]
    assert ErrorBudget(objective=0.9, window=WINDOW, good=0, bad=0).availability is None
