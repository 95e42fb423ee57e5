"""The latest runs of a probe: what is kept, in how little, and what a sparkline makes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from monitor.core.recent import KEPT, Latest, Recent, p99, worst_share
from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Finding, Reason, Verdict

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OK = Finding.of((), checks=1)


def budget_of(step: str) -> timedelta:
    """Two seconds, and a tenth of one for `read`."""
    return timedelta(seconds=0.1 if step == "read" else 2)


def step(name: str, seconds: float, *, failed: bool = False) -> StepTiming:
    """A step that took so long."""
    return StepTiming(name=name, after=timedelta(), took=timedelta(seconds=seconds), failed=failed)


def run(number: int, *steps: StepTiming, finding: Finding = OK) -> RunRecord:
    """The run that began so many seconds after noon."""
    return RunRecord(
        run_id=f"run-{number}",
        environment="production",
        probe="thread",
        started=NOON + timedelta(seconds=number),
        took=timedelta(seconds=1),
        finding=finding,
        steps=steps,
    )


def seconds(recent: Recent) -> list[int]:
    """When the runs began, in seconds after noon."""
    return [round(started - NOON.timestamp()) for started in recent.started]


def test_the_share_is_of_the_step_that_came_nearest_to_its_budget() -> None:
    """A read of 50 ms is half its budget, a write of 500 ms a quarter; what failed was not timed to its end."""
    assert worst_share([step("write", 0.5), step("read", 0.05)], budget_of) == 0.5
    assert worst_share([step("write", 0.5), step("read", 9, failed=True)], budget_of) == 0.25
    assert worst_share([step("read", 9, failed=True)], budget_of) is None
    assert worst_share([], budget_of) is None


def test_runs_are_seen_as_they_ended() -> None:
    """Moments, shares and verdicts stand in one order; a view stays as it is when more runs end."""
    latest = Latest()
    latest.add(run(1, step("write", 1)), budget_of)
    latest.add(run(2, finding=Finding.unknown(Reason.TIMEOUT, "slow")), budget_of)
    seen = latest.view()
    latest.add(run(3, step("write", 3), finding=Finding.slow("slow", checks=1)), budget_of)
    assert seen == Recent(
        started=(NOON.timestamp() + 1, NOON.timestamp() + 2),
        shares=(0.5, None),
        verdicts=(Verdict.OK, Verdict.UNKNOWN),
    )
    assert latest.view().verdicts == (Verdict.OK, Verdict.UNKNOWN, Verdict.SLOW)


def test_only_the_latest_are_kept() -> None:
    """The oldest goes when there are too many."""
    latest = Latest()
    for number in range(KEPT + 5):
        latest.add(run(number), budget_of)
    assert seconds(latest.view()) == list(range(5, KEPT + 5))


def test_the_past_comes_before_what_is_known_and_not_in_its_place() -> None:
    """What was recalled in any order stands before the runs since the start; a run that is in both counts once."""
    latest = Latest()
    latest.add(run(100), budget_of)
    latest.precede([run(number) for number in (100, 50, 10)], budget_of)
    assert seconds(latest.view()) == [10, 50, 100]
    latest.precede([run(number) for number in range(-KEPT, 0)], budget_of)
    assert seconds(latest.view()) == [*range(-KEPT + 3, 0), 10, 50, 100]


def test_a_probe_costs_about_a_kilobyte() -> None:
    """What is kept of a probe fits in a kilobyte and a half, with the arrays' own overhead."""
    latest = Latest()
    for number in range(3 * KEPT):
        latest.add(run(number, step("write", 1)), budget_of)
    parts = (latest._started, latest._shares, latest._verdicts)
    assert sum(part.__sizeof__() for part in parts) < 1536


@pytest.mark.parametrize(
    ("shares", "slots", "expected"),
    [
        ([], 20, []),
        ([0.1, 0.2], 20, [0.1, 0.2]),
        ([0.1, 0.3, 0.2, 0.4], 2, [0.3, 0.4]),
        ([0.1, None, None, None], 2, [0.1, None]),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 2, [0.3, 0.5]),
        ([0.01] * 99 + [5.0], 1, [0.01]),
        ([0.01] * 98 + [5.0] * 2, 1, [5.0]),
    ],
)
def test_p99_of_groups(shares: list[float | None], slots: int, expected: list[float | None]) -> None:
    """By the nearest rank, of runs that follow each other; one in a hundred may be worse."""
    assert p99(shares, slots=slots) == expected
