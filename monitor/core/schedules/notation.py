"""Schedules that can be read aloud: a line is one statement of one transaction, in the order in which they are sent.

    T1 begin
    T1 write x 101
    T1 read x is 101
    T2 begin
    T2 read x shows 101
    T1 abort
    T2 commit

`is` names what a statement must return wherever the schedule can tell anything: the control. `shows` names what it
returns where the anomaly occurs; if there are several, all of them. What stands after `afterwards` instead of a
transaction's name is read when all transactions have ended.

| statement | returns |
|---|---|
| `begin`, `commit`, `abort` | nothing |
| `read x` | the register's value |
| `lock x` | the same, with the row locked against other writers until the end |
| `write x 11` | nothing |
| `add x 2` | nothing; it writes what this transaction last read of x, and 2 more |
| `insert z 30` | nothing |
| `count over 25`, `count under 15` | how many registers of the schedule are greater, or less |
| `delete over 19` | how many it deleted |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from monitor.core.verdict import Kind

AFTERWARDS = "afterwards"
REGISTERS = {"x": 1, "y": 2, "z": 3, "w": 4}
"""The registers of a schedule, each with the number of its row."""
INITIAL = {REGISTERS["x"]: 10, REGISTERS["y"]: 20}
"""What stands in them before; the others are not there yet."""

Value: TypeAlias = "int | None"
"""What a register holds; None where it is not there."""


class Verb(StrEnum):
    """What a statement does."""

    BEGIN = "begin"
    COMMIT = "commit"
    ABORT = "abort"
    READ = "read"
    LOCK = "lock"
    WRITE = "write"
    ADD = "add"
    INSERT = "insert"
    COUNT_OVER = "count over"
    COUNT_UNDER = "count under"
    DELETE_OVER = "delete over"


_ENDS = frozenset({Verb.COMMIT, Verb.ABORT})
_OF_A_REGISTER = frozenset({Verb.READ, Verb.LOCK, Verb.WRITE, Verb.ADD, Verb.INSERT})
_WITH_A_NUMBER = frozenset(Verb) - _ENDS - {Verb.BEGIN, Verb.READ, Verb.LOCK}
RETURNING = frozenset({Verb.READ, Verb.LOCK, Verb.COUNT_OVER, Verb.COUNT_UNDER, Verb.DELETE_OVER})
"""Statements that return a value."""
_AFTERWARDS = RETURNING - {Verb.LOCK, Verb.DELETE_OVER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement of one transaction. `register` is a row's number, `must` and `shows` are what it may return."""

    actor: str
    verb: Verb
    register: int = 0
    number: int = 0
    must: int | None = None
    shows: int | None = None
    text: str = ""

    @property
    def ends(self) -> bool:
        """Whether its transaction is over with it."""
        return self.verb in _ENDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule: its name in the literature, the kind of violation that it shows, and its steps."""

    name: str
    kind: Kind
    steps: tuple[Step, ...]

    @property
    def actors(self) -> tuple[str, ...]:
        """The names of its transactions, in the order of their beginning."""
        return tuple(dict.fromkeys(step.actor for step in self.steps if step.actor != AFTERWARDS))

    @property
    def writes(self) -> int:
        """How many registers it writes or makes."""
        return sum(step.verb in {Verb.WRITE, Verb.ADD, Verb.INSERT} for step in self.steps)

    @property
    def looks(self) -> bool:
        """Whether it looks at what is left in the end."""
        return any(step.actor == AFTERWARDS for step in self.steps)

    def __str__(self) -> str:
        return "; ".join(step.text for step in self.steps)


def schedule(name: str, kind: Kind, text: str) -> Schedule:
    """A schedule as it is written. Raises ValueError, with the line, where it cannot be carried out."""
    steps = tuple(map(_step, filter(None, (line.strip() for line in text.splitlines()))))
    for complaint in _complaints(steps):
        raise ValueError(f"{name}: {complaint}")
    return Schedule(name=name, kind=kind, steps=steps)


def _step(line: str) -> Step:
    actor, *words = line.split()
    found = next((verb for verb in Verb if words[: len(verb.split())] == verb.split()), None)
    if found is None:
        raise ValueError(f"{line!r}: expected one of {', '.join(Verb)} after the transaction's name")
    rest = words[len(found.split()) :]
    try:
        register = REGISTERS[rest.pop(0)] if found in _OF_A_REGISTER else 0
        number = int(rest.pop(0)) if found in _WITH_A_NUMBER else 0
        marks = {mark: int(value) for mark, value in zip(rest[::2], rest[1::2], strict=True)}
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"{line!r}: expected a register ({', '.join(REGISTERS)}) or a number in its place") from None
    if marks.keys() - {"is", "shows"} or (marks and found not in RETURNING):
        raise ValueError(f"{line!r}: expected nothing more, or `is` or `shows` after a statement that returns a value")
    return Step(
        actor=actor,
        verb=found,
        register=register,
        number=number,
        must=marks.get("is"),
        shows=marks.get("shows"),
        text=" ".join(line.split()),
    )


def _complaints(steps: tuple[Step, ...]) -> Iterator[str]:
    """What keeps a schedule from being carried out, or from showing anything."""
    open_: set[str] = set()
    read: set[tuple[str, int]] = set()
    for step in steps:
        if step.actor == AFTERWARDS:
            if open_ or step.verb not in _AFTERWARDS:
                yield f"{step.text!r}: afterwards there are reads alone, when all transactions have ended"
        elif (step.verb is Verb.BEGIN) is (step.actor in open_):
            yield f"{step.text!r}: a transaction begins once, before all it does"
        elif step.verb is Verb.ADD and (step.actor, step.register) not in read:
            yield f"{step.text!r}: nothing was read that could be added to"
        read |= {(step.actor, step.register)} if step.verb in {Verb.READ, Verb.LOCK} else set()
        open_ = open_ - {step.actor} if step.ends else open_ | ({step.actor} - {AFTERWARDS})
    if open_:
        yield f"{', '.join(sorted(open_))} never ended"
    if all(step.shows is None for step in steps):
        yield "nothing shows whether the anomaly occurs"
