"""Connections handed out first come, first served."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.stores.slots import Slots


async def turns(count: int = 5) -> None:
    """Let every task that can run have its turn."""
    for _ in range(count):
        await asyncio.sleep(0)


class Guest:
    """Somebody who holds slots until told to go."""

    def __init__(self, slots: Slots, count: int, admitted: list[Guest]) -> None:
        self.count = count
        self._go = asyncio.Event()
        self._admitted = admitted
        self.task = asyncio.create_task(self._stay(slots))

    async def _stay(self, slots: Slots) -> None:
        async with slots.hold(self.count):
            self._admitted.append(self)
            await self._go.wait()

    async def leave(self) -> None:
        """Give the slots back."""
        self._go.set()
        await self.task


async def test_first_come_first_served() -> None:
    """Whoever asked earlier is served earlier, also where a smaller wish behind would fit."""
    slots, admitted = Slots(2), list[Guest]()
    one, two, three = (Guest(slots, count, admitted) for count in (1, 2, 1))
    await turns()
    assert admitted == [one]
    await one.leave()
    await turns()
    assert admitted == [one, two]
    await two.leave()
    await three.leave()
    assert admitted == [one, two, three]


async def test_a_run_takes_all_it_needs_at_once() -> None:
    """Two runs that need two of three slots each never hold one and wait for another."""
    slots, admitted = Slots(3), list[Guest]()
    one, two = (Guest(slots, 2, admitted) for _ in range(2))
    await turns()
    assert admitted == [one]
    await one.leave()
    await two.leave()


async def test_more_than_there_are_is_refused() -> None:
    """What could never be is an error, and takes nothing."""
    slots = Slots(2)
    with pytest.raises(ValueError, match="3 connections were asked for, and max_connections is 2"):
        async with slots.hold(3):
            pass
    async with slots.hold(2):
        pass


async def test_who_gives_up_makes_way() -> None:
    """A wish that cannot be met yet and is withdrawn lets a smaller one behind it in."""
    slots, admitted = Slots(2), list[Guest]()
    one, big, small = (Guest(slots, count, admitted) for count in (1, 2, 1))
    await turns()
    big.task.cancel()
    await turns()
    assert admitted == [one, small]
    await one.leave()
    await small.leave()


async def test_a_holder_that_is_cancelled_gives_back() -> None:
    """A run that is cut off leaves its slots to the next."""
    slots, admitted = Slots(1), list[Guest]()
    one, two = (Guest(slots, 1, admitted) for _ in range(2))
    await turns()
    one.task.cancel()
    await turns()
    assert admitted == [one, two]
    await two.leave()


async def test_a_turn_that_comes_while_giving_up_is_passed_on() -> None:
    """A waiter that is cancelled in the moment of its turn gives it to the next."""
    slots, admitted = Slots(1), list[Guest]()
    one, two, three = (Guest(slots, 1, admitted) for _ in range(3))
    await turns()
    one._go.set()
    await turns(1)
    assert one.task.done()
    assert admitted == [one]  # the turn is given to two, and two has not woken up yet
    two.task.cancel()
    await turns()
    assert three in admitted
    await three.leave()


async def test_holder_and_waiters_may_be_cut_off_together() -> None:
    """Where all are cancelled in one turn of the loop, as in a shutdown, nobody sees another error and all is free."""
    slots, admitted = Slots(2), list[Guest]()
    guests = [Guest(slots, count, admitted) for count in (2, 1, 2, 1)]
    await turns()
    for guest in guests:
        guest.task.cancel()
    ended = await asyncio.gather(*(guest.task for guest in guests), return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 4
    await Guest(slots, 2, admitted).leave()


@settings(max_examples=300, deadline=None)
@given(limit=st.integers(1, 4), counts=st.lists(st.integers(1, 4), min_size=1, max_size=12), seed=st.integers(0, 10**6))
def test_never_more_than_the_limit_and_none_is_lost(limit: int, counts: list[int], seed: int) -> None:
    """Any interleaving of arrivals, departures and cancellations keeps the limit, and ends all free."""
    asyncio.run(_interleave(limit, [min(count, limit) for count in counts], Random(seed)))  # noqa: S311  no secret


async def _interleave(limit: int, counts: list[int], rng: Random) -> None:
    slots, admitted, arrived = Slots(limit), list[Guest](), list[Guest]()
    coming = list(counts)
    while coming or any(not guest.task.done() for guest in arrived):
        inside = [guest for guest in arrived if not guest.task.done()]
        deed = rng.choice(["come", "go", "cancel", "rest"])
        if deed == "come" and coming:
            arrived.append(Guest(slots, coming.pop(), admitted))
        elif deed == "go" and inside:
            rng.choice(inside)._go.set()
        elif deed == "cancel" and inside:
            rng.choice(inside).task.cancel()
        else:
            await turns(rng.randint(1, 3))
        assert 0 <= slots._free <= limit
        assert sum(guest.count for guest in admitted if not guest.task.done() and not guest._go.is_set()) <= limit
        if not coming:
            for guest in admitted:
                guest._go.set()
    for guest in arrived:
        assert guest.task.cancelled() or guest.task.exception() is None
    await asyncio.wait_for(Guest(slots, limit, []).leave(), 5)
