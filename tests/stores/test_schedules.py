"""The table of anomalies and isolation levels, reproduced on real servers by directed schedules."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from monitor.core.levels import LEVELS, Isolation
from monitor.core.residue import Instance
from monitor.core.schedules.catalogue import SCHEDULES
from monitor.core.schedules.notation import INITIAL, Schedule
from monitor.core.schedules.results import Answer, Result, result
from monitor.embedded.postgres import system_bindir
from monitor.embedded.servers import Servers
from monitor.metrics import Metrics
from monitor.ports import Place, RegisterConnection, Registers, Store
from monitor.stores.environment import LiveEnvironment

TIMES = 5  # each schedule at each level; one may be lucky once


class Stage:
    """Registers of an environment, with four connections to them."""

    def __init__(self, registers: Registers, connections: list[RegisterConnection]) -> None:
        self.registers = registers
        self.observer, *self.actors = connections

    async def play(self, played: Schedule, level: Isolation | None = None) -> tuple[Answer, ...]:
        """Carry out a schedule on new registers, which are removed again."""
        rows = uuid4()
        await self.observer.make({rows: INITIAL})
        try:
            return await self.registers.play(played, rows, actors=self.actors, observer=self.observer, level=level)
        finally:
            await self.observer.remove([rows])


async def opened(environment: LiveEnvironment, stack: AsyncExitStack) -> Stage:
    """A stage with all its connections."""
    await environment.prepare({Store.POSTGRES: 4})
    connections: list[RegisterConnection] = []
    for _ in range(4):
        connection = await environment.registers.connect("test")
        stack.push_async_callback(connection.close)
        connections.append(connection)
    return Stage(environment.registers, connections)


def places() -> dict[str, Path | None]:
    """Whose PostgreSQL there is here: the wheel's, and the system's if it has one."""
    found = {"wheel": None, "system": system_bindir()}
    return {name: bindir for name, bindir in found.items() if name == "wheel" or bindir}


@pytest.fixture(scope="module", params=places().values(), ids=places())
async def stage(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """A stage on a server of its own."""
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(Servers(fsync=False, postgres_bindir=request.param))
        environment = LiveEnvironment(
            "schedules",
            instance=Instance("0123abcd", 1),
            tally=Metrics(location="test", version="0").tally("schedules"),
            addresses={Place(Store.POSTGRES): servers.postgres.dsn},
            connections={Store.POSTGRES: 4},
            provision=True,
        )
        yield await opened(environment, stack)


async def occurring(stage: Stage, name: str) -> dict[str, set[bool]]:
    """At which levels an anomaly occurs, over some trials of each."""
    played = SCHEDULES[name].schedule
    results = {level: {result(played, await stage.play(played, level)) for _ in range(TIMES)} for level in LEVELS}
    assert not any(Result.UNTOLD in each for each in results.values())
    return {level: {each is Result.OCCURRED for each in found} for level, found in results.items()}


EXPECTED = {
    **dict.fromkeys(["G0", "G1a", "G1b", "G1c", "OTV", "locked update"], ""),
    **dict.fromkeys(
        [
            "predicate-many-preceders",
            "lost update",
            "G-single",
            "G-single by a predicate",
            "G-single by a write predicate",
        ],
        "read committed",
    ),
    **dict.fromkeys(["G2-item", "G2", "G2 with a read-only transaction"], "read committed, repeatable read"),
}
"""The levels at which each anomaly occurs."""


@pytest.mark.parametrize("name", SCHEDULES)
async def test_anomalies_occur_at_exactly_the_levels_that_permit_them(stage: Stage, name: str) -> None:
    """Five times at each level: always where the level permits the anomaly, never where it does not."""
    found = await occurring(stage, name)
    assert found == {level: {level in EXPECTED[name]} for level in LEVELS}


def test_the_catalogue_says_the_same() -> None:
    """What a schedule is said to be prevented from, and where its control is, is what the table has."""
    for name, known in SCHEDULES.items():
        assert [level for level in LEVELS if not known.prevented_at(level)] == [
            level for level in LEVELS if level in EXPECTED[name]
        ]
        assert known.shown_at == (EXPECTED[name].rpartition(", ")[2] or None)
