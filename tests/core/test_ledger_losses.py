"""A loss: how much, since when, why; told once, and again until somebody settles it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest

from monitor.core.ledger import wording
from monitor.core.ledger.audit import Account, Look, account
from monitor.core.ledger.entries import Entry, Fate, State
from monitor.core.ledger.evidence import Evidence
from monitor.core.ledger.found import Loss, Outage, Restore
from monitor.core.verdict import Kind
from tests.core.remembered import ANSWER, LADDER, POSTGRES, REDIS, TICK, at, broke, entry, epoch, look, mark

PROMOTED = replace(POSTGRES, timeline=2, started="2026-03-01 09:00:00+00", uptime=timedelta(hours=3))


def judged(seen: Look) -> Account:
    """The account of a look by the usual ladder."""
    return account(seen, ladder=LADDER)


def failed_over(lost: Collection[int] = (7,), *, records: Collection[int] = (1, 4, 7)) -> Look:
    """Writes 1 to 9, one a second; the promoted standby has the first six of them, and 20 moved its register since."""
    writes = [entry(n, identified=n in records) for n in range(1, 10)]
    entries = [written for written in writes if written.identified]
    return look(
        entries,
        there=[written for written in entries if written.mark.n not in lost],
        moves=writes,
        register=20,
        seconds=20,
        evidence=PROMOTED,
        breaks=[broke(6, expected=9, seconds=12, before=1, epoch=2)],
        epochs=[epoch(1, POSTGRES, first=-60, last=0), epoch(2, PROMOTED, first=12, last=13)],
    )


def kept(found: Account) -> Loss:
    """The one loss that was found, as the ledger keeps it."""
    (loss,) = found.losses
    return replace(loss, id=1)


def later(seen: Look, loss: Loss, *, back: bool = False, seconds: float = 80) -> Look:
    """The next look at what the ledger has kept of one and its loss; the lost records may be back."""
    fates = {each.mark: each for each in judged(seen).audited}
    entries = [replace(each, fate=fates[each.mark].fate, accepted=fates[each.mark].accepted) for each in seen.entries]
    there = [each for each in entries if back or each.fate is Fate.FOUND]
    moves = [replace(each, fate=fates[each.mark].fate if each.mark in fates else each.fate) for each in seen.moves]
    return replace(
        look(entries, there=there, moves=moves, register=60, seconds=seconds, evidence=seen.first.evidence),
        epochs=seen.epochs,
        losses=(loss,),
    )


def test_a_failover_says_what_is_lost_and_why() -> None:
    """The violation has the range, the counts, the cause, the recovery point; all of it is kept as one loss."""
    found = judged(failed_over())
    (violation,) = found.violations
    assert violation.kind is Kind.LOST
    assert violation.subject == "3 acknowledged writes to postgres, numbers 7 to 9, 1 of them a record"
    assert (
        violation.actual == "gone: failover, found at 12:00:12 UTC; writes of 2.00 to 3.00 s are lost, the latest ones"
    )
    evidence = violation.evidence
    assert list(evidence)[:2] == ["why", "cause"]
    assert evidence["cause"] == "failover"
    assert evidence["why"] == (
        "timeline 1 -> 2; the server had run for 10800 s, and the last write was acknowledged 4 s before: "
        "a running standby was promoted"
    )
    assert evidence["range"] == {"first": "0badcafe/7", "last": "0badcafe/9"}
    assert (evidence["records"], evidence["moves"], evidence["writes"]) == (1, 2, 3)
    assert evidence["rpo_seconds"] == {"least": 2.0, "most": 3.0}
    loss = kept(found)
    assert (loss.records, loss.writes, loss.suffix, loss.least, loss.most) == (1, 3, True, 2 * TICK, 3 * TICK)
    assert (loss.found, loss.cause, loss.accepted) == (at(12), "failover", None)


def test_a_record_that_is_there_after_a_register_went_back_leaves_a_hole() -> None:
    """A later write that is kept contradicts a failover: nothing explains it, and no point in time was gone back to."""
    found = judged(failed_over(lost=()))
    (violation,) = found.violations
    assert (violation.evidence["suffix"], violation.evidence["rpo_seconds"]) == (False, None)
    assert violation.subject == "2 acknowledged writes to postgres, numbers 8 to 9"
    assert violation.actual == "gone: unexplained, found at 12:00:12 UTC; later ones are kept"


def test_a_record_deleted_by_hand_is_a_hole_without_a_cause() -> None:
    """Nothing about the server changed, and the register is right."""
    entries = [entry(n) for n in range(1, 6)]
    found = judged(look(entries, there=[*entries[:1], *entries[2:]]))
    (violation,) = found.violations
    assert violation.subject == "1 acknowledged write to postgres, number 2, a record"
    assert (violation.evidence["cause"], violation.evidence["rpo_seconds"]) == ("unexplained", None)
    assert kept(found).most == timedelta()


def test_an_old_record_beside_a_failover_is_a_loss_of_its_own() -> None:
    """What no register tells of was not taken by the failover."""
    found = judged(failed_over(lost=(1, 7)))
    assert [(loss.first.n, loss.last.n, loss.cause) for loss in found.losses] == [
        (7, 9, "failover"),
        (1, 1, "unexplained"),
    ]


def test_what_is_lost_stays_a_violation_and_is_no_new_loss() -> None:
    """The next look reports the very same violation, and keeps nothing new."""
    seen = failed_over()
    first = judged(seen)
    again = judged(later(seen, kept(first)))
    assert again.losses == ()
    assert again.violations == first.violations


def test_a_loss_of_moves_alone_stays_until_its_ladder_ends() -> None:
    """Moves cannot come back; the violation stays for as long as that of a record would."""
    seen = failed_over(records=(1,))
    first = judged(seen)
    loss = kept(first)
    assert (loss.records, loss.writes) == (0, 3)
    assert judged(later(seen, loss)).violations == first.violations
    end = loss.found + LADDER[-1]
    over = replace(later(seen, loss), at=end)
    assert judged(replace(over, at=end - TICK)).violations == first.violations
    assert (judged(over).violations, [each.accepted for each in judged(over).losses]) == ((), [end])


def test_a_loss_that_came_back_is_closed() -> None:
    """Its records are found, and it keeps its history."""
    seen = failed_over()
    loss = kept(judged(seen))
    found = judged(later(seen, loss, back=True))
    assert found.violations == ()
    assert [(each.id, each.accepted, each.settled_by) for each in found.losses] == [(1, at(80), "")]
    assert {each.fate for each in found.audited} == {Fate.FOUND}


def test_an_accepted_loss_is_silent() -> None:
    """Somebody acknowledged it: the ledger says so of the loss and of its entries."""
    seen = failed_over()
    again = later(seen, replace(kept(judged(seen)), accepted=at(70)))
    entries = tuple(replace(e, accepted=at(70)) if e.fate is Fate.LOST else e for e in again.entries)
    found = judged(replace(again, entries=entries))
    assert (found.violations, found.losses) == ((), ())
    assert [each.accepted for each in found.audited if each.fate is Fate.LOST] == [at(70)]


def test_a_loss_that_the_ledger_forgot_is_reported_all_the_same() -> None:
    """An entry that is known to be lost is a violation while nobody has accepted it, and no new loss."""
    seen = failed_over()
    found = judged(replace(later(seen, kept(judged(seen))), losses=()))
    assert ([violation.kind for violation in found.violations], found.losses) == ([Kind.LOST], ())


def test_a_second_failover_does_not_count_the_first_again() -> None:
    """Two breaks before one look are two losses, each with its own range."""
    seen = failed_over()
    more = [entry(n, identified=False) for n in range(14, 18)]
    seen = replace(
        seen,
        moves=(*seen.moves, *more),
        breaks=(*seen.breaks, broke(15, expected=17, seconds=18, before=2, epoch=2)),
    )
    assert [(loss.first.n, loss.last.n) for loss in judged(seen).losses] == [(7, 9), (16, 17)]


POINT = entry(7).answered or at(7)


@pytest.mark.parametrize(
    ("point", "lost", "pardoned"),
    [
        (POINT - ANSWER, [], [7, 8, 9]),
        (POINT, [7], [8, 9]),
        (POINT + TICK, [7, 8], [9]),
        (POINT + 2 * TICK, [7, 8, 9], []),
    ],
)
def test_a_declared_restore_forgives_what_was_acknowledged_after_its_point(
    point: Look, lost: list[int], pardoned: list[int]
) -> None:
    """Nothing that was acknowledged before, or at the very moment, is forgiven; the history has both."""
    restore = Restore(environment="production", at=point, declared=at(11))
    found = judged(replace(failed_over(), restores=(restore,)))
    ranges = [(loss.first.n, loss.last.n, loss.accepted) for loss in found.losses]
    for loss in found.losses:
        assert loss.settled_by == ("" if loss.accepted is None else "a declared restore")
    assert ranges == [
        *((numbers[0], numbers[-1], moment) for numbers, moment in ((lost, None), (pardoned, at(11))) if numbers)
    ]
    assert len(found.violations) == bool(lost)
    accepted = {each.mark.n for each in found.audited if each.accepted is not None}
    assert accepted == set(pardoned)


def test_a_declared_restore_forgives_nothing_that_came_after_the_declaration() -> None:
    """It is no licence to lose what is written from then on."""
    restore = Restore(environment="production", at=at(0), declared=at(8))
    (forgiven, violated) = sorted(judged(replace(failed_over(), restores=(restore,))).losses, key=lambda e: e.first.n)
    assert (forgiven.accepted, forgiven.last.n, violated.accepted, violated.first.n) == (at(8), 7, None, 8)


def test_a_restore_that_is_declared_later_settles_the_loss() -> None:
    """The loss is kept in its new form, and its entries are accepted."""
    seen = failed_over()
    loss = kept(judged(seen))
    restore = Restore(environment="production", at=at(6.5), declared=at(79))
    found = judged(replace(later(seen, loss), restores=(restore,)))
    assert found.violations == ()
    assert [(each.id, each.accepted, each.settled_by) for each in found.losses] == [(1, at(79), "a declared restore")]
    assert [each.accepted for each in found.audited if each.fate is Fate.LOST] == [at(79)]


def test_a_restore_that_is_declared_later_settles_a_loss_of_moves() -> None:
    """Of which nothing but its beginning and end is known any more."""
    seen = failed_over(records=(1,))
    loss = kept(judged(seen))
    again = later(seen, loss)
    enough = Restore(environment="production", at=at(6.5), declared=at(79))
    short = replace(enough, at=at(7.5))
    assert judged(replace(again, restores=(enough,))).violations == ()
    assert len(judged(replace(again, restores=(short,))).violations) == 1


def test_weak_acknowledgements_are_flagged() -> None:
    """Who cancelled the wait for a standby had been told that the write may be lost."""
    seen = failed_over()
    every = replace(seen, moves=tuple(replace(each, weak=True) for each in seen.moves), entries=())
    weak = replace(seen.moves[-1], weak=True)
    one = replace(seen, moves=(*seen.moves[:-1], weak))
    texts = [judged(each).violations[0].evidence["weak"] for each in (seen, one, every)]
    assert texts == [
        None,
        "1 of the 3 lost writes were acknowledged although the wait for the standby was cancelled",
        "all lost writes were acknowledged although the wait for the standby was cancelled",
    ]


def outage(operation: str, began: float, ended: float | None, least: float) -> Outage:
    """An outage of PostgreSQL."""
    most = (ended if ended is not None else began + least) - began
    return Outage(
        store="postgres",
        operation=operation,
        began=at(began),
        ended=None if ended is None else at(ended),
        least=timedelta(seconds=least),
        most=timedelta(seconds=most),
    )


def test_recovery_time_is_that_of_the_outage_around_the_loss() -> None:
    """For each operation the longest that touches it; others, earlier and later, are not its."""
    outages = (
        outage("write", 9.0, 12.2, 2.5),
        outage("connect", 9.5, 11.5, 1.5),
        outage("connect", 11.8, 11.9, 0.1),
        outage("read", 9.0, None, 3.0),
        outage("write", 2.0, 8.9, 6.0),
        outage("write", 12.1, 15.0, 2.0),
    )
    found = judged(replace(failed_over(), outages=outages))
    assert found.violations[0].actual.endswith("the latest ones; no writes for 2.50 to 3.20 s")
    assert found.violations[0].evidence["rto_seconds"] == {
        "connect": {"least": 1.5, "most": 2.0},
        "read": {"least": 3.0, "most": None},
        "write": {"least": 2.5, "most": 3.2},
    }


def test_an_outage_that_ends_later_is_added_to_its_loss() -> None:
    """The loss is kept in its new form, under its id."""
    seen = failed_over()
    loss = kept(judged(replace(seen, outages=(outage("write", 9.0, None, 3.0),))))
    again = replace(later(seen, loss), outages=(outage("write", 9.0, 12.2, 2.5),))
    assert "no writes" not in wording.violation(loss).actual
    (new,) = judged(again).losses
    assert (new.id, new.details["rto_seconds"]) == (1, {"write": {"least": 2.5, "most": 3.2}})
    assert judged(replace(again, losses=(new,))).losses == ()


def evicted(*, evicts: bool) -> Look:
    """A record that is gone from a Redis that evicts keys of any kind."""
    entries = [entry(n, store="redis") for n in range(1, 4)]
    before = replace(REDIS, policy="allkeys-lru")
    seen = look(
        entries,
        there=entries[::2],
        evidence=replace(before, evicted=3),
        epochs=[epoch(1, before, first=-60, last=0)],
    )
    return replace(seen, evicts=evicts)


def test_eviction_by_declaration_is_no_violation() -> None:
    """It is said beside the result, and the entry is settled; undeclared it is a loss like any other."""
    declared, undeclared = judged(evicted(evicts=True)), judged(evicted(evicts=False))
    assert [violation.evidence["cause"] for violation in undeclared.violations] == ["eviction"]
    assert declared.violations == ()
    (sentence,) = declared.left_out
    assert sentence == (
        "gone as declared: 1 acknowledged write to redis, number 2, a record: "
        "the server has evicted 3 keys since, and its policy allkeys-lru may take ours"
    )
    wanted = ("eviction", at(100), "a declared policy")
    assert [(loss.cause, loss.accepted, loss.settled_by) for loss in declared.losses] == [wanted]
    assert {each.accepted for each in declared.audited if each.fate is Fate.LOST} == {at(100)}


def test_a_record_whose_own_time_ran_out_is_no_violation() -> None:
    """Nobody looked for longer than a record stays by itself: that is Holdfast's doing."""
    entries = [entry(n, store="redis") for n in range(1, 4)]
    seen = look(entries, there=[], register=None, evidence=REDIS, seconds=3700)
    found = judged(replace(seen, lifetime=timedelta(hours=1)))
    assert (found.violations, [loss.cause for loss in found.losses]) == ((), ["expiry"])
    assert [loss.cause for loss in judged(seen).losses] == ["unexplained"]


