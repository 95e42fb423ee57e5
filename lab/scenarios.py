"""What the lab does to a cluster, and what is known beforehand of how that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from lab.cluster import Cluster, until
from lab.patroni import Node

LINE_SECONDS = 0.2
"""How late everything is on the line between two nodes, in each direction, as between two continents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One failure. `title` is what the table calls it; `lossless` says that nothing acknowledged may be lost.

    `line` is the delay of the line from the primary to its standbys while all is well. `strike` breaks the primary.
    """

    title: str
    synchronous: bool
    lossless: bool
    line: float
    strike: Callable[[Cluster, Node], Awaitable[None]]


async def _crash(_cluster: Cluster, primary: Node) -> None:
    """The machine is gone, and with it what was on its wire."""
    primary.unplug()
    await primary.kill()


async def _partition(_cluster: Cluster, primary: Node) -> None:
    """The primary sees neither etcd nor its standbys any more, but clients still come in, until Patroni demotes it."""
    primary.isolate()


async def _freeze(_cluster: Cluster, primary: Node) -> None:
    """Nothing on the primary moves, as where its disk or its hypervisor hangs; connections stay open."""
    primary.pause()


async def _switch_over(cluster: Cluster, primary: Node) -> None:
    """An operator moves the primary."""
    other = next(node for node in cluster.nodes if node is not primary)
    await cluster.switch_over(primary, other)


async def repair(cluster: Cluster, struck: Node) -> None:
    """Bring the struck node back, as a standby of the new primary."""
    struck.plug_in()
    struck.resume()
    if not struck.alive:
        await struck.start()
    await until(cluster.complete, what=f"{struck.name} follows again; see {struck.log}")


def successor(cluster: Cluster, struck: Node) -> Callable[[], Awaitable[bool]]:
    """Whether another node than the struck one leads."""

    async def another() -> bool:
        others = [node for node in cluster.nodes if node is not struck]
        return any(await asyncio.gather(*(node.leads() for node in others)))

    return another


SCENARIOS: Mapping[str, Scenario] = {
    "async-crash": Scenario(
        title="asynchronous, crash", synchronous=False, lossless=False, line=LINE_SECONDS, strike=_crash
    ),
    "async-partition": Scenario(
        title="asynchronous, partition", synchronous=False, lossless=False, line=0, strike=_partition
    ),
    "async-freeze": Scenario(title="asynchronous, freeze", synchronous=False, lossless=False, line=0, strike=_freeze),
    "sync-crash": Scenario(title="synchronous, crash", synchronous=True, lossless=True, line=0.02, strike=_crash),
    "sync-partition": Scenario(
        title="synchronous, partition", synchronous=True, lossless=True, line=0.02, strike=_partition
    ),
    "switchover": Scenario(
        title="asynchronous, switchover", synchronous=False, lossless=True, line=0, strike=_switch_over
    ),
}
