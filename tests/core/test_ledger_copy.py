"""Restored copies: any state that the store really had is right, its moment is found, and any other is named."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.ledger.copy import Judgement, judge
from monitor.core.ledger.entries import Entry, Fate, Mark, State, content_of, digest_of
from monitor.core.ledger.found import Loss, Restore
from monitor.core.ledger.prefix import Copy, Point
from monitor.core.verdict import Kind, Verdict

BEGIN = datetime(2026, 11, 1, 12, tzinfo=UTC)
MS = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
ENVIRONMENT, STORE = "production", "postgres"
LONG = timedelta(days=1)


def mark(n: int, series: str = "aaaa") -> Mark:
    """The mark of one write."""
    return Mark(series, n)


def right(at: Mark) -> str:
    """The hash of the content that a record has."""
    return digest_of(content_of(ENVIRONMENT, STORE, at))


def write(n: int, state: State = State.ACKED, *, identified: bool = True, **more: object) -> Entry:
    """One write a second, answered after 2 ms."""
    sent = BEGIN + n * SECOND
    entry = Entry(
        environment=ENVIRONMENT,
        store=STORE,
        mark=mark(n),
        identified=identified,
        state=state,
        intended=sent,
        answered=None if state in {State.INTENDED, State.PERHAPS} else sent + 2 * MS,
    )
    return replace(entry, **more)  # type: ignore[arg-type]


def copy(
    entries: list[Entry], register: int | Mark | None, records: list[int] | dict[Mark, str], **more: object
) -> Copy:
    """A copy with these records, right ones where only their numbers are given."""
    digests = records if isinstance(records, dict) else {mark(n): right(mark(n)) for n in records}
    at = mark(register) if isinstance(register, int) else register
    made = Copy(environment=ENVIRONMENT, store=STORE, at=BEGIN + LONG, entries=entries, register=at, digests=digests)
    return replace(made, **more)  # type: ignore[arg-type]


def names(judgement: Judgement) -> list[tuple[Kind, int, int, int, int]]:
    """What is wrong: kind, first and last number, records, writes."""
    return [(each.kind, each.first.n, each.last.n, each.records, each.writes) for each in judgement.wrong]


FIVE = [write(n) for n in range(1, 6)]
WITH_MOVES = [write(n, identified=n % 2 == 1) for n in range(1, 10)]


@pytest.mark.parametrize(
    ("given_copy", "wanted"),
    [
        (copy(FIVE, 5, [1, 2, 3, 4, 5]), []),
        (copy(FIVE, 3, [1, 2, 3]), []),
        (copy(FIVE, 5, [1, 3, 4, 5]), [(Kind.LOST, 2, 2, 1, 1)]),
        (copy(FIVE, 5, [1, 4, 5]), [(Kind.LOST, 2, 3, 2, 2)]),
        (copy(FIVE, 5, [1, 3, 5]), [(Kind.LOST, 2, 2, 1, 1), (Kind.LOST, 4, 4, 1, 1)]),
        (copy(FIVE, 3, [1, 2, 3, 4]), [(Kind.PHANTOM, 4, 4, 1, 1)]),
        (copy(FIVE, None, [1, 2, 3]), [(Kind.LOST, 3, 3, 0, 1)]),
        (copy(FIVE, 2, {mark(1): right(mark(1)), mark(2): "x"}), [(Kind.CORRUPT, 2, 2, 1, 1)]),
        (copy(WITH_MOVES, 6, [1, 3, 5]), []),
        (copy(WITH_MOVES, 6, [1, 5]), [(Kind.LOST, 3, 3, 1, 1)]),
        (copy(WITH_MOVES, 6, [1, 2, 3, 5]), [(Kind.PHANTOM, 2, 2, 1, 1)]),
        (copy([*WITH_MOVES[:5], *WITH_MOVES[6:]], 9, [1, 3, 5, 6, 7, 9]), [(Kind.PHANTOM, 6, 6, 1, 1)]),
    ],
)
def test_each_departure_has_its_name(given_copy: Copy, wanted: list[tuple[Kind, int, int, int, int]]) -> None:
    """What is missing below the register is lost, what is above it a phantom, other content corrupt; as ranges."""
    found = judge(given_copy)
    assert names(found) == wanted
    assert found.verdict is (Verdict.VIOLATED if wanted else Verdict.OK)


@pytest.mark.parametrize("state", [State.PERHAPS, State.INTENDED, State.RETIRING])
@pytest.mark.parametrize("there", [True, False])
def test_what_nobody_knows_is_right_either_way(state: State, there: bool) -> None:  # noqa: FBT001  a parameter
    """A write whose answer was lost, or whose deletion was under way, may be there or not."""
    entries = [write(1), write(2, state), write(3)]
    assert judge(copy(entries, 3, [1, 2, 3] if there else [1, 3])).verdict is Verdict.OK


def test_what_was_refused_must_not_be_there() -> None:
    """A write that the server refused is a phantom, as a record and as the register's mark."""
    entries = [write(1), write(2, State.REFUSED), write(3, State.REFUSED, identified=False)]
    assert names(judge(copy(entries, 1, [1]))) == []
    assert names(judge(copy(entries, 3, [1, 2]))) == [(Kind.PHANTOM, 2, 3, 1, 2)]


