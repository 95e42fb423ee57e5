"""Where time comes from."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The moment, in UTC; for moments, never for lengths."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; for lengths, never for moments."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since the machine's boot or so."""
        return monotonic()
