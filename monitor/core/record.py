"""The record of one finished run: what the journal keeps, the metrics count and the log prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from monitor.core.verdict import Finding, Json, Reason, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTiming:
    """One timed operation: its name, when it began after the run's start, and how long it took.

    `messages` is how many messages it wrote or read, where that is what it is for. `lag` is for how long this process
    was late meanwhile: so much of `took` may be its own.
    """

    name: str
    after: timedelta
    took: timedelta
    failed: bool = False
    messages: int = 0
    lag: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """How long a change took from its acknowledgement at `source` until `target` was seen to have it.

    It arrived within the last `resolution` of that time: so far apart were the look that missed it and the one that
    found it.
    """

    source: str
    target: str
    took: timedelta
    resolution: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One execution of one probe against one environment.

    `run_id` is a UUIDv7 as text; `started` is UTC; `took` is measured with a monotonic clock; `late` is how long
    the run waited behind its scheduled moment; `server` says who answered (address, role, version, position).
    """

    run_id: str
    environment: str
    probe: str
    started: datetime
    took: timedelta
    finding: Finding
    steps: tuple[StepTiming, ...] = ()
    propagations: tuple[Propagation, ...] = ()
    server: Mapping[str, Json] = field(default_factory=dict)

    @property
    def verdict(self) -> Verdict:
        """The finding's verdict."""
        return self.finding.verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRun:
    """Runs that were due at about one moment and did not take place: `paused` or `missed`."""

    environment: str
    probe: str
    at: datetime
    reason: Reason
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The server that answered: its address, whether it accepts writes as primary, its version and its position.

    `position` is the WAL position of PostgreSQL or the replication offset of Redis; `identity` changes when another
    server, or the same one restarted empty, answers at the same address.
    """

    store: str
    address: str
    primary: bool
    version: str
    position: str
    identity: str

    def evidence(self) -> dict[str, Json]:
        """The same as JSON."""
        return {
            "store": str(self.store),
            "address": self.address,
            "role": "primary" if self.primary else "replica",
            "version": self.version,
            "position": self.position,
            "identity": self.identity,
        }
