"""What Holdfast said of a failure: rows of its ledger, and the kinds of its violations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One write as Holdfast's ledger has it; `answered` in seconds since the epoch."""

    mark: str
    n: int
    identified: bool
    state: str
    answered: float | None
    fate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss as Holdfast's ledger has it; the recovery point lies between `least` and `most` seconds."""

    cause: str
    records: int
    writes: int
    suffix: bool
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """An outage as Holdfast's ledger has it: it took between `least` and `most` seconds."""

    operation: str
    began: float
    ended: float | None
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The kinds of all violations, the losses, and the longest outage of `write` since the blow."""

    kinds: tuple[str, ...]
    losses: tuple[Loss, ...]
    outage: Outage | None

    @property
    def writes(self) -> int:
        """How many writes it calls lost."""
        return sum(loss.writes for loss in self.losses)

    @property
    def records(self) -> int:
        """How many of them are identified records."""
        return sum(loss.records for loss in self.losses)
