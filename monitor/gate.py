"""A bound on how many runs are at their busiest at once, over all environments, and whose turn is next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import exp

_MORE = 4  # times as many places where one is not enough
_OF_LATE = 10.0  # seconds, by which what is longer ago fades


class Gate:
    """Lets in `limit` runs at once, the environments in turn, each environment's own first come, first served.

    What is in flight together makes each other's answers wait to be read, so that latencies grow which are no store's:
    with 500 due at once a SELECT of 0.1 ms on the wire took 35 ms as measured.
    A run keeps its place for `lease` seconds at the most: after that it waits for a store rather than for this
    process, and neither a slow store nor a dead one keeps those of other environments out.

    To begin late is worse than to measure roughly. So there are four times as many places where more than `many` runs
    a second were let in of late, which a process that watches many environments comes to and a burst does not, and
    while the next in turn has waited for more than `patience` seconds. 250 a second are let in then at least, which is
    more than one process can run.
    """

    def __init__(self, limit: int = 1, *, lease: float = 0.015, patience: float = 1.0, many: float = 45.0) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit}")
        self._free = limit
        self._more = (_MORE - 1) * limit
        self._lease = lease
        self._patience = patience
        self._many = many
        self._pace = Pace()
        self._waiting: dict[str, deque[_Turn]] = {}

    @asynccontextmanager
    async def turn(self, environment: str) -> AsyncIterator[None]:
        """Wait to be let in, and be in."""
        await self._let_in(environment)
        place = _Place(self)
        lease = asyncio.get_running_loop().call_later(self._lease, place.leave)
        try:
            yield
        finally:
            lease.cancel()
            place.leave()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    def come_free(self) -> None:
        """A place came free: it is given to the environment whose turn is longest ago."""
        self._free += 1
        self._give_out()

    async def _let_in(self, environment: str) -> None:
        turn = _Turn()
        self._waiting.setdefault(environment, deque()).append(turn)
        self._give_out()
        try:
            await turn.come
        except asyncio.CancelledError:
            if turn.come.done() and not turn.come.cancelled():  # the turn came in the very moment of giving up
                self.come_free()
            else:
                self._forget(environment, turn)
            raise

    def _give_out(self) -> None:
        """Let in whoever may come in now."""
        while self._waiting:
            environment, turns = next(iter(self._waiting.items()))
            now = turns[0].now
            one_is_not_enough = now - turns[0].since > self._patience or self._pace.at(now) > self._many
            if self._free <= (-self._more if one_is_not_enough else 0):
                return
            turn = turns.popleft()
            del self._waiting[environment]
            if turns:
                self._waiting[environment] = turns  # again, behind all others
            if not turn.come.done():  # else whoever waited has given up, and has not had the time to say so
                self._free -= 1
                self._pace.one(now)
                turn.come.set_result(None)

    def _forget(self, environment: str, turn: _Turn) -> None:
        turns = self._waiting.get(environment, deque())
        if turn in turns:
            turns.remove(turn)
        if not turns:
            self._waiting.pop(environment, None)


class Pace:
    """How many a second there were of late: a mean whose weights fade, by e in ten seconds. Times are in seconds."""

    def __init__(self) -> None:
        self._last = self._rate = 0.0

    def one(self, now: float) -> None:
        """There was one."""
        self._rate, self._last = self.at(now) + 1 / _OF_LATE, now

    def at(self, now: float) -> float:
        """How many a second."""
        return self._rate * exp((self._last - now) / _OF_LATE)


class _Turn:
    """Somebody who waits, and since when."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.since = self.now
        self.come: asyncio.Future[None] = self._loop.create_future()

    @property
    def now(self) -> float:
        """What time it is where this waits."""
        return self._loop.time()


class _Place:
    """A place inside, which is left once."""

    def __init__(self, gate: Gate) -> None:
        self._gate: Gate | None = gate

    def leave(self) -> None:
        """Give it back, if that has not been done."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.come_free()
