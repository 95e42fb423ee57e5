"""Who is affected while a daemon runs: counted every few seconds, and remembered for the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from monitor.core.impact import Span, Stakes
from monitor.metrics import Metrics
from monitor.ports import Clock, State, StateError

EVERY = timedelta(seconds=5)
_LONGEST = 3 * EVERY  # between two looks: what a daemon that was stopped has not seen it does not count
_KEPT_EVERY = timedelta(minutes=1)  # on disk, while it lasts
_SPANS = 1000  # of an environment, the latest


@dataclass(slots=True)
class _Known:
    looked: float
    affected: bool = False
    unusable: bool = False
    spans: list[Span] = field(default_factory=list)
    complete: bool = False
    """Whether the spans begin with those that were remembered before."""
    kept: datetime | None = None


class Impacts:
    """What each environment's trouble touches, by core.impact's formula, and when each could not be used.

    The times of violations are kept with them; only those in which an environment could not be used are kept here.
    """

    def __init__(self, state: State, *, clock: Clock, metrics: Metrics) -> None:
        self._state = state
        self._clock = clock
        self._metrics = metrics
        self._known: dict[str, _Known] = {}

    async def look(self, environment: str, stakes: Stakes, *, broken: bool, unusable: bool) -> None:
        """Take in how an environment is now. The time since the last look counts if it was affected then."""
        now = self._clock.monotonic()
        known = self._known.setdefault(environment, _Known(looked=now))
        length = min(timedelta(seconds=now - known.looked), _LONGEST)
        lost = stakes.at_risk(length) if known.affected else 0
        known.looked, known.affected = now, broken or unusable
        self._metrics.impact(environment, users=stakes.users_affected(affected=known.affected) or 0, revenue=lost or 0)
        await self._remember(environment, known, unusable=unusable)

    async def end(self) -> None:
        """The daemon ends: what lasts is kept up to now."""
        for environment, known in self._known.items():
            known.kept = None
            await self._remember(environment, known, unusable=known.unusable)

    def forget(self, environment: str) -> None:
        """It has left the configuration."""
        self._known.pop(environment, None)

    async def _remember(self, environment: str, known: _Known, *, unusable: bool) -> None:
        now, was = self._clock.now(), known.unusable
        known.unusable = unusable
        if was:
            known.spans[-1] = (known.spans[-1][0], max(known.spans[-1][0], now))
        elif unusable:
            known.spans.append((now, now))
        lasts = was and (known.kept is None or now - known.kept >= _KEPT_EVERY)
        if unusable == was and not lasts:
            return
        try:
            if not known.complete:
                known.spans[:0] = await recalled(self._state, environment)
                known.complete = True
            await keep(self._state, environment, known.spans)
            known.kept = now
        except StateError:  # the journal tells people; while it lasts, the next look tries again
            known.kept = None


async def keep(state: State, environment: str, spans: Sequence[Span]) -> None:
    """Remember when an environment could not be used. Raises StateError."""
    written = [[round(moment.timestamp(), 3) for moment in span] for span in spans[-_SPANS:]]
    await state.remember(f"unusable:{environment}", json.dumps(written))


async def recalled(state: State, environment: str) -> list[Span]:
    """When an environment could not be used, as far as that is remembered. Raises StateError."""
    kept = await state.recall(f"unusable:{environment}")
    return [(_moment(began), _moment(ended)) for began, ended in json.loads(kept or "[]")]


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
