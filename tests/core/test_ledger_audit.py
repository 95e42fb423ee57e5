"""What a look comes to: each state of a write against each thing that may be found of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from monitor.core.ledger.audit import Account, Look, account, right
from monitor.core.ledger.entries import Entry, Fate, Mark, State
from monitor.core.ledger.evidence import Evidence
from monitor.core.ledger.found import Sighting
from monitor.core.verdict import Kind
from tests.core.remembered import LADDER, POSTGRES, REDIS, at, broke, digest, entry, epoch, look, mark, once

ONE = entry(1)


def judged(seen: Look) -> Account:
    """The account of a look by the usual ladder."""
    return account(seen, ladder=LADDER)


def kinds(found: Account) -> list[Kind]:
    """What is reported."""
    return [violation.kind for violation in found.violations]


def altered(seen: Sighting, written: Entry, to: str = "0" * 32) -> Sighting:
    """The same with another content in one record."""
    return replace(seen, digests={**seen.digests, written.mark: to})


STATES = [
    (State.ACKED, Fate.FOUND, Fate.LOST, Fate.CORRUPT),
    (State.INTENDED, Fate.FOUND, Fate.ABSENT, Fate.CORRUPT),
    (State.PERHAPS, Fate.FOUND, Fate.ABSENT, Fate.CORRUPT),
    (State.RETIRING, Fate.FOUND, Fate.ABSENT, Fate.CORRUPT),
    (State.REFUSED, Fate.PHANTOM, Fate.ABSENT, Fate.PHANTOM),
    (State.RETIRED, Fate.RESURRECTED, Fate.ABSENT, Fate.RESURRECTED),
]
REPORTED = {
    Fate.LOST: [Kind.LOST],
    Fate.CORRUPT: [Kind.CORRUPT],
    Fate.PHANTOM: [Kind.PHANTOM],
    Fate.RESURRECTED: [Kind.RESURRECTED],
}


@pytest.mark.parametrize(("state", "there", "gone", "other"), STATES)
def test_what_a_sender_knows_against_what_is_found(state: State, there: Fate, gone: Fate, other: Fate) -> None:
    """Only what was acknowledged must be there, only what was refused or deleted must not; content must be its own."""
    written, beside = entry(1, state), entry(0)
    present = look([beside, written], there=[beside, written], register=1)
    absent = look([beside, written], there=[beside], register=1)
    changed = replace(present, first=altered(present.first, written), second=altered(present.first, written))
    for seen, fate in ((present, there), (absent, gone), (changed, other)):
        found = judged(seen)
        assert [(each.mark.n, each.fate) for each in found.audited] == [(0, Fate.FOUND), (1, fate)]
        assert kinds(found) == REPORTED.get(fate, [])
        assert right(seen) is (fate not in REPORTED)
        assert found.doubt == ""


def test_a_loss_says_since_when_it_is_known() -> None:
    """So that a later one is not taken for what somebody has acknowledged."""
    found = judged(look([ONE], there=[]))
    assert [violation.since for violation in found.violations] == [loss.found for loss in found.losses] != []


@pytest.mark.parametrize("kind", ["no second look", "another answer", "a standby"])
def test_nothing_is_wrong_that_only_one_look_shows(kind: str) -> None:
    """Without a second look, or where it differs or was not at the primary, it cannot be told."""
    whole = look([ONE])
    seen = look([ONE], there=[])
    second = {
        "no second look": None,
        "another answer": whole.first,
        "a standby": replace(seen.first, evidence=replace(POSTGRES, writable=False)),
    }[kind]
    found = judged(replace(seen, second=second))
    assert (found.violations, found.losses, found.audited) == ((), (), ())
    assert found.doubt != ""


def test_what_was_acknowledged_after_a_look_is_not_owed_by_it() -> None:
    """A write that was answered at the very moment is owed, one a moment later is not."""
    assert ONE.answered is not None
    on_time = replace(look([ONE], there=[], register=None), at=ONE.answered)
    early = replace(on_time, at=ONE.intended)
    assert (kinds(judged(on_time)), right(on_time)) == ([Kind.LOST], False)
    assert (kinds(judged(early)), right(early), judged(early).audited) == ([], True, ())


def test_a_record_that_nobody_intended_is_a_phantom() -> None:
    """A mark of this ledger's series that is no entry's, confirmed by a second look."""
    seen = look([ONE], there=[ONE, entry(7)], register=1)
    (violation,) = judged(seen).violations
    assert (violation.kind, violation.subject) == (Kind.PHANTOM, "record 0badcafe/7 of postgres")
    assert right(seen) is False
    assert judged(once(seen)).violations == ()


def test_records_of_another_state_file_are_left_out() -> None:
    """They are counted and adopted by nobody."""
    foreign = {Mark("feedbeef", n): "0" * 32 for n in range(1200)}
    seen = look([ONE])
    seen = replace(seen, first=replace(seen.first, digests={**seen.first.digests, **foreign}))
    found = judged(seen)
    assert (found.violations, right(seen)) == ((), True)
    assert found.left_out == ("1,200 records of postgres are of another state file (series feedbeef): not verified",)


def test_only_ledgers_that_nobody_keeps_are_told_of() -> None:
    """Another daemon whose register moves is silent."""
    seen = look([ONE])
    others = (("0123-4", 1234, 3600.0), ("5678-9", 99, 3599.0))
    assert judged(replace(seen, first=replace(seen.first, others=others))).left_out == (
        "1,234 records of a ledger in postgres that nobody keeps any more (daemon 0123-4) are no longer verified",
    )


def test_a_register_that_went_back_is_a_loss_of_the_moves_after_it() -> None:
    """Moves between what it holds and what was acknowledged are lost, and marked so that they are counted once."""
    moves = [entry(n, identified=False) for n in range(2, 6)]
    seen = look([ONE], moves=moves, register=9, breaks=[broke(3, expected=5, seconds=6)])
    found = judged(seen)
    (loss,) = found.losses
    assert (loss.first, loss.last, loss.records, loss.writes, loss.suffix) == (mark(4), mark(5), 0, 2, True)
    assert [(each.mark.n, each.fate) for each in found.audited] == [(1, Fate.FOUND), (4, Fate.LOST), (5, Fate.LOST)]
    assert found.judged == (5,)
    lost = [replace(move, fate=Fate.LOST) if move.mark.n > 3 else move for move in moves]
    again = look([ONE], moves=lost, register=9, breaks=[broke(2, expected=9, seconds=8)])
    assert [(loss.first, loss.last) for loss in judged(again).losses] == [(mark(3), mark(3))]


def test_moves_after_a_break_are_not_lost_by_it() -> None:
    """What was acknowledged after it was found stands on what was left."""
    moves = [entry(n, identified=False) for n in range(2, 12)]
    seen = look([ONE], moves=moves, breaks=[broke(3, expected=5, seconds=5.5)])
    (loss,) = judged(seen).losses
    assert (loss.first, loss.last) == (mark(4), mark(5))


@pytest.mark.parametrize("unsure", [{"second": mark(5)}, {"writable": False}])
def test_a_break_that_is_not_confirmed_is_a_doubt(unsure: dict[str, Any]) -> None:
    """Two connections must have read the same, at a node that takes writes."""
    moves = [entry(n, identified=False) for n in range(2, 6)]
    broken = replace(broke(3, expected=5, seconds=6), **unsure)
    found = judged(look([ONE], moves=moves, breaks=[broken]))
    assert (found.violations, found.losses, found.judged) == ((), (), (5,))
    assert "the register of postgres held 0badcafe/3" in found.doubt


def test_a_register_ahead_of_all_intents_is_a_phantom() -> None:
    """A mark of this ledger that nobody had intended when it was found was written by somebody else."""
    moves = [entry(n, identified=False) for n in range(2, 9)]
    found = judged(look([ONE], moves=moves, breaks=[broke(7, expected=5, seconds=6)]))
    assert [(v.kind, v.subject) for v in found.violations] == [(Kind.PHANTOM, "the register of postgres")]
    assert found.losses == ()


def test_a_register_with_a_refused_mark_is_a_phantom() -> None:
    """The server had said that it did not write it."""
    moves = [entry(2, identified=False), entry(3, State.REFUSED, identified=False)]
    found = judged(look([ONE], moves=moves, breaks=[broke(3, expected=2, seconds=6)]))
    assert kinds(found) == [Kind.PHANTOM]


def test_a_register_of_another_state_file_is_left_out() -> None:
    """After the state file was lost, what the register holds says nothing of this ledger's writes."""
    theirs = Mark("feedbeef", 500)
    broken = replace(broke(1, expected=1, seconds=6), expected=(None,), first=theirs, second=theirs)
    found = judged(look([ONE], breaks=[broken]))
    assert (found.violations, found.losses, found.judged) == ((), (), (1,))
    assert found.left_out == (
        "the register of postgres held feedbeef/500 of another state file: what that one had written is not known",
    )


