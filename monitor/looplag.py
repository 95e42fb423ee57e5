"""How late the event loop turns, and when: what is measured meanwhile is partly Holdfast's own slowness."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

from monitor.core.budget import FINEST

_BEAT = 0.01  # seconds between two turns that are watched: a stall is seen to within so much
_KEPT = 120.0  # seconds; longer than any step that is allowed to take its time
_NOTABLE = FINEST.total_seconds()  # less says nothing, and would stand in the row of every run
_WINDOW = 0.25  # seconds of which the worst is told


class LoopWatch:
    """Turns with the loop, a hundred times a second, from `start` until `stop`; `told` hears the worst of a while."""

    def __init__(self, told: Callable[[float], None] = lambda _seconds: None) -> None:
        self._told = told
        self._due = monotonic()
        self._late: deque[tuple[float, float]] = deque()
        self._window_ends, self._worst = 0.0, 0.0
        self._next: asyncio.TimerHandle | None = None
        self.turned = self._due
        """When the loop last turned, by the monotonic clock."""

    def start(self) -> None:
        """Begin; needs a running loop."""
        self.turned = monotonic()
        self._window_ends = self.turned + _WINDOW
        self._again()

    def stop(self) -> None:
        """End."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def since(self, moment: float) -> float:
        """Seconds for which the loop was late between a moment of the monotonic clock and now, all together.

        Who asked for several things in turn may have waited each time. What every measurement has is left out, and
        while nobody watches it is 0.
        """
        if self._next is None:
            return 0.0
        late = monotonic() - self._due
        total = late if late > _NOTABLE else 0.0
        for at, seconds in reversed(self._late):
            if at < moment:
                break
            total += seconds
        return total

    def _turn(self) -> None:
        self.turned = now = monotonic()
        late = now - self._due
        if late > _NOTABLE:
            self._late.append((now, late))
            while now - self._late[0][0] > _KEPT:
                self._late.popleft()
        self._worst = max(self._worst, late)
        if now >= self._window_ends:
            self._told(self._worst)
            self._window_ends, self._worst = now + _WINDOW, 0.0
        self._again()

    def _again(self) -> None:
        self._due = monotonic() + _BEAT
        self._next = asyncio.get_running_loop().call_later(_BEAT, self._turn)
