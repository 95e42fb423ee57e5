"""The life of a violation, run by run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation
from monitor.core.violations import Changes, KeptViolation, Stage, after

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
OK = Finding.of((), checks=1)
SLOW = Finding.slow("slow", checks=1)
UNKNOWN = Finding.unknown(Reason.UNREACHABLE, "gone")


def violated(*kinds: Kind) -> Finding:
    """A finding of these kinds, each twice."""
    return Finding.of(
        [
            Violation(kind=kind, subject=f"message {number}", expected="a", actual="b", evidence={"n": number})
            for kind in kinds
            for number in (1, 2)
        ],
        checks=1,
    )


def ended(finding: Finding, number: int = 1) -> RunRecord:
    """A run, a minute after the one before, that took a second."""
    return RunRecord(
        run_id=f"run-{number}",
        environment="production",
        probe="thread",
        started=NOON + timedelta(minutes=number),
        took=timedelta(seconds=1),
        finding=finding,
        steps=(StepTiming(name="reload", after=timedelta(milliseconds=5), took=timedelta(milliseconds=7.5)),),
        server={"address": "db"},
    )


class Life:
    """Runs in a row, and what stands after them."""

    def __init__(self) -> None:
        self.standing: dict[str, KeptViolation] = {}
        self._ids, self._runs = count(1), count(1)

    def run(self, finding: Finding) -> Changes:
        """One more run."""
        changes = after(ended(finding, next(self._runs)), self.standing.values(), new_id=lambda: f"v{next(self._ids)}")
        for kept in changes.all():
            self.standing[kept.id] = kept
            if kept.stage is Stage.CLOSED:
                del self.standing[kept.id]
        return changes


def test_the_first_run_that_finds_it_opens_it_with_its_evidence() -> None:
    """One violation per kind, with the evidence of the first, the others named, the steps and the server."""
    (kept,) = Life().run(violated(Kind.LOST)).opened
    moment = NOON + timedelta(minutes=1, seconds=1)
    assert kept == KeptViolation(
        id="v1",
        environment="production",
        probe="thread",
        kind=Kind.LOST,
        stage=Stage.OPEN,
        opened=moment,
        last_seen=moment,
        run_id="run-1",
        last_run_id="run-1",
        subject="message 1",
        expected="a",
        actual="b",
        evidence={
            "n": 1,
            "server": {"address": "db"},
            "run_id": "run-1",
            "steps": [{"step": "reload", "after_ms": 5.0, "took_ms": 7.5}],
            "also": ["message 2: expected a, found b"],
        },
    )


def test_it_repeats_without_a_new_one() -> None:
    """Each further run counts, moves the last sight, and keeps the first evidence."""
    life = Life()
    (first,) = life.run(violated(Kind.LOST)).opened
    changes = life.run(violated(Kind.LOST))
    (again,) = changes.repeated
    assert (changes.opened, changes.closed) == ((), ())
    assert (again.id, again.times, again.run_id, again.last_run_id) == (first.id, 2, "run-1", "run-2")
    assert (again.evidence, again.opened) == (first.evidence, first.opened)
    assert again.last_seen == NOON + timedelta(minutes=2, seconds=1)


@pytest.mark.parametrize("right", [OK, SLOW], ids=["ok", "slow"])
def test_only_a_run_that_was_right_closes_it(right: Finding) -> None:
    """Unknown changes nothing; ok and slow close everything that stands."""
    life = Life()
    life.run(violated(Kind.LOST, Kind.STALE))
    assert life.run(UNKNOWN) == Changes()
    closed = life.run(right).closed
    assert [(kept.kind, kept.stage) for kept in closed] == [(Kind.LOST, Stage.CLOSED), (Kind.STALE, Stage.CLOSED)]
    assert closed[0].closed == NOON + timedelta(minutes=3, seconds=1)
    assert life.standing == {}


def test_another_kind_leaves_the_first_open() -> None:
    """A run that finds one kind says nothing about another that stands."""
    life = Life()
    life.run(violated(Kind.LOST))
    changes = life.run(violated(Kind.CORRUPT))
    assert ([kept.kind for kept in changes.opened], changes.repeated, changes.closed) == ([Kind.CORRUPT], (), ())
    assert sorted(kept.kind for kept in life.standing.values()) == [Kind.CORRUPT, Kind.LOST]


def test_one_that_was_acknowledged_stays_quiet_until_a_pass() -> None:
    """It repeats without opening again; after the check has passed the next one is new and open."""
    life = Life()
    (kept,) = life.run(violated(Kind.LOST)).opened
    acknowledged = KeptViolation(
        **{**{name: getattr(kept, name) for name in kept.__slots__}, "stage": Stage.ACKNOWLEDGED}
    )
    life.standing[kept.id] = acknowledged
    (again,) = life.run(violated(Kind.LOST)).repeated
    assert (again.stage, again.times) == (Stage.ACKNOWLEDGED, 2)
    assert [each.stage for each in life.run(OK).closed] == [Stage.CLOSED]
    (new,) = life.run(violated(Kind.LOST)).opened
    assert (new.stage, new.id) == (Stage.OPEN, "v2")


def test_what_comes_after_an_acknowledgement_is_not_quiet() -> None:
    """What was acknowledged is closed, and the later one is open; what came before stays quiet."""
    life = Life()
    (kept,) = life.run(violated(Kind.LOST)).opened
    moment = NOON + timedelta(minutes=1, seconds=30)
    life.standing[kept.id] = replace(kept, stage=Stage.ACKNOWLEDGED, acknowledged=moment)

    def since(seconds: float) -> Finding:
        found = Violation(
            kind=Kind.LOST, subject="2 writes", expected="a", actual="b", since=moment + timedelta(seconds=seconds)
        )
        return Finding.of([found], checks=1)

    changes = life.run(since(-1))
    assert ([each.stage for each in changes.repeated], changes.opened) == ([Stage.ACKNOWLEDGED], ())
    changes = life.run(since(0))
    assert [(each.id, each.stage) for each in changes.closed] == [(kept.id, Stage.CLOSED)]
    assert [(each.subject, each.stage) for each in changes.opened] == [("2 writes", Stage.OPEN)]
    assert changes.repeated == ()
    assert [each.id for each in life.run(since(0)).repeated] == ["v2"]


FINDINGS = st.one_of(
    st.sampled_from([OK, SLOW, UNKNOWN]),
    st.sets(st.sampled_from([Kind.LOST, Kind.CORRUPT, Kind.STALE]), min_size=1).map(
        lambda kinds: violated(*sorted(kinds))
    ),
)


@given(st.lists(FINDINGS, max_size=12))
def test_in_any_history_what_stands_is_what_was_seen_since_the_last_pass(history: list[Finding]) -> None:
    """After any runs exactly the kinds found since the last right run stand, one each, with their number of runs."""
    life = Life()
    wanted: dict[Kind, int] = {}
    for finding in history:
        life.run(finding)
        if finding.verdict in (Verdict.OK, Verdict.SLOW):
            wanted = {}
        for kind in {violation.kind for violation in finding.violations}:
            wanted[kind] = wanted.get(kind, 0) + 1
    assert {kept.kind: kept.times for kept in life.standing.values()} == wanted
    assert len(life.standing) == len(wanted)
