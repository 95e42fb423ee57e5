"""Generated histories: what some clients are to append to lists and read, drawn from a seed; and what was recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from monitor.core.history import models
from monitor.core.history.anomaly import Anomaly
from monitor.core.history.judge import judge as judge_history
from monitor.core.history.operations import Append, MicroOperation, Operation, Read, transactions
from monitor.core.history.operations import Kind as End
from monitor.core.levels import MODELS, Isolation
from monitor.core.verdict import Json, Kind, Violation

KEYS = 5
"""Lists in one history: few enough that transactions meet, enough that some get through."""
_LONGEST = 4  # operations in one transaction
_ABORTED = 8  # one in so many transactions is taken back, so that reading it would be seen

KINDS: Mapping[str, Kind] = {
    "G0": Kind.DIRTY_WRITE,
    "G1a": Kind.ABORTED_READ,
    "G1b": Kind.INTERMEDIATE_READ,
    "G1c": Kind.CIRCULAR_FLOW,
    "G-single-item": Kind.READ_SKEW,
    "G-nonadjacent-item": Kind.WRITE_SKEW,
    "G2-item": Kind.WRITE_SKEW,
    "dirty-update": Kind.ABORTED_READ,
    "duplicate-elements": Kind.DUPLICATED,
    "future-read": Kind.CIRCULAR_FLOW,
    "garbage-read": Kind.PHANTOM,
    "incompatible-order": Kind.ABORTED_READ,
    "internal": Kind.READ_SKEW,
    "lost-update": Kind.LOST_UPDATE,
}
"""The kind of violation of each anomaly that the judge of histories can name."""


class Dice:
    """Numbers that look like chance and follow from a seed alone."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._rolled = 0

    def below(self, limit: int) -> int:
        """A number from 0 up to, and without, a limit."""
        self._rolled += 1
        digest = hashlib.blake2b(self._seed, digest_size=8, salt=self._rolled.to_bytes(8, "big")).digest()
        return int.from_bytes(digest, "big") % limit


def drawn(run_id: str, *, every: timedelta, generate_every: timedelta) -> bool:
    """Whether this run generates a history: one in so many, by its id alone, so that nothing has to be remembered."""
    million = 1_000_000
    return Dice(f"{run_id}/generate").below(million) < million * min(1.0, every / generate_every)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One transaction to be carried out, and how it is to end."""

    wanted: tuple[MicroOperation, ...]
    end: str

    @property
    def writes(self) -> int:
        """How many elements it appends."""
        return sum(isinstance(each, Append) for each in self.wanted)


def workload(seed: str, *, count: int) -> tuple[Planned, ...]:
    """Transactions for whichever client is free. Each element is new to its list.

    Appends of one transaction go from lower lists to higher ones, so that no two transactions wait for each other.
    """
    dice, next_element = Dice(seed), dict.fromkeys(range(1, KEYS + 1), 0)
    planned = []
    for _ in range(count):
        keys = [1 + dice.below(KEYS) for _ in range(1 + dice.below(_LONGEST))]
        appends = [dice.below(2) == 0 for _ in keys]
        appended = iter(sorted(key for key, append in zip(keys, appends, strict=True) if append))
        wanted: list[MicroOperation] = []
        for key, append in zip(keys, appends, strict=True):
            if append:
                target = next(appended)
                next_element[target] += 1
                wanted.append(Append(target, next_element[target]))
            else:
                wanted.append(Read(key, None))
        planned.append(Planned(wanted=tuple(wanted), end="COMMIT" if dice.below(_ABORTED) else "ROLLBACK"))
    return tuple(planned)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A history, and the lists as they were read when all was over."""

    operations: tuple[Operation, ...]
    final: Mapping[int, tuple[int, ...]]


class Recorder:
    """Notes what clients do, in the order in which they do it."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []

    def begun(self, process: int, planned: Planned) -> None:
        """A client is about to send a transaction."""
        self._note(End.INVOKE, process, planned.wanted)

    def failed(self, process: int, planned: Planned) -> None:
        """The server has taken back a transaction."""
        self._note(End.FAIL, process, planned.wanted)

    def ended(self, process: int, planned: Planned, done: tuple[MicroOperation, ...]) -> None:
        """A transaction came to the end that was planned for it."""
        committed = planned.end == "COMMIT"
        self._note(End.OK if committed else End.FAIL, process, done if committed else planned.wanted)

    def recorded(self, final: Mapping[int, tuple[int, ...]]) -> Recorded:
        """All of it."""
        return Recorded(operations=tuple(self._operations), final=final)

    def _note(self, kind: End, process: int, value: tuple[MicroOperation, ...]) -> None:
        self._operations.append(Operation(kind, process, value, len(self._operations)))


def judge(recorded: Recorded, level: Isolation) -> Iterator[Violation]:
    """What a history shows that its level forbids, and which acknowledged appends are not there in the end."""
    found = judge_history(transactions(_whole(recorded)), levels=[MODELS[level]])
    first = {anomaly.name: anomaly for anomaly in reversed(found.anomalies)}
    for name in found.anomaly_types:
        if name not in models.UNDECIDED:
            yield _violation(first[name], level, found.counts[name])
    lost = [
        f"{each.element} of list {each.key}"
        for operation in recorded.operations
        if operation.kind is End.OK
        for each in operation.value
        if isinstance(each, Append) and each.element not in recorded.final.get(int(each.key), ())
    ]
    if lost:
        yield Violation(
            kind=Kind.LOST,
            subject="the lists of a generated history",
            expected="every acknowledged append to be there in the end",
            actual=f"{len(lost)} missing, first {lost[0]}",
            evidence={"missing": [*lost[:20]]},
        )


def doubt(recorded: Recorded, level: Isolation) -> str:
    """Why a history without violations proves nothing either; nothing where it does."""
    found = judge_history(transactions(_whole(recorded)), levels=[MODELS[level]])
    return (
        "" if found.valid is not None else f"a generated history could not be judged: {', '.join(found.anomaly_types)}"
    )


def _whole(recorded: Recorded) -> Sequence[Operation]:
    """The history with the last look as a transaction that reads all lists."""
    place = len(recorded.operations)
    value = tuple(Read(key, elements) for key, elements in recorded.final.items())
    last = (Operation(kind, "the last look", value, place + n) for n, kind in enumerate((End.INVOKE, End.OK)))
    return (*recorded.operations, *last)


def _violation(anomaly: Anomaly, level: Isolation, count: int) -> Violation:
    explanation: list[Json] = [*anomaly.explanation]
    return Violation(
        kind=KINDS[anomaly.name],
        subject="a generated history",
        expected=f"no {anomaly.name}, as {level} promises",
        actual=f"{count} found: {anomaly.explanation[0]}",
        evidence={"anomaly": anomaly.name, "explanation": explanation, "transactions": [*anomaly.transactions]},
    )
