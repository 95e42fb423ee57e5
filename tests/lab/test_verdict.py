"""Whether what Holdfast says is what happened."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.said import Entry, Loss, Outage, Said
from lab.truth import Truth
from lab.verdict import HEADINGS, Own, Result, complaints, own_writes, table

LOSS = Loss(cause="failover", records=1, writes=5, suffix=True, least=0.4, most=0.6)
OUTAGE = Outage(operation="write", began=0.0, ended=8.0, least=7.9, most=8.1)
TRUTH = Truth(acked=1000, lost=25, alien=0, recovery_point=0.5, recovery_time=8.0, tick=0.03)
OWN = Own(writes=5, records=1, differing=0)
SAID = Said(kinds=("lost",), losses=(LOSS,), outage=OUTAGE)


def entry(n: int, *, identified: bool = False, state: str = "acked", fate: str = "found") -> Entry:
    """One write of series `s`."""
    return Entry(mark=f"s/{n}", n=n, identified=identified, state=state, answered=float(n), fate=fate)


def test_what_is_right_passes() -> None:
    """Figures that agree bring no complaint."""
    assert complaints(TRUTH, OWN, SAID, lossless=False, tick=0.1) == ()


@pytest.mark.parametrize(
    ("truth", "own", "said", "lossless", "complaint"),
    [
        (TRUTH, OWN, SAID, True, "nothing acknowledged may be"),
        (replace(TRUTH, alien=1), OWN, SAID, False, "the lab itself is wrong"),
        (TRUTH, OWN, replace(SAID, kinds=("lost", "phantom")), False, "did not happen: phantom"),
        (TRUTH, OWN, replace(SAID, kinds=()), False, "its violations are: none"),
        (TRUTH, replace(OWN, differing=2), SAID, False, "2 records are lost and not called so"),
        (TRUTH, OWN, replace(SAID, losses=(replace(LOSS, writes=4),)), False, "it counts 4"),
        (TRUTH, OWN, replace(SAID, losses=(replace(LOSS, records=0),)), False, "it counts 0"),
        (TRUTH, OWN, replace(SAID, losses=(replace(LOSS, cause="restore"),)), False, "it says restore"),
        (TRUTH, OWN, replace(SAID, losses=(replace(LOSS, most=0.3, least=0.2),)), False, "RPO is 0.50 s"),
        (TRUTH, OWN, replace(SAID, outage=replace(OUTAGE, most=7.0, least=6.0)), False, "RTO is 8.00 s"),
        (TRUTH, OWN, replace(SAID, outage=None), False, "no write was possible for 8.00 s"),
        (TRUTH, Own(writes=0, records=0, differing=0), Said(kinds=(), losses=(), outage=OUTAGE), False, "rows of 0.50"),
    ],
)
def test_each_thing_that_is_wrong_is_said(
    truth: Truth, own: Own, said: Said, *, lossless: bool, complaint: str
) -> None:
    """One thing is changed in what is right, and one complaint names it."""
    (found,) = complaints(truth, own, said, lossless=lossless, tick=0.1)
    assert complaint in found


def test_acknowledged_writes_are_counted_by_their_marks() -> None:
    """Retired ones that had an answer were acknowledged; what came before the trigger was there is not known."""
    entries = [*(entry(n) for n in range(1, 6)), entry(6, state="perhaps")]
    entries += [
        entry(7, state="retired", identified=True),
        replace(entry(8, state="retired", identified=True), answered=None),
    ]
    assert own_writes(entries, marks={"s/3", "s/4"}, records=()) == Own(writes=2, records=1, differing=0)


def test_records_that_are_called_lost_must_be_those_that_are() -> None:
    """Both ways of being wrong count."""
    entries = [entry(1, identified=True), entry(2, identified=True), entry(3, identified=True, fate="lost")]
    found = own_writes(entries, marks={"s/1", "s/2", "s/3"}, records={"s/2", "s/3"})
    assert found == Own(writes=0, records=0, differing=2)


def test_the_table_has_one_row_a_scenario() -> None:
    """Its columns are the headings."""
    lines = table([Result(title="a crash", truth=TRUTH, own=OWN, said=SAID, complaints=())]).splitlines()
    assert [line.count("|") for line in lines] == [len(HEADINGS) + 1] * 3
    assert lines[-1].startswith(
        "| a crash | 25 of 1000 | 5 (1 records) | 5 (1 records) | failover | 0.50 | 0.40-0.60 |"
    )
