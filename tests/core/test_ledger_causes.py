"""Each cause from the evidence of servers, at its boundaries; what contradicts itself explains nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core.ledger.causes import Cause, Scene, cause_of
from monitor.core.ledger.evidence import Evidence
from tests.core.remembered import POSTGRES, REDIS, at, epoch

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def scene(
    before: Evidence,
    after: Evidence,
    *,
    emptied: bool = False,
    first: float = 11,
    last: float = 13,
    seen: float = 20,
    suffix: bool = True,
) -> Scene:
    """Writes acknowledged from the 11th to the 13th second are gone; the server after it was seen at the 20th."""
    one = epoch(1, before, first=-60, last=5)
    other = epoch(2, after, first=seen, last=seen)
    return Scene(
        before=one,
        after=other,
        epochs=(one, other),
        first=at(first),
        last=at(last),
        emptied=emptied,
        suffix=suffix,
    )


OTHER_CLUSTER = replace(POSTGRES, system="7000000000000000002", started="2026-03-01 12:00:15+00", uptime=5 * SECOND)
PROMOTED = replace(POSTGRES, timeline=2, started="2026-03-01 09:00:00+00", uptime=3 * HOUR)
RECOVERED = replace(POSTGRES, timeline=2, started="2026-03-01 12:00:15+00", uptime=5 * SECOND)
RESTARTED = replace(POSTGRES, started="2026-03-01 12:00:15+00", uptime=5 * SECOND)


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        (scene(POSTGRES, OTHER_CLUSTER), Cause.RESTORE),
        (scene(POSTGRES, OTHER_CLUSTER, emptied=True), Cause.EMPTY_RESTART),
        (scene(POSTGRES, PROMOTED), Cause.FAILOVER),
        (scene(POSTGRES, replace(PROMOTED, uptime=7.001 * SECOND)), Cause.FAILOVER),
        (scene(POSTGRES, replace(PROMOTED, uptime=7 * SECOND)), Cause.RESTORE),
        (scene(POSTGRES, RECOVERED), Cause.RESTORE),
        (scene(POSTGRES, RESTARTED, last=11.6), Cause.CRASH_RESTART),
        (scene(POSTGRES, RESTARTED, last=11.601), Cause.RESTORE),
        (scene(POSTGRES, RESTARTED, emptied=True, last=11), Cause.CRASH_RESTART),
        (scene(PROMOTED, RESTARTED), Cause.RESTORE),
        (scene(POSTGRES, POSTGRES), Cause.UNEXPLAINED),
        (scene(POSTGRES, replace(POSTGRES, uptime=3 * HOUR, lsn=2000)), Cause.UNEXPLAINED),
        (scene(POSTGRES, PROMOTED, suffix=False), Cause.UNEXPLAINED),
        (scene(POSTGRES, RESTARTED, suffix=False), Cause.UNEXPLAINED),
        (scene(POSTGRES, REDIS), Cause.UNEXPLAINED),
        (replace(scene(POSTGRES, PROMOTED), before=None), Cause.UNEXPLAINED),
        (replace(scene(POSTGRES, PROMOTED), split="two nodes take writes"), Cause.SPLIT_BRAIN),
    ],
)
def test_postgresql_tells_why(case: Scene, cause: Cause) -> None:
    """System identifier, timeline, start and length of the loss tell the cause."""
    assert cause_of(case).cause is cause


def test_a_promoted_standby_that_was_restarted_since_is_a_failover() -> None:
    """Its first evidence on the new timeline counts, not the latest."""
    case = scene(POSTGRES, replace(RECOVERED, started="2026-03-01 12:00:39+00", uptime=SECOND), seen=40)
    assert case.after is not None
    seen = epoch(2, PROMOTED, first=20, last=21)
    later = replace(case.after, id=3)
    case = replace(case, epochs=(*case.epochs[:1], seen, later), after=later)
    assert cause_of(case).cause is Cause.FAILOVER


OTHER_RUN = replace(REDIS, run_id="b" * 40, replid="2" * 40)
REPLICA = replace(OTHER_RUN, replid2="1" * 40, uptime=HOUR)
RELOADED = replace(OTHER_RUN, uptime=5 * SECOND)
APPENDING = replace(REDIS, appending=True)
EVICTING = replace(REDIS, policy="allkeys-lru", evicted=7)
MORE_EVICTED = replace(EVICTING, evicted=8)


def saved(seconds: float) -> Evidence:
    """A server that was last seen at the 5th second and whose last save was so many seconds before."""
    return replace(REDIS, age=timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("case", "cause"),
    [
        (scene(REDIS, REPLICA), Cause.FAILOVER),
        (scene(REDIS, REPLICA, emptied=True), Cause.FAILOVER),
        (scene(REDIS, replace(REPLICA, uptime=8.001 * SECOND)), Cause.FAILOVER),
        (scene(REDIS, replace(REPLICA, uptime=8 * SECOND)), Cause.CRASH_RESTART),
        (scene(APPENDING, replace(REPLICA, uptime=6.001 * SECOND, appending=True)), Cause.FAILOVER),
        (scene(APPENDING, replace(REPLICA, uptime=6 * SECOND, appending=True)), Cause.RESTORE),
        (scene(APPENDING, replace(REPLICA, uptime=8 * SECOND)), Cause.RESTORE),
        (scene(REDIS, RELOADED, emptied=True), Cause.EMPTY_RESTART),
        (scene(REDIS, replace(OTHER_RUN, uptime=HOUR), emptied=True), Cause.EMPTY_RESTART),
        (scene(REDIS, replace(OTHER_RUN, uptime=HOUR)), Cause.UNEXPLAINED),
        (scene(REDIS, RELOADED), Cause.CRASH_RESTART),
        (scene(saved(4), RELOADED, first=0), Cause.CRASH_RESTART),
        (scene(saved(4), RELOADED, first=-0.001), Cause.RESTORE),
        (scene(replace(REDIS, age=None), RELOADED), Cause.UNEXPLAINED),
        (scene(REDIS, RELOADED, suffix=False), Cause.UNEXPLAINED),
        (scene(APPENDING, RELOADED, last=12), Cause.CRASH_RESTART),
        (scene(APPENDING, RELOADED, last=12.001), Cause.RESTORE),
        (scene(REDIS, replace(REDIS, flushes=1), emptied=True), Cause.FLUSH),
        (scene(REDIS, replace(REDIS, flushes=1)), Cause.UNEXPLAINED),
        (scene(REDIS, REDIS, emptied=True), Cause.UNEXPLAINED),
        (scene(EVICTING, MORE_EVICTED, suffix=False), Cause.EVICTION),
        (scene(EVICTING, MORE_EVICTED, emptied=True), Cause.EVICTION),
        (scene(EVICTING, EVICTING, suffix=False), Cause.UNEXPLAINED),
        (scene(EVICTING, replace(MORE_EVICTED, policy="noeviction"), suffix=False), Cause.UNEXPLAINED),
        (scene(EVICTING, replace(MORE_EVICTED, policy="volatile-lru"), suffix=False), Cause.UNEXPLAINED),
        (
            replace(scene(EVICTING, replace(MORE_EVICTED, policy="volatile-lru"), suffix=False), lifetime=HOUR),
            Cause.EVICTION,
        ),
        (replace(scene(REDIS, REDIS, suffix=False), lifetime=HOUR, lived=HOUR), Cause.EXPIRY),
        (replace(scene(REDIS, REDIS, suffix=False), lifetime=HOUR, lived=HOUR - SECOND), Cause.UNEXPLAINED),
        (scene(REDIS, replace(REDIS, replid="3" * 40, replid2="1" * 40)), Cause.FAILOVER),
    ],
)
def test_redis_tells_why(case: Scene, cause: Cause) -> None:
    """Run, replication ids, counters and the age of what was saved tell the cause."""
    assert cause_of(case).cause is cause


def test_evictions_count_from_the_opening_of_an_epoch() -> None:
    """Counters that were renewed in between do not hide that keys were evicted."""
    case = scene(MORE_EVICTED, MORE_EVICTED, suffix=False)
    assert case.after is not None
    assert cause_of(replace(case, after=replace(case.after, opening=EVICTING))).cause is Cause.EVICTION


def test_two_promotions_in_a_row_are_a_failover() -> None:
    """What the promoted replica had followed had itself followed the server of before."""
    last = replace(OTHER_RUN, run_id="c" * 40, replid="3" * 40, replid2="2" * 40, uptime=HOUR)
    case = scene(REDIS, last)
    between = epoch(3, REPLICA, first=15, last=15)
    assert cause_of(replace(case, epochs=(*case.epochs, between))).cause is Cause.FAILOVER
    assert cause_of(case).cause is Cause.UNEXPLAINED


def test_the_reason_is_a_sentence_for_a_person_on_call() -> None:
    """What changed, how long the server had run, and how long ago the last write was."""
    assert cause_of(scene(POSTGRES, PROMOTED)).why == (
        "timeline 1 -> 2; the server had run for 10800 s, and the last write was acknowledged 7 s before: "
        "a running standby was promoted"
    )
