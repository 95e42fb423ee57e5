"""What a memory policy permits, and what is said of canaries that are gone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import size
from monitor.core.confirmation import Reading
from monitor.core.eviction import POLICIES, Canary, Look, Memory, Policy, Seen, judge, permits
from monitor.core.record import Node
from monitor.core.verdict import Finding, Kind, Reason, Verdict

MB = 1 << 20
MEMORY = Memory(
    address="cache:6379", run_id="a", maximum=64 * MB, used=8 * MB, policy="noeviction", evicted=5, expired=9
)
CANARIES = tuple(Canary(key=f"holdfast:e:i:canary:r:{n}", ttl=None if n < 2 else 30.0) for n in range(4))
VALUES = tuple(canary.value.encode() for canary in CANARIES)
PRIMARY = Node(store="redis", address="cache:6379", primary=True, version="Redis 7", position="1", identity="run_id a")


def seen(
    *,
    values: tuple[bytes | None, ...] = VALUES,
    second: tuple[bytes | None, ...] | None = None,
    declared: Policy | None = None,
    before: Memory = MEMORY,
    after: Memory = MEMORY,
    node: Node = PRIMARY,
) -> Seen:
    """A run in which these values came back; where they were not right, twice the same unless `second` is given."""
    again = values if second is None else second
    right = values == VALUES
    reading = Reading(
        first=Look(values=values, memory=after),
        second=None if right else Look(values=again, memory=after),
        node=None if right else node,
    )
    return Seen(declared=declared, share=MB, before=before, canaries=CANARIES, pressed=MB, reading=reading)


def without(*numbers: int) -> tuple[bytes | None, ...]:
    """The values with some missing."""
    return tuple(None if n in numbers else value for n, value in enumerate(VALUES))


def kinds(finding: Finding) -> list[Kind]:
    """The kinds of all violations."""
    return [violation.kind for violation in finding.violations]


def evicting(policy: str) -> Memory:
    """The memory of a server that has evicted three keys meanwhile under this policy."""
    return replace(MEMORY, policy=policy, evicted=8)


@pytest.mark.parametrize("policy", POLICIES)
def test_each_policy_permits_what_its_name_says(policy: Policy) -> None:
    """Under noeviction nothing may go, under volatile what expires, under allkeys everything."""
    sort = policy.split("-")[0]
    allowed = {"noeviction": (False, False), "volatile": (True, False), "allkeys": (True, True)}[sort]
    assert (permits(policy, expiring=True), permits(policy, expiring=False)) == allowed


@pytest.mark.parametrize("declared", [None, *POLICIES])
@pytest.mark.parametrize("real", POLICIES)
@pytest.mark.parametrize("gone", [(), (0,), (3,), (1, 2)], ids=["none", "staying", "expiring", "both"])
def test_what_goes_is_held_against_the_declared_policy(
    declared: Policy | None, real: Policy, gone: tuple[int, ...]
) -> None:
    """Evicted against the declaration is a violation; by it is none; another policy than declared is never ok."""
    finding = judge(seen(values=without(*gone), declared=declared, after=evicting(real), before=evicting(real)))
    assert finding.verdict is not Verdict.OK or not gone  # nothing was evicted between these two
    finding = judge(
        seen(values=without(*gone), declared=declared, before=replace(MEMORY, policy=real), after=evicting(real))
    )
    wrong = [n for n in gone if not permits(declared or real, expiring=n > 1)]
    assert kinds(finding) == [Kind.EVICTED] * len(wrong)
    if wrong:
        assert finding.violations[0].evidence["evicted_keys"] == 3
    elif declared not in {None, real}:
        assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.MISCONFIGURED)
        assert f"the declared policy is {declared}, and the server's is {real}" in finding.message
    else:
        assert finding.verdict is Verdict.OK
        assert any(f"went, as {real} permits" in sentence for sentence in finding.left_out) == bool(gone)


@given(number=st.integers(0, 3), damage=st.binary(max_size=20))
def test_one_change_of_one_canary_is_named(number: int, damage: bytes) -> None:
    """A canary that was changed is corrupt, one that is gone while nothing was evicted is lost; others are silent."""
    changed = tuple(damage if n == number else value for n, value in enumerate(VALUES))
    finding = judge(seen(values=changed, after=replace(MEMORY, policy="allkeys-lru", evicted=8)))
    assert kinds(finding) == [Kind.CORRUPT]
    lost = judge(seen(values=without(number)))
    assert kinds(lost) == [Kind.LOST]
    assert [v.subject for v in (*finding.violations, *lost.violations)] == [f"key {CANARIES[number].key}"] * 2


def test_what_is_right_is_silent() -> None:
    """Every canary is there: ok, also while others' keys were evicted."""
    assert judge(seen()) == Finding.of((), checks=5)
    assert judge(seen(after=evicting("noeviction"))).verdict is Verdict.OK


