"""The time that a report is about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.core.rollup import DAY, HOUR, floor

_BY_HOUR = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `since`, a whole hour, until `until`, which is now; both UTC."""

    since: datetime
    until: datetime

    @classmethod
    def latest(cls, length: timedelta, until: datetime) -> Period:
        """The latest so much, from the beginning of an hour."""
        return cls(since=floor(until - length, HOUR), until=until)

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.until - self.since

    @property
    def grain(self) -> timedelta:
        """What one point of a plot is of: an hour, or a day where there would be too many."""
        return HOUR if self.length <= _BY_HOUR + HOUR else DAY

    def grains(self) -> Iterator[datetime]:
        """The beginning of each, also of the first and the last, which may be cut."""
        return self._spans(self.grain)

    def hours(self) -> Iterator[datetime]:
        """The beginning of each hour."""
        return self._spans(HOUR)

    def _spans(self, length: timedelta) -> Iterator[datetime]:
        start = floor(self.since, length)
        while start < self.until:
            yield start
            start += length