def retired(n: int, *, at: int, verified: float | None = None) -> Entry:
    """A write that was deleted at a second, and last found some time before."""
    found = BEGIN + (at - 0.5 if verified is None else verified) * SECOND
    return write(n, State.RETIRED, retired=BEGIN + at * SECOND, verified=found)


@pytest.mark.parametrize(
    ("register", "records", "wanted"),
    [
        (3, [1, 2, 3], []),
        (3, [2, 3], [(Kind.LOST, 1, 1, 1, 1)]),
        (5, [1, 2, 3, 4, 5], []),
        (5, [2, 3, 4, 5], []),
        (9, [2, 3, 4, 5, 6, 7, 8, 9], []),
        (9, [1, 2, 3, 4, 5, 6, 7, 8, 9], [(Kind.RESURRECTED, 1, 1, 1, 1)]),
    ],
)
def test_a_copy_may_be_older_than_a_deletion(
    register: int, records: list[int], wanted: list[tuple[Kind, int, int, int, int]]
) -> None:
    """What was deleted later must be there, what was deleted before must not, and about that moment both are right."""
    entries = [retired(1, at=6, verified=5.5), *(write(n) for n in range(2, 10))]
    assert names(judge(copy(entries, register, records))) == wanted


def test_what_was_deleted_since_is_covered_all_the_same() -> None:
    """A copy that is older than the deletion of everything in it can be judged yet, as long as that is remembered."""
    entries = [*(retired(n, at=60) for n in (1, 2, 3)), write(4)]
    found = judge(copy(entries, 3, [1, 2, 3]))
    assert (found.verdict, found.covers) == (Verdict.OK, 3)
    assert names(judge(copy(entries, 3, [1, 3]))) == [(Kind.LOST, 2, 2, 1, 1)]


@pytest.mark.parametrize(
    ("register", "records", "as_of", "slack", "wanted"),
    [
        (5, [1, 3, 5], 5.5, 0, []),
        (5, [1, 3, 5], 5.001, 0, []),
        (6, [1, 3, 5], 5.5, 0, [(Kind.PHANTOM, 6, 6, 0, 1)]),
        (6, [1, 3, 5], 5.5, 1, []),
        (7, [1, 3, 5, 7], 5.5, 0, [(Kind.PHANTOM, 6, 7, 1, 2)]),
        (4, [1, 3], 7.5, 0, [(Kind.LOST, 5, 7, 2, 3)]),
        (4, [1, 3], 7.5, 2.6, []),
        (4, [1, 3], 7.5, 2, [(Kind.LOST, 5, 5, 1, 1)]),
    ],
)
def test_a_given_point_must_be_that_of_the_copy(
    register: int, records: list[int], as_of: float, slack: float, wanted: list[tuple[Kind, int, int, int, int]]
) -> None:
    """All that was acknowledged up to it is there, nothing that was sent after it, as far as clocks may disagree."""
    given_copy = copy(WITH_MOVES, register, records, as_of=BEGIN + as_of * SECOND, slack=slack * SECOND)
    assert names(judge(given_copy)) == wanted


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("late", [write(6), retired(6, at=8, verified=7.5)])
def test_what_was_sent_after_a_given_point_is_not_demanded(late: Entry, there: bool) -> None:  # noqa: FBT001
    """Be it deleted since or not: a copy of that moment cannot have it, and one that has it is of a later one."""
    entries = [*FIVE, late, *(write(n, identified=False) for n in (7, 8))]
    found = judge(copy(entries, 8, [1, 2, 3, 4, 5, 6] if there else [1, 2, 3, 4, 5], as_of=BEGIN + 5.5 * SECOND))
    records, first = (1, 6) if there else (0, 7)
    assert (names(found), found.covers) == ([(Kind.PHANTOM, first, 8, records, 9 - first)], 5)


