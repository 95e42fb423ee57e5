"""Which probes cannot tell now, and why: the data is safe only where each of them could tell lately."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from monitor.core.record import RunRecord
from monitor.core.rollup import Rollup
from monitor.core.verdict import Reason, Verdict
from monitor.report import words
from monitor.report.availability import STALE, told, took_place
from monitor.report.gather import Gathered


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """A probe that cannot tell now, and why in a few words: `read-only`, `no run since 2026-03-31 01:00 UTC`."""

    probe: str
    why: str


def untold(found: Gathered) -> list[Untold]:
    """Of all enabled probes those whose latest run could not tell, is too old, or never was; by name."""
    by_probe: dict[str, list[Rollup]] = defaultdict(list)
    for rollup in found.counts:
        by_probe[rollup.probe].append(rollup)
    reasons = {
        probe: _of_run(found, run) if (run := found.latest.get(probe)) else _of_hours(found, by_probe[probe])
        for probe in sorted(found.subject.budgets)
    }
    return [Untold(probe=probe, why=why) for probe, why in reasons.items() if why]


def sentence(blind: Iterable[Untold]) -> str:
    """All of them, those of one reason together: `unknown for history, thread (read-only) and sync (timeout)`."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for each in blind:
        by_reason[each.why].append(each.probe)
    return "unknown for " + " and ".join(f"{', '.join(probes)} ({why})" for why, probes in by_reason.items())


def _of_run(found: Gathered, run: RunRecord) -> str:
    """Why its latest run says nothing of now; empty where it does."""
    if run.verdict is Verdict.UNKNOWN:
        return _named(run.finding.reason)
    age, patience = found.period.until - run.started, found.subject.patience.get(run.probe, timedelta())
    since = found.missed.get(run.probe)
    if since and since.at > run.started and (since.reason is Reason.PAUSED or age > patience):
        return _named(since.reason)
    return f"no run since {words.when(run.started)} UTC" if age > max(STALE, patience) else ""


def _of_hours(found: Gathered, rollups: list[Rollup]) -> str:
    """The same where its single runs are forgotten: by the latest hour, or day, of which anything is known."""
    if not any(map(took_place, rollups)):
        return "no run in this period"
    last = max(rollups, key=lambda rollup: rollup.start)
    if not told(last):
        return _named(max(last.reasons, key=lambda reason: last.reasons[reason], default=None))
    patience = found.subject.patience.get(last.probe, timedelta())
    return f"no run since {words.when(last.end)} UTC" if found.period.until - last.end > max(STALE, patience) else ""


def _named(reason: Reason | None) -> str:
    return (reason or Reason.INCONCLUSIVE).replace("_", "-")
