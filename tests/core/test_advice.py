"""What is said of a violation to whoever has to act."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from monitor.core import advice
from monitor.core.verdict import Kind
from monitor.core.violations import KeptViolation, Stage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEPT = KeptViolation(
    id="0001-31dab60df79b",
    environment="production",
    probe="durability",
    kind=Kind.LOST,
    stage=Stage.OPEN,
    opened=NOON,
    last_seen=NOON,
    run_id="run-1",
    last_run_id="run-1",
    subject="3 acknowledged writes to postgres, numbers 7 to 9",
    expected="there, as acknowledged",
    actual="gone",
    evidence={},
)


def test_a_loss_that_stands_has_its_next_steps() -> None:
    """What cannot be undone is warned of first; every command can be typed as it stands, but for the moment."""
    first, *rest = advice.next_steps(KEPT)
    assert first == "Keep the old primary's disk and logs before anything is restored or failed back."
    assert "".join(rest).split("`")[1::2] == [
        "holdfast check production --probe durability",
        "holdfast violations ack 31dab60df79b",
        "holdfast ledger declare-restore production --at TIME",
        "holdfast ledger list production --losses",
    ]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (replace(KEPT, probe="thread"), [advice.KEEP, "check", "violations"]),
        (replace(KEPT, kind=Kind.CORRUPT), ["check", "violations"]),
        (replace(KEPT, stage=Stage.ACKNOWLEDGED, acknowledged=NOON), [advice.KEEP, "check"]),
        (replace(KEPT, stage=Stage.CLOSED, closed=NOON), []),
    ],
)
def test_what_is_settled_or_heals_by_itself_has_fewer(other: KeptViolation, said: list[str]) -> None:
    """Nobody is asked for what a check tells; what is gone is kept for as long as it is missing."""
    steps = advice.next_steps(other)
    assert [step.split("`")[1].split()[1] if "`" in step else step for step in steps] == said


@pytest.mark.parametrize(
    ("kept", "then", "end"),
    [
        (KEPT, "the next run takes the loss as accepted, and closes it", "acknowledged: the loss is accepted"),
        (
            replace(KEPT, kind=Kind.CORRUPT),
            "the next run takes it as accepted, and closes it",
            "acknowledged: it is accepted",
        ),
        (
            replace(KEPT, kind=Kind.DIVERGED),
            "it is quiet until its check has passed again",
            "by the first run in which all was right",
        ),
        (
            replace(KEPT, probe="thread"),
            "it is quiet until its check has passed again",
            "by the first run in which all was right",
        ),
    ],
)
def test_an_acknowledgement_says_what_it_brings_about(kept: KeptViolation, then: str, end: str) -> None:
    """Before it has, and afterwards."""
    assert advice.once_acknowledged(kept) == then
    assert advice.ending(replace(kept, stage=Stage.CLOSED, acknowledged=NOON, closed=NOON)) == end


def test_a_loss_that_nobody_acknowledged_was_not_simply_right_again() -> None:
    """A closed one claims no more than what is known."""
    said = advice.ending(replace(KEPT, stage=Stage.CLOSED, closed=NOON))
    assert said == "the data was back, a restore was declared, or it had been looked for to the end of its ladder"
