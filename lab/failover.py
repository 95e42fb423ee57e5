"""One scenario from beginning to end: a healthy while, the blow, the failover, the repair, and then the truth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from lab import marks, writer
from lab.cluster import Cluster, until
from lab.daemon import RATE, Daemon
from lab.patroni import Node, Pace
from lab.said import Outage, Said
from lab.scenarios import Scenario, repair, successor
from lab.truth import truth
from lab.verdict import Result, complaints, own_writes
from lab.writer import Writer
from monitor.embedded.process import EmbeddedError

WELL_SECONDS = 20.0  # longer than the ladder, so that records have been removed before the blow


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """When the primary was struck, by the clock that never goes back and by the wall's."""

    monotonic: float
    moment: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """How the cluster is made, and who hears of the progress. `keep` is a folder for all that a scenario leaves."""

    nodes: int
    pace: Pace
    say: Callable[[str], None]
    keep: Path | None = None

    async def run(self, scenario: Scenario) -> Result:
        """Run one scenario on a cluster of its own. EmbeddedError where the cluster does not do its part."""
        keep = self.keep / scenario.title.replace(", ", "-") if self.keep else None
        async with Cluster(nodes=self.nodes, synchronous=scenario.synchronous, pace=self.pace, keep=keep) as cluster:
            primary = await _leader(cluster)
            await writer.create(primary.superuser_dsn())
            folder = cluster.folder.path / "holdfast"
            folder.mkdir(mode=0o700)
            address = cluster.dsn(cluster.haproxy.port)
            replicas = {node.name: cluster.dsn(node.postgres_port) for node in cluster.nodes}
            async with Daemon(folder, dsn=address, replicas=replicas) as daemon:
                await _settled(daemon)
                await marks.watch(primary.superuser_dsn())
                async with Writer(address) as client:
                    blow = await self._course(cluster, primary, scenario, daemon, client)
                kinds = tuple(violation["kind"] for violation in await daemon.violations())
            new = (await _leader(cluster)).superuser_dsn()
            fell = truth(client.attempts, await writer.rows(new), since=blow.monotonic)
            moves, records = await marks.noted(new)
            own = own_writes(daemon.entries(), marks=moves, records=records)
            said = Said(kinds=kinds, losses=tuple(daemon.losses()), outage=_longest(daemon, blow))
            wrong = complaints(fell, own, said, lossless=scenario.lossless, tick=1 / RATE)
            return Result(title=scenario.title, truth=fell, own=own, said=said, complaints=wrong)

    async def _course(
        self, cluster: Cluster, primary: Node, scenario: Scenario, daemon: Daemon, client: Writer
    ) -> Blow:
        """What happens, in order."""
        primary.link.delay = scenario.line
        self.say(f"{scenario.title}: {primary.name} leads; all is well for {WELL_SECONDS:g} s")
        await asyncio.sleep(WELL_SECONDS)
        if early := await daemon.violations():
            raise EmbeddedError(f"Holdfast reports {early[0]['kind']} before anything was done: {early[0]['subject']}")
        blow = Blow(monotonic=time.monotonic(), moment=datetime.now(UTC))
        await scenario.strike(cluster, primary)
        self.say(f"{scenario.title}: {primary.name} is struck")
        await until(successor(cluster, primary), what="another node leads")
        self.say(f"{scenario.title}: another node leads after {time.monotonic() - blow.monotonic:.1f} s")
        await until(partial(client.acknowledges, since=time.monotonic()), what="the lab's writer writes again")
        await _settled(daemon)
        await repair(cluster, primary)
        self.say(f"{scenario.title}: {primary.name} follows, {time.monotonic() - blow.monotonic:.1f} s after the blow")
        await _settled(daemon)
        return blow


async def _leader(cluster: Cluster) -> Node:
    leader = await cluster.leader()
    if leader is None:
        raise EmbeddedError("the cluster has no primary")
    return leader


async def _settled(daemon: Daemon) -> None:
    """Wait until a run that begins now can tell how things stand."""
    await until(partial(daemon.settled, datetime.now(UTC)), what=f"a run that is not unknown; see {daemon.log}")


def _longest(daemon: Daemon, blow: Blow) -> Outage | None:
    """The longest outage of writing since the blow."""
    since = blow.moment.timestamp()
    found = [
        each for each in daemon.outages() if each.operation == "write" and (each.ended is None or each.ended > since)
    ]
    return max(found, key=lambda each: each.most, default=None)
