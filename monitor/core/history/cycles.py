"""Cycles of dependencies in one component, by the names that Adya gave them.

Adya, "Weak Consistency", 1999: G0, G1c, G-single, G2-item. G-nonadjacent: Cerone and Gotsman, "Analysing Snapshot
Isolation", 2016. The variants -process and -realtime, with the order of a session or of real time as further edges:
Daudjee and Salem 2006; Kingsbury and Alvaro 2020.

No false alarm in any of them: an edge says that in every order of execution that explains the history the first
transaction comes before the second, so that a cycle excludes all such orders; and each edge of each cycle is derived
again from the bare operations (proof.py) before it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeAlias

from monitor.core.history import models
from monitor.core.history.components import Component, shortest, strong
from monitor.core.history.graph import ANTI, FLOW, KINDS, REST, TIME, WRITE, Order

OutOfTime: TypeAlias = Callable[[], bool]
"""Asked now and then while one component is searched; once it answers yes, the search ends."""

Pairs: TypeAlias = Iterable[tuple[int, int]]
Ways: TypeAlias = Iterator[tuple[int, list[int]]]
"""Ways from a node back to itself, each with the kind of its first edge."""

_BLOCK = 4096  # so many targets are followed at once, as the bits of one number; 512 bytes a node
_TRIED = 16  # the shortest of so many cycles is told ...
_EFFORT = 200_000  # ... or of fewer in components with so many nodes


@dataclass(frozen=True, slots=True)
class Cycle:
    """Steps from transaction to transaction, by their numbers, the last one back to the first; and the kind of each."""

    name: str
    steps: tuple[tuple[int, int, int], ...]


class TooLongError(Exception):
    """The time that a component may take is over."""


def name_of(kinds: list[int], order: Order) -> str:
    """The name of a cycle with edges of these kinds, in this order."""
    overwritten = [kind == ANTI for kind in kinds]
    times = sum(overwritten)
    if times == 1:
        name = "G-single-item"
    elif times:
        adjacent = any(one and other for one, other in zip(overwritten, overwritten[1:] + overwritten[:1], strict=True))
        name = "G2-item" if adjacent else "G-nonadjacent-item"
    else:
        name = "G1c" if FLOW in kinds else "G0"
    return f"{name}-{order}" if TIME in kinds else name


class Search:
    """The search for cycles in one component, from the gravest kind to the slightest, first by the data alone.

    A kind of which a special case was found is not sought; nor is a variant with process or time edges if all the
    models that it would rule out are ruled out already.
    """

    def __init__(self, component: Component, order: Order, out_of_time: OutOfTime) -> None:
        self.component = component
        self.order = order
        self.out_of_time = out_of_time
        self.found: dict[str, Cycle] = {}
        self.timed_out = False
        self._states: dict[int, tuple[list[list[int]], list[int]]] = {}

    def run(self) -> list[Cycle]:
        """At most one cycle of each kind. When the time is over, at least one of whatever kind, if there is any."""
        try:
            for variant, time in (("", 0), (f"-{self.order}", TIME)) if self.order else (("", 0),):
                for name, candidates in (
                    ("G0", self.write_cycles),
                    ("G1c", self.circular_flows),
                    ("G-single-item", self.read_skews),
                    ("G-nonadjacent-item", self.nonadjacent),
                    ("G2-item", self.write_skews),
                ):
                    if not self._known(name + variant, variant):
                        self._check_time()
                        self._keep(name + variant, candidates(time))
        except TooLongError:
            self.timed_out = True
            if not self.found:
                self._keep("", self.any())
        return list(self.found.values())

    def write_cycles(self, time: int) -> Ways:
        """G0 (dirty write): a cycle of `ww` alone. Adya 1999, PL-1.

        No false alarm: of lists that only grow, one that was read shows which append came first. Edges of which this
        holds only if aborted reads are excluded (indeterminate writers, disputed orders) are left to G1c.
        """
        return self._rounds(WRITE | time | REST, WRITE)

    def circular_flows(self, time: int) -> Ways:
        """G1c (circular information flow): a cycle of `ww` and `wr`. Adya 1999, PL-2.

        No false alarm: each transaction built upon, or saw, what the one before it did; the last before the first.
        """
        return self._rounds(WRITE | FLOW | time | REST, FLOW, but_not=WRITE)

    def read_skews(self, time: int) -> Ways:
        """G-single (read skew): a cycle with exactly one `rw`. Adya 1999, PL-2+.

        No false alarm: the reader of the `rw` did not see an append, yet saw or followed something that came after
        it, so that what it saw is the state of no moment. Found whenever there is one: from the targets of all `rw`
        the ways are followed at once, as bits, through the acyclic graph of the components of the other edges.
        """
        out = self.component.project(WRITE | FLOW | time | REST)
        return _ways(out, ANTI, self._single(out, time), self.component.hubs)

    def nonadjacent(self, time: int) -> Ways:
        """G-nonadjacent: a cycle in which no two `rw` follow each other. Cerone and Gotsman 2016.

        No false alarm: under snapshot isolation each `ww` and `wr` goes from a commit to a later start, and so does a
        pair of one of them and a following `rw` go from a start to a later start; a cycle of them goes nowhere.
        """
        out, states = self._alternating(time)
        pairs = self.component.pairs(ANTI, states[::2], states[1::2])
        hubs = [hub for hub in self.component.hubs for _ in range(2)]
        for kind, way in _ways(out, ANTI, ((2 * start, 2 * end + 1) for start, end in pairs), hubs):
            nodes = [node // 2 for node in way]
            if len(set(nodes)) == len(nodes) - 1:  # else a part of it is a cycle of a graver kind
                yield kind, nodes

    def write_skews(self, time: int) -> Ways:
        """G2-item (write skew): a cycle with `rw`, two of which follow each other. Adya 1999, PL-2.99.

        No false alarm: each `rw` says that a transaction read what another overwrote, hence came before it.
        """
        return self._rounds(WRITE | FLOW | ANTI | time | REST, ANTI)

    def any(self) -> Ways:
        """Some cycle: there always is one. What is said when there is no time to seek the gravest."""
        everything = [0] * len(self.component.out)
        out = self.component.project(KINDS)
        for kind in (WRITE, FLOW, ANTI):
            yield from _ways(out, kind, self.component.pairs(kind, everything, everything), self.component.hubs)

    def _known(self, name: str, variant: str) -> bool:
        if name in models.implied(self.found):
            return True
        return bool(variant and self.found) and _impossible(name) <= models.impossible(self.found)

    def _check_time(self) -> None:
        if self.out_of_time():
            raise TooLongError

    def _keep(self, name: str, ways: Ways) -> None:
        """Keep the shortest of the first cycles that have this name; of any name, if none is given."""
        left = max(1, min(_TRIED, _EFFORT // len(self.component.out)))
        best: Cycle | None = None
        for kind, way in ways:
            cycle = self._cycle(way, kind)
            if cycle is not None and name in (cycle.name, "") and (best is None or len(cycle.steps) < len(best.steps)):
                best = cycle
            left -= 1
            if not left:
                break
        if best is not None:
            self.found[best.name] = best

    def _cycle(self, way: list[int], kinds: int) -> Cycle | None:
        """A way, with the kind of its first edge, as steps from transaction to transaction."""
        component = self.component
        steps: list[tuple[int, int, int]] = []
        last = way[0]
        for node, target in pairwise(way):
            kinds = kinds or component.out[node][target]
            if component.hubs[target]:
                continue
            kind = next(kind for kind in (WRITE, FLOW, ANTI, TIME) if kinds & kind)
            steps.append((component.numbers[last], component.numbers[target], kind))
            last, kinds = target, 0
        return Cycle(name_of([kind for *_, kind in steps], self.order), tuple(steps)) if len(steps) > 1 else None

    def _rounds(self, kinds: int, kind: int, *, but_not: int = 0) -> Ways:
        """Cycles of edges of these kinds, each begun with an edge of one kind."""
        component = self.component
        out = component.project(kinds)
        numbers = strong(out)
        pairs = (
            (start, end)
            for start, end in component.pairs(kind, numbers, numbers)
            if not component.out[start].get(end, 0) & but_not
        )
        return _ways(out, kind, pairs, component.hubs)

    def _alternating(self, time: int) -> tuple[list[list[int]], list[int]]:
        """A graph of states, and the number of the component of each: 2n is node n; 2n + 1 is n, entered by `rw`.

        From the latter no `rw` leads on. A way back to the same state is a cycle in which no two `rw` are adjacent.
        """
        if time not in self._states:
            hubs = self.component.hubs
            out: list[list[int]] = []
            for node, targets in enumerate(self.component.out):
                on = [2 * target for target, kind in targets.items() if kind & (WRITE | FLOW | time | REST)]
                over = [2 * target + 1 for target, kind in targets.items() if kind & ANTI]
                out += [on, [target + 1 for target in on]] if hubs[node] else [on + over, on]
            self._states[time] = out, strong(out)
        return self._states[time]

    def _single(self, out: list[list[int]], time: int) -> Pairs:
        """The `rw` from whose targets a way without `rw` leads back, in blocks of as many targets as fit."""
        sources = self._overwriters(time)
        numbers = strong(out)
        downwards = sorted(range(len(out)), key=lambda node: -numbers[node])
        ends = list(dict.fromkeys(end for _, over in sources.values() for end in over))
        for first in range(0, len(ends), _BLOCK):
            self._check_time()
            bits = {end: 1 << place for place, end in enumerate(ends[first : first + _BLOCK])}
            reached_from = _reached_from(out, numbers, downwards, bits)
            for starts, over in sources.values():
                wanted = sum(bits.get(end, 0) for end in over)
                for start in starts if wanted else ():
                    back = reached_from[numbers[start]] & wanted & ~bits.get(start, 0)
                    if back:
                        yield start, ends[first + back.bit_length() - 1]

    def _overwriters(self, time: int) -> dict[int, tuple[list[int], list[int]]]:
        """`rw` that may be part of a cycle in which they are not adjacent: readers and writers, all with all."""
        component, (_, states) = self.component, self._alternating(time)
        leaving, entering = states[::2], states[1::2]
        found: dict[int, tuple[list[int], list[int]]] = {}
        for start, targets in enumerate(component.out):
            for target, kind in targets.items():
                if kind & ANTI and leaving[start] == entering[target]:
                    if target not in found:
                        beyond = component.out[target] if component.hubs[target] else (target,)
                        found[target] = [], [end for end in beyond if entering[end] == entering[target]]
                    found[target][0].append(start)
        return found


def _reached_from(out: list[list[int]], numbers: list[int], downwards: list[int], bits: dict[int, int]) -> list[int]:
    """By component, the bits of all nodes from which a way leads to it."""
    found = [0] * len(out)
    for node, bit in bits.items():
        found[numbers[node]] |= bit
    for node in downwards:
        if mask := found[numbers[node]]:
            for target in out[node]:
                found[numbers[target]] |= mask
    return found


@cache
def _impossible(name: str) -> frozenset[str]:
    return models.impossible([name])


def _ways(out: list[list[int]], kind: int, pairs: Pairs, hubs: list[bool]) -> Ways:
    """For each pair the shortest way from the second back to the first, begun by the step between them."""
    for start, end in pairs:
        if way := shortest(out, end, start, hubs):
            yield kind, [start, *way]
