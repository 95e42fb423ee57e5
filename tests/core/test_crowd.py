"""Crowds in a pool: each way to break a wave is named, and an unbroken one is silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.confirmation import Reading
from monitor.core.crowd import CUT, Answer, Register, Seen, Visit, Wave, compare, judge
from monitor.core.payload import USERS, synthetic_user
from monitor.core.record import Node
from monitor.core.verdict import Kind, Reason, Verdict

PRIMARY = Node(store="postgres", address="db:5432", primary=True, version="15", position="0/1", identity="7-1")


def visit(number: int, *, users: int, counted: int) -> Visit:
    """A user that saw what it had to see: its own register, and those of whoever has the same name."""
    user = synthetic_user(number)
    own = tuple(Register(number=each, user=user, value=counted) for each in range(number % USERS, users, USERS))
    answer = Answer(nonce=f"n{number}", acting_as=user, registers=own)
    return Visit(number=number, user=user, dirt=(), nonce=f"n{number}", answer=answer, expected=counted)


def wave(users: int, counted: int = 3) -> Wave:
    """A wave in which nothing is wrong."""
    visits = tuple(visit(number, users=users, counted=counted) for number in range(users))
    return Wave(at_once=users, visits=visits)


Break = Callable[[Visit], Visit]


def answering(change: Callable[[Visit], Answer]) -> Break:
    """A break of what a user read."""
    return lambda whole: replace(whole, answer=change(whole))


def answer_of(whole: Visit) -> Answer:
    """What a user read."""
    assert whole.answer is not None
    return whole.answer


def seeing(number: int, user: str) -> Break:
    """A user sees one register more."""
    return answering(
        lambda whole: replace(
            answer_of(whole), registers=(*answer_of(whole).registers, Register(number=number, user=user, value=1))
        )
    )


def counting(by: int) -> Break:
    """A user's own register is off by so many."""
    return answering(
        lambda whole: replace(
            answer_of(whole),
            registers=tuple(
                replace(each, value=each.value + by * (each.number == whole.number))
                for each in answer_of(whole).registers
            ),
        )
    )


BREAKS: dict[str, tuple[Kind, Break]] = {
    "dirt": (Kind.LEAKED, lambda whole: replace(whole, dirt=("role", "setting search_path"), answer=None)),
    "taken for somebody else": (
        Kind.LEAKED,
        answering(lambda whole: replace(answer_of(whole), acting_as=synthetic_user(whole.number + 1))),
    ),
    "taken for nobody": (Kind.LEAKED, answering(lambda whole: replace(answer_of(whole), acting_as=""))),
    "another's register": (Kind.LEAKED, seeing(99, "holdfast-user-of-somebody-else")),
    "uncommitted register": (Kind.PHANTOM, seeing(CUT, synthetic_user(0))),
    "another's reply": (Kind.MISROUTED, answering(lambda whole: replace(answer_of(whole), nonce="x"))),
    "own register gone": (
        Kind.LOST,
        answering(
            lambda whole: replace(
                answer_of(whole), registers=tuple(r for r in answer_of(whole).registers if r.number != whole.number)
            )
        ),
    ),
    "one increment lost": (Kind.LOST_UPDATE, counting(-1)),
    "one increment too many": (Kind.DUPLICATED, counting(+1)),
}


def kinds(whole: Wave) -> set[Kind]:
    """The kinds of violation in a wave."""
    return {violation.kind for violation in compare(whole)}


@given(users=st.integers(2, 30), counted=st.integers(0, 9))
def test_users_who_see_only_what_is_theirs_are_silent(users: int, counted: int) -> None:
    """However many they are; more of them than names share one."""
    assert kinds(wave(users, counted)) == set()


@pytest.mark.parametrize("name", BREAKS)
@given(data=st.data())
def test_what_is_broken_in_one_way_is_named_so_and_not_otherwise(name: str, data: st.DataObject) -> None:
    """Whichever user it hits."""
    kind, broken = BREAKS[name]
    users = data.draw(st.integers(2, 12))
    place = data.draw(st.integers(0, users - 1))
    whole = wave(users)
    visits = [broken(each) if number == place else each for number, each in enumerate(whole.visits)]
    assert kinds(replace(whole, visits=tuple(visits))) == {kind}


DIRTY = replace(wave(2), visits=tuple(replace(each, dirt=("role",), answer=None) for each in wave(2).visits))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(before=Reading(first=wave(2)), after=Reading(first=wave(2))), (Verdict.OK, None)),
        (Seen(before=Reading(first=DIRTY, second=DIRTY, node=PRIMARY), after=None), (Verdict.VIOLATED, None)),
        (
            Seen(before=Reading(first=DIRTY, second=wave(2), node=PRIMARY), after=None),
            (Verdict.UNKNOWN, Reason.INCONCLUSIVE),
        ),
        (
            Seen(before=Reading(first=wave(2)), after=Reading(first=DIRTY, second=DIRTY, node=PRIMARY)),
            (Verdict.VIOLATED, None),
        ),
        (
            Seen(
                before=Reading(first=DIRTY, second=DIRTY, node=replace(PRIMARY, primary=False)),
                after=None,
            ),
            (Verdict.UNKNOWN, Reason.INCONCLUSIVE),
        ),
    ],
    ids=["right", "twice", "once", "after the cut", "on a replica"],
)
def test_only_what_two_waves_at_a_primary_show_counts(seen: Seen, expected: tuple[Verdict, Reason | None]) -> None:
    """Before a cut as after it."""
    finding = judge(seen)
    assert (finding.verdict, finding.reason) == expected


def test_a_pool_that_is_smaller_than_the_crowd_is_said() -> None:
    """What could not be seen is no violation, and is not passed over."""
    small = replace(wave(4), at_once=2)
    finding = judge(Seen(before=Reading(first=wave(4)), after=Reading(first=small)))
    assert finding.verdict is Verdict.OK
    assert finding.left_out == ("the pool gave only 2 of 4 users a connection at the same time",)


def everything_seen_by(reason: str) -> Wave:
    """A wave of a role that sees the registers of all, for a reason."""
    whole = wave(3)
    every = tuple(register for each in whole.visits for register in answer_of(each).registers)
    return replace(
        whole,
        visits=tuple(
            replace(each, answer=replace(answer_of(each), registers=every, unbound=reason)) for each in whole.visits
        ),
    )


def test_a_role_that_nothing_binds_tells_nothing_of_what_users_see() -> None:
    """It is set up wrongly, which is no leak; what is lost all the same is."""
    seen = everything_seen_by("the role postgres is a superuser")
    finding = judge(Seen(before=Reading(first=seen), after=Reading(first=seen)))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.MISCONFIGURED)
    assert "the role postgres is a superuser" in finding.message
    assert kinds(everything_seen_by("")) == {Kind.LEAKED}
    first = seen.visits[0]
    without = replace(answer_of(first), registers=())
    lossy = replace(seen, visits=(replace(first, answer=without), *seen.visits[1:]))
    reading = Reading(first=lossy, second=lossy, node=PRIMARY)
    assert [each.kind for each in judge(Seen(before=reading, after=None)).violations] == [Kind.LOST]