def test_an_environment_made_anew_is_one_loss() -> None:
    """All that is gone at once is one violation, whatever there was."""
    entries = [entry(n) for n in range(1, 50)]
    anew = replace(POSTGRES, system="8000000000000000001", started="2026-03-01 12:01:00+00", uptime=30 * TICK)
    epochs = [epoch(1, POSTGRES, first=-60, last=50)]
    found = judged(look(entries, there=[], register=None, evidence=anew, epochs=epochs))
    (violation,) = found.violations
    assert (violation.evidence["cause"], violation.evidence["records"]) == ("empty_restart", 49)
    assert violation.subject == "49 acknowledged writes to postgres, numbers 1 to 49, all of them records"
    assert violation.actual.endswith("writes of 48.00 to 48.01 s are lost, all that there were")


def test_a_flush_is_one_loss() -> None:
    """The register and all records are gone, in an epoch of its own that the flush began."""
    entries = [entry(n, store="redis") for n in range(1, 5)]
    flushed = replace(REDIS, flushes=1)
    epochs = [epoch(1, REDIS, first=-60, last=4), epoch(2, flushed, first=6, last=6)]
    broken = replace(broke(None, expected=4, seconds=6, before=1, epoch=2), place="redis")
    seen = look(entries, there=[], register=9, evidence=flushed, epochs=epochs, breaks=[broken])
    (violation,) = judged(seen).violations
    assert (violation.evidence["cause"], violation.evidence["writes"]) == ("flush", 4)


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_of_servers_have_no_influence(hours: int) -> None:
    """Only lengths are compared: a server whose clock is an hour off is judged alike."""
    off = timedelta(hours=hours)

    def shifted(evidence: Evidence) -> Evidence:
        if evidence is POSTGRES or not hasattr(evidence, "saved"):
            return evidence
        return replace(evidence, saved=evidence.saved + int(off.total_seconds()))

    entries = [entry(n, store="redis") for n in range(1, 9)]
    reloaded = replace(REDIS, run_id="b" * 40, replid="2" * 40, uptime=2 * TICK)
    causes = []
    for after in (reloaded, shifted(reloaded)):
        before = replace(REDIS, age=3 * TICK)
        epochs = [epoch(1, before, first=-60, last=7), epoch(2, after, first=12, last=12)]
        broken = replace(broke(5, expected=8, seconds=12, before=1, epoch=2), place="redis")
        seen = look(entries, there=entries[:5], register=9, evidence=after, epochs=epochs, breaks=[broken])
        causes.append([loss.cause for loss in judged(seen).losses])
    assert causes == [["crash_restart"], ["crash_restart"]]


def test_writes_whose_answer_was_lost_are_told_of_and_not_counted() -> None:
    """They may be among what is lost; what PostgreSQL knows of them is information."""
    seen = failed_over()
    open_ = replace(seen.moves[-2], state=State.PERHAPS, answered=None)
    moves = (*seen.moves[:-2], open_, seen.moves[-1])
    found = judged(replace(seen, moves=moves, happened={mark(8): True}))
    (violation,) = found.violations
    assert violation.evidence["writes"] == 2
    assert violation.evidence["undecided"] == {"writes": 1, "known to have committed": 1}


def test_a_register_that_holds_a_write_whose_answer_was_lost_keeps_that() -> None:
    """It was kept at some time after it was sent, so the recovery point is reckoned from there."""
    seen = failed_over()
    moves: tuple[Entry, ...] = tuple(
        replace(each, state=State.PERHAPS, answered=None) if each.mark.n == 6 else each for each in seen.moves
    )
    (loss,) = judged(replace(seen, moves=moves)).losses
    assert (loss.least, loss.most) == (2 * TICK, 3 * TICK + ANSWER)
