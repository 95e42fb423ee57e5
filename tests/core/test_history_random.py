"""The judge on histories of chance: databases that keep a level are never accused of less, whatever they look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, permutations
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.history.judge import judge
from monitor.core.history.models import UNCONFIRMED
from monitor.core.history.operations import Append, Element, Key, Kind, Operation, Read, Transaction, transactions
from tests.core.simulated import Isolation, dice, history

MANY = settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**32)


@pytest.mark.parametrize("isolation", Isolation)
@given(seed=SEEDS, count=st.integers(1, 40), keys=st.integers(1, 5), clients=st.integers(1, 6))
@MANY
def test_a_database_is_never_convicted_above_its_level(
    isolation: Isolation, seed: int, count: int, keys: int, clients: int
) -> None:
    """With aborted transactions, and with some that end without an answer and take place, do not, or do later."""
    recorded = history(isolation, dice(seed), transactions=count, clients=clients, keys=keys)
    assert judge(transactions(recorded), levels=[isolation]).valid is not False


@pytest.mark.parametrize(
    ("isolation", "expected"),
    [
        (Isolation.READ_UNCOMMITTED, {"G1a", "G1b", "G1c", "G-single-item", "incompatible-order", "internal"}),
        (Isolation.READ_COMMITTED, {"G-single-item", "G2-item", "lost-update", "internal"}),
        (Isolation.SNAPSHOT, {"G2-item"}),
        (Isolation.SERIAL, set()),
    ],
)
def test_a_weak_database_is_found_out(isolation: Isolation, expected: set[str]) -> None:
    """What a level allows does occur, and is seen: the judge is not just silent."""
    seen: set[str] = set()
    for seed in range(60):
        found = judge(transactions(history(isolation, dice(seed), transactions=40)), levels=["serializable"])
        assert found.valid is (False if found.ruled_out else found.valid)
        seen.update(found.counts)
    assert expected <= seen
    assert isolation is not Isolation.SERIAL or not seen


def _spoilt(recorded: Sequence[Operation], random: Random) -> list[Operation]:
    """A history with up to two changes: an outcome, or a list that was read."""
    spoilt = list(recorded)
    ends = [number for number, operation in enumerate(spoilt) if operation.kind is not Kind.INVOKE]
    for number in random.choices(ends, k=random.randint(0, 2)):
        operation = spoilt[number]
        value = list(operation.value)
        place = random.randrange(len(value))
        micro = value[place]
        if isinstance(micro, Read) and random.random() < 0.8:
            elements = list(micro.elements or ())
            random.shuffle(elements)
            changed = [*elements, *random.choices(elements or [1], k=random.randint(0, 1))]
            keep = random.randint(0, len(changed))
            value[place] = Read(micro.key, tuple(sorted(changed[:keep], key=str) if random.random() < 0.5 else changed))
            spoilt[number] = operation._replace(value=tuple(value))
        else:
            spoilt[number] = operation._replace(kind=random.choice([Kind.OK, Kind.FAIL, Kind.INFO]))
    return spoilt


def _serial_orders(recorded: Sequence[Transaction]) -> Iterator[tuple[Transaction, ...]]:
    """Every order of what took place, with any of what may have."""
    certain = [each for each in recorded if each.kind is Kind.OK]
    doubtful = [each for each in recorded if each.kind is Kind.INFO]
    for count in range(len(doubtful) + 1):
        for some in combinations(doubtful, count):
            yield from permutations([*certain, *some])


def _explains(order: Sequence[Transaction]) -> bool:
    lists: dict[Key, tuple[Element, ...]] = {}
    for transaction in order:
        for operation in transaction.value:
            seen = lists.get(operation.key, ())
            if isinstance(operation, Append):
                lists[operation.key] = (*seen, operation.element)
            elif seen != (operation.elements or ()) and (operation.elements is not None or transaction.kind is Kind.OK):
                return False
    return True


def _in_time(order: Sequence[Transaction]) -> bool:
    return not any(
        later.kind is Kind.OK
        and later.completed is not None
        and earlier.invoked is not None
        and later.completed < earlier.invoked
        for place, earlier in enumerate(order)
        for later in order[place + 1 :]
    )


@given(seed=SEEDS, isolation=st.sampled_from(Isolation), count=st.integers(2, 5), keys=st.integers(1, 3))
@settings(MANY, max_examples=4000)
def test_whoever_is_convicted_has_no_excuse(seed: int, isolation: Isolation, count: int, keys: int) -> None:
    """Of small histories, spoilt in any way, all serial orders are tried: where one explains all, nobody is accused."""
    random = dice(seed)
    recorded = transactions(_spoilt(history(isolation, random, transactions=count, clients=3, keys=keys), random))
    plain, strict = (judge(recorded, levels=[level]) for level in ("serializable", "strict-serializable"))
    assert UNCONFIRMED not in {*plain.counts, *strict.counts}
    if strict.valid is False:
        explained = [order for order in _serial_orders(recorded) if _explains(order)]
        assert plain.valid is not False or not explained
        assert not any(map(_in_time, explained))


@given(seed=SEEDS, isolation=st.sampled_from(Isolation))
@settings(MANY, max_examples=300)
def test_judging_twice_is_judging_once(seed: int, isolation: Isolation) -> None:
    """The same history gives the same judgement, whatever else was judged before."""
    recorded = transactions(_spoilt(history(isolation, dice(seed), transactions=20), dice(seed)))
    assert judge(recorded) == judge(list(recorded))


def _some_read(recorded: Sequence[Operation], shortest: int) -> tuple[int, tuple[Element, ...]]:
    """The first single read of so many elements that a later transaction repeats or continues; by its number."""
    reads = [
        (number, operation.value[0].elements or ())
        for number, operation in enumerate(recorded)
        if operation.kind is Kind.OK and len(operation.value) == 1 and isinstance(operation.value[0], Read)
    ]
    return next(((number, elements) for number, elements in reads[:-1] if len(elements) >= shortest), (-1, ()))


FAULTS: dict[str, tuple[int, Callable[[tuple[Element, ...]], tuple[Element, ...]]]] = {
    "garbage-read": (0, lambda elements: (*elements, "nobody's")),
    "duplicate-elements": (1, lambda elements: (*elements, elements[0])),
    "incompatible-order": (3, lambda elements: (*elements[:-3], *reversed(elements[-3:]))),
    "G-single-item-realtime": (2, lambda _: ()),
    "G1a": (1, lambda elements: elements),
}
"""How to spoil a read, and how long it has to be for it."""


@pytest.mark.parametrize("name", FAULTS)
@given(seed=SEEDS)
@settings(MANY, max_examples=150)
def test_one_fault_in_a_healthy_history_has_its_name(name: str, seed: int) -> None:
    """A serial history that is broken in one way is called by the name of that way."""
    recorded = history(Isolation.SERIAL, dice(seed), transactions=40, clients=1, keys=1, trouble=0)
    shortest, spoil = FAULTS[name]
    number, elements = _some_read(recorded, shortest)
    if number < 0:
        return
    assert judge(transactions(recorded)).valid is True
    recorded[number] = recorded[number]._replace(value=(Read(0, spoil(elements)),))
    if name == "G1a":
        first = Append(0, elements[0])
        writer = next(n for n, each in enumerate(recorded) if each.kind is Kind.OK and first in each.value)
        recorded[writer] = recorded[writer]._replace(kind=Kind.FAIL)
    found = judge(transactions(recorded))
    assert found.valid is False
    assert name in found.anomaly_types