def test_the_point_lies_between_two_writes() -> None:
    """It is bounded by the newest write that is there and the first acknowledged one that is not."""
    entries = [*FIVE, write(6, State.REFUSED), write(7, State.PERHAPS), write(8)]
    assert judge(copy(entries, 3, [1, 2, 3])).point == Point(at_least=FIVE[2].intended, at_most=FIVE[3].answered)
    assert judge(copy(entries, 5, [1, 2, 3, 4, 5])).point == Point(
        at_least=FIVE[4].intended, at_most=entries[7].answered
    )
    assert judge(copy(entries, 8, [1, 2, 3, 4, 5, 8])).point == Point(at_least=entries[7].intended, at_most=None)


def test_a_live_store_may_hold_what_came_later() -> None:
    """All that was acknowledged before the look is demanded; what came while it lasted is not held against it."""
    entries = [*FIVE, write(6, State.INTENDED)]
    as_of = BEGIN + 4.5 * SECOND
    assert names(judge(copy(entries, 6, [1, 2, 3, 4, 5, 6], live=True, as_of=as_of))) == []
    assert names(judge(copy(entries, 4, [1, 2, 3, 4, 5], live=True, as_of=as_of))) == []
    assert names(judge(copy(entries, 3, [1, 2, 3], live=True, as_of=as_of))) == [(Kind.LOST, 4, 4, 1, 1)]


LOSS = Loss(
    environment=ENVIRONMENT,
    store=STORE,
    found=BEGIN + 4 * SECOND,
    cause="failover",
    first=mark(2),
    last=mark(3),
    records=2,
    writes=2,
    suffix=True,
    least=SECOND,
    most=SECOND,
)


def test_a_loss_that_is_known_is_not_told_again_of_a_copy() -> None:
    """What the live store had lost a later copy cannot have; of the live store it is demanded until it is accepted."""
    marked = [write(1), write(2, fate=Fate.LOST), write(3, fate=Fate.LOST), write(4), write(5)]
    for entries, losses in ((marked, ()), (FIVE, (LOSS,))):
        found = judge(copy(entries, 5, [1, 4, 5], losses=losses))
        assert (found.verdict, found.covers) == (Verdict.OK, 3)
        assert found.left_out[0].startswith("2 records are not there and need not be")
        assert names(judge(copy(entries, 5, [1, 4, 5], losses=losses, live=True))) == [(Kind.LOST, 2, 3, 2, 2)]
    accepted = [replace(entry, accepted=BEGIN) if entry.fate is Fate.LOST else entry for entry in marked]
    assert names(judge(copy(accepted, 5, [1, 4, 5], live=True))) == []


def test_a_declared_restore_forgives_what_came_after_its_point() -> None:
    """And nothing before it, nor what was written since."""
    restore = Restore(environment=ENVIRONMENT, at=BEGIN + 2.5 * SECOND, declared=BEGIN + 4.5 * SECOND)
    assert names(judge(copy(FIVE, 5, [1, 2, 5], restores=[restore]))) == []
    assert names(judge(copy(FIVE, 5, [1, 5], restores=[restore]))) == [(Kind.LOST, 2, 2, 1, 1)]


