"""One run ends in one verdict, whatever a probe does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from monitor.core.record import RunRecord
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.desk import Desk
from monitor.probe import Run
from monitor.runner import run_once
from tests.runner import LOST, RIGHT, Bell, Deed, Doing, HeardMetrics, Place, desk_with, nothing, sick


class Counter:
    """A desk, an environment, and what one run left at them."""

    def __init__(self, desk: Desk, metrics: HeardMetrics) -> None:
        self.desk, self.metrics, self.place = desk, metrics, Place()
        self.logs: list[dict[str, object]] = []

    async def run(self, deed: Deed = nothing, **settings: object) -> RunRecord:
        """Run a probe once. What it leaves behind is checked each time: one record, one count, one line."""
        probe = Doing(deed=deed, **settings)  # type: ignore[arg-type]  # fields of the test's choice
        self.metrics.expect("production", labels={}, probes=[probe], stores=self.place.stores)
        with capture_logs() as logs:
            record = await run_once(probe, self.place, self.desk)
        self.logs = [dict(each) for each in logs]
        verdicts = {each: self.metrics.value("holdfast_runs_total", verdict=each) for each in Verdict}
        assert verdicts == {each: float(each is record.verdict) for each in Verdict}
        reasons = {each: self.metrics.value("holdfast_unknown_total", reason=each) for each in Reason}
        assert reasons == {each: float(each is record.finding.reason) for each in Reason}
        assert self.desk.journal.latest("production") == {"doing": record}
        assert [each.run_id for each in await self.desk.journal.runs()] == [record.run_id]
        assert [each["event"] for each in self.logs].count("run.finished") == 1
        return record


@pytest.fixture
async def counter() -> AsyncIterator[Counter]:
    """A desk where nothing has been reported yet."""
    async with desk_with(Bell()) as (desk, metrics, _):
        yield Counter(desk, metrics)


def raising(error: BaseException, *, step: str | None = "reload") -> Deed:
    """A deed that fails, in a step or between steps."""

    async def deed(run: Run) -> object:
        if step is None:
            raise error
        async with run.step(step):
            raise error

    return deed


async def hang(run: Run) -> object:
    """Wait in a step for what never comes."""
    async with run.step("reload"):
        await asyncio.Event().wait()


async def test_what_is_right_is_ok(counter: Counter) -> None:
    """A probe that sees what it should ends ok, with its checks, steps and a UUIDv7."""

    async def deed(run: Run) -> object:
        async with run.step("connect"):
            pass
        return "seen"

    record = await counter.run(deed, verdict=lambda seen: Finding.of((), checks=3 if seen == "seen" else 0))
    assert (record.finding, UUID(record.run_id).version) == (Finding.of((), checks=3), 7)
    assert [step.name for step in record.steps] == ["connect"]
    assert counter.metrics.value("holdfast_checks_total") == 3
    assert counter.metrics.value("holdfast_consecutive_failures") == 0
    assert counter.metrics.value("holdfast_step_duration_seconds_count", step="connect") == 1


async def test_the_log_has_one_line_with_all_that_the_contract_names(counter: Counter) -> None:
    """run.finished names environment, probe, run and verdict, and nothing that is not there."""
    record = await counter.run()
    (line,) = counter.logs
    assert line.pop("ms") == round(record.took.total_seconds() * 1000, 1)
    assert line == {
        "event": "run.finished",
        "log_level": "info",
        "environment": "production",
        "probe": "doing",
        "run_id": record.run_id,
        "verdict": Verdict.OK,
        "reason": None,
        "kinds": None,
        "message": None,
        "checks": 2,
    }


@pytest.mark.parametrize("reason", Reason)
async def test_a_store_that_fails_is_unknown_with_its_reason(counter: Counter, reason: Reason) -> None:
    """Every reason of a store is the reason of the run, in the step where it happened; the environment learns it."""
    error = sick(reason)
    record = await counter.run(raising(error))
    assert record.finding == Finding.unknown(reason, "connection refused by db:5432, in step reload", place="postgres")
    assert counter.place.learned == [error]
    assert counter.metrics.value("holdfast_consecutive_failures") == 1
    assert counter.metrics.value("holdfast_step_duration_seconds_count", step="reload") == 0


async def test_an_environment_that_is_not_ready_is_unknown(counter: Counter) -> None:
    """Where the schema does not fit nothing is observed."""
    counter.place.unfit = sick(Reason.MISCONFIGURED)
    record = await counter.run(raising(AssertionError()))
    assert record.finding == Finding.unknown(Reason.MISCONFIGURED, "connection refused by db:5432", place="postgres")


async def test_a_probe_that_hangs_is_cut_off_at_its_deadline(counter: Counter) -> None:
    """The deadline ends a run in the step where it hung."""
    record = await counter.run(hang, timeout=timedelta(milliseconds=20))
    why = "the store answers too slowly, or the timeout is too short for it"
    assert record.finding == Finding.unknown(Reason.TIMEOUT, f"not done after 20ms, in step reload; {why}")
    assert timedelta(milliseconds=20) <= record.took


async def test_the_deadline_does_not_run_while_a_connection_is_awaited(counter: Counter) -> None:
    """To wait for a free connection is neither latency nor a timeout."""
    counter.place.gate.clear()
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, counter.place.gate.set)
    record = await counter.run(timeout=timedelta(milliseconds=20))
    assert record.verdict is Verdict.OK
    assert record.took < timedelta(milliseconds=50)


@pytest.mark.parametrize(
    ("step", "where"), [("reload", ", in step reload"), (None, "")], ids=["in a step", "between steps"]
)
@pytest.mark.parametrize("error", [ValueError("planted"), ExceptionGroup("planted", [sick()]), KeyError("x")])
async def test_a_fault_while_looking_is_internal(
    counter: Counter, error: Exception, step: str | None, where: str
) -> None:
    """What a probe does wrong itself is unknown, its text is only in the log, with the traceback."""
    record = await counter.run(raising(error, step=step))
    name = type(error).__name__
    assert record.finding == Finding.unknown(Reason.INTERNAL, f"{name}{where}; the log has more")
    failed, finished = counter.logs
    assert (failed["event"], failed["run_id"], failed["exc_info"]) == ("run.failed", record.run_id, True)
    assert finished["event"] == "run.finished"


async def test_a_fault_while_judging_is_internal(counter: Counter) -> None:
    """A judge that crashes is unknown, never ok and never violated."""

    def judge(_seen: object) -> Finding:
        raise ZeroDivisionError

    record = await counter.run(verdict=judge)
    assert record.finding == Finding.unknown(Reason.INTERNAL, "ZeroDivisionError; the log has more")


async def test_right_and_over_budget_is_slow(counter: Counter) -> None:
    """A step that took longer than it may makes a right run slow, and is counted."""

    async def deed(run: Run) -> object:
        async with run.step("reload"):
            await asyncio.sleep(0.005)
        return None

    record = await counter.run(deed, budgets={"reload": timedelta(milliseconds=1)})
    assert (record.verdict, record.finding.checks) == (Verdict.SLOW, 2)
    assert record.finding.message.endswith("its budget is 1ms")
    assert counter.metrics.value("holdfast_budget_exceeded_total", step="reload") == 1
    assert counter.metrics.value("holdfast_consecutive_failures") == 0


async def test_a_violation_is_opened_counted_and_logged(counter: Counter) -> None:
    """A broken promise is kept with its evidence, shown as open, and said at once with the run."""
    stale = Violation(kind=Kind.STALE, subject="message 2", expected="new", actual="old")
    record = await counter.run(verdict=lambda _: Finding.of([LOST, stale], checks=2))
    assert record.verdict is Verdict.VIOLATED
    opened = [each for each in counter.logs if each["event"] == "violation.opened"]
    assert [(each["kind"], each["violation"], each["run_id"]) for each in opened] == [
        (Kind.LOST, "violation-1", record.run_id),
        (Kind.STALE, "violation-2", record.run_id),
    ]
    assert {each["log_level"] for each in opened} == {"error"}
    for kind in (Kind.LOST, Kind.STALE):
        assert counter.metrics.value("holdfast_violations_total", kind=kind) == 1
        assert counter.metrics.value("holdfast_open_violations", kind=kind) == 1


async def test_what_a_probe_did_not_declare_counts_all_the_same(counter: Counter) -> None:
    """A step and a kind that a probe forgot to declare end in the verdict that was found, not in an error."""

    async def deed(run: Run) -> object:
        async with run.step("undeclared"):
            await asyncio.sleep(0.002)
        return None

    torn = Violation(kind=Kind.TORN, subject="a transaction", expected="all", actual="a part")
    record = await counter.run(deed, verdict=lambda _: Finding.of([torn], checks=1), budget=timedelta(milliseconds=1))
    assert record.verdict is Verdict.VIOLATED
    assert counter.metrics.value("holdfast_violations_total", kind=Kind.TORN) == 1
    assert counter.metrics.value("holdfast_step_duration_seconds_count", step="undeclared") == 1
    assert counter.metrics.value("holdfast_budget_exceeded_total", step="undeclared") == 1


async def test_cancellation_passes_through_and_leaves_nothing(counter: Counter) -> None:
    """A run that is cut off is no run: no verdict, no count, no line, and its connections are free."""
    probe = Doing(deed=hang)
    counter.metrics.expect("production", labels={}, probes=[probe], stores=counter.place.stores)
    started = asyncio.Event()

    async def deed(run: Run) -> object:
        started.set()
        return await hang(run)

    with capture_logs() as logs:
        task = asyncio.create_task(run_once(Doing(deed=deed), counter.place, counter.desk))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (logs, counter.place.within, counter.desk.journal.latest("production")) == ([], 0, {})
    assert counter.metrics.value("holdfast_runs_total", verdict="unknown") == 0


async def test_a_closed_violation_is_logged_with_its_length(counter: Counter) -> None:
    """The first right run says that it is over, and how many runs had found it."""
    probe = Doing(verdict=lambda _: Finding.of([LOST], checks=1))
    counter.metrics.expect("production", labels={}, probes=[probe], stores=counter.place.stores)
    for _ in range(3):
        await run_once(probe, counter.place, counter.desk)
    with capture_logs() as logs:
        record = await run_once(Doing(verdict=lambda _: RIGHT), counter.place, counter.desk)
    closed = next(each for each in logs if each["event"] == "violation.closed")
    assert (closed["times"], closed["kind"], closed["run_id"]) == (3, Kind.LOST, record.run_id)
    assert counter.metrics.value("holdfast_open_violations", kind=Kind.LOST) == 0
