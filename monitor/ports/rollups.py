"""What the state database keeps of runs for long: rollups; and what they are made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias

from monitor.core.record import NotRun, RunRecord
from monitor.core.rollup import Rollup
from monitor.core.verdict import Reason, Verdict

Tally: TypeAlias = tuple[Mapping[Verdict, int], Mapping[Reason, int]]
"""How many runs ended how, by verdict and by reason; what there was none of may be left out."""


class Rollups(Protocol):
    """The long memory of a state. Every method raises StateError, and nothing else."""

    async def rollups(
        self,
        *,
        length: timedelta,
        since: datetime,
        until: datetime,
        environment: str | None = None,
        probe: str | None = None,
        counts_only: bool = False,
    ) -> list[Rollup]:
        """Rollups of this length that start within a time, the earliest first; without steps if only counts matter."""

    async def medians(
        self, *, length: timedelta, since: datetime, until: datetime, environment: str
    ) -> Mapping[tuple[str, str], Mapping[datetime, float]]:
        """How long the steps of an environment took, by probe and step, as the median of each rollup by its start."""

    async def keep_rollups(self, made: Sequence[Rollup], *, until: datetime | None = None) -> None:
        """Keep rollups, each in the place of an earlier one of the same span; with `until`, all before is rolled up."""

    async def rolled_until(self) -> datetime | None:
        """The moment before which all runs are rolled up, once there is one. Runs after it are never pruned."""

    async def prune_rollups(self, *, hourly: datetime, daily: datetime) -> int:
        """Forget what started before. Returns how many went."""

    async def keep_not_run(self, turns: Sequence[NotRun]) -> None:
        """Keep runs that were due and did not take place; the same ones again change nothing."""

    async def not_run(self, environment: str, *, since: datetime, until: datetime) -> list[NotRun]:
        """What did not take place in an environment within a time."""

    def runs_between(
        self, environment: str, probe: str, *, since: datetime, until: datetime, size: int
    ) -> AsyncIterator[list[RunRecord]]:
        """The runs that began within a time, the earliest first, in groups of no more than `size`."""

    async def first_run(self, *, since: datetime | None = None) -> datetime | None:
        """When the earliest run that is kept began, or did not take place, at `since` or later where that is given."""

    async def places(self) -> list[tuple[str, str]]:
        """Every environment and probe of which there is a run, or one that did not take place."""

    async def tally(self, environment: str, *, since: datetime, until: datetime) -> Tally:
        """How many runs of an environment that began within a time ended how; with those that did not take place."""

    async def tally_rolled(self, environment: str, *, length: timedelta, since: datetime, until: datetime) -> Tally:
        """The same by rollups of this length that start within a time."""
