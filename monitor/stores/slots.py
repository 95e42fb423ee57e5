"""A bound on how many connections an environment is asked to bear at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """So many connections to one store, handed out first come, first served; a run takes all it needs at once.

    Taking them together is what keeps two runs from waiting for each other's second connection for ever.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = limit
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for connections now."""
        return any(not turn.done() for _, turn in self._waiting)

    @asynccontextmanager
    async def hold(self, count: int) -> AsyncIterator[None]:
        """Wait for `count` connections and hold them. Raises ValueError if there can never be so many."""
        if count > self.limit:
            raise ValueError(f"{count} connections were asked for, and max_connections is {self.limit}")
        if self._waiting or count > self._free:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append((count, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():  # the turn came in the very moment of giving up
                    self._give_back(count)
                else:
                    if (count, turn) in self._waiting:
                        self._waiting.remove((count, turn))
                    self._admit()  # whoever stood behind this one may fit now
                raise
        else:
            self._free -= count
        try:
            yield
        finally:
            self._give_back(count)

    def _give_back(self, count: int) -> None:
        self._free += count
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            count, turn = self._waiting.popleft()
            if turn.cancelled():  # whoever waited has given up, and has not had the time to say so
                continue
            self._free -= count
            turn.set_result(None)
