"""What was recorded: transactions of appends and reads over named lists, and how each of them ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple, TypeAlias

Key: TypeAlias = "str | int"
Element: TypeAlias = "str | int"


class Append(NamedTuple):
    """An element was put at the end of a list. Each element is appended to a key once, which is why reads tell all."""

    key: Key
    element: Element


class Read(NamedTuple):
    """A list was read. None where the reply is not known; in a transaction that succeeded this means an empty list."""

    key: Key
    elements: tuple[Element, ...] | None


MicroOperation: TypeAlias = "Append | Read"


class Kind(StrEnum):
    """What an operation of a history tells: that a transaction began, or how it ended."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


class Operation(NamedTuple):
    """One line of a history, with its place there, by which it can be found again."""

    kind: Kind
    process: str | int
    value: tuple[MicroOperation, ...]
    place: int


class Transaction(NamedTuple):
    """One transaction: `ok` took place, `fail` did not, `info` may have or may still.

    `invoked` and `completed` are places in the history, None where they are not known. Of two transactions one came
    before the other in real time only if it is known to be complete before the other is known to begin.
    """

    kind: Kind
    process: str | int
    value: tuple[MicroOperation, ...]
    invoked: int | None
    completed: int | None

    @property
    def place(self) -> int:
        """The place by which to name it: that of its end, or of its beginning where no end was seen."""
        return next((place for place in (self.completed, self.invoked) if place is not None), -1)


def transactions(history: Iterable[Operation]) -> list[Transaction]:
    """Invocations joined with their ends, in the order of the ends; what never ended is `info` and comes last.

    An end belongs to the oldest open invocation of its process that asked the same; an end alone is a transaction
    whose beginning is not known.
    """
    found: list[Transaction] = []
    waiting: dict[str | int, list[Operation]] = {}
    for operation in history:
        kind, process, value, place = operation
        if kind is Kind.INVOKE:
            waiting.setdefault(process, []).append(operation)
            continue
        asked = waiting.get(process)
        if not asked:
            found.append(Transaction(kind, process, value, None, place))
            continue
        begun = asked.pop(0 if len(asked) == 1 else _same_question(asked, value))
        found.append(Transaction(kind, process, value or begun.value, begun.place, place))
    found.extend(_never_ended(waiting))
    return found


def _same_question(asked: list[Operation], value: tuple[MicroOperation, ...]) -> int:
    wanted = _question(value)
    return next((number for number, operation in enumerate(asked) if _question(operation.value) == wanted), 0)


def _question(value: tuple[MicroOperation, ...]) -> list[tuple[object, ...]]:
    return [("append", *each) if isinstance(each, Append) else ("r", each.key) for each in value]


def _never_ended(waiting: dict[str | int, list[Operation]]) -> Iterator[Transaction]:
    for operation in sorted((each for several in waiting.values() for each in several), key=lambda each: each.place):
        unread = tuple(Read(each.key, None) if isinstance(each, Read) else each for each in operation.value)
        yield Transaction(Kind.INFO, operation.process, unread, operation.place, None)
