"""What the web asks of the daemon. The app answers; nothing here does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from monitor.core.ledger.found import Standing
from monitor.core.record import RunRecord
from monitor.core.rollup import Rollup
from monitor.core.slo import ErrorBudget
from monitor.core.verdict import Reason
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import Clock, Store, Surroundings
from monitor.probe import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One environment as people see it.

    `left_out` says of each probe that does not run here why, e.g. "needs redis, which this environment does not have".
    """

    name: str
    labels: Mapping[str, str]
    around: Surroundings
    probes: Mapping[str, Probe[Any]]
    left_out: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Resting:
    """A store that is left alone: when it is tried next, and what the latest run against it said."""

    until: datetime
    reason: Reason | None
    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something about the daemon itself that somebody should mend: what it is about, what is wrong, what to do."""

    about: str
    message: str


class Daemon(Protocol):
    """The running daemon. Nothing that it hands out holds a secret."""

    @property
    def version(self) -> str:
        """The version of Holdfast that runs."""

    @property
    def location(self) -> str:
        """Where this daemon stands."""

    @property
    def journal(self) -> Journal:
        """Runs and violations."""

    @property
    def metrics(self) -> Metrics:
        """All that is exported."""

    @property
    def clock(self) -> Clock:
        """Where time comes from."""

    @property
    def started(self) -> datetime:
        """When the daemon started, in UTC."""

    def environments(self) -> Mapping[str, Watched]:
        """Every environment that is watched now, by name, in the order of the configuration."""

    async def run_now(self, environment: str, probe: str) -> RunRecord:
        """Run a probe at once, or join the run that is under way. Raises KeyError if it is not watched."""

    async def pause(self, environment: str, until: datetime) -> None:
        """Run nothing against an environment before this moment. Raises KeyError if it is not watched."""

    async def resume(self, environment: str) -> None:
        """End a pause, if there is one. Raises KeyError if the environment is not watched."""

    def paused_until(self, environment: str) -> datetime | None:
        """When a pause ends, or None if there is none."""

    def resting(self, environment: str) -> Mapping[Store, Resting]:
        """The stores that are left alone because runs against them failed."""

    def ledgers(self, environment: str) -> Mapping[Store, Standing]:
        """How the ledger of each store stood a few seconds ago, where one is kept."""

    def budget(self, environment: str) -> ErrorBudget | None:
        """What is left of the error budget, as it stood a minute ago at the most; None where no objective is set."""

    async def rollups(
        self, environment: str, probe: str | None, *, length: timedelta, since: datetime, until: datetime
    ) -> list[Rollup]:
        """What runs came to by the hour or the day, the earliest first, of spans that have ended. Raises StateError."""

    def notices(self) -> Sequence[Notice]:
        """What somebody should mend about the daemon itself; empty when nothing."""

    def not_ready(self) -> Sequence[str]:
        """What is missing until the daemon is ready, in words; empty when it is."""

    def stalled(self) -> float:
        """Seconds since the loop last turned."""
