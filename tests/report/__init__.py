"""A month that somebody might have had, put into a state database through its own methods."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache

from monitor.core.impact import Span
from monitor.core.ledger.entries import Mark
from monitor.core.ledger.found import Loss, Outage
from monitor.core.rollup import DAY, HOUR, Rollup, StepRollup, merged
from monitor.core.sketch import Sketch
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.core.violations import KeptViolation, Stage

UNTIL = datetime(2026, 3, 31, 9, 20, tzinfo=UTC)
SINCE = datetime(2026, 3, 1, tzinfo=UTC)
STEPS = {
    "thread": {"connect": (0.004, 2.0), "append_messages": (0.03, 2.0), "reload": (0.05, 2.0)},
    "session": {"save": (0.002, 0.1), "recover": (0.003, 0.1)},
    "sync": {"change": (0.01, 5.0), "arrive": (0.2, 5.0)},
}
SILENT = (datetime(2026, 3, 9, 22, tzinfo=UTC), datetime(2026, 3, 10, 4, tzinfo=UTC))
"""The daemon was off."""
DOWN = (datetime(2026, 3, 17, 13, tzinfo=UTC), datetime(2026, 3, 17, 14, 12, tzinfo=UTC))
"""Nobody could reach PostgreSQL."""
SLOWER = datetime(2026, 3, 24, 9, tzinfo=UTC)
"""Since then `reload` takes a third longer."""


@cache
def hours(
    environment: str, *, seed: int = 1, until: datetime = UNTIL, runs: int = 120, spread: int = 16
) -> tuple[Rollup, ...]:
    """The rollups of a month of hours: days are slower than nights, one is down for a while, and one step gets slow."""
    chance = random.Random(f"{environment} {seed}")  # noqa: S311  a made-up month
    found, start = list[Rollup](), SINCE
    while start + HOUR <= until:
        if not SILENT[0] <= start < SILENT[1]:
            found += [_hour(environment, probe, start, chance=chance, runs=runs, spread=spread) for probe in STEPS]
        start += HOUR
    return tuple(found)


def days(of: Iterable[Rollup], *, until: datetime = UNTIL) -> list[Rollup]:
    """The same by whole days."""
    return [day for day in merged(of, DAY) if day.end <= until]


def _hour(environment: str, probe: str, start: datetime, *, chance: random.Random, runs: int, spread: int) -> Rollup:
    down = DOWN[0] <= start < DOWN[1] and probe != "session"
    bad = runs // (2 if start > DOWN[0] else 1) if down else 0
    daily = 1 + 0.4 * math.sin(2 * math.pi * (start.hour - 9) / 24)
    steps = {}
    for step, (usual, budget) in STEPS[probe].items():
        slow = 1.35 if step == "reload" and start >= SLOWER else 1.0
        hourly = usual * daily * slow * math.exp(chance.gauss(0, 0.05))
        took = [hourly * math.exp(chance.gauss(0, 0.35)) for _ in range(spread if runs > bad else 0)]
        over = sum(each > budget for each in took)
        steps[step] = StepRollup(count=runs - bad, over=over, budget=budget, took=Sketch.of(took))
    verdicts = {Verdict.OK: runs - bad, Verdict.UNKNOWN: bad}
    return Rollup(
        environment=environment,
        probe=probe,
        start=start,
        length=HOUR,
        verdicts={verdict: times for verdict, times in verdicts.items() if times},
        reasons={Reason.UNREACHABLE: bad} if bad else {},
        steps=steps,
    )


def violation(environment: str, kind: Kind, opened: datetime, closed: datetime | None, *, id_: str) -> KeptViolation:
    """A violation with its life."""
    return KeptViolation(
        id=f"0195-{environment}-{id_}",
        environment=environment,
        probe="thread" if kind is not Kind.TTL_MISSING else "session",
        kind=kind,
        stage=Stage.CLOSED if closed else Stage.OPEN,
        opened=opened,
        closed=closed,
        last_seen=closed or UNTIL,
        run_id="r1",
        last_run_id="r2",
        subject="message 3 of 7 after reload",
        expected="412 bytes, sha256 9f2c",
        actual="nothing | <b>not a tag</b>",
        evidence={},
        times=14,
    )


def loss(environment: str) -> Loss:
    """Two seconds of writes that a failover took."""
    return Loss(
        environment=environment,
        store="postgres",
        found=DOWN[1],
        cause="failover",
        first=Mark("s", 100),
        last=Mark("s", 117),
        records=2,
        writes=18,
        suffix=True,
        least=timedelta(seconds=1.7),
        most=timedelta(seconds=1.9),
        accepted=DOWN[1] + timedelta(hours=2),
        details={"why": "timeline 3 -> 4; the server had run for 40 d: a running standby was promoted"},
    )


def outage() -> Outage:
    """As long as PostgreSQL was down."""
    span: Span = DOWN
    return Outage(
        store="postgres",
        operation="write",
        began=span[0],
        ended=span[1],
        least=span[1] - span[0] - timedelta(seconds=1),
        most=span[1] - span[0],
    )