def test_a_register_that_went_back_is_seen_without_a_pulse() -> None:
    """A look alone tells that the register holds less than was acknowledged, once both connections read it."""
    moves = [entry(n, identified=False) for n in range(2, 6)]
    seen = look([ONE], moves=moves, register=3)
    assert right(seen) is False
    assert [(loss.first, loss.last) for loss in judged(seen).losses] == [(mark(4), mark(5))]
    other = replace(seen, second=look([ONE], moves=moves).first)
    assert (judged(other).losses, judged(other).doubt != "") == ((), True)


def test_a_register_ahead_of_what_a_look_knows_is_right() -> None:
    """The pulse goes on while it is looked."""
    seen = look([ONE], register=40)
    assert (right(seen), judged(once(seen)).violations) == (True, ())


def test_a_register_of_which_a_break_tells_already_needs_no_second_look() -> None:
    """The break was confirmed by two connections of its own."""
    moves = [entry(n, identified=False) for n in range(2, 6)]
    seen = look([ONE], moves=moves, register=3, breaks=[broke(3, expected=5, seconds=6)])
    assert (right(seen), len(judged(once(seen)).losses)) == (True, 1)


def test_a_deletion_that_was_itself_lost_brings_nothing_back() -> None:
    """A retired record that is there again after a loss of that time belongs to it; one from before is resurrected."""
    moves = [entry(n, identified=False) for n in range(10, 16)]
    within = replace(entry(1, State.RETIRED), retired=at(13))
    before = replace(entry(2, State.RETIRED), retired=at(9))
    after = replace(entry(3, State.RETIRED), retired=at(18))
    seen = look(
        [within, before, after],
        there=[within, before, after],
        moves=moves,
        register=20,
        breaks=[broke(11, expected=15, seconds=16)],
    )
    found = judged(seen)
    assert [(violation.kind, violation.subject) for violation in found.violations] == [
        (Kind.LOST, "4 acknowledged writes to postgres, numbers 12 to 15"),
        (Kind.RESURRECTED, "record 0badcafe/2 of postgres"),
        (Kind.RESURRECTED, "record 0badcafe/3 of postgres"),
    ]
    fates = {each.mark: (each.fate, each.accepted is not None) for each in found.audited}
    assert fates[mark(1)] == (Fate.RESURRECTED, True)


