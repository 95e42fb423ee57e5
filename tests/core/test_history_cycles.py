"""The search for cycles against trying all of them, in small components of chance."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.history.components import Component, shortest, strong
from monitor.core.history.cycles import Search, name_of
from monitor.core.history.graph import ANTI, FLOW, REST, TIME, WRITE, Order
from monitor.core.history.models import impossible
from tests.core.simulated import dice

MANY = settings(max_examples=2500, deadline=None, suppress_health_check=list(HealthCheck))
KINDS = (WRITE, FLOW, ANTI)


def component(random: Random, *, time: bool) -> Component:
    """Up to six transactions, up to two hubs of `rw`, and at times one of time, with any edges between them."""
    size, hubs = random.randint(2, 6), random.randint(0, 2)
    out: list[dict[int, int]] = [{} for _ in range(size + hubs + time)]
    for start in range(size):
        for end in range(size):
            if start != end and random.random() < 0.25:
                out[start][end] = random.choice(KINDS)
        for hub in range(size, size + hubs):
            if random.random() < 0.3:
                out[start][hub] = ANTI
            if random.random() < 0.3:
                out[hub][start] = REST
    for start in range(size * time):
        if random.random() < 0.5:
            out[start][size + hubs] = TIME
        else:
            out[size + hubs][start] = REST
    count = hubs + time
    return Component(numbers=[*range(size), *[-1] * count], hubs=[False] * size + [True] * count, out=out)


def edges(given_component: Component, *, plainly: bool) -> dict[int, list[tuple[int, int]]]:
    """All edges from transaction to transaction, with their kinds; hubs are resolved.

    `plainly` leaves out an `rw` through a hub between transactions that a `ww` or `wr` joins as well.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    for start, targets in enumerate(given_component.out):
        if given_component.hubs[start]:
            continue
        for target, kind in targets.items():
            ends = given_component.out[target] if given_component.hubs[target] else [target]
            known = [end for end in ends if end != start]
            if plainly and kind == ANTI and given_component.hubs[target]:
                known = [end for end in known if not given_component.joined(start, end)]
            found.setdefault(start, []).extend((end, kind) for end in known)
    return found


def every_cycle(given_component: Component, *, plainly: bool = True) -> Iterator[list[int]]:
    """The kinds of the edges of every simple cycle."""
    out = edges(given_component, plainly=plainly)

    def on(way: list[int], kinds: list[int]) -> Iterator[list[int]]:
        for end, kind in out.get(way[-1], ()):
            if end == way[0]:
                yield [*kinds, kind]
            elif end > way[0] and end not in way:
                yield from on([*way, end], [*kinds, kind])

    for start in out:
        yield from on([start], [])


@given(seed=st.integers(0, 2**32), order=st.sampled_from([Order.NONE, Order.REALTIME]))
@settings(MANY, max_examples=5000)
def test_what_is_told_exists_and_rules_out_all_that_exists(seed: int, order: Order) -> None:
    """No cycle is invented; and no model is left standing that any of the cycles excludes."""
    made = component(dice(seed), time=order is Order.REALTIME)
    found = {cycle.name for cycle in Search(made, order, lambda: False).run()}
    there = {name_of(kinds, order) for kinds in every_cycle(made)}
    assert found <= {name_of(kinds, order) for kinds in every_cycle(made, plainly=False)}
    assert impossible(there) <= impossible(found)


@given(seed=st.integers(0, 2**32))
@MANY
def test_the_gravest_cycle_of_the_data_is_found_by_its_name(seed: int) -> None:
    """Also where a component is full of slighter ones."""
    made = component(dice(seed), time=False)
    there = {name_of(kinds, Order.NONE) for kinds in every_cycle(made)}
    found = {cycle.name for cycle in Search(made, Order.NONE, lambda: False).run()}
    assert ("G0" in there) == ("G0" in found)
    assert "G0" in there or ("G1c" in there) == ("G1c" in found)
    assert ("G-single-item" in there) <= ("G-single-item" in found)


@given(seed=st.integers(0, 2**32))
@settings(MANY, max_examples=500)
def test_out_of_time_some_cycle_is_told_if_there_is_one(seed: int) -> None:
    """Whatever was not searched for."""
    made = component(dice(seed), time=False)
    numbers = strong(made.project(WRITE | FLOW | ANTI | REST))
    there = {name_of(kinds, Order.NONE) for kinds in every_cycle(made, plainly=False)}
    search = Search(made, Order.NONE, lambda: True)
    found = {cycle.name for cycle in search.run()}
    assert search.timed_out
    assert found <= there
    assert bool(found) == bool(there) or len(set(numbers)) > 1


def _reachable(out: list[list[int]], start: int) -> set[int]:
    seen, todo = {start}, [start]
    while todo:
        new = set(out[todo.pop()]) - seen
        seen |= new
        todo += new
    return seen


@given(seed=st.integers(0, 2**32))
@MANY
def test_strong_components_are_what_reaches_each_other(seed: int) -> None:
    """The same number for nodes that reach each other, and a lower one for what is only reached."""
    random = dice(seed)
    size = random.randint(1, 8)
    out = [[end for end in range(size) if random.random() < 0.2] for _ in range(size)]
    numbers, reach = strong(out), [_reachable(out, start) for start in range(size)]
    for one in range(size):
        for other in reach[one]:
            assert (numbers[one] == numbers[other]) == (one in reach[other])
            assert numbers[one] >= numbers[other]
            assert bool(shortest(out, one, other, [False] * size))