def test_a_store_that_keeps_records_for_a_time() -> None:
    """What the store has let go of since, by its time to live, is not demanded, nor is the register."""
    old = copy(FIVE, None, [3, 4, 5], keeps=LONG - SECOND * 2 + timedelta(minutes=1))
    assert names(judge(old)) == [(Kind.LOST, 5, 5, 0, 1)]
    assert names(judge(replace(old, keeps=LONG - SECOND * 3))) == []


@pytest.mark.parametrize(
    ("given_copy", "reason"),
    [
        (copy([], 5, [1]), "remembers no write"),
        (copy(FIVE, None, []), "holds nothing"),
        (copy(FIVE, mark(2, "bbbb"), {mark(2, "bbbb"): "x"}), "holds nothing"),
        (copy(FIVE[3:], 2, [1, 2]), "older than all that the ledger remembers, which begins at 2026-11-01 12:00:04"),
        (copy(FIVE, 5, [1, 2, 3, 4, 5], as_of=BEGIN), "the ledger begins at 2026-11-01 12:00:01 UTC"),
        (copy([retired(1, at=3), *FIVE[1:]], 5, [2, 3, 4, 5], as_of=BEGIN), "the ledger begins at 2026-11-01 12:00:01"),
        (copy([write(n, identified=False) for n in (1, 2)], 2, []), "no record is remembered"),
    ],
)
def test_what_cannot_be_told(given_copy: Copy, reason: str) -> None:
    """Another daemon's data, a state that remembers nothing of it: unknown, with the reason."""
    found = judge(given_copy)
    assert (found.verdict, found.wrong) == (Verdict.UNKNOWN, ())
    assert reason in found.reason


def test_later_writes_of_a_state_that_was_lost() -> None:
    """Numbers beyond what a series reached, and unknown series, are nobody's fault; they are counted and left out."""
    records = {mark(n): right(mark(n)) for n in range(1, 8)} | {mark(6, "bbbb"): right(mark(6, "bbbb"))}
    found = judge(copy(FIVE, mark(7, "bbbb"), records))
    assert (found.verdict, found.covers, found.present) == (Verdict.OK, 5, 5)
    assert found.left_out[0].startswith("3 records, or the register, are of writes that this ledger does not know")
    assert found.point == Point(at_least=FIVE[4].intended, at_most=None)


def test_what_was_forgotten_since() -> None:
    """A record that the ledger no longer remembers is left out, unless its content is none of Holdfast's."""
    entries = [write(3), write(4), write(5, identified=False), write(6)]
    records = {mark(n): right(mark(n)) for n in (1, 2, 3, 4, 6)}
    found = judge(copy(entries, 6, records))
    assert (found.verdict, found.left_out) == (
        Verdict.OK,
        ("2 records are of writes that the ledger has forgotten since, as it does in time",),
    )
    assert names(judge(copy(entries, 6, records | {mark(2): "x"}))) == [(Kind.PHANTOM, 2, 2, 1, 1)]