def test_two_nodes_that_take_writes_are_diverged() -> None:
    """Without any loss it is named with both nodes; the second look at the primary comes after that at the other."""
    other = replace(POSTGRES, address="standby:5432", timeline=2, started="2026-03-01 09:00:00+00")
    seen = replace(look([ONE]), elsewhere={"postgres replica eu": other})
    assert right(seen) is False
    (violation,) = judged(seen).violations
    assert (violation.kind, violation.subject) == (Kind.DIVERGED, "postgres and postgres replica eu")
    assert violation.actual == "two: db:5432, timeline 1; standby:5432, timeline 2"
    assert judged(once(seen)).violations == ()


@pytest.mark.parametrize(
    "other",
    [
        replace(POSTGRES, writable=False, timeline=0),
        replace(POSTGRES, address="by another name"),
        replace(POSTGRES, system="8000000000000000001", started="some other time"),
        replace(REDIS, run_id="b" * 40),
    ],
)
def test_a_standby_the_primary_itself_and_another_cluster_are_not_diverged(other: Evidence) -> None:
    """Only another process of the same system that takes writes is a second primary."""
    seen = replace(look([ONE]), elsewhere={"postgres replica eu": other})
    assert (right(seen), judged(seen).violations) == (True, ())


def test_a_second_primary_of_redis_is_diverged() -> None:
    """A replica that was promoted while its primary lives had followed it."""
    other = replace(REDIS, address="replica:6379", run_id="b" * 40, replid="2" * 40, replid2="1" * 40)
    written = entry(1, store="redis")
    seen = replace(look([written], evidence=REDIS), elsewhere={"redis replica eu": other})
    assert kinds(judged(seen)) == [Kind.DIVERGED]


