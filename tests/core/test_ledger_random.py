"""Histories as they may have been, and what a store then shows: exactly the truth is told, and nothing besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from monitor.core.ledger.audit import Account, Look, account, right
from monitor.core.ledger.entries import Entry, Fate, Mark, State
from monitor.core.ledger.found import Break
from monitor.core.verdict import Kind
from tests.core.remembered import BEGIN, LADDER, POSTGRES, digest, entry, epoch, look, mark

Act = tuple[Literal["record", "move", "retire"], Literal["acked", "refused", "applied", "dropped"], int]
"""What is done, how it ends (of a `perhaps`: whether it was applied), and how many milliseconds later."""

ACTS = st.tuples(
    st.sampled_from(["record", "move", "move", "retire"]),
    st.sampled_from(["acked", "acked", "acked", "refused", "applied", "dropped"]),
    st.integers(20, 2000),
)
PROMOTED = replace(POSTGRES, timeline=2, started="2026-03-01 09:00:00+00", uptime=timedelta(hours=3))


@dataclass
class Story:
    """A ledger and a store while both go on. `states` is what the store held after each act: register and records."""

    entries: dict[int, Entry] = field(default_factory=dict)
    states: list[tuple[int | None, frozenset[int]]] = field(default_factory=lambda: [(None, frozenset())])
    now: datetime = BEGIN
    n: int = 0
    expected: tuple[int | None, ...] = (None,)

    def go(self, acts: Sequence[Act]) -> None:
        """Some acts, one after the other."""
        for what, how, after in acts:
            self.now += timedelta(milliseconds=after)
            if what == "retire":
                self._retire()
            else:
                self._write(how, identified=what == "record")

    def _write(self, how: str, *, identified: bool) -> None:
        self.n += 1
        seconds = (self.now - BEGIN).total_seconds()
        state = {"acked": State.ACKED, "refused": State.REFUSED}.get(how, State.PERHAPS)
        self.entries[self.n] = entry(self.n, state, identified=identified, seconds=seconds, epoch=None)
        if how in {"acked", "applied"}:
            records = self.states[-1][1]
            self.states.append((self.n, records | {self.n} if identified else records))
        if how == "acked":
            self.expected = (self.n,)
        elif state is State.PERHAPS:
            self.expected = (*self.expected, self.n)

    def _retire(self) -> None:
        register, records = self.states[-1]
        found = [self.entries[n] for n in sorted(records) if self.entries[n].state is State.ACKED]
        if found:
            self.entries[found[0].mark.n] = replace(found[0], state=State.RETIRED, retired=self.now)
            self.states.append((register, records - {found[0].mark.n}))

    def go_back(self, to: int) -> tuple[Break, ...]:
        """The store holds what it held after an earlier act; the next write finds that, and adopts it."""
        self.now += timedelta(milliseconds=500)
        register, records = self.states[to]
        self.states.append((register, records))
        if register in self.expected:
            return ()
        held = None if register is None else mark(register)
        broken = Break(
            id=1,
            place="postgres",
            at=self.now,
            expected=tuple(None if n is None else mark(n) for n in self.expected),
            first=held,
            second=held,
            writable=True,
            before=1,
            epoch=2,
        )
        self.expected = (register,)
        return (broken,)

    def seen(self, breaks: Sequence[Break] = ()) -> Look:
        """What a full look shows by now."""
        register, records = self.states[-1]
        writes = list(self.entries.values())
        seconds = (self.now - BEGIN).total_seconds() + 1
        return look(
            [each for each in writes if each.identified],
            there=[self.entries[n] for n in sorted(records)],
            register=register,
            moves=writes,
            seconds=seconds,
            evidence=PROMOTED if breaks else POSTGRES,
            breaks=breaks,
            epochs=[
                epoch(1, POSTGRES, first=-60, last=0),
                *(epoch(2, PROMOTED, first=seconds, last=seconds) for _ in breaks),
            ],
        )


def judged(seen: Look) -> Account:
    """The account of a look by the usual ladder."""
    return account(seen, ladder=LADDER)


def lost(found: Account) -> set[Mark]:
    """All writes that are told to be lost."""
    return {each.mark for each in found.audited if each.fate is Fate.LOST}


@given(st.lists(ACTS, max_size=40))
def test_where_nothing_happened_nothing_is_told(acts: list[Act]) -> None:
    """Whatever was acknowledged, refused, retired, or left in the dark."""
    story = Story()
    story.go(acts)
    seen = story.seen()
    found = judged(seen)
    assert (right(seen), found.violations, found.losses, found.doubt) == (True, (), (), "")


@given(before=st.lists(ACTS, min_size=1, max_size=30), after=st.lists(ACTS, max_size=8), data=st.data())
def test_what_a_store_that_went_back_lost_is_told_exactly(
    before: list[Act], after: list[Act], data: st.DataObject
) -> None:
    """Exactly what was acknowledged and is gone: never a write whose answer was lost, none twice, none of later."""
    story = Story()
    story.go(before)
    to = data.draw(st.integers(0, len(story.states) - 1))
    breaks = story.go_back(to)
    register = story.states[to][0] or 0
    gone = {each.mark for each in story.entries.values() if each.owed and each.mark.n > register}
    returned = {mark(n) for n in story.states[to][1] if story.entries[n].state is State.RETIRED}
    story.go(after)
    found = judged(story.seen(breaks))
    assert lost(found) == gone
    assert sum(loss.writes for loss in found.losses) == len(gone)
    assert sum(loss.records for loss in found.losses) == sum(story.entries[m.n].identified for m in gone)
    assert len(found.losses) == bool(gone)
    assert all(loss.cause == "failover" and loss.suffix for loss in found.losses)
    told = {violation.kind for violation in found.violations}
    back = {each.mark for each in found.audited if each.fate is Fate.RESURRECTED}
    assert told <= {Kind.LOST, Kind.RESURRECTED}
    assert back == {each for each in returned if story.states[-1][1] >= {each.n}}
    if gone:
        assert Kind.RESURRECTED not in told


@given(before=st.lists(ACTS, min_size=1, max_size=30), data=st.data())
def test_the_recovery_point_lies_within_its_bounds(before: list[Act], data: st.DataObject) -> None:
    """Whoever else's write was acknowledged between what is kept and what is lost: the bounds hold it, a tick wide."""
    story = Story()
    story.go([("move", "acked", 20), *before])
    to = data.draw(st.integers(1, len(story.states) - 1))
    breaks = story.go_back(to)
    register = story.states[to][0]
    gone = [each for each in story.entries.values() if each.owed and each.mark.n > (register or 0)]
    if register is None or not gone:
        return
    held = story.entries[register]
    kept = (held.answered if held.owed else None) or held.intended
    first, last = gone[0].answered, gone[-1].answered
    assert first is not None
    assert last is not None
    (loss,) = judged(story.seen(breaks)).losses
    other = kept + data.draw(st.floats(0, 1)) * (first - kept)
    assert loss.least <= last - other <= loss.most
    assert loss.most - loss.least <= first - kept


