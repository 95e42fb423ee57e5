"""What a memory policy permits, and whether what went when memory was short is no more than that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, get_args

from monitor.core import confirmation, size
from monitor.core.confirmation import Judgement, Reading, conclude
from monitor.core.payload import noise
from monitor.core.verdict import Finding, Kind, Reason, Violation

Policy = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
]
"""What Redis may evict when maxmemory is reached, as its own configuration calls it."""

POLICIES: tuple[Policy, ...] = get_args(Policy)
SAFE_SHARE = 0.9
"""Nobody is brought beyond this part of maxmemory for the sake of a test."""
EACH, WEIGHT = 4, 1024
"""How many canaries there are of each sort, and how many bytes each holds."""


def permits(policy: str, *, expiring: bool) -> bool:
    """Whether a policy lets a key go that has an expiry, or one that has none."""
    return policy.startswith("allkeys-") or (expiring and policy.startswith("volatile-"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a server says of its memory, in bytes, and how many keys it has evicted and expired since its start.

    `used` is what counts against `maximum`; that is 0 where there is no limit.
    """

    address: str
    run_id: str
    maximum: int
    used: int
    policy: str
    evicted: int
    expired: int

    @property
    def full(self) -> bool:
        """Whether nothing more may be written before something goes."""
        return 0 < self.maximum <= self.used

    def has_room(self, share: int) -> bool:
        """Whether so much may be written without harm to anybody."""
        return self.used + share <= self.maximum * SAFE_SHARE

    def __str__(self) -> str:
        return f"{size.shown(self.used)} of {size.shown(self.maximum)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """A key that is watched while memory is short; `ttl` in seconds, None for one that never expires."""

    key: str
    ttl: float | None

    @property
    def value(self) -> str:
        """What it holds, which follows from its key."""
        return noise(self.key, WEIGHT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The canaries' values in their order, and the server's memory, read in one pipeline after them."""

    values: tuple[bytes | None, ...]
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a run saw. `pressed` is how many bytes were written to make pressure.

    `refused` is what the server answered to a write while PING was answered; empty where it took all.
    """

    declared: Policy | None
    share: int
    before: Memory
    canaries: tuple[Canary, ...] = ()
    pressed: int = 0
    reading: Reading[Look] | None = None
    refused: str = ""


def check(seen: Seen, look: Look) -> Iterator[Violation]:
    """Each canary that is missing or changed, unless the policy that was promised permits it to be evicted."""
    evicted = _since(seen.before.evicted, look.memory.evicted)
    for canary, value in zip(seen.canaries, look.values, strict=True):
        if value == canary.value.encode() or (value is None and evicted and _permitted(seen, look, canary)):
            continue
        sort = "a key without an expiry" if canary.ttl is None else f"a key with {canary.ttl:g} s to live"
        promised = f"declared policy {seen.declared}" if seen.declared else f"policy {look.memory.policy}"
        if value is None:
            kind = Kind.EVICTED if evicted else Kind.LOST
            actual = f"absent; the server evicted {evicted} keys meanwhile, its policy is {look.memory.policy}"
            expected = f"{sort} stays ({promised})"
        else:
            kind, expected = Kind.CORRUPT, f"{len(canary.value)} bytes with digest {_digest(canary.value.encode())}"
            actual = f"{len(value)} bytes with digest {_digest(value)}"
        yield Violation(
            kind=kind,
            subject=f"key {canary.key}",
            expected=expected,
            actual=actual,
            evidence={
                "key": canary.key,
                "ttl_seconds": canary.ttl,
                "declared_policy": seen.declared,
                "policy": look.memory.policy,
                "maxmemory": look.memory.maximum,
                "used_memory": look.memory.used,
                "evicted_keys": evicted,
                "expired_keys": _since(seen.before.expired, look.memory.expired),
            },
        )


def judge(seen: Seen) -> Finding:
    """The canaries first, then whether the server's policy is the declared one, then whether it takes writes at all."""
    if seen.reading is None:
        return Finding.unknown(Reason.CAPACITY, _told_when_full(seen))
    reading, checks = seen.reading, len(seen.canaries)
    latest = reading.second or reading.first
    left_out = tuple(_left_out(seen, latest))
    if latest.memory.run_id != seen.before.run_id:
        doubt = f"Redis at {latest.memory.address} is another process than at the start of the run"
        return conclude([Judgement(doubt=doubt)], checks=checks, left_out=left_out)
    judgement = confirmation.judge("canaries", reading, lambda look: check(seen, look))
    if judgement == Judgement() and seen.declared not in {None, latest.memory.policy}:
        return Finding.unknown(Reason.MISCONFIGURED, _told_of_policies(seen, latest), checks=checks, left_out=left_out)
    return conclude([judgement], checks=checks + 1, left_out=left_out)


def _permitted(seen: Seen, look: Look, canary: Canary) -> bool:
    promised = {seen.declared} if seen.declared else {seen.before.policy, look.memory.policy}
    return any(permits(policy, expiring=canary.ttl is not None) for policy in promised)


def _left_out(seen: Seen, look: Look) -> Iterator[str]:
    memory = look.memory
    if not seen.before.maximum:
        yield "what happens when memory is short is not checked: maxmemory is 0, and nothing but the machine limits it"
    elif not seen.pressed:
        yield (
            f"no memory pressure was made: {seen.before} are used, and {size.text(seen.share)} more would come close to"
            " maxmemory"
        )
    gone = look.values.count(None)
    if gone:
        yield f"{gone} of {len(look.values)} canaries went, as {memory.policy} permits: memory is short ({memory})"


def _told_when_full(seen: Seen) -> str:
    memory = seen.before
    return (
        f"Redis at {memory.address}: PING is answered, and writes are refused: {memory} are used, and the policy"
        f" {memory.policy} lets nothing go that would help ({seen.refused}); raise maxmemory, or remove keys"
    )


def _told_of_policies(seen: Seen, look: Look) -> str:
    return (
        f"Redis at {look.memory.address}: the declared policy is {seen.declared}, and the server's is"
        f" {look.memory.policy}; CONFIG SET maxmemory-policy {seen.declared}, and in redis.conf, or declare the other"
    )


def _since(before: int, now: int) -> int:
    """What a counter of the server has counted; it begins at nothing where somebody set it back."""
    return now - before if now >= before else now


def _digest(value: bytes) -> str:
    return sha256(value).hexdigest()[:32]
