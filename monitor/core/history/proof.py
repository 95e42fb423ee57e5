"""Each step of a cycle, derived again from the bare operations, and told in a sentence.

Nothing here knows the graph. What cannot be derived again does not count: it would be a fault of Holdfast's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from monitor.core.history.anomaly import Anomaly, listed, named
from monitor.core.history.cycles import Cycle, name_of
from monitor.core.history.graph import ANTI, FLOW, TIME, WRITE, Order
from monitor.core.history.operations import Append, Element, Key, Kind, Read, Transaction

List = tuple[Element, ...]


@dataclass(slots=True, eq=False)
class _Sight:
    """All committed reads of one key, the longest first, and who appended what."""

    lists: list[List] = field(default_factory=list)
    appended: dict[Element, int] = field(default_factory=dict)
    places: dict[Element, int] = field(default_factory=dict)
    seen: set[Element] = field(default_factory=set)

    def settle(self) -> None:
        self.lists.sort(key=len, reverse=True)
        longest = self.lists[0] if self.lists else ()
        self.places = {element: place for place, element in reversed([*enumerate(longest)])}
        self.seen = set(longest)
        self.lists = [longest, *(each for each in self.lists if each != longest[: len(each)])]
        for each in self.lists:
            self.seen.update(each)

    def precedes(self, one: Element, other: Element) -> bool:
        """Whether one element was there before another: in a list that shows both, or by being seen at all."""
        if one in self.places and other in self.places:
            return self.places[one] < self.places[other]
        if other not in self.seen:
            return one in self.seen
        return any(one in each and other in each and each.index(one) < each.index(other) for each in self.lists[1:])


class Witness:
    """What a history says of the keys that some cycles are about."""

    def __init__(self, transactions: Sequence[Transaction], cycles: Iterable[Cycle], order: Order) -> None:
        self.transactions = transactions
        self.order = order
        self._about: dict[Key, _Sight] = {}
        for cycle in cycles:
            for number, _, _ in cycle.steps:
                for operation in transactions[number].value:
                    self._about.setdefault(operation.key, _Sight())
        for number, transaction in enumerate(transactions if self._about else ()):
            for operation in transaction.value:
                if operation.key in self._about and isinstance(operation, Append):
                    self._about[operation.key].appended[operation.element] = number
            if transaction.kind is Kind.OK:
                self._believe(transaction)
        for transaction in self._proven() if self._about else ():
            self._believe(transaction)
        for sight in self._about.values():
            sight.settle()

    def _believe(self, transaction: Transaction) -> None:
        for operation in transaction.value:
            if isinstance(operation, Read) and operation.elements and operation.key in self._about:
                self._about[operation.key].lists.append(operation.elements)

    def _proven(self) -> list[Transaction]:
        """Indeterminate transactions of which a committed one read an append."""
        doubtful = [transaction for transaction in self.transactions if transaction.kind is Kind.INFO]
        appends = {operation for each in doubtful for operation in each.value if isinstance(operation, Append)}
        seen = {
            (operation.key, element)
            for transaction in (self.transactions if appends else ())
            if transaction.kind is Kind.OK
            for operation in transaction.value
            if isinstance(operation, Read)
            for element in operation.elements or ()
            if (operation.key, element) in appends
        }
        return [each for each in doubtful if not seen.isdisjoint(each.value)]

    def confirm(self, cycle: Cycle) -> Anomaly | None:
        """The cycle with a sentence for each step; None if a step does not hold, or if it goes by another name."""
        sentences: list[str] = []
        keys: list[Key] = []
        for start, end, kind in cycle.steps:
            told = next(self._told(start, end, kind), None)
            if told is None:
                return None
            key, sentence = told
            sentences.append(sentence)
            keys += [] if key is None else [key]
        ends, starts = [end for _, end, _ in cycle.steps], [start for start, _, _ in cycle.steps]
        closed = starts == ends[-1:] + ends[:-1] and len(set(starts)) == len(starts)
        if not closed or name_of([kind for *_, kind in cycle.steps], self.order) != cycle.name:
            return None
        return Anomaly(
            name=cycle.name,
            transactions=tuple(self.transactions[start].place for start in starts),
            keys=tuple(dict.fromkeys(keys)),
            explanation=tuple(sentences),
        )

    def _told(self, start: int, end: int, kind: int) -> Iterator[tuple[Key | None, str]]:
        """Why the first of two transactions came before the second."""
        if kind == TIME:
            yield from self._told_by_time(start, end)
        elif kind == ANTI:
            yield from self._told_by_overwriting(start, end)
        elif kind == WRITE:
            if Kind.OK is self.transactions[start].kind is self.transactions[end].kind:
                yield from self._told_by_appending(start, end)
        elif kind == FLOW:
            yield from self._told_by_reading(start, end)
            yield from self._told_by_appending(start, end)

    def _told_by_time(self, start: int, end: int) -> Iterator[tuple[Key | None, str]]:
        one, other = self.transactions[start], self.transactions[end]
        if one.kind is not Kind.OK or one.completed is None or other.invoked is None or one.completed > other.invoked:
            return
        if self.order is Order.REALTIME:
            yield None, f"{named(one)} was complete before {named(other)} began"
        elif one.process == other.process:
            yield None, f"{named(one)} came before {named(other)} in one process"

    def _told_by_appending(self, start: int, end: int) -> Iterator[tuple[Key | None, str]]:
        earlier = self._appends(start)
        for key, second in self._appends(end):
            first = next((e for k, e in earlier if k == key and self._about[key].precedes(e, second)), None)
            if first is not None:
                told = f"{named(self.transactions[end])} appended {second!r} to {key!r} after"
                yield key, f"{told} {named(self.transactions[start])} had appended {first!r}"

    def _told_by_reading(self, start: int, end: int) -> Iterator[tuple[Key | None, str]]:
        for key, elements in self._reads(end):
            last = elements[-1] if elements else None
            if last is not None and self._about[key].appended.get(last) == start:
                told = f"{named(self.transactions[end])} read {listed(elements)} from {key!r}"
                yield key, f"{told}, of which {named(self.transactions[start])} appended {last!r}"

    def _told_by_overwriting(self, start: int, end: int) -> Iterator[tuple[Key | None, str]]:
        appends = self._appends(end)
        for key, elements in self._reads(start):
            sight = self._about[key]
            for where, element in appends:
                unseen = where == key and element not in elements
                if unseen and (not elements or sight.precedes(elements[-1], element)):
                    told = f"{named(self.transactions[start])} read {listed(elements)} from {key!r}"
                    yield key, f"{told}, without {element!r}, which {named(self.transactions[end])} appended"

    def _appends(self, number: int) -> list[Append]:
        return [operation for operation in self.transactions[number].value if isinstance(operation, Append)]

    def _reads(self, number: int) -> Iterator[tuple[Key, List]]:
        ok = self.transactions[number].kind is Kind.OK
        for operation in self.transactions[number].value:
            if isinstance(operation, Read) and (ok or operation.elements is not None):
                yield operation.key, operation.elements or ()
