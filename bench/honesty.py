"""Row 2: how far exported latencies are from the server's own clock, when 100 environments are due together.

Each step is one request on an open connection. What the server says it took is taken from PostgreSQL's log (every
statement with its duration) and from the slow log of Redis (every command); the rest is the error: the way there and
back, the kernel, and the wait of the answer until this process had read it. The same is done behind a line that holds
everything for a known while, which is taken off, too. Samples that are marked as suspect are left out, as they are left
out of the histograms; how many that were is in the note.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from statistics import quantiles
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from bench.frame import Effort, Figure, Goal, Row
from bench.line import Line, line
from bench.stage import QUIET, Stage, stage
from monitor.core.budget import suspect
from monitor.core.record import RunRecord
from monitor.core.verdict import Finding
from monitor.gate import Gate
from monitor.ports import Place, Store
from monitor.probe import Probe, Run, Use
from monitor.stores.environment import LiveEnvironment

ENVIRONMENTS = 100
DELAY = 0.02
"""Seconds each way."""
TOKEN = "bench-{}"  # noqa: S105  by which a request is found in the server's log
ASKED = "SELECT '{}', count(*) FROM generate_series(1, 500)"
_LOGGED = re.compile(r"duration: (\d+\.\d+) ms  statement: SELECT 'bench-([0-9a-f-]+)'")


class _OneRequest(Probe[None]):
    """A step is one request."""

    kinds: ClassVar = frozenset()
    steps: ClassVar = ("ask",)

    def plan(self) -> tuple[Use, ...]:
        """Nobody asks."""
        return ()

    def judge(self, seen: None) -> Finding:  # noqa: ARG002  nothing is judged
        """Right."""
        return Finding.of((), checks=1)


class PostgresProbe(_OneRequest):
    """One SELECT."""

    name: ClassVar = "postgres"
    needs: ClassVar = {Store.POSTGRES: 1}

    async def observe(self, run: Run) -> None:
        """Connect, then ask."""
        environment: Any = run.environment
        postgres = environment.ways.primary_postgres
        connection = await postgres.connect("bench")
        async with run.step("ask"):
            await connection.execute(ASKED.format(TOKEN.format(run.run_id)))
        await postgres.close(connection, broken=False)


class RedisProbe(_OneRequest):
    """One GET."""

    name: ClassVar = "redis"
    needs: ClassVar = {Store.REDIS: 1}
    budget: timedelta = Field(default=timedelta(milliseconds=100))

    async def observe(self, run: Run) -> None:
        """Connect, then ask."""
        environment: Any = run.environment
        connection = await environment.ways.primary_redis.connect("bench")
        async with run.step("ask"):
            await connection.ask(("GET", TOKEN.format(run.run_id)))
        await connection.close()


@dataclass(slots=True, kw_only=True)
class Errors:
    """In milliseconds, of the samples of one round each: of requests to which store, on which way."""

    probe: Probe[Any]
    what: str
    environments: Sequence[LiveEnvironment]
    middle: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    marked: int = 0
    taken: int = 0

    def take(self, records: Sequence[RunRecord], known: Mapping[str, float]) -> None:
        """One round. `known` is how much of each run's latency is not the error."""
        steps = {record.run_id: step for record in records for step in record.steps}
        kept = {run: step for run, step in steps.items() if not suspect(step, self.probe.budget_of(step.name))}
        self.taken += len(steps)
        self.marked += len(steps) - len(kept)
        errors = [step.took.total_seconds() * 1000 - known[run] for run, step in kept.items()]
        cuts = quantiles(errors, n=100)
        self.middle.append(cuts[49])
        self.most.append(cuts[98])
        self.share.append(max(errors) / (self.probe.budget_of("ask").total_seconds() * 1000) * 100)

    def rows(self) -> Sequence[Row]:
        """All three."""
        what = f"error of the latency of one request to {self.what}, {ENVIRONMENTS} environments due together"
        note = f"{self.marked} of {self.taken} samples were marked as suspect and are left out"
        return [
            Row(number="2", what=f"{what}: p50", unit="ms", own=Figure.of(self.middle), goal=Goal(most=0.2), note=note),
            Row(number="2", what=f"{what}: p99", unit="ms", own=Figure.of(self.most), goal=Goal(most=1)),
            Row(
                number="2",
                what=f"{what}: largest, of the budget",
                unit="%",
                own=Figure.of(self.share),
                goal=Goal(most=1),
            ),
        ]


async def measure(effort: Effort) -> Sequence[Row]:
    """For PostgreSQL and for Redis, directly and behind the line."""
    settings = {**QUIET, "log_min_duration_statement": "0", "logging_collector": "off"}
    slow = {"slowlog-log-slower-than": "0", "slowlog-max-len": "100000"}
    async with stage(settings, redis=slow) as here:
        ports = {place: urlsplit(address).port or 0 for place, address in here.addresses.items()}
        async with line(DELAY, *ports.values()) as late:
            behind = dict(zip(ports, late.ports, strict=True))
            far = {
                place: address.replace(f":{ports[place]}", f":{behind[place]}")
                for place, address in here.addresses.items()
            }
            delayed = f", through a proxy of {DELAY * 1000:.0f} ms each way"
            sides = [
                _errors(here, probe, f"{title}{way}", addresses)
                for way, addresses in (("", here.addresses), (delayed, far))
                for probe, title in ((PostgresProbe(), "PostgreSQL"), (RedisProbe(), "Redis"))
            ]
            for turn in range(effort.rounds + 1):
                for errors in sides:
                    records = await _together(here, errors)
                    if turn:
                        errors.take(records, await _known(here, errors, late))
    return [row for errors in sides for row in errors.rows()]


def _errors(here: Stage, probe: Probe[Any], what: str, addresses: Mapping[Place, str]) -> Errors:
    environments = [here.environment(probe, addresses=addresses) for _ in range(ENVIRONMENTS)]
    return Errors(probe=probe, what=what, environments=environments)


async def _together(here: Stage, errors: Errors) -> Sequence[RunRecord]:
    """A burst, in a daemon that had little to do before: its gate has not heard of the bursts of other rounds."""
    here = replace(here, desk=replace(here.desk, gate=Gate()))
    return await asyncio.gather(*(here.right(errors.probe, environment) for environment in errors.environments))


async def _known(here: Stage, errors: Errors, late: Line) -> Mapping[str, float]:
    """How many milliseconds of each run the server says that it took, and the line that it held it."""
    held = await late.held()
    return {run: took + held.get(run, 0.0) for run, took in (await _said(here, errors.probe)).items()}


async def _said(here: Stage, probe: Probe[Any]) -> Mapping[str, float]:
    """How many milliseconds the server itself says that the request of each run took."""
    if probe.name == "postgres":
        log = here.servers.postgres.log.read_text(encoding="utf-8", errors="replace")
        return {run: float(duration) for duration, run in _LOGGED.findall(log)}
    said: Any = await here.servers.valkey.command("SLOWLOG", "GET", "-1")
    commands = [(words, took / 1000) for _, _, took, words, *_ in said]  # after the number and the time of each entry
    mark = TOKEN.format("")
    return {words[1].decode().removeprefix(mark): took for words, took in commands if words[0] == b"GET"}
