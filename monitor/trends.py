"""The long memory of a daemon: hours and days that have ended are rolled up."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from monitor.core.record import NotRun
from monitor.core.rollup import DAY, HOUR, BudgetOf, Rollup, floor, merged, rolled
from monitor.core.verdict import Reason
from monitor.ports import Clock, Rollups

_GROUP = 15  # runs that are read in one turn of the loop and rolled up in another: two milliseconds each
_REST = 0.005  # seconds after each turn that are the probes'


class Trends:
    """Rolls up what the state database has: a row per environment, probe and hour, and of these a row per day.

    Nothing of it stays in memory. What is done twice, after a crash in the midst of it, comes to the same; after a
    downtime it goes on where it was. One daemon at a time has a state, so that nobody else rolls up the same runs.
    """

    def __init__(self, state: Rollups, *, clock: Clock, budgets: BudgetOf) -> None:
        self._state = state
        self._clock = clock
        self._budgets = budgets
        self._unkept: dict[tuple[str, str, datetime, Reason], NotRun] = {}

    def not_run(self, turn: NotRun) -> None:
        """Take in a turn that did not take place; those of an hour are kept together, at the first of their moments."""
        place = (turn.environment, turn.probe, floor(turn.at, HOUR), turn.reason)
        before = self._unkept.get(place)
        at, times = (turn.at, turn.times) if before is None else (before.at, before.times + turn.times)
        self._unkept[place] = NotRun(
            environment=turn.environment, probe=turn.probe, at=at, reason=turn.reason, times=times
        )

    async def flush(self) -> None:
        """Keep the turns that did not take place. Raises StateError, and then they wait."""
        unkept = dict(self._unkept)
        if unkept:
            await self._state.keep_not_run(list(unkept.values()))
            self._unkept = {place: turn for place, turn in self._unkept.items() if turn is not unkept.get(place)}

    async def roll(self, *, settled: timedelta, kept: timedelta) -> int:
        """Roll up every hour that ended longer ago than `settled`, and what is in it by now; -> how many hours.

        The first time it begins with the first whole hour whose runs are all there: younger than `kept`. Raises
        StateError; what was done until then stays.
        """
        horizon = floor(self._clock.now() - settled, HOUR)
        done = await self._state.rolled_until() or await self._beginning(horizon, kept)
        hours = 0
        while done < horizon:
            first = await self._state.first_run(since=done)
            begins = horizon if first is None else min(horizon, floor(first, HOUR))
            upto = begins
            if begins == done:
                await self._hour(done)
                hours, upto = hours + 1, done + HOUR
            if floor(done, DAY) < floor(upto, DAY):  # of the days between, there is nothing
                await self._day(floor(done, DAY))
            await self._state.keep_rollups([], until=upto)
            done = upto
        return hours

    async def prune(self, *, hourly: timedelta, daily: timedelta) -> int:
        """Forget rollups that are older; -> how many. Raises StateError."""
        now = self._clock.now()
        return await self._state.prune_rollups(hourly=now - hourly, daily=now - daily)

    async def _beginning(self, horizon: datetime, kept: timedelta) -> datetime:
        first = await self._state.first_run(since=self._clock.now() - kept)
        # The oldest of the runs may be all that pruning left of its hour; failures are kept for longer.
        pruned = floor(self._clock.now() - kept, HOUR) + HOUR
        return horizon if first is None else min(horizon, max(floor(first, HOUR), pruned))

    async def _hour(self, start: datetime) -> None:
        for environment, probes in (await self._places()).items():
            due = await self._state.not_run(environment, since=start, until=start + HOUR)
            made = rolled((), length=HOUR, budgets=self._budgets, not_run=due)
            for probe in probes:
                made += await self._runs(environment, probe, start)
            if made:
                await self._state.keep_rollups(merged(made, HOUR))

    async def _runs(self, environment: str, probe: str, start: datetime) -> list[Rollup]:
        made: list[Rollup] = []
        groups = self._state.runs_between(environment, probe, since=start, until=start + HOUR, size=_GROUP)
        async for group in groups:
            await asyncio.sleep(0)
            made = merged([*made, *rolled(group, length=HOUR, budgets=self._budgets)], HOUR)
            await asyncio.sleep(_REST)
        return made

    async def _day(self, start: datetime) -> None:
        for environment, probes in (await self._places()).items():
            made: list[Rollup] = []
            for probe in probes:
                hours = await self._state.rollups(
                    length=HOUR, since=start, until=start + DAY, environment=environment, probe=probe
                )
                made += merged(hours, DAY)
                await asyncio.sleep(_REST)
            if made:
                await self._state.keep_rollups(made)

    async def _places(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for environment, probe in await self._state.places():
            found.setdefault(environment, []).append(probe)
        return found