@given(acts=st.lists(ACTS, min_size=1, max_size=30), data=st.data())
def test_one_change_is_named_and_nothing_else(acts: list[Act], data: st.DataObject) -> None:
    """One record taken away, altered or put there: that one, by its number."""
    story = Story()
    story.go([("record", "acked", 20), *acts, ("move", "acked", 20)])
    seen = story.seen()
    there = sorted(seen.first.digests, key=lambda each: each.n)
    absent = [each.mark for each in seen.entries if each.mark not in seen.first.digests] + [mark(story.n + 7)]
    how = data.draw(st.sampled_from(["drop", "alter", "add"]))
    chosen = data.draw(st.sampled_from(there if there and how != "add" else absent))
    digests = dict(seen.first.digests)
    if chosen not in digests:
        digests[chosen] = digest(entry(chosen.n))
    elif how == "alter":
        digests[chosen] = "0" * 32
    else:
        del digests[chosen]
    changed = replace(seen.first, digests=digests)
    found = judged(replace(seen, first=changed, second=changed))
    written = story.entries.get(chosen.n)
    state = written.state if written is not None else None
    altered = how == "alter" and chosen in seen.first.digests
    if state is State.PERHAPS and not altered:
        assert found.violations == ()
        return
    (violation,) = found.violations
    name = f"record {chosen} of postgres"
    if chosen not in seen.first.digests:
        kind = Kind.RESURRECTED if state is State.RETIRED else Kind.PHANTOM
        assert (violation.kind, violation.subject) == (kind, name)
    elif altered:
        assert (violation.kind, violation.subject) == (Kind.CORRUPT, name)
    else:
        assert violation.kind is Kind.LOST
        assert violation.evidence["range"] == {"first": str(chosen), "last": str(chosen)}


@given(acts=st.lists(ACTS, min_size=1, max_size=30), data=st.data())
def test_the_order_of_entries_is_nothing(acts: list[Act], data: st.DataObject) -> None:
    """The same in any order comes to the same losses and violations."""
    story = Story()
    story.go(acts)
    breaks = story.go_back(data.draw(st.integers(0, len(story.states) - 1)))
    seen = story.seen(breaks)
    turned = replace(
        seen,
        entries=tuple(data.draw(st.permutations(seen.entries))),
        moves=tuple(data.draw(st.permutations(seen.moves))),
    )
    one, other = judged(seen), judged(turned)
    assert judged(seen) == one
    assert (one.losses, one.doubt, one.checks) == (other.losses, other.doubt, other.checks)
    assert sorted(one.violations, key=str) == sorted(other.violations, key=str)
    assert set(one.audited) == set(other.audited)
