"""What is left of each environment's error budget, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime

from monitor.core.record import NotRun, RunRecord
from monitor.core.rollup import HOUR, floor, spans
from monitor.core.slo import WINDOW, ErrorBudget, counted
from monitor.core.verdict import Verdict
from monitor.core.violations import Changes, KeptViolation
from monitor.ports import Clock, Rollups

_Tally = tuple[int, int]
"""Good runs and bad ones."""


class Budgets:
    """Counts good and bad runs over the window of the objective: rollups, and what has ended since the latest of them.

    What is bad is what the alerts call so (core.slo.counted): also what was due and was missed, and nothing of what
    was paused. Memory holds two numbers for each environment and hour that is not rolled up yet. The window begins with
    the first whole hour in it.
    """

    def __init__(self, state: Rollups, *, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._began = clock.now()
        self._asked: datetime | None = None
        self._rolled: dict[str, tuple[datetime, _Tally]] = {}
        self._since: dict[str, dict[datetime, _Tally]] = {}

    def ran(self, record: RunRecord, _changes: Changes) -> None:
        """A run ended."""
        reasons = {} if record.finding.reason is None else {record.finding.reason: 1}
        self._count(record.environment, record.started, counted({record.verdict: 1}, reasons))

    def not_run(self, turn: NotRun) -> None:
        """A turn did not take place."""
        tally = counted({Verdict.UNKNOWN: turn.times}, {turn.reason: turn.times})
        self._count(turn.environment, turn.at, tally)

    def acknowledged(self, kept: KeptViolation) -> None:
        """It stays broken."""

    def of(self, environment: str, *, objective: float) -> ErrorBudget | None:
        """What is left now of a share of runs that are to be good; None before the state database has told the past."""
        if environment not in self._rolled:
            return None
        until, past = self._rolled[environment]
        good, bad = _sum([past, *(tally for hour, tally in self._since.get(environment, {}).items() if hour >= until)])
        return ErrorBudget(objective=objective, window=WINDOW, good=good, bad=bad)

    async def refresh(self, environments: Iterable[str]) -> None:
        """Ask for the past of these, and forget others, where more is rolled up than was. Raises StateError."""
        environments = list(environments)
        for gone in {*self._rolled, *self._since}.difference(environments):
            self._rolled.pop(gone, None)
            self._since.pop(gone, None)
        rolled = await self._state.rolled_until()
        until = rolled or floor(self._began, HOUR)
        for environment in environments:
            if environment not in self._rolled or rolled != self._asked:
                self._rolled[environment] = until, await self._past(environment, until)
                since = self._since.get(environment, {})
                self._since[environment] = {hour: tally for hour, tally in since.items() if hour >= until}
                await asyncio.sleep(0)
        self._asked = rolled

    async def _past(self, environment: str, until: datetime) -> _Tally:
        since = self._clock.now() - WINDOW
        tallies = [
            counted(*await self._state.tally_rolled(environment, length=length, since=begins, until=ends))
            for length, begins, ends in spans(since, until)
        ]
        if until < self._began:  # by the daemon before this one, and not rolled up yet
            tallies.append(counted(*await self._state.tally(environment, since=max(since, until), until=self._began)))
        return _sum(tallies)

    def _count(self, environment: str, at: datetime, tally: _Tally) -> None:
        hours = self._since.setdefault(environment, {})
        hour = floor(at, HOUR)
        hours[hour] = _sum([hours.get(hour, (0, 0)), tally])


def _sum(tallies: Iterable[_Tally]) -> _Tally:
    good, bad = 0, 0
    for each in tallies:
        good, bad = good + each[0], bad + each[1]
    return good, bad