@dataclass(frozen=True, kw_only=True)
class History:
    """What a store went through: the ledger's entries, and what the store held after each change, and since when."""

    entries: tuple[Entry, ...]
    states: tuple[tuple[datetime, Mark | None, frozenset[Mark]], ...]


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Writes one after the other, of every outcome, and deletions of the oldest records between them."""
    now, register, records = BEGIN, None, frozenset[Mark]()
    entries: list[Entry] = []
    states: list[tuple[datetime, Mark | None, frozenset[Mark]]] = [(now, None, records)]
    series = "aaaa"

    def later() -> datetime:
        nonlocal now
        now += draw(st.integers(1, 2000)) * MS
        return now

    for n in range(1, draw(st.integers(2, 25)) + 1):
        series = "bbbb" if draw(st.integers(0, 9)) == 0 else series
        state = draw(st.sampled_from([State.ACKED] * 5 + [State.PERHAPS, State.REFUSED]))
        here = Mark(series, n)
        entry = Entry(
            environment=ENVIRONMENT,
            store=STORE,
            mark=here,
            identified=draw(st.booleans()) or n == 1,
            state=State.ACKED if n == 1 else state,
            intended=later(),
        )
        if entry.state is State.ACKED or (entry.state is State.PERHAPS and draw(st.booleans())):
            register, records = here, records | {here} if entry.identified else records
            states.append((later(), register, records))
        entries.append(entry if entry.state is State.PERHAPS else replace(entry, answered=later()))
        kept = [i for i, each in enumerate(entries) if each.identified and each.state is State.ACKED]
        if kept and draw(st.integers(0, 4)) == 0:
            oldest, verified = entries[kept[0]], later()
            records = records - {oldest.mark}
            states.append((later(), register, records))
            entries[kept[0]] = replace(oldest, state=State.RETIRED, verified=verified, retired=later())
    return History(entries=tuple(entries), states=tuple(states))


@st.composite
def copies(draw: st.DrawFn) -> tuple[Copy, datetime, datetime | None]:
    """A right copy, and between which moments the store was in that state."""
    history = draw(histories())
    place = draw(st.integers(1, len(history.states) - 1))
    began, register, records = history.states[place]
    ended = history.states[place + 1][0] if place + 1 < len(history.states) else None
    made = copy(list(history.entries), register, {each: right(each) for each in records})
    return made, began, ended


def at_work(given_copy: Copy, moment: datetime) -> list[Mark]:
    """The acknowledged records that were surely there at a moment, when nothing else was under way."""
    return [
        entry.mark
        for entry in given_copy.entries
        if entry.identified
        and entry.state is State.ACKED
        and entry.mark in given_copy.digests
        and entry.answered
        and entry.answered <= moment
    ]


@given(copies())
def test_every_state_that_a_store_had_is_right(drawn: tuple[Copy, datetime, datetime | None]) -> None:
    """Nothing is ever wrong with it, its point is found within one write, and so it is with the moment given."""
    made, began, ended = drawn
    found = judge(made)
    assert names(found) == []
    assert found.point.at_least is not None
    assert found.point.at_least <= began
    assert found.point.at_most is None or (ended is not None and found.point.at_most >= began)
    assert found.point.at_most is None or all(
        entry.mark.n > (made.register.n if made.register else 0)
        for entry in made.entries
        if entry.answered == found.point.at_most
    )
    assert names(judge(replace(made, as_of=began))) == []


@given(copies(), st.data())
def test_one_record_less_is_a_loss(drawn: tuple[Copy, datetime, datetime | None], data: st.DataObject) -> None:
    """Whichever acknowledged record is taken away, it is named, and nothing else."""
    made, *_ = drawn
    there = at_work(made, made.at)
    if there:
        gone = data.draw(st.sampled_from(there))
        digests = {each: digest for each, digest in made.digests.items() if each != gone}
        assert names(judge(replace(made, digests=digests))) == [(Kind.LOST, gone.n, gone.n, 1, 1)]


@given(copies(), st.data())
def test_one_record_altered_is_corrupt(drawn: tuple[Copy, datetime, datetime | None], data: st.DataObject) -> None:
    """Whichever record has other content, whether its answer had come or not, it is named, and nothing else."""
    made, *_ = drawn
    if made.digests:
        altered = data.draw(st.sampled_from(sorted(made.digests)))
        digests = {**made.digests, altered: digest_of("something else")}
        assert names(judge(replace(made, digests=digests))) == [(Kind.CORRUPT, altered.n, altered.n, 1, 1)]


@given(copies(), st.data())
def test_one_record_more_is_named(drawn: tuple[Copy, datetime, datetime | None], data: st.DataObject) -> None:
    """A later or refused write is a phantom, and what had been deleted before the point has come back."""
    made, *_ = drawn
    point = judge(made).point
    candidates = {
        entry.mark: Kind.RESURRECTED if entry.state is State.RETIRED and not later else Kind.PHANTOM
        for entry in made.entries
        for later in [entry.mark.n > (made.register.n if made.register else 0)]
        if entry.identified and entry.mark not in made.digests
        if later
        or entry.state is State.REFUSED
        or (entry.retired is not None and point.at_least is not None and entry.retired < point.at_least)
    }
    if candidates:
        added = data.draw(st.sampled_from(sorted(candidates)))
        digests = {**made.digests, added: right(added)}
        assert names(judge(replace(made, digests=digests))) == [(candidates[added], added.n, added.n, 1, 1)]
