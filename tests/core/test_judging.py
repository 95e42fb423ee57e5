"""Verdicts, second looks, budgets and lengths of time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import duration
from monitor.core.budget import over_budget, within_budget
from monitor.core.confirmation import Judgement, Reading, conclude, judge
from monitor.core.record import Node, StepTiming
from monitor.core.verdict import Finding, Kind, Reason, Verdict, Violation, worst

PRIMARY = Node(store="postgres", address="db:5432", primary=True, version="15", position="0/1", identity="7-1")
REPLICA = Node(store="postgres", address="replica:5432", primary=False, version="15", position="0/1", identity="7-1")

Kinds = frozenset[Kind]
KINDS = st.frozensets(st.sampled_from([Kind.LOST, Kind.CORRUPT, Kind.STALE, Kind.REORDERED]), max_size=3)


def violation(kind: Kind = Kind.LOST, subject: str = "message 1") -> Violation:
    """Some violation."""
    return Violation(kind=kind, subject=subject, expected="present", actual="absent", evidence={"id": "m1"})


def check(seen: Kinds) -> Iterable[Violation]:
    """A check that finds what it is told to find."""
    return [violation(kind) for kind in sorted(seen)]


@given(first=KINDS, second=KINDS)
def test_only_what_both_looks_show_is_confirmed(first: Kinds, second: Kinds) -> None:
    """A kind counts where a primary showed it twice; if none did, there is a doubt; if none was seen, nothing."""
    judgement = judge("reload", Reading(first=first, second=second, node=PRIMARY), check)
    assert {each.kind for each in judgement.violations} == first & second
    assert bool(judgement.doubt) == bool(first and not first & second)


@given(first=KINDS.filter(bool), second=KINDS)
def test_a_replica_confirms_nothing(first: Kinds, second: Kinds) -> None:
    """What was looked at again on a node that is no primary is a doubt that names the node."""
    judgement = judge("reload", Reading(first=first, second=second, node=REPLICA), check)
    assert judgement.violations == ()
    assert "replica:5432 is not the primary" in judgement.doubt


@pytest.mark.parametrize(
    "reading",
    [
        Reading(first=frozenset({Kind.LOST})),
        Reading(first=frozenset({Kind.LOST}), node=PRIMARY),
        Reading(first=frozenset({Kind.LOST}), second=frozenset({Kind.LOST})),
    ],
    ids=["neither", "no second look", "no node"],
)
def test_without_a_second_look_at_a_known_node_there_is_doubt(reading: Reading[Kinds]) -> None:
    """A suspicion alone is never a violation."""
    assert judge("reload", reading, check) == Judgement(doubt="reload: lost was seen, and there was no second look")


def test_a_confirmed_violation_names_its_check_and_its_witness() -> None:
    """The evidence holds what the first look saw, which check it was, and which node confirmed it."""
    both = frozenset({Kind.LOST})
    (confirmed,) = judge("reload", Reading(first=both, second=both, node=PRIMARY), check).violations
    assert confirmed.evidence == {"id": "m1", "check": "reload", "confirmed_by": PRIMARY.evidence()}


def test_a_reading_is_doubtful_where_it_was_repeated() -> None:
    """A scenario goes on only after a first look that was right."""
    assert not Reading(first=1).doubtful
    assert Reading(first=1, second=1, node=PRIMARY).doubtful


def test_doubt_does_not_hide_a_violation() -> None:
    """Where one check is doubtful and another is broken, the run is violated; doubts alone are inconclusive."""
    doubt, broken = Judgement(doubt="odd"), Judgement(violations=(violation(),))
    assert conclude([doubt, broken], checks=2).verdict is Verdict.VIOLATED
    assert conclude([doubt, Judgement()], checks=2) == Finding.unknown(Reason.INCONCLUSIVE, "odd", checks=2)
    assert conclude([Judgement()], checks=1) == Finding.of((), checks=1)


@given(st.lists(st.sampled_from(Verdict)))
def test_the_worst_verdict_wins(verdicts: list[Verdict]) -> None:
    """Violated before unknown before slow before ok; and of nothing at all nothing is known."""
    order = (Verdict.VIOLATED, Verdict.UNKNOWN, Verdict.SLOW, Verdict.OK)
    assert worst(verdicts) is next((each for each in order if each in verdicts), Verdict.UNKNOWN)


def test_a_violation_that_several_checks_found_counts_once() -> None:
    """The same difference seen by two reloads is one violation."""
    finding = Finding.of([violation(), violation(), violation(subject="message 2")], checks=2)
    assert [each.subject for each in finding.violations] == ["message 1", "message 2"]


def test_a_message_names_three_violations_and_counts_the_rest() -> None:
    """One line, however much is broken."""
    finding = Finding.of([violation(subject=f"message {number}") for number in range(10)], checks=1)
    assert finding.message.count("message ") == 3
    assert finding.message.endswith("; and 7 more")


def step(name: str, seconds: float, *, failed: bool = False) -> StepTiming:
    """A step that took so long."""
    return StepTiming(name=name, after=timedelta(), took=timedelta(seconds=seconds), failed=failed)


def budget_of(name: str) -> timedelta:
    """Reloads may take two seconds, everything else a tenth."""
    return timedelta(seconds=2) if name == "reload" else timedelta(milliseconds=100)


@given(st.lists(st.tuples(st.sampled_from(["reload", "get"]), st.floats(0, 5), st.booleans())))
def test_only_steps_beyond_their_own_budget_make_a_run_slow(timings: list[tuple[str, float, bool]]) -> None:
    """A run that is right is slow exactly if some step that did not fail took longer than it may, by a microsecond."""
    steps = [step(name, took, failed=failed) for name, took, failed in timings]
    late = [each for each in steps if not each.failed and each.took > budget_of(each.name)]
    assert over_budget(steps, budget_of) == late
    verdict = within_budget(Finding.of((), checks=3), steps, budget_of).verdict
    assert verdict is (Verdict.SLOW if late else Verdict.OK)


def test_the_message_names_the_step_that_is_furthest_beyond() -> None:
    """The step with the worst ratio is named with what it took and what it may take; checks are kept."""
    finding = within_budget(Finding.of((), checks=3), [step("reload", 3), step("get", 0.5)], budget_of)
    assert finding == Finding.slow("get took 500 ms, its budget is 100ms", checks=3)


def test_what_is_slow_has_left_out_what_it_left_out() -> None:
    """To be slow hides nothing of what was not checked."""
    finding = within_budget(Finding.of((), checks=3, left_out=["the pooler"]), [step("reload", 3)], budget_of)
    assert (finding.verdict, finding.left_out) == (Verdict.SLOW, ("the pooler",))


@pytest.mark.parametrize(
    "finding",
    [Finding.of([violation()], checks=1), Finding.unknown(Reason.TIMEOUT, "late")],
    ids=["violated", "unknown"],
)
def test_slowness_hides_nothing_graver(finding: Finding) -> None:
    """A run that is violated or unknown stays so, however slow it was."""
    assert within_budget(finding, [step("reload", 9)], budget_of) is finding


@given(st.integers(0, int(duration.LONGEST.total_seconds() * 1000)))
def test_a_length_comes_back_from_its_text(milliseconds: int) -> None:
    """Every length of whole milliseconds up to ten years is read back from its own text."""
    length = timedelta(milliseconds=milliseconds)
    assert duration.parse(duration.text(length)) == length


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("30s", timedelta(seconds=30)),
        ("1.5h", timedelta(minutes=90)),
        (" 1H30m ", timedelta(minutes=90)),
        ("7d", timedelta(days=7)),
        ("0s", timedelta()),
        ("1m1m", timedelta(minutes=2)),
    ],
)
def test_lengths_are_read_as_people_write_them(text: str, length: timedelta) -> None:
    """Units, fractions, sums, blanks around and capitals."""
    assert duration.parse(text) == length


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (0.1, 0.34, "0.10 to 0.34 s"),
        (0, 0, "0.00 s"),
        (2.001, 2.002, "2.00 s"),
        (119.5, 119.9, "119.50 to 119.90 s"),
        (1, 120, "0.0 to 2.0 min"),
        (86400, 86460, "24.0 h"),
        (0, 7 * 86400, "0.0 to 7.0 d"),
    ],
)
def test_bounds_are_read_as_one_length(least: float, most: float, text: str) -> None:
    """Both in the unit of the larger one, and once where they read the same."""
    assert duration.between(timedelta(seconds=least), timedelta(seconds=most)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        "-5s",
        "5 s",
        "1h 30m",
        "5y",
        "1e3s",
        ".5s",
        "5.s",
        "inf",
        "nans",
        "5s\n5s",
        "99999d",
        "9" * 400 + "s",
    ],
)
def test_what_is_no_length_is_refused_by_name(text: str) -> None:
    """Anything else is refused with a message that repeats it."""
    with pytest.raises(ValueError, match=r"is not a length of time|is longer than ten years") as refused:
        duration.parse(text)
    assert repr(text) in str(refused.value)


@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    """Any text is either a length of at most ten years or refused."""
    try:
        length = duration.parse(text)
    except ValueError:
        return
    assert timedelta() <= length <= duration.LONGEST
