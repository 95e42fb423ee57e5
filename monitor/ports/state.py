"""Where the daemon keeps what must survive it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from monitor.core.record import RunRecord
from monitor.core.violations import KeptViolation, Stage


class StateError(Exception):
    """The state database did not do what it was asked; the message names the file and the next step."""


class StateTakenError(StateError):
    """Another daemon runs with this state database."""


class State(Protocol):
    """Where the daemon keeps what must survive it. Every method raises StateError, and nothing else."""

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Keep runs, and the present form of violations, in one transaction."""

    async def runs(
        self, *, environment: str | None = None, probe: str | None = None, verdict: str | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """The latest runs first."""

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:
        """The latest opened first; of all stages unless some are named."""

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:
        """Forget what is older: runs that were right, runs that were not, closed violations. Returns how many went."""

    async def recall(self, name: str) -> str | None:
        """A small fact by its name."""

    async def remember(self, name: str, value: str | None) -> None:
        """Keep a small fact, or forget it."""
