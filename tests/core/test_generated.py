"""Generated histories: what is drawn, and what is said of what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.generated import KEYS, KINDS, Recorded, Recorder, doubt, drawn, judge, workload
from monitor.core.history.models import prohibited
from monitor.core.history.operations import Append, Operation, Read
from monitor.core.history.operations import Kind as End
from monitor.core.levels import LEVELS, MODELS, Isolation
from monitor.core.verdict import Kind
from tests.core import simulated
from tests.core.simulated import dice, history
from tests.core.test_history import told

SEEDS = st.integers(0, 2**32)
FEW = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@given(seed=st.text(min_size=1, max_size=60), count=st.integers(1, 300))
@FEW
def test_a_workload_can_be_judged_and_does_not_lock_itself_out(seed: str, count: int) -> None:
    """The same seed gives the same; each element is appended to its list once; locks are taken in one order."""
    planned = workload(seed, count=count)
    assert planned == workload(seed, count=count)
    assert len(planned) == count
    appends = [each for one in planned for each in one.wanted if isinstance(each, Append)]
    assert len(appends) == len(set(appends)) == sum(one.writes for one in planned)
    assert {each.key for one in planned for each in one.wanted} <= set(range(1, KEYS + 1))
    for one in planned:
        locked = [each.key for each in one.wanted if isinstance(each, Append)]
        assert locked == sorted(locked, key=int)


def test_a_workload_has_all_sorts_of_transactions() -> None:
    """Some append, some read, some do both; some are taken back."""
    planned = workload("some run", count=200)
    assert {one.end for one in planned} == {"COMMIT", "ROLLBACK"}
    sorts = {frozenset(type(each) for each in one.wanted) for one in planned}
    assert sorts == {frozenset({Append}), frozenset({Read}), frozenset({Append, Read})}


def test_as_many_runs_generate_a_history_as_are_asked_for() -> None:
    """One in 120 where a run is made each 30 s and a history each hour; every run where they are made as often."""
    hour, half_a_minute = timedelta(hours=1), timedelta(seconds=30)
    runs = [f"01a203df-6d7d-74c0-b2d2-{number:012x}" for number in range(12_000)]
    chosen = [run for run in runs if drawn(run, every=half_a_minute, generate_every=hour)]
    assert 70 <= len(chosen) <= 130
    assert all(drawn(run, every=half_a_minute, generate_every=half_a_minute) for run in runs[:100])


def test_every_anomaly_that_a_level_of_postgresql_forbids_has_a_kind() -> None:
    """Classes of anomalies are never named themselves; nor is what only sessions or time could forbid."""
    classes = {"G-single", "G-nonadjacent", "G1", "G2", "write-skew"}
    forbidden = {name for name in prohibited(MODELS.values()) if not name.endswith(("-process", "-realtime"))}
    assert forbidden - classes == KINDS.keys()


def recorded(operations: Sequence[Operation]) -> Recorded:
    """A history with the lists as they are when all is over, by the longest that a transaction saw or made."""
    final: dict[int, tuple[int, ...]] = {}
    lists: dict[int, list[int]] = {}
    for operation in operations:
        for each in operation.value if operation.kind is End.OK else ():
            if isinstance(each, Append):
                lists.setdefault(int(each.key), []).append(int(each.element))
    final = {key: tuple(elements) for key, elements in lists.items()}
    return Recorded(operations=tuple(operations), final=final)


STRENGTH: dict[Isolation, simulated.Isolation] = {
    "read committed": simulated.Isolation.READ_COMMITTED,
    "repeatable read": simulated.Isolation.SNAPSHOT,
    "serializable": simulated.Isolation.SERIAL,
}


def healthy(seed: int) -> Recorded:
    """What a serial database shows to several clients, some of whose transactions are taken back."""
    operations = history(simulated.Isolation.SERIAL, dice(seed), transactions=40, clients=3, keys=3, trouble=0)
    return recorded(operations)


@pytest.mark.parametrize("level", LEVELS)
@given(seed=SEEDS)
@FEW
def test_a_healthy_history_is_right_at_every_level(level: Isolation, seed: int) -> None:
    """Nothing is said of a serial history, and it leaves no doubt."""
    assert list(judge(healthy(seed), level)) == []
    assert doubt(healthy(seed), level) == ""


@given(seed=SEEDS, data=st.data())
@FEW
def test_an_acknowledged_append_that_is_not_there_in_the_end_is_lost(seed: int, data: st.DataObject) -> None:
    """Whichever element is taken from the end of whichever list."""
    right = healthy(seed)
    key = data.draw(st.sampled_from(sorted(right.final)))
    final = {**right.final, key: right.final[key][:-1]}
    found = list(judge(Recorded(operations=right.operations, final=final), "read committed"))
    assert [each.actual for each in found if each.kind is Kind.LOST] == [
        f"1 missing, first {right.final[key][-1]} of list {key}"
    ]


PATTERNS: dict[str, tuple[list[str], Isolation]] = {
    "G0": (["x+1 y+1", "x+2 y+2", "x=12", "y=21"], "read committed"),
    "G1a": (["fail x+1", "x=1", "x+2"], "read committed"),
    "G1b": (["x+1 x+2", "x=1"], "read committed"),
    "G1c": (["x+1 y=1", "y+1 x=1"], "read committed"),
    "garbage-read": (["x+1", "x=9"], "read committed"),
    "duplicate-elements": (["x+1", "x+2", "x=121"], "read committed"),
    "incompatible-order": (["x+1", "x+2", "x=12", "x=21"], "read committed"),
    "future-read": (["x=1 x+1"], "read committed"),
    "dirty-update": (["fail x+1", "x+2", "x=12"], "read committed"),
    "G-single-item": (["x+1 y+1", "x=1 y="], "repeatable read"),
    "lost-update": (["x= x+1", "x= x+2"], "repeatable read"),
    "internal": (["x+1", "x= x=1"], "repeatable read"),
    "G-nonadjacent-item": (["x+1", "x=1 y=", "y+1", "y=1 x="], "repeatable read"),
    "G2-item": (["x= y+1", "y= x+1"], "serializable"),
}
"""What shows each anomaly, and the weakest level that forbids it."""


def spoilt(right: Recorded, lines: list[str]) -> Recorded:
    """A healthy history, into which transactions on lists of their own are put that show an anomaly."""
    count, keys = len(right.operations), {"x": 101, "y": 102}
    more = [
        Operation(
            operation.kind,
            operation.process,
            tuple(each._replace(key=keys[str(each.key)]) for each in operation.value),
            operation.place + count,
        )
        for operation in told(*lines)
    ]
    return Recorded(operations=(*right.operations, *more), final=right.final)


@pytest.mark.parametrize("name", PATTERNS)
@given(seed=SEEDS)
@settings(FEW, max_examples=25)
def test_a_history_that_is_broken_in_one_way_is_called_by_it(name: str, seed: int) -> None:
    """Where the level forbids it, its kind is among what is said; where only a stronger one does, it is permitted."""
    lines, level = PATTERNS[name]
    broken = spoilt(healthy(seed), lines)
    for each in LEVELS:
        found = [violation for violation in judge(broken, each) if violation.kind is not Kind.LOST]
        named = {violation.evidence["anomaly"] for violation in found}
        assert (name in named) is (LEVELS.index(each) >= LEVELS.index(level))
        assert {violation.kind for violation in found} == {KINDS[str(anomaly)] for anomaly in named}


def test_a_history_in_which_nothing_depends_on_anything_is_a_doubt() -> None:
    """There is nothing to judge by."""
    assert "could not be judged" in doubt(Recorded(operations=(), final={}), "serializable")


def test_a_recorder_notes_how_each_transaction_ended() -> None:
    """Committed with what was read, taken back by its client, or by the server: with what was asked."""
    planned = workload("some run", count=40)
    committed = next(each for each in planned if each.end == "COMMIT")
    taken_back = next(each for each in planned if each.end == "ROLLBACK")
    recorder, done = Recorder(), (Append(1, 1),)
    for process, one in enumerate((committed, taken_back, committed)):
        recorder.begun(process, one)
    recorder.ended(0, committed, done)
    recorder.ended(1, taken_back, done)
    recorder.failed(2, committed)
    operations = recorder.recorded({}).operations
    assert [(each.kind, each.process) for each in operations[3:]] == [(End.OK, 0), (End.FAIL, 1), (End.FAIL, 2)]
    assert [each.value for each in operations[3:]] == [done, taken_back.wanted, committed.wanted]
    assert [each.place for each in operations] == [*range(6)]
