"""Why acknowledged writes are gone, told from what servers said of themselves before and after; never a guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from monitor.core import duration
from monitor.core.ledger.evidence import Epoch, PostgresEvidence, RedisEvidence


class Cause(StrEnum):
    """The closed set of what takes acknowledged writes away."""

    FAILOVER = "failover"
    CRASH_RESTART = "crash_restart"
    RESTORE = "restore"
    SPLIT_BRAIN = "split_brain"
    FLUSH = "flush"
    EVICTION = "eviction"
    EXPIRY = "expiry"
    EMPTY_RESTART = "empty_restart"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is known of the time in which writes went.

    `before` and `after` are the primary's epochs around it, `epochs` all that are remembered, of every place. `first`
    and `last` are when the first and the last lost write were acknowledged. `emptied`: nothing of ours is left.
    `suffix`: nothing later had been acknowledged and is there. `split` names two nodes that took writes at the same
    time. `lived` is the age of the youngest that is lost, `lifetime` how long a
    record stays by itself.
    """

    before: Epoch | None
    after: Epoch | None
    epochs: Sequence[Epoch] = ()
    first: datetime
    last: datetime
    emptied: bool
    suffix: bool
    split: str = ""
    lived: timedelta = timedelta()
    lifetime: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A cause, and the evidence for it in one sentence."""

    cause: Cause
    why: str


CRASH_WINDOW = 3
"""How many times wal_writer_delay an asynchronous commit may be lost by a crash (PostgreSQL: Asynchronous Commit)."""
APPENDED = timedelta(seconds=1)
"""How much a Redis with appendfsync everysec may lose by a crash."""
WHOLE_SECOND = timedelta(seconds=1)
"""The grain in which Redis tells when it saved and how long it runs."""


def cause_of(scene: Scene) -> Explanation:
    """The cause that the evidence shows; where it is missing or contradicts itself, `unexplained`."""
    if scene.split:
        return Explanation(cause=Cause.SPLIT_BRAIN, why=scene.split)
    if scene.before is None or scene.after is None:
        return _unexplained("there is no evidence of the server from before the loss")
    match scene.before.evidence, scene.after.evidence:
        case PostgresEvidence() as before, PostgresEvidence() as after:
            return _postgres(scene, before, after)
        case RedisEvidence() as before, RedisEvidence() as after:
            return _redis(scene, before, after)
    return _unexplained("the evidence before and after is of different kinds of servers")


def _postgres(scene: Scene, before: PostgresEvidence, after: PostgresEvidence) -> Explanation:
    same = (before.system, before.timeline, before.started) == (after.system, after.timeline, after.started)
    if before.system != after.system:
        return _another_cluster(scene, before, after)
    if same:
        return _unexplained("the server is the same process as before, on the same timeline: somebody deleted it")
    if not scene.suffix:
        return _unexplained("the server changed, but later writes are kept: no restart or promotion does that")
    if after.timeline > before.timeline:
        return _new_timeline(scene, before, after)
    if after.timeline < before.timeline:
        why = f"timeline {before.timeline} -> {after.timeline}: an older copy of the data was started"
        return Explanation(cause=Cause.RESTORE, why=why)
    return _restarted(scene, after)


def _another_cluster(scene: Scene, before: PostgresEvidence, after: PostgresEvidence) -> Explanation:
    changed = f"system identifier {before.system} -> {after.system}: another database cluster"
    if scene.emptied:
        return Explanation(cause=Cause.EMPTY_RESTART, why=f"{changed}, and nothing of ours is in it")
    return Explanation(cause=Cause.RESTORE, why=f"{changed}, which holds a part of what was acknowledged")


def _new_timeline(scene: Scene, before: PostgresEvidence, after: PostgresEvidence) -> Explanation:
    """A standby that ran was promoted, or a copy was started and recovered up to a point."""
    assert scene.after is not None  # noqa: S101  cause_of has seen to it
    promoted, evidence = scene.after, after
    for epoch in scene.epochs:
        found = epoch.evidence
        if (
            isinstance(found, PostgresEvidence)
            and found.writable
            and (found.system, found.timeline) == (after.system, after.timeline)
            and epoch.id < promoted.id
        ):
            promoted, evidence = epoch, found
    begun = promoted.last - evidence.uptime
    ran = _seconds(evidence.uptime)
    changed = f"timeline {before.timeline} -> {after.timeline}"
    if begun < scene.last:
        ago = _seconds(promoted.last - scene.last)
        why = f"{changed}; the server had run for {ran}, and the last write was acknowledged {ago} before"
        return Explanation(cause=Cause.FAILOVER, why=f"{why}: a running standby was promoted")
    later = _seconds(begun - scene.last)
    why = f"{changed}; the server was started {later} after the last write was acknowledged"
    return Explanation(cause=Cause.RESTORE, why=f"{why}: a copy was recovered up to a point")


def _restarted(scene: Scene, after: PostgresEvidence) -> Explanation:
    window = CRASH_WINDOW * after.delay
    span = scene.last - scene.first
    if span <= window:
        why = (
            f"the server was restarted on timeline {after.timeline}; what is lost was acknowledged within "
            f"{_seconds(span)}, and a crash without synchronous_commit may lose {_seconds(window)}"
        )
        return Explanation(cause=Cause.CRASH_RESTART, why=why)
    why = (
        f"the server was restarted on timeline {after.timeline}; what is lost was acknowledged within {_seconds(span)}"
        f", and a crash loses no more than {_seconds(window)}: an older copy of the data was started"
    )
    return Explanation(cause=Cause.RESTORE, why=why)


def _redis(scene: Scene, before: RedisEvidence, after: RedisEvidence) -> Explanation:
    if before.run_id == after.run_id:
        return _same_run(scene, before, after)
    assert scene.after is not None  # noqa: S101  cause_of has seen to it
    begun = scene.after.last - after.uptime
    ran = begun + WHOLE_SECOND < scene.last  # else a restarted primary, which follows its own snapshot, would pass
    # An append-only file brings no replication id back: who appends and has one may be that young, and had followed.
    young = after.appending and begun - WHOLE_SECOND < scene.last
    changed = f"run {before.run_id[:8]} -> {after.run_id[:8]}"
    if (ran or young) and _follows(scene, before, after):
        why = (
            f"{changed}; the server had run for {_seconds(after.uptime)} and had followed the one before "
            f"(master_replid2 {after.replid2[:8]}): a running replica was promoted"
        )
        return Explanation(cause=Cause.FAILOVER, why=why)
    if scene.emptied:
        how = "another server answers" if ran else f"the server was started {_seconds(begun - scene.last)} later"
        why = f"{changed}; {how}, and nothing of ours is in it"
        return Explanation(cause=Cause.EMPTY_RESTART, why=why)
    if ran:
        return _unexplained(f"{changed}; a server answers that ran already and had not followed the one before")
    if not scene.suffix:
        return _unexplained(f"{changed}, but later writes are kept: no restart does that")
    return _reloaded(scene, before, changed)


def _reloaded(scene: Scene, before: RedisEvidence, changed: str) -> Explanation:
    """A server that was started again with what its files held: the newest of them, or older ones."""
    assert scene.before is not None  # noqa: S101  cause_of has seen to it
    span = scene.last - scene.first
    if before.appending:
        why = f"{changed}; what is lost was acknowledged within {_seconds(span)}, and the append-only file was on"
        if span <= APPENDED:
            return Explanation(cause=Cause.CRASH_RESTART, why=f"{why}: it may lack the last second")
        return Explanation(cause=Cause.RESTORE, why=f"{why}, which lacks a second at the most: older files were loaded")
    if before.age is None:
        return _unexplained(f"{changed}; when the server had saved last is not known")
    saved = scene.before.last - before.age
    if scene.first >= saved - WHOLE_SECOND:
        why = f"{changed}; all that is lost was acknowledged after the last known save"
        return Explanation(cause=Cause.CRASH_RESTART, why=why)
    earlier = _seconds(saved - scene.first)
    why = f"{changed}; what is lost begins {earlier} before the last known save: an older file was loaded"
    return Explanation(cause=Cause.RESTORE, why=why)


def _same_run(scene: Scene, before: RedisEvidence, after: RedisEvidence) -> Explanation:
    assert scene.after is not None  # noqa: S101  cause_of has seen to it
    if after.flushes > before.flushes and scene.emptied:
        times = after.flushes - before.flushes
        why = f"FLUSHALL or FLUSHDB was called {times} times since, and nothing older is left"
        return Explanation(cause=Cause.FLUSH, why=why)
    if before.replid != after.replid and before.replid == after.replid2 and scene.suffix:
        why = f"the server followed another one and was promoted again (master_replid2 {after.replid2[:8]})"
        return Explanation(cause=Cause.FAILOVER, why=why)
    if scene.lifetime is not None and scene.lived >= scene.lifetime:
        why = f"its time to live of {duration.text(scene.lifetime)} had run out"
        return Explanation(cause=Cause.EXPIRY, why=why)
    opening = scene.after.opening
    earlier = min(before.evicted, opening.evicted if isinstance(opening, RedisEvidence) else before.evicted)
    if after.evicted > earlier and _takes(after.policy, lifetime=scene.lifetime):
        why = (
            f"the server has evicted {after.evicted - earlier} keys since, and its policy {after.policy} may take ours"
        )
        return Explanation(cause=Cause.EVICTION, why=why)
    return _unexplained("the server is the same process as before, was not flushed and evicted nothing of ours")


def _follows(scene: Scene, before: RedisEvidence, after: RedisEvidence) -> bool:
    """Whether a server, or one that it followed, had followed the one before."""
    parents = {
        epoch.evidence.replid: epoch.evidence.replid2
        for epoch in scene.epochs
        if isinstance(epoch.evidence, RedisEvidence) and epoch.evidence.replid2
    }
    parent, steps = after.replid2, len(parents)
    while parent and parent != before.replid and steps:
        parent, steps = parents.get(parent, ""), steps - 1
    return bool(parent) and parent == before.replid


def _takes(policy: str, *, lifetime: timedelta | None) -> bool:
    """Whether a policy may take a record of ours: any key's, or one's that has a time to live."""
    return policy.startswith("allkeys-") or (policy.startswith("volatile-") and lifetime is not None)


def _unexplained(why: str) -> Explanation:
    return Explanation(cause=Cause.UNEXPLAINED, why=why)


def _seconds(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"  # noqa: PLR2004  two digits say enough
