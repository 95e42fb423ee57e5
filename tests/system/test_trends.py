"""A daemon that was away finds what has not been rolled up yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from monitor.core.record import RunRecord, StepTiming
from monitor.core.rollup import HOUR, floor
from monitor.core.verdict import Finding, Reason, Verdict
from monitor.stores.state import KeptState
from tests.system import ENVIRONMENT, Daemon, until
from tests.system.conftest import Place

FAST = {"session": {"every": "1s", "timeout": "990ms", "budget": "9s", "brief_ttl": "200ms"}}


def run(number: int, at: datetime, finding: Finding) -> RunRecord:
    """A run of the daemon before."""
    return RunRecord(
        run_id=f"before-{number}",
        environment=ENVIRONMENT,
        probe="session",
        started=at + number * timedelta(seconds=1),
        took=timedelta(milliseconds=20),
        finding=finding,
        steps=(StepTiming(name="save", after=timedelta(), took=timedelta(seconds=10)),),
    )


async def test_a_daemon_rolls_up_what_the_one_before_left(place: Place) -> None:
    """At its start the hours that have ended become rollups, by its budgets, and the error budget knows of them."""
    at = floor(datetime.now(UTC), HOUR) - 3 * HOUR
    findings = [Finding.of((), checks=1), Finding.of((), checks=1), Finding.unknown(Reason.TIMEOUT, "late")]
    state = KeptState(place.state)
    await state.open()
    await state.save([run(number, at, finding) for number, finding in enumerate(findings)], [])

    async def rolled() -> bool:
        return await state.rolled_until() is not None

    file = place.configured(dsn=None, probes=FAST)
    async with Daemon(file, place.folder) as watching:
        await until(rolled)

        async def counted() -> bool:
            budget = (await watching.get(f"/api/v1/environments/{ENVIRONMENT}")).json()["error_budget"]
            return bool(budget) and budget["bad"] == 1 and budget["good"] >= 2

        await until(counted)
        assert await watching.stop() == 0
    (found,) = await state.rollups(length=HOUR, since=at, until=at + HOUR)
    assert found.verdicts == {Verdict.OK: 2, Verdict.UNKNOWN: 1}
    step = found.steps["save"]
    assert (step.count, step.over, step.budget) == (3, 3, 9.0)
    await state.close()
