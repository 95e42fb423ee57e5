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
from lab.said import Said
from lab.scenarios import Scenario, repair, successor
from lab.truth import truth
from lab.verdict import Result, complaints, own_writes
from lab.writer import Writer
from monitor.embedded.process import EmbeddedError

WELL_SECONDS = 20.0  # longer than the ladder, so that records have been removed before the blow


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
            primary = await cluster.leader()
            if primary is None:
                raise EmbeddedError("the cluster lost its primary before anything was done to it")
            await writer.create(primary.superuser_dsn())
            folder = cluster.folder.path / "holdfast"
            folder.mkdir(mode=0o700)
            dsn = cluster.dsn(cluster.haproxy.port)
            replicas = {node.name: cluster.dsn(node.postgres_port) for node in cluster.nodes}
            daemon = Daemon(folder, dsn=dsn, replicas=replicas)
            async with daemon:
                await self._settled(daemon)
                await marks.watch(primary.superuser_dsn())
                async with Writer(dsn) as client:
                    blow = await self._course(cluster, primary, scenario, daemon, client)
                kinds = tuple(violation["kind"] for violation in await daemon.violations())
            leader = await cluster.leader()
            if leader is None:
                raise EmbeddedError("the cluster has no primary at the end")
            fell = truth(client.attempts, await writer.rows(leader.superuser_dsn()), since=blow[0])
            moves, records = await marks.noted(leader.superuser_dsn())
            own = own_writes(daemon.entries(), marks=moves, records=records)
            outages = [
                outage
                for outage in daemon.outages()
                if outage.operation == "write" and (outage.ended is None or outage.ended > blow[1].timestamp())
            ]
            said = Said(
                kinds=kinds,
                losses=tuple(daemon.losses()),
                outage=max(outages, key=lambda outage: outage.most, default=None),
            )
            wrong = complaints(fell, own, said, lossless=scenario.lossless, tick=1 / RATE)
            return Result(title=scenario.title, truth=fell, own=own, said=said, complaints=wrong)

    async def _course(
        self, cluster: Cluster, primary: Node, scenario: Scenario, daemon: Daemon, client: Writer
    ) -> tuple[float, datetime]:
        """What happens, in order; -> the moment of the blow, by the monotonic clock and by the wall's."""
        primary.link.delay = scenario.line
        self.say(f"{scenario.title}: {primary.name} leads; all is well for {WELL_SECONDS:g} s")
        await asyncio.sleep(WELL_SECONDS)
        if ill := [run for run in await daemon.runs() if run["verdict"] == "violated"]:
            raise EmbeddedError(f"Holdfast reports a violation before anything was done: {ill[0]['message']}")
        blow = time.monotonic(), datetime.now(UTC)
        await scenario.strike(cluster, primary)
        self.say(f"{scenario.title}: {primary.name} is struck")
        await until(successor(cluster, primary), what="another node leads")
        self.say(f"{scenario.title}: another node leads after {time.monotonic() - blow[0]:.1f} s")
        await until(partial(client.acknowledges, since=time.monotonic()), what="the lab's writer writes again")
        await self._settled(daemon)
        await repair(cluster, primary)
        self.say(f"{scenario.title}: {primary.name} follows again, {time.monotonic() - blow[0]:.1f} s after the blow")
        await self._settled(daemon)
        return blow

    async def _settled(self, daemon: Daemon) -> None:
        """Wait until a run that begins now can tell how things stand."""
        await until(partial(daemon.settled, datetime.now(UTC)), what=f"a run that is not unknown; see {daemon.log}")
