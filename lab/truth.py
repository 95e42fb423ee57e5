"""What became of the lab's own writes: the truth that Holdfast's figures are held against. Pure.

The writer knows nothing of Holdfast, and Holdfast nothing of the writer; both come in by the same address.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One numbered row. `sent` and `answered` are seconds of one clock; `acked` is whether its COMMIT was heard of."""

    n: int
    sent: float
    answered: float
    acked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a failure cost.

    `lost` acknowledged rows are not there, `alien` ones are there that were never sent. `recovery_point` is the time
    from the acknowledgement of the newest row that is kept to that of the newest that is lost, 0 where none is;
    `recovery_time` the longest time from one acknowledgement to the next; both in seconds, from the moment `since` on.
    `tick` is the longest time from one acknowledgement to the next before that: the truth is no finer than it.
    """

    acked: int
    lost: int
    alien: int
    recovery_point: float
    recovery_time: float
    tick: float


def truth(attempts: Sequence[Attempt], present: Collection[int], *, since: float) -> Truth:
    """Hold what was acknowledged against the rows that are there. `attempts` are in the order of their answers."""
    there = set(present)
    acked = [attempt for attempt in attempts if attempt.acked]
    lost = [attempt.answered for attempt in acked if attempt.n not in there]
    kept = [attempt.answered for attempt in acked if attempt.n in there and (not lost or attempt.answered < lost[0])]
    waits = [(later.answered, later.answered - sooner.answered) for sooner, later in pairwise(acked)]
    return Truth(
        acked=len(acked),
        lost=len(lost),
        alien=len(there - {attempt.n for attempt in attempts}),
        recovery_point=lost[-1] - kept[-1] if lost and kept else 0.0,
        recovery_time=max((wait for end, wait in waits if end >= since), default=0.0),
        tick=max((wait for end, wait in waits if end < since), default=0.0),
    )
