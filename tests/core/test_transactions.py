"""What a run of `transaction` saw, judged: each way to break it has its name, and nothing else is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import atomicity
from monitor.core.atomicity import ROWS, Ending, Trial
from monitor.core.confirmation import Reading
from monitor.core.levels import LEVELS, Isolation
from monitor.core.record import Node
from monitor.core.schedules.catalogue import SCHEDULES
from monitor.core.schedules.results import Answer
from monitor.core.transactions import CHECKED, Played, Seen, checked_at, controls_of, judge
from monitor.core.verdict import Kind, Reason, Verdict

PRIMARY = Node(store="postgres", address="db:5432", primary=True, version="15", position="0/1", identity="7-1")

RIGHT = {
    Ending.COMMIT: Trial(ending=Ending.COMMIT, keeps=ROWS, after=ROWS, answer="COMMIT"),
    Ending.FAIL: Trial(ending=Ending.FAIL, answer="ROLLBACK"),
    Ending.ROLL_BACK: Trial(ending=Ending.ROLL_BACK),
    Ending.SAVEPOINT: Trial(ending=Ending.SAVEPOINT, keeps={1: 101, 3: 103}, after={1: 101, 3: 103}, answer="COMMIT"),
    Ending.KILL: Trial(ending=Ending.KILL),
    Ending.VANISH: Trial(ending=Ending.VANISH),
}
LEAVING_NOTHING = st.sampled_from([trial for trial in RIGHT.values() if not trial.keeps])
KEEPING = st.sampled_from([trial for trial in RIGHT.values() if trial.keeps])

BREAKS: dict[Kind, Callable[[Trial], Trial]] = {
    Kind.PHANTOM: lambda trial: replace(trial, after={**trial.after, 9: 109}),
    Kind.LOST: lambda trial: replace(trial, after={}),
    Kind.TORN: lambda trial: replace(trial, after=dict(list(trial.after.items())[1:])),
    Kind.CORRUPT: lambda trial: replace(trial, after={**trial.after, 1: 999}),
}


def played(name: str, level: Isolation | None = None, *, occurs: bool) -> Played:
    """A schedule in which the anomaly occurs, or the first mark does not show."""
    steps = SCHEDULES[name].schedule.steps
    answers = [Answer(value=step.must if step.must is not None else step.shows) for step in steps]
    if not occurs:
        first = next(number for number, step in enumerate(steps) if step.shows is not None)
        answers[first] = Answer(value=-1)
    return Played(name=name, level=level, answers=tuple(answers))


def healthy(level: Isolation) -> Seen:
    """What is seen where everything is as declared."""
    return Seen(
        declared=level,
        begun=level,
        trials=tuple(Reading(first=trial) for trial in RIGHT.values()),
        checks=tuple(Reading(first=played(name, occurs=False)) for name in checked_at(level)),
        controls=tuple(played(name, shown, occurs=True) for name, shown in controls_of(level)),
    )


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_right_is_ok(level: Isolation) -> None:
    """Each transaction ended as it must, nothing forbidden occurred, and every control did."""
    finding = judge(healthy(level))
    assert finding.verdict is Verdict.OK
    assert finding.checks == len(Ending) + len(checked_at(level))


def test_each_level_is_checked_by_more_schedules_beside_their_controls() -> None:
    """What a level prevents is checked, and each schedule that a lower level shows is shown there."""
    assert [len(checked_at(level)) for level in LEVELS] == [5, 7, 8]
    assert set(checked_at("serializable")) == set(CHECKED)
    assert [dict(controls_of(level)) for level in LEVELS] == [
        {"lost update": "read committed"},
        {"lost update": "read committed", "G-single": "read committed"},
        {"lost update": "read committed", "G-single": "read committed", "G2-item": "repeatable read"},
    ]


@pytest.mark.parametrize("kind", BREAKS)
@given(trial=KEEPING)
def test_a_transaction_that_is_broken_in_one_way_is_called_by_it(kind: Kind, trial: Trial) -> None:
    """Rows too many, none, some, or others: each by its kind alone."""
    assert [each.kind for each in atomicity.judge(trial)] == []
    assert [each.kind for each in atomicity.judge(BREAKS[kind](trial))] == [kind]


@given(
    trial=st.sampled_from([trial for trial in RIGHT.values() if not trial.keeps]),
    rows=st.sets(st.integers(1, 3), min_size=1),
)
def test_what_must_leave_nothing_and_leaves_something_is_phantom(trial: Trial, rows: set[int]) -> None:
    """Any row of a transaction that did not commit is a phantom."""
    left = replace(trial, after={number: ROWS[number] for number in rows})
    assert [each.kind for each in atomicity.judge(left)] == [Kind.PHANTOM]


@given(rows=st.sets(st.integers(1, 3), min_size=1))
def test_what_is_seen_before_commit_is_torn(rows: set[int]) -> None:
    """A part, or all, of a transaction that others see before its end."""
    early = replace(RIGHT[Ending.COMMIT], during={number: ROWS[number] for number in rows})
    assert [each.kind for each in atomicity.judge(early)] == [Kind.TORN]


@pytest.mark.parametrize("ending", [Ending.FAIL, Ending.KILL])
def test_commit_that_is_acknowledged_and_did_not_happen_is_lost(ending: Ending) -> None:
    """COMMIT answered by COMMIT, by whoever stands between, and nothing of it is there."""
    assert [each.kind for each in atomicity.judge(replace(RIGHT[ending], answer="COMMIT"))] == [Kind.LOST]


@pytest.mark.parametrize("name", CHECKED)
def test_an_anomaly_that_occurs_twice_is_a_violation_of_its_kind(name: str) -> None:
    """Where the declared level forbids it; the evidence has the schedule and the level at which transactions began."""
    seen = healthy("serializable")
    checks = tuple(
        Reading(first=played(name, occurs=True), second=played(name, occurs=True), node=PRIMARY)
        if check.first.name == name
        else check
        for check in seen.checks
    )
    finding = judge(replace(seen, checks=checks, begun="read committed"))
    assert [violation.kind for violation in finding.violations] == [SCHEDULES[name].schedule.kind]
    assert "transactions begin at read committed" in finding.violations[0].actual
    assert finding.violations[0].evidence["declared"] == "serializable"


@pytest.mark.parametrize("name", CHECKED)
def test_an_anomaly_that_occurs_once_is_a_doubt(name: str) -> None:
    """What a second look does not confirm is no violation, and not ok."""
    seen = healthy("serializable")
    checks = tuple(
        Reading(first=played(name, occurs=True), second=played(name, occurs=False), node=PRIMARY)
        if check.first.name == name
        else check
        for check in seen.checks
    )
    finding = judge(replace(seen, checks=checks))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)


@pytest.mark.parametrize("level", LEVELS)
def test_a_control_that_shows_nothing_makes_the_run_inconclusive(level: Isolation) -> None:
    """If the level below does not show the anomaly, its absence proves nothing; each control counts."""
    for number, control in enumerate(healthy(level).controls):
        controls = list(healthy(level).controls)
        controls[number] = played(control.name, control.level, occurs=False)
        finding = judge(replace(healthy(level), controls=tuple(controls)))
        assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)
        assert f"schedule {control.name} did not show its anomaly at {control.level}" in finding.message


def test_a_conflict_in_a_schedule_is_no_violation() -> None:
    """What the server ended it has prevented; with all schedules ended so, the run is ok as long as controls show."""
    seen = healthy("serializable")
    refused = tuple(
        Reading(first=replace(check.first, answers=(Answer(refused="40001"), *check.first.answers[1:])))
        for check in seen.checks
    )
    assert judge(replace(seen, checks=refused)).verdict is Verdict.OK


def test_a_schedule_that_was_disturbed_is_a_doubt() -> None:
    """Where a control of a schedule's own does not hold, nothing can be told."""
    seen = healthy("serializable")
    disturbed = []
    for check in seen.checks:
        steps = SCHEDULES[check.first.name].schedule.steps
        answers = [
            Answer(value=-5) if step.must is not None else answer
            for step, answer in zip(steps, check.first.answers, strict=True)
        ]
        disturbed.append(Reading(first=replace(check.first, answers=tuple(answers))))
    finding = judge(replace(seen, checks=tuple(disturbed)))
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)
    assert "was disturbed" in finding.message


def test_what_could_not_be_tried_is_left_out_and_what_could_not_be_told_is_unknown() -> None:
    """A role that may not end its processes leaves that out; a process that does not notice makes a doubt."""
    seen = healthy("read committed")

    def with_kill(trial: Trial) -> Seen:
        trials = tuple(Reading(first=trial) if each.first.ending is Ending.KILL else each for each in seen.trials)
        return replace(seen, trials=trials)

    left_out = judge(with_kill(Trial(ending=Ending.KILL, left_out="what a killed process leaves")))
    assert (left_out.verdict, left_out.left_out) == (Verdict.OK, ("what a killed process leaves",))
    assert left_out.checks == judge(seen).checks - 1
    doubtful = judge(with_kill(Trial(ending=Ending.KILL, after=ROWS, doubt="it is still there")))
    assert (doubtful.verdict, doubtful.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)
