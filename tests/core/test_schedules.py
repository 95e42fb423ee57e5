"""Schedules that can be read aloud: what may be written, and what their answers mean."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.schedules.catalogue import SCHEDULES
from monitor.core.schedules.notation import AFTERWARDS, Schedule, Verb, schedule
from monitor.core.schedules.results import Answer, Result, result, told
from monitor.core.verdict import Kind

EVERY = st.sampled_from([known.schedule for known in SCHEDULES.values()])


def answers(played: Schedule) -> list[Answer]:
    """The answers that a server would give at whose level the anomaly occurs."""
    return [Answer(value=step.must if step.must is not None else step.shows) for step in played.steps]


@given(played=EVERY)
def test_where_every_mark_shows_the_anomaly_occurred(played: Schedule) -> None:
    """The controls hold and all marks show: it occurred, whichever schedule it is."""
    assert result(played, answers(played)) is Result.OCCURRED


def marked(played: Schedule, mark: str) -> list[int]:
    """The steps with a mark."""
    return [number for number, step in enumerate(played.steps) if getattr(step, mark) is not None]


@given(data=st.data(), played=EVERY, other=st.one_of(st.none(), st.integers(-1000, 1000)))
def test_one_mark_that_does_not_show_is_enough(data: st.DataObject, played: Schedule, other: int | None) -> None:
    """Any other value in place of any mark: the anomaly did not occur."""
    given_ = answers(played)
    number = data.draw(st.sampled_from(marked(played, "shows")))
    if other != played.steps[number].shows:
        given_[number] = replace(given_[number], value=other)
        assert result(played, given_) is Result.PREVENTED


@given(data=st.data(), other=st.one_of(st.none(), st.integers(-1000, 1000)))
def test_a_control_that_does_not_hold_leaves_it_untold(data: st.DataObject, other: int | None) -> None:
    """Any other value where one must be: nothing can be told, whatever the marks show."""
    played = data.draw(EVERY.filter(lambda each: bool(marked(each, "must"))))
    given_ = answers(played)
    number = data.draw(st.sampled_from(marked(played, "must")))
    if other != played.steps[number].must:
        given_[number] = replace(given_[number], value=other)
        assert result(played, given_) is Result.UNTOLD


@given(data=st.data(), played=EVERY, why=st.sampled_from(["40001", "40P01", "ROLLBACK"]))
def test_what_the_server_refused_it_has_prevented(data: st.DataObject, played: Schedule, why: str) -> None:
    """One transaction that is ended by the server: refused, whatever else was seen, and never an anomaly."""
    given_ = answers(played)
    number = data.draw(st.sampled_from([n for n, step in enumerate(played.steps) if step.actor != AFTERWARDS]))
    given_[number] = Answer(refused=why)
    assert result(played, given_) is Result.REFUSED


def test_every_schedule_waits_for_its_end() -> None:
    """Each has transactions that begin and end, and at least one mark that is no control."""
    for name, known in SCHEDULES.items():
        steps = known.schedule.steps
        begun = [step.actor for step in steps if step.verb is Verb.BEGIN]
        assert sorted(begun) == sorted(step.actor for step in steps if step.ends), name
        assert tuple(begun) == known.schedule.actors, name
        assert all(step.must is None or step.shows is None for step in steps), name


def test_a_schedule_is_read_aloud() -> None:
    """The lines come back as they were written, and the answers stand behind them in evidence."""
    played = schedule(
        "lost", Kind.LOST_UPDATE, "T1 begin\n T1   read x is 10\n T1 add x 2\n T1 commit\n afterwards read x shows 12"
    )
    assert str(played) == "T1 begin; T1 read x is 10; T1 add x 2; T1 commit; afterwards read x shows 12"
    given_ = [Answer(), Answer(value=10), Answer(waited=True), Answer(refused="40001"), Answer(value=None)]
    assert told(played, given_) == [
        "T1 begin",
        "T1 read x is 10 -> 10",
        "T1 add x 2, after waiting",
        "T1 commit -> 40001",
        "afterwards read x shows 12 -> nothing",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("T1 begin\nT1 jump x", "expected one of begin, commit"),
        ("T1 begin\nT1 read q", "expected a register"),
        ("T1 begin\nT1 write x", "expected a register"),
        ("T1 begin\nT1 write x eleven", "expected a register"),
        ("T1 begin\nT1 read x shows", "expected a register"),
        ("T1 begin\nT1 write x 11 shows 11", "expected nothing more"),
        ("T1 begin\nT1 read x equals 11", "expected nothing more"),
        ("T1 read x shows 10", "a transaction begins once"),
        ("T1 begin\nT1 begin", "a transaction begins once"),
        ("T1 begin\nT1 add x 2", "nothing was read"),
        ("T1 begin\nT1 read x shows 10", "T1 never ended"),
        ("T1 begin\nT1 commit", "nothing shows"),
        ("T1 begin\nafterwards read x shows 10\nT1 commit", "afterwards there are reads alone"),
        ("T1 begin\nT1 commit\nafterwards lock x shows 10", "afterwards there are reads alone"),
    ],
)
def test_a_schedule_that_cannot_be_carried_out_is_refused(text: str, complaint: str) -> None:
    """What makes no sense is refused when it is written, with the line."""
    with pytest.raises(ValueError, match=complaint):
        schedule("bad", Kind.WRITE_SKEW, text)
