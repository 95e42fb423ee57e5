"""ONE run, top to bottom. Read this first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import structlog
from uuid_utils import uuid7

from monitor.core import duration
from monitor.core.budget import within_budget
from monitor.core.record import RunRecord
from monitor.core.verdict import Finding, Reason, Verdict
from monitor.core.violations import Changes
from monitor.desk import Desk
from monitor.ports import Environment, StoreError
from monitor.probe import Probe, Run

log = structlog.get_logger("holdfast")

_SLOW = "the store answers too slowly, or the timeout is too short for it"


async def run_once(
    probe: Probe[Any], environment: Environment, desk: Desk, *, begun: Callable[[], None] = lambda: None
) -> RunRecord:
    """Execute a probe against an environment once, and report how it ended. Raises nothing but cancellation.

    `begun` is called when the run has all that it waits for: until then it is late, and its clock does not run.
    """
    around = environment.surroundings
    async with environment.slots(probe.held_in(around)), desk.gate.turn(environment.name):
        begun()
        run = Run(
            run_id=str(uuid7()),
            probe=probe.name,
            environment=environment,
            clock=desk.clock,
            lag=desk.lag,
            acknowledged=desk.journal.acknowledged(environment.name, probe.name),
        )
        try:
            async with asyncio.timeout(probe.timeout.total_seconds()):
                await environment.prepare(probe.needs_in(around), probe=probe.name)  # what it only wants may be down
                seen = await probe.observe(run)
            finding = within_budget(probe.judge(seen), run.steps, probe.budget_of)
        except StoreError as error:
            environment.learn(error)
            finding = Finding.unknown(error.reason, f"{error}{run.where()}", place=str(error.place))
        except TimeoutError:
            finding = Finding.unknown(
                Reason.TIMEOUT, f"not done after {duration.text(probe.timeout)}{run.where()}; {_SLOW}"
            )
        except Exception as error:
            log.exception("run.failed", environment=environment.name, probe=probe.name, run_id=run.run_id)
            finding = Finding.unknown(Reason.INTERNAL, f"{type(error).__name__}{run.where()}; the log has more")
        record = run.end(replace(finding, left_out=(*probe.left_out(around), *finding.left_out)))
    changes = await desk.journal.add(record)
    desk.metrics.record(record)
    if changes.opened or changes.closed:
        desk.metrics.standing(environment.name, desk.journal.standing(environment.name))
    _log(record, changes)
    return record


def _log(record: RunRecord, changes: Changes) -> None:
    what = {"environment": record.environment, "probe": record.probe, "run_id": record.run_id}
    for kept in changes.opened:
        log.error(
            "violation.opened",
            **what,
            verdict=record.verdict,
            kind=kept.kind,
            violation=kept.id,
            subject=kept.subject,
            expected=kept.expected,
            actual=kept.actual,
        )
    for kept in changes.closed:
        log.info(
            "violation.closed", **what, verdict=record.verdict, kind=kept.kind, violation=kept.id, times=kept.times
        )
    finding = record.finding
    tell = log.info if record.verdict in (Verdict.OK, Verdict.SLOW) else log.warning
    tell(
        "run.finished",
        **what,
        verdict=record.verdict,
        reason=finding.reason,
        kinds=sorted({violation.kind for violation in finding.violations}) or None,
        message=finding.message or None,
        ms=round(record.took.total_seconds() * 1000, 1),
        checks=finding.checks,
    )
