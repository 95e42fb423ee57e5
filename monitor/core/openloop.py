"""Open loop: what is due when, whatever became of what was due before; and latencies that count from that moment.

A closed loop sends the next operation when the one before has been answered. A server that stalls is then asked once
and not a hundred times, and the hundred who would have waited are missing from the percentiles (coordinated omission).
Here each operation has an intended start that nothing moves, and its latency begins there.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import ceil, sqrt

from monitor.core.verdict import Reason

CONVERSATION = 61
"""Operations of one conversation: its beginning, 50 messages, and now and then a look, its owner's or another's."""
_TURN = 12  # operations from one reload to the next; half a turn later another user looks
WINDOW = 100
"""Over so many of the latest operations the limits look."""


class Act(StrEnum):
    """What an operation does. The values are the names of steps."""

    CREATE = "create_thread"
    APPEND = "append_message"
    RELOAD = "reload"
    LOOK = "look"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How much is asked: operations a second, seconds, the seconds in which the rate rises to that, users, connections.

    Whatever a user asks goes over one connection, one after the other, as a client waits for its answers.
    """

    rate: float
    seconds: float
    ramp: float
    users: int
    connections: int

    @property
    def operations(self) -> int:
        """How many there are in all."""
        return max(1, round(self.rate * (self.seconds - self.ramp / 2)))

    def due(self, number: int) -> float:
        """When an operation, counted from 0, is to begin, in seconds from the beginning."""
        while_rising = self.rate * self.ramp / 2
        if number < while_rising:
            return sqrt(2 * self.ramp * number / self.rate)
        return self.ramp / 2 + number / self.rate

    def asked(self, since: float, until: float) -> float:
        """The mean rate that is asked between two moments."""
        return (self._by(until) - self._by(since)) / (until - since)

    def _by(self, moment: float) -> float:
        if moment < self.ramp:
            return self.rate * moment * moment / (2 * self.ramp)
        return self.rate * (moment - self.ramp / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: its number, when it is due, whose it is and of which conversation, and over which connection."""

    number: int
    due: float
    act: Act
    user: int
    chapter: int
    lane: int


def operations(figures: Figures, *, turn: int = 0) -> Iterator[Operation]:
    """All of them in the order in which they are due; `turn`, which a run's id decides, says which user begins.

    The users take turns, so that what one asks falls between what others ask.
    """
    for number in range(figures.operations):
        place, user = divmod(number, figures.users)
        user = (user + turn) % figures.users
        yield Operation(
            number=number,
            due=figures.due(number),
            act=_act(place % CONVERSATION),
            user=user,
            chapter=place // CONVERSATION,
            lane=user % figures.connections,
        )


def _act(place: int) -> Act:
    if place == 0:
        return Act.CREATE
    return {_TURN // 2 - 1: Act.RELOAD, _TURN - 1: Act.LOOK}.get(place % _TURN, Act.APPEND)


def counted(figures: Figures) -> Mapping[Act, int]:
    """How many operations there are of each kind, where nothing fails."""
    return Counter(operation.act for operation in operations(figures))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One operation that ended, in seconds from the beginning: when it was due, given out, begun, and answered.

    From due to given out Holdfast itself was late; from there to begun it waited for what its user had asked before.
    """

    act: Act
    due: float
    given: float
    began: float
    ended: float
    failed: Reason | None = None

    @property
    def latency(self) -> float:
        """From the moment at which it should have begun: free of coordinated omission."""
        return self.ended - self.due

    @property
    def service(self) -> float:
        """What a closed loop would have measured."""
        return self.ended - self.began

    @property
    def late(self) -> float:
        """By how much Holdfast itself was late with it."""
        return self.given - self.due


def nearest_rank(values: Sequence[float], quantile: float) -> float:
    """The smallest of the values that so large a share of them do not exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, ceil(quantile * len(values)) - 1)]


class Cause(StrEnum):
    """Why a burst stopped before its end."""

    ERRORS = "errors"
    P99 = "p99"
    LAG = "lag"
    QUEUE = "queue"
    EVIDENCE = "evidence"
    CROWDED = "crowded"
    HAND = "hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a burst stopped before its end, in words; `reason` is what most of its operations failed of."""

    cause: Cause
    message: str
    reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What stops a burst at once: a share of errors, a p99 and a lag of replicas in seconds, operations that wait."""

    errors: float
    p99: float
    lag: float
    in_flight: int


_FEWEST = 20  # operations, of which a share or a p99 says something
_FEWEST_FAILED = 3  # one connection that breaks is no share


class Watch:
    """Holds what happens against the limits, looking at the latest operations and at all that wait."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._latest: deque[Sample] = deque(maxlen=WINDOW)

    def ended(self, sample: Sample) -> None:
        """An operation ended."""
        self._latest.append(sample)

    def stop(self, now: float, waiting: Sequence[float]) -> Stop | None:
        """Why to stop now, if there is a reason; `waiting` are the moments at which what is not answered yet was due.

        A server that stalls answers nothing: what waits has waited so long already, and counts with that.
        """
        if len(waiting) > self._limits.in_flight:
            what = f"{len(waiting)} operations wait for an answer, and {self._limits.in_flight} may"
            return Stop(cause=Cause.QUEUE, message=f"{what}: the store does not keep pace")
        return self._errors() or self._slow(now, waiting)

    def p99(self, now: float, waiting: Sequence[float]) -> float:
        """The p99 of the latest operations, from their intended starts, in seconds."""
        ended = [sample.latency for sample in self._latest if sample.failed is None]
        return nearest_rank([*ended, *(now - due for due in waiting)], 0.99)

    def _errors(self) -> Stop | None:
        failed = Counter(sample.failed for sample in self._latest if sample.failed is not None)
        share = failed.total() / max(len(self._latest), _FEWEST)
        if failed.total() < _FEWEST_FAILED or share <= self._limits.errors:
            return None
        reasons = ", ".join(f"{count} {reason}" for reason, count in failed.most_common())
        what = f"{failed.total()} of the latest {len(self._latest)} operations failed ({reasons})"
        message = f"{what}, and {self._limits.errors * 100:g}% may"
        return Stop(cause=Cause.ERRORS, message=message, reason=failed.most_common(1)[0][0])

    def _slow(self, now: float, waiting: Sequence[float]) -> Stop | None:
        if len(self._latest) + len(waiting) < _FEWEST:
            return None
        found = self.p99(now, waiting)
        if found <= self._limits.p99:
            return None
        of = f"the p99 of the latest {len(self._latest) + len(waiting)} operations, from the intended start,"
        message = f"{of} is {found * 1000:.0f} ms, and {self._limits.p99 * 1000:.0f} ms may be"
        return Stop(cause=Cause.P99, message=message)


class Replay:
    """How far a replica is behind, by one clock: what the primary had written when, against what is replayed now."""

    def __init__(self) -> None:
        self._written: deque[tuple[float, int]] = deque()

    def written(self, at: float, position: int) -> None:
        """The primary had written up to a position of its log."""
        self._written.append((at, position))

    def lag(self, now: float, replayed: int) -> float:
        """The seconds since the first thing was written that is missing, at least; 0 where nothing is missing."""
        while self._written and self._written[0][1] <= replayed:
            self._written.popleft()
        return now - self._written[0][0] if self._written else 0.0

    def stop(self, lag: float, *, name: str, limits: Limits) -> Stop | None:
        """Why to stop, if so long a lag is a reason."""
        if lag <= limits.lag:
            return None
        message = f"replica {name} is {lag:.1f} s behind, and {limits.lag:.1f} s may be"
        return Stop(cause=Cause.LAG, message=message)
