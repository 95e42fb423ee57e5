"""How many runs are let in at once, and whose turn is next."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from monitor.gate import Gate, Pace
from tests.system import until


class Visits:
    """Runs that go through a gate and stay until they are told to leave."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.let_in: list[str] = []
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._leave = asyncio.Event()

    async def come(self, *environments: str) -> None:
        """One run of each comes to the gate, in this order."""
        for name in environments:
            self._tasks.setdefault(name, []).append(asyncio.create_task(self._visit(name)))
            await asyncio.sleep(0)

    async def give_up(self, environment: str) -> None:
        """The run of this environment that came last is cut off."""
        task = self._tasks[environment].pop()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def leave(self) -> None:
        """All leave, one after the other, as soon as they are in; -> when the last has left."""
        self._leave.set()
        await asyncio.gather(*(task for tasks in self._tasks.values() for task in tasks))

    async def _visit(self, name: str) -> None:
        async with self.gate.turn(name):
            self.let_in.append(name)
            await self._leave.wait()


async def test_so_many_are_in_and_the_others_wait() -> None:
    """As many as the limit says are let in at once, and the next when one leaves."""
    visits = Visits(Gate(2, lease=60))
    await visits.come("a", "b", "c")
    assert visits.let_in == ["a", "b"]
    assert visits.gate.waiting == 1
    await visits.leave()
    assert visits.let_in == ["a", "b", "c"]
    assert visits.gate.waiting == 0


async def test_environments_take_turns() -> None:
    """One that has many waiting runs does not keep out one that comes later with a single one."""
    visits = Visits(Gate(1, lease=60))
    await visits.come("a", "a", "a", "a", "b", "c")
    await visits.leave()
    assert visits.let_in == ["a", "a", "b", "c", "a", "a"]


async def test_who_waits_for_a_store_lets_others_in() -> None:
    """A run that takes long keeps its place for no longer than the lease, and gives back no second one at its end."""
    visits = Visits(Gate(1, lease=0.001))
    await visits.come("dead", "a", "b")
    await until(lambda: not visits.gate.waiting)
    assert visits.let_in == ["dead", "a", "b"]
    await visits.leave()
    late = Visits(visits.gate)
    visits.gate._lease = 60
    await late.come("a", "b")
    assert late.let_in == ["a"]
    await late.leave()


@pytest.mark.parametrize(
    ("crowded", "at_once"),
    [({}, 1), ({"patience": 0}, 4), ({"many": 0.05}, 4)],
    ids=["as a rule", "who comes next has waited for too long", "many were let in of late"],
)
async def test_where_one_place_is_not_enough_there_are_four(crowded: dict[str, float], at_once: int) -> None:
    """Where runs would begin ever later, four times as many are let in at once, and no more; all places come back."""
    names = ["a", "b", "c", "d", "e", "f"]
    visits = Visits(Gate(1, **{"lease": 60, "patience": 60, **crowded}))
    await visits.come(*names)
    assert visits.let_in == names[:at_once]
    assert visits.gate.waiting == len(names) - at_once
    await visits.leave()
    assert visits.let_in == names
    assert visits.gate._free == 1


def test_a_pace_is_that_of_the_last_seconds() -> None:
    """Twenty a second are told as that, however long it goes on; a burst is not, and what is long ago is forgotten."""
    pace = Pace()
    for number in range(2000):
        pace.one(number / 20)
    assert pace.at(100) == pytest.approx(20, rel=0.01)
    assert pace.at(200) < 0.01
    for _ in range(100):
        pace.one(200)
    assert pace.at(200) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize("when", ["while it waits", "in the moment of its turn"])
async def test_who_gives_up_takes_no_place_away(when: str) -> None:
    """A run that is cut off at the gate is forgotten, and its place goes to the next."""
    gate = Gate(1, lease=60)
    visits = Visits(gate)
    await visits.come("a", "b", "c")
    if when == "while it waits":
        await visits.give_up("b")
    else:
        gate.come_free()  # b is let in, and is cut off before it knows
        await visits.give_up("b")
        gate._free -= 1
    await visits.leave()
    assert [name for name in visits.let_in if name != "b"] == ["a", "c"]
    assert gate._free == 1
    assert gate.waiting == 0


def test_a_gate_lets_somebody_in() -> None:
    """A limit below one would let nobody in for ever."""
    with pytest.raises(ValueError, match="at least 1"):
        Gate(0)
