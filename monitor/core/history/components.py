"""Strongly connected components and shortest ways, without recursion."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.core.history.graph import ANTI, FLOW, KINDS, WRITE, Graph

Adjacency = Sequence[Sequence[int]]


def strong(out: Adjacency) -> list[int]:
    """The component of each node, numbered so that every edge between two of them leads to the lower number.

    Tarjan 1972, with a stack of its own.
    """
    count = len(out)
    component = [-1] * count
    first = [0] * count  # 0: not seen; else the number in the order of discovery
    low = [0] * count
    members: list[int] = []  # of components that are not complete
    found = discovered = 0
    todo = [*range(count - 1, -1, -1)]
    while todo:  # a node is on top when it is entered, and again when all that can be reached from it is done
        node = todo[-1]
        if not first[node]:
            discovered += 1
            first[node] = low[node] = discovered
            members.append(node)
            todo += [target for target in out[node] if not first[target]]
            continue
        todo.pop()
        if component[node] >= 0:
            continue
        low[node] = min([low[node], *(low[target] for target in out[node] if component[target] < 0)])
        if low[node] == first[node]:
            while component[node] < 0:
                component[members.pop()] = found
            found += 1
    return component


def shortest(out: Adjacency, start: int, goal: int, hubs: Sequence[bool]) -> list[int]:
    """A shortest way, both ends included, empty if there is none. To step upon a hub costs nothing."""
    before = {start: start}
    todo = deque([start])
    done: set[int] = set()
    while todo:
        node = todo.popleft()
        if node == goal:
            way = [node]
            while before[node] != node:
                node = before[node]
                way.append(node)
            return way[::-1]
        if node in done:
            continue
        done.add(node)
        for target in out[node]:
            if target not in done and (target not in before or hubs[target]):
                before[target] = node
                if hubs[target]:
                    todo.appendleft(target)
                else:
                    todo.append(target)
    return []


@dataclass(frozen=True, slots=True)
class Component:
    """Transactions each of which precedes all the others, and the hubs between them.

    Nodes are numbered from 0. `numbers` are the transactions' own, -1 for hubs. `out` gives the kinds of edges to each
    target. `rw` counts only between transactions that no `ww` or `wr` joins, which would say more.
    """

    numbers: list[int]
    hubs: list[bool]
    out: list[dict[int, int]]

    def project(self, kinds: int) -> list[list[int]]:
        """The edges of these kinds alone."""
        return [[target for target, kind in targets.items() if kind & kinds] for targets in self.out]

    def joined(self, start: int, end: int) -> bool:
        """Whether a `ww` or `wr` leads from one transaction to another."""
        return bool(self.out[start].get(end, 0) & (WRITE | FLOW))

    def pairs(self, kind: int, leaving: Sequence[int], entering: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The transactions that an edge of this kind joins, directly or by a hub, where the numbers of both agree."""
        beyond: dict[int, list[int]] = {}
        for start, targets in enumerate(self.out):
            if self.hubs[start]:
                continue
            for target, kinds in targets.items():
                if not kinds & kind or leaving[start] != entering[target]:
                    continue
                if not self.hubs[target]:
                    yield start, target
                    continue
                if target not in beyond:
                    ends = self.out[target]
                    beyond[target] = [end for end in ends if entering[end] == entering[target] and not self.hubs[end]]
                yield from ((start, end) for end in beyond[target] if end != start and not self.joined(start, end))


def components(graph: Graph) -> Iterator[Component]:
    """The components of two transactions or more, in the order of their first transactions. Mostly none."""
    knots = graph.knots()
    if not knots:
        return
    place = {node: number for number, node in enumerate(knots)}
    out = [[place[target] for target, _ in graph.targets(node) if target in place] for node in knots]
    members: dict[int, list[int]] = {}
    for node, component in zip(knots, strong(out), strict=True):
        members.setdefault(component, []).append(node)
    several = (nodes for nodes in members.values() if len(nodes) > 1 and nodes[1] < graph.transactions)
    for nodes in sorted(several):  # transactions have lower numbers than hubs
        yield _component(graph, nodes)


def _component(graph: Graph, nodes: list[int]) -> Component:
    place = {node: number for number, node in enumerate(nodes)}
    out: list[dict[int, int]] = []
    for node in nodes:
        kinds: dict[int, int] = {}
        for target, kind in graph.targets(node):
            if target in place:
                kinds[place[target]] = kinds.get(place[target], 0) | kind
        for target, kind in kinds.items():
            if kind & ANTI and kind & (WRITE | FLOW):
                kinds[target] = kind & (KINDS - ANTI)
        out.append(kinds)
    hubs = [node >= graph.transactions for node in nodes]
    return Component(numbers=[-1 if hub else node for node, hub in zip(nodes, hubs, strict=True)], hubs=hubs, out=out)
