"""What to do about a run that was not ok, and which runbook has more: the same in every form of a report."""

from __future__ import annotations

from monitor.core import advice
from monitor.core.record import RunRecord
from monitor.core.runbooks import of_kinds, of_reason
from monitor.core.verdict import Verdict


def runbook(run: RunRecord) -> str:
    """The name of the runbook, which is that of the alert; empty where all is well."""
    if run.verdict is Verdict.VIOLATED:
        return of_kinds({violation.kind for violation in run.finding.violations})
    if run.verdict is Verdict.SLOW:
        return "HoldfastBudgetExceeded"
    if run.verdict is Verdict.OK:
        return ""
    return of_reason(run.finding.reason)


def address(run: RunRecord, runbooks: str) -> str:
    """Where the runbook is, below `runbooks`; empty where all is well."""
    return page(name, runbooks) if (name := runbook(run)) else ""


def page(name: str, runbooks: str) -> str:
    """Where a runbook is, below `runbooks`."""
    return f"{runbooks.rstrip('/')}/{name}.md"


def next_step(run: RunRecord, again: str = "", limit: str = "") -> str:
    """What to type or to do first, in a sentence or two; empty where all is well.

    `again` is the command that brings such a run once more, where that is not `holdfast check`; `limit` the option that
    ended it.
    """
    command = again or advice.check(run.environment, run.probe)
    if run.verdict is Verdict.VIOLATED:
        gone = {violation.kind for violation in run.finding.violations} & advice.GONE
        steps = [advice.look_again(command), *([advice.KEEP] if gone else [])]
        return " ".join(steps)
    if run.verdict is Verdict.SLOW and limit:
        return f"`{limit}` ended it: a higher one shows the rest. `{command} --format json` has the time of each step."
    if run.verdict is Verdict.SLOW:
        return f"`{command} --format json` has the time of each step. Its limit is in `probes.{run.probe}`."
    if run.verdict is Verdict.OK:
        return ""
    return f"Nothing is known of the data, neither good nor bad. Remove what is in the way, then `{command}`."
