"""Where the daemon keeps what must survive it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from monitor.core.record import RunRecord
from monitor.core.violations import KeptViolation, Stage


class StateError(Exception):
    """The state database did not do what it was asked; the message names the file and the next step."""


class StateTakenError(StateError):
    """Another daemon runs with this state database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """That somebody acknowledged a violation, which still stands; `note` holds all notes, a line each."""

    id: str
    environment: str
    probe: str
    at: datetime
    note: str


class State(Protocol):
    """Where the daemon keeps what must survive it. Every method raises StateError, and nothing else."""

    async def save(self, ended: Sequence[RunRecord], changed: Sequence[KeptViolation]) -> None:
        """Keep runs, and the present form of violations, in one transaction."""

    async def runs(
        self, *, environment: str | None = None, probe: str | None = None, verdict: str | None = None, limit: int = 100
    ) -> list[RunRecord]:
        """The latest runs first."""

    async def run(self, run_id: str) -> RunRecord | None:
        """One run by its whole id."""

    async def violations(self, *, stages: Sequence[Stage] = (), limit: int = 1000) -> list[KeptViolation]:
        """The latest opened first; of all stages unless some are named."""

    async def acknowledgements(self) -> list[Acknowledgement]:
        """Of all violations that stand acknowledged."""

    async def acknowledge(self, id_: str, *, at: datetime, note: str) -> bool:
        """Acknowledge a violation where it stands, whatever else is saved meanwhile, and add a note if there is one.

        Returns whether it stood. One that was acknowledged before is acknowledged anew.
        """

    async def prune(self, *, runs: datetime, failures: datetime, violations: datetime) -> int:
        """Forget what is older: runs that were right, runs that were not, closed violations. Returns how many went.

        Runs stay until they are rolled up, however old they are.
        """

    async def recall(self, name: str) -> str | None:
        """A small fact by its name."""

    async def remember(self, name: str, value: str | None) -> None:
        """Keep a small fact, or forget it."""