def test_a_loss_between_two_primaries_is_a_split_brain() -> None:
    """The old primary still took a write after the new one was seen to take them; no second violation is made of it."""
    promoted = replace(POSTGRES, timeline=2, started="2026-03-01 09:00:00+00")
    moves = [entry(n, identified=False) for n in range(2, 6)]
    epochs = [epoch(1, POSTGRES, first=-60, last=0), epoch(2, promoted, first=4, last=6)]
    broken = broke(3, expected=5, seconds=6, before=1, epoch=2)
    found = judged(look([ONE], moves=moves, register=9, breaks=[broken], epochs=epochs, evidence=promoted))
    assert [loss.cause for loss in found.losses] == ["split_brain"]
    later = [epochs[0], replace(epochs[1], first=at(5.1))]
    found = judged(look([ONE], moves=moves, register=9, breaks=[broken], epochs=later, evidence=promoted))
    assert [loss.cause for loss in found.losses] == ["failover"]


def test_the_same_look_always_comes_to_the_same_in_any_order() -> None:
    """Judging is a function of what was seen, not of the order in which entries were asked for."""
    entries: Sequence[Entry] = [entry(n) for n in range(1, 9)]
    there = [entries[0], entries[2], entries[5]]
    seen = look(entries, there=there, moves=entries, breaks=[broke(3, expected=8, seconds=8.5)], register=9)
    turned = replace(seen, entries=seen.entries[::-1], moves=seen.moves[::-1])
    first, again, other = judged(seen), judged(seen), judged(turned)
    assert first == again
    assert (first.violations, first.losses, set(first.audited)) == (other.violations, other.losses, set(other.audited))


def test_checks_are_counted() -> None:
    """Each record, each break and the register."""
    assert judged(look([entry(n) for n in range(5)])).checks == 6


def test_every_entry_that_was_asked_for_is_audited() -> None:
    """With what was found, its rung and its next look."""
    seen = look([ONE, entry(2, State.PERHAPS)], seconds=62)
    assert [(each.fate, each.rung, each.due) for each in judged(seen).audited] == [
        (Fate.FOUND, 1, (ONE.answered or at(1)) + LADDER[1]),
        (Fate.ABSENT, 1, at(2) + LADDER[1]),
    ]


def test_the_digest_is_the_evidence_of_damage() -> None:
    """A corrupt record is named with both digests."""
    seen = look([ONE])
    seen = replace(seen, first=altered(seen.first, ONE), second=altered(seen.first, ONE))
    (violation,) = judged(seen).violations
    assert (violation.subject, violation.expected, violation.actual) == (
        "record 0badcafe/1 of postgres",
        f"digest {digest(ONE)}",
        f"digest {'0' * 32}",
    )


def test_a_look_at_a_standby_tells_nothing() -> None:
    """Neither what is there nor what is missing is judged, and no break is settled."""
    behind = replace(POSTGRES, writable=False)
    seen = look([ONE], there=[], evidence=behind, breaks=[broke(None, expected=1, seconds=6)])
    found = judged(seen)
    assert (right(seen), found.violations, found.audited, found.judged) == (True, (), (), ())
    assert found.doubt == (
        "the look at postgres was at db:5432, which takes no writes: what is missing there proves nothing"
    )


WEEK = LADDER[-1].total_seconds()


@pytest.mark.parametrize(
    ("foreign", "awake", "excused"),
    [(True, WEEK - 100, True), (True, WEEK + 100, True), (True, WEEK, False), (False, WEEK - 100, False)],
)
def test_what_another_state_file_may_have_retired_is_not_lost(foreign: bool, awake: float, excused: bool) -> None:  # noqa: FBT001  a table's columns
    """A record whose ladder ended while this state file lay in a backup, and another was in use."""
    old, now = entry(1), entry(2, seconds=WEEK + 4000)
    beside = entry(3, seconds=awake + 1)
    seen = look([old, beside, now], there=[beside, now], register=3, seconds=WEEK + 4001)
    if foreign:
        digests = {**seen.first.digests, Mark("feedbeef", 9): "0" * 32}
        seen = replace(seen, first=replace(seen.first, digests=digests))
    found = judged(seen)
    assert kinds(found) == ([] if excused else [Kind.LOST])
    assert any("its daemon may have deleted them" in sentence for sentence in found.left_out) is excused


def test_a_break_is_judged_in_a_look_at_everything() -> None:
    """Only that tells which records went with the moves; until then it waits, and is a reason for such a look."""
    moves = [entry(n, identified=False) for n in range(2, 6)]
    seen = replace(look([ONE], moves=moves, breaks=[broke(3, expected=5, seconds=6)]), full=False)
    found = judged(seen)
    assert (right(seen), found.losses, found.judged) == (False, (), ())