def test_what_a_second_look_does_not_show_is_no_violation() -> None:
    """A canary that is back, or a second look at a replica, accuses nobody."""
    finding = judge(seen(values=without(0), second=VALUES))
    assert (finding.reason, kinds(finding)) == (Reason.INCONCLUSIVE, [])
    finding = judge(seen(values=without(0), node=replace(PRIMARY, primary=False)))
    assert (finding.reason, kinds(finding)) == (Reason.INCONCLUSIVE, [])


def test_another_process_is_nobody_to_accuse() -> None:
    """Where the server was restarted meanwhile, nothing can be told of eviction."""
    finding = judge(seen(values=without(0, 1, 2, 3), after=replace(MEMORY, run_id="b", evicted=0)))
    assert (finding.reason, kinds(finding)) == (Reason.INCONCLUSIVE, [])
    assert "another process" in finding.message


def test_a_counter_that_was_set_back_counts_from_nothing() -> None:
    """CONFIG RESETSTAT hides no eviction that came after it."""
    assert kinds(judge(seen(values=without(0), after=replace(MEMORY, evicted=1)))) == [Kind.EVICTED]
    assert kinds(judge(seen(values=without(0), after=replace(MEMORY, evicted=0)))) == [Kind.LOST]


def test_a_full_server_that_answers_is_told_how_full_it_is() -> None:
    """PING is answered, writes are refused: unknown, with the amounts and the policy."""
    full = replace(MEMORY, used=64 * MB + 1)
    finding = judge(Seen(declared="noeviction", share=MB, before=full, canaries=CANARIES, refused="OOM"))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.CAPACITY)
    for words in ("PING is answered", "writes are refused", "64.0 MB of 64.0 MB", "noeviction", "OOM"):
        assert words in finding.message


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (replace(MEMORY, maximum=0), "what happens when memory is short is not checked: maxmemory is 0"),
        (replace(MEMORY, used=57 * MB), "no memory pressure was made: 57.0 MB of 64.0 MB are used, and 1mb more"),
    ],
)
def test_an_absence_of_pressure_is_said(before: Memory, words: str) -> None:
    """Where no pressure was made, the verdict says so."""
    assert not before.has_room(MB)
    finding = judge(replace(seen(before=before), pressed=0))
    assert finding.verdict is Verdict.OK
    assert [sentence.startswith(words) for sentence in finding.left_out] == [True]


@given(used=st.integers(0, 200 * MB), maximum=st.integers(0, 200 * MB), share=st.integers(1, 16 * MB))
def test_nobody_is_brought_near_the_limit(used: int, maximum: int, share: int) -> None:
    """There is room only where nine tenths of maxmemory are not exceeded."""
    memory = replace(MEMORY, used=used, maximum=maximum)
    assert memory.has_room(share) == (10 * (used + share) <= 9 * maximum)
    assert not (memory.has_room(share) and memory.full)


@given(amount=st.integers(0, 1 << 50))
def test_an_amount_of_memory_is_its_text(amount: int) -> None:
    """What is written can be read back, and no unit is lost."""
    assert size.parse(size.text(amount)) == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("64kb", 65536), ("1mb", 1048576), (" 2GB ", 2147483648), ("7b", 7), ("1024kb", 1048576)]
)
def test_amounts_are_understood_as_redis_does(text: str, amount: int) -> None:
    """A kilobyte has 1024 bytes."""
    assert size.parse(text) == amount


@pytest.mark.parametrize(
    "text", ["", "1", "mb", "1.5mb", "-1mb", "1 mb", "1mib", "1k", "1mb2kb", "\u0661mb", "9" * 99 + "b"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """The message names the text, and what is understood."""
    with pytest.raises(ValueError, match="is not an amount of memory; write it like 64kb, 1mb or 2gb"):
        size.parse(text)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 kB"), (1572864, "1.5 MB"), (1 << 31, "2.0 GB")],
)
def test_amounts_are_shown_to_people(amount: int, text: str) -> None:
    """In the largest unit of which there is at least one."""
    assert size.shown(amount) == text
