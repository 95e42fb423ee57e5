"""The dependencies between transactions, as a graph whose size is linear in the history's.

Adya's direct serialization graph: `ww`, one append follows another; `wr`, a read saw an append; `rw`, an append
overwrote what a read saw. And the order of one process, or of real time. Where every one of some transactions precedes
every one of others, all go through one node that is no transaction, a hub; else such edges would be quadratic in
number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from enum import StrEnum

from monitor.core.history.operations import Kind, Read
from monitor.core.history.versions import Evidence, Versions

WRITE, FLOW, ANTI, TIME, REST = 1, 2, 4, 8, 16
"""Kinds of edges, as bits. WRITE: `ww` between transactions that are known to be committed, on a key whose order
nobody disputes. FLOW: `wr`, or any other `ww`. ANTI: `rw`. TIME: process or real time. REST: the way on from a hub."""

_BITS = 5
KINDS = (1 << _BITS) - 1


class Order(StrEnum):
    """Which order beyond that of the data a level cares for."""

    NONE = ""
    PROCESS = "process"
    REALTIME = "realtime"


class Graph:
    """Nodes below `transactions` are transactions by their number, those above are hubs.

    `out[node]` holds edges: the target, shifted by five bits, and the kind.
    """

    __slots__ = ("edges", "out", "transactions")

    def __init__(self, transactions: int) -> None:
        self.transactions = transactions
        self.out: list[list[int]] = [[] for _ in range(transactions)]
        self.edges = False

    def add(self, start: int, end: int, kind: int) -> None:
        """One edge; none from a node to itself."""
        if start != end:
            self.out[start].append(end << _BITS | kind)
            self.edges = True

    def hub(self) -> int:
        """A new hub."""
        self.out.append([])
        return len(self.out) - 1

    def targets(self, node: int) -> Iterator[tuple[int, int]]:
        """The edges of a node: target and kind."""
        return ((edge >> _BITS, edge & KINDS) for edge in self.out[node])

    def knots(self) -> list[int]:
        """All nodes that are left when nodes without predecessors are taken away again and again. Mostly none."""
        out = self.out
        waiting_for = [0] * len(out)
        for edges in out:
            for edge in edges:
                waiting_for[edge >> _BITS] += 1
        free = [node for node, count in enumerate(waiting_for) if not count]
        for node in free:  # it grows meanwhile
            for edge in out[node]:
                target = edge >> _BITS
                waiting_for[target] -= 1
                if not waiting_for[target]:
                    free.append(target)
        return [] if len(free) == len(out) else [node for node, count in enumerate(waiting_for) if count]


def dependencies(evidence: Evidence, order: Order) -> Graph:
    """All dependencies that follow from the history. Edges lead only from transactions that took place."""
    graph = Graph(len(evidence.transactions))
    kinds = [transaction.kind for transaction in evidence.transactions]
    for versions in evidence.judged:
        if versions.writers:
            unobserved = _follow_order(graph, evidence, versions, kinds)
            _follow_reads(graph, evidence, versions, unobserved)
    _glimpses(graph, evidence)
    if order is Order.REALTIME:
        _in_time(graph, evidence, range(len(kinds)))
    elif order is Order.PROCESS:
        processes: dict[str | int, list[int]] = {}
        for number, transaction in enumerate(evidence.transactions):
            processes.setdefault(transaction.process, []).append(number)
        for numbers in processes.values():
            _in_time(graph, evidence, numbers)
    return graph


def _follow_order(graph: Graph, evidence: Evidence, versions: Versions, kinds: list[Kind]) -> list[int]:
    """`ww`: each append follows the one before it, and the last that was seen comes before all that never were.

    Returns the writers of appends that no read saw. An indeterminate writer is not relied upon: beside the edges that
    go through it there is one from the last writer before it that is known to be committed.
    """
    writers, took_place = versions.writers, evidence.took_place
    certain = FLOW if versions.strays else WRITE
    previous = sure = -1
    for element in versions.order:
        writer = writers.get(element, -1)
        if writer < 0 or not took_place[writer]:
            continue
        ok = kinds[writer] is Kind.OK
        if previous >= 0:
            graph.add(previous, writer, certain if ok and previous == sure else FLOW)
        if ok:
            if 0 <= sure != previous:
                graph.add(sure, writer, certain)
            sure = writer
        previous = writer
    seen = set(versions.observed())
    unobserved = (
        [] if seen.issuperset(writers) else [writer for element, writer in writers.items() if element not in seen]
    )
    unobserved = [writer for writer in dict.fromkeys(unobserved) if kinds[writer] is not Kind.FAIL]
    for writer in unobserved:
        ok = kinds[writer] is Kind.OK
        if previous >= 0:
            graph.add(previous, writer, certain if ok and previous == sure else FLOW)
        if 0 <= sure != previous and ok:
            graph.add(sure, writer, certain)
    return unobserved


def _follow_reads(graph: Graph, evidence: Evidence, versions: Versions, unobserved: list[int]) -> None:
    """`wr`: who appended what a read ends with. `rw`: who appended the next element, or else all that nobody saw."""
    writers, took_place = versions.writers, evidence.took_place
    following = _following(versions, took_place)
    places = None if versions.plain else {element: place + 1 for place, element in enumerate(versions.order)}
    latest: list[int] = []
    add = graph.add
    for reader, elements in versions.reads:
        length, writer = len(elements), -1
        if elements:
            writer = writers.get(elements[-1], -1)
            if writer >= 0 and took_place[writer]:
                add(writer, reader, FLOW)
            if places is not None:
                if elements[-1] not in places:
                    continue  # where in the order this read stands is not known
                length = max(places.get(element, 0) for element in elements)
        if (overwriter := following[length]) >= 0:
            add(reader, overwriter, ANTI)
        elif reader != writer:  # who wrote the last precedes the unobserved anyway
            latest.append(reader)
    if latest and unobserved:
        _overwritten_by_all(graph, dict.fromkeys(latest), dict.fromkeys(unobserved))


def _following(versions: Versions, took_place: list[bool]) -> list[int]:
    """By the number of elements: who of those that took place appended next; -1 for nobody."""
    following = [-1] * (len(versions.order) + 1)
    for place in range(len(versions.order) - 1, -1, -1):
        writer = versions.writers.get(versions.order[place], -1)
        following[place] = writer if writer >= 0 and took_place[writer] else following[place + 1]
    return following


def _overwritten_by_all(graph: Graph, readers: Collection[int], writers: Collection[int]) -> None:
    """`rw` from each reader to each writer, by a hub where that saves edges.

    A reader that is a writer as well must not come back to itself through the hub. Where there are two of them, this
    does no harm: each precedes the other, so that they are in a cycle anyway.
    """
    both = [reader for reader in readers if reader in writers]
    direct = list(readers) if len(writers) == 1 else both if len(both) == 1 else []
    for reader in direct:
        for writer in writers:
            graph.add(reader, writer, ANTI)
    if len(readers) > len(direct):
        hub = graph.hub()
        for writer in writers:
            graph.add(hub, writer, REST)
        for reader in readers:
            if direct != [reader]:
                graph.add(reader, hub, ANTI)


def _glimpses(graph: Graph, evidence: Evidence) -> None:
    """What an indeterminate transaction read that may not have taken place: edges to it, none from it."""
    for number, transaction in enumerate(evidence.transactions):
        if transaction.kind is Kind.INFO and not evidence.took_place[number]:
            for operation in transaction.value:
                if isinstance(operation, Read) and operation.elements:
                    writer = evidence.keys[operation.key].writers.get(operation.elements[-1], -1)
                    if writer >= 0 and evidence.took_place[writer]:
                        graph.add(writer, number, FLOW)


def _in_time(graph: Graph, evidence: Evidence, numbers: Iterable[int]) -> None:
    """Of these transactions: each that is complete precedes each that is invoked later. A chain of hubs says so."""
    hub = -1
    complete: list[int] = []
    for _, begins, number in sorted(_events(evidence, numbers)):
        if not begins:
            complete.append(number)
            continue
        if complete:
            new = graph.hub()
            if hub >= 0:
                graph.add(hub, new, REST)
            for each in complete:
                graph.add(each, new, TIME)
            hub, complete = new, []
        if hub >= 0:
            graph.add(hub, number, REST)


def _events(evidence: Evidence, numbers: Iterable[int]) -> Iterator[tuple[int, bool, int]]:
    """Place, whether it is a beginning, and whose. What is indeterminate may take effect at any time: it has no end."""
    for number in numbers:
        kind, _, _, invoked, completed = evidence.transactions[number]
        if invoked is not None and kind is not Kind.FAIL:
            yield invoked, True, number
        if completed is not None and kind is Kind.OK:
            yield completed, False, number
