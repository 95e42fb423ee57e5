"""Whether a change arrived: in time, too late, never, or went away again; lag against loss; and what proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core.confirmation import Reading
from monitor.core.document import Cached, Document
from monitor.core.freshness import (
    Control,
    Copied,
    Failure,
    Judge,
    Link,
    Look,
    Origin,
    Seen,
    Trace,
    version_in,
    wrong,
)
from monitor.core.record import Node
from monitor.core.verdict import Finding, Kind, Reason, Verdict

DEADLINE = 5.0
PRIMARY = Node(store="postgres", address="db:5432", primary=True, version="15", position="0/1", identity="7-1")
HERE = Origin(marks=(frozenset({"7212"}), frozenset({"1700000000"})))
ELSEWHERE = Origin(marks=(frozenset({"9999"}), frozenset({"1700000000"})))
SILENT = Origin(marks=(frozenset(), frozenset()))
TRUTH = {"postgres": Control(node=PRIMARY, version=2, origin=HERE)}
IN_TIME = Trace(
    link=Link("postgres", "postgres replica eu-2"),
    store="postgres",
    place="postgres replica eu-2",
    written=2,
    took=0.02,
    resolution=0.01,
    waited=0.01,
    last=Look(version=2, applied=True),
    back=(Look(version=2, applied=True),),
)
OLD, BEHIND = Look(version=1, applied=True), Look(version=1, applied=False)
LATE = replace(IN_TIME, took=6.0, resolution=0.02, waited=5.98)
NEVER = replace(IN_TIME, took=None, waited=10.0, last=BEHIND, back=(BEHIND, BEHIND), origin=HERE)
DROPPED = replace(NEVER, waited=0.01, last=OLD, back=(OLD, OLD))
WENT_AWAY = replace(IN_TIME, back=(BEHIND, BEHIND), origin=HERE)
NOT_KEPT = replace(
    NEVER, link=Link("login", "postgres"), at_source=True, last=Look(version=None, applied=True), back=(OLD, OLD)
)


def judge(*traces: Trace, controls: dict[str, Control] | None = None, **more: object) -> Finding:
    """What is said of some traces, with the primary as it should be."""
    seen = Seen(traces=traces, controls=TRUTH if controls is None else controls)
    return Judge(deadline=DEADLINE)(replace(seen, **more))


def kinds(finding: Finding) -> list[Kind]:
    """The kinds that were found."""
    return [violation.kind for violation in finding.violations]


@pytest.mark.parametrize(
    ("trace", "kind", "actual"),
    [
        (LATE, Kind.LATE, "after 6.000 s"),
        (
            NEVER,
            Kind.DIVERGED,
            "version 1 10.000 s after the acknowledgement, and has not applied the position of the write",
        ),
        (
            replace(NEVER, last=Look(version=None)),
            Kind.DIVERGED,
            "nothing 10.000 s after the acknowledgement",
        ),
        (DROPPED, Kind.DIVERGED, "version 1, although it has applied the position of the write"),
        (WENT_AWAY, Kind.STALE, "version 1 for a session that had seen version 2"),
    ],
    ids=["late", "lags for ever", "cannot say", "lost on its way", "went away again"],
)
def test_what_is_wrong_is_named(trace: Trace, kind: Kind, actual: str) -> None:
    """Each way not to arrive has its kind, and says what was found instead."""
    finding = judge(trace)
    assert kinds(finding) == [kind]
    assert finding.violations[0].actual == actual
    assert finding.violations[0].evidence["target"] == "postgres replica eu-2"


def test_what_arrived_in_time_is_ok() -> None:
    """A change that was seen within the deadline, and again by whoever came back, is silence."""
    finding = judge(IN_TIME, replace(IN_TIME, back=()), controls={})
    assert (finding.verdict, finding.checks) == (Verdict.OK, 2)


def test_a_source_that_was_compared_with_itself_alone_is_misconfigured() -> None:
    """A replica's place that led to the source in every look is unknown; one look at a replica is enough to judge."""
    itself = replace(IN_TIME.last, by_source=True)
    finding = judge(replace(IN_TIME, last=itself, back=(itself,)), controls={})
    assert (finding.reason, finding.place) == (Reason.MISCONFIGURED, IN_TIME.place)
    assert "found the primary itself" in finding.message
    assert judge(replace(IN_TIME, last=itself), controls={}).verdict is Verdict.OK
    went_away = replace(WENT_AWAY, last=itself)
    assert kinds(judge(went_away)) == [Kind.STALE]


def test_what_the_source_lost_is_lost_only_where_the_source_itself_was_asked_twice() -> None:
    """An acknowledged row that two connections to the primary miss is lost; of a replica it says nothing."""
    gone = {"postgres": Control(node=PRIMARY, version=None, origin=HERE)}
    finding = judge(NOT_KEPT, controls=gone)
    assert (kinds(finding), finding.violations[0].actual) == ([Kind.LOST], "nothing")
    assert (judge(NEVER, controls=gone).reason, judge(WENT_AWAY, controls=gone).reason) == (Reason.INCONCLUSIVE,) * 2


DOUBTS: dict[str, tuple[Trace, dict[str, Control]]] = {
    "there was no second look": (replace(NEVER, back=()), TRUTH),
    "was missed by one look and there in the next": (replace(NEVER, back=(BEHIND, IN_TIME.last)), TRUTH),
    "set monotonic to false": (replace(WENT_AWAY, back=(BEHIND, IN_TIME.last)), TRUTH),
    "nothing tells whether": (replace(NEVER, origin=SILENT), TRUTH),
    "is no primary any more": (
        NEVER,
        {"postgres": replace(TRUTH["postgres"], node=replace(PRIMARY, primary=False))},
    ),
    "the source itself has not kept": (NEVER, {"postgres": replace(TRUTH["postgres"], version=1)}),
    "no second look": (NEVER, {}),
    "by one connection to the source only": (NOT_KEPT, TRUTH),
    "nobody had looked": (replace(LATE, resolution=3.0), TRUTH),
}


@pytest.mark.parametrize(("words", "case"), DOUBTS.items(), ids=DOUBTS)
def test_what_proves_nothing_is_inconclusive(words: str, case: tuple[Trace, dict[str, Control]]) -> None:
    """Without its controls no miss is a violation, nor is a look that came too late because nobody looked before."""
    trace, controls = case
    finding = judge(trace, controls=controls)
    assert (finding.verdict, finding.reason) == (Verdict.UNKNOWN, Reason.INCONCLUSIVE)
    assert words in finding.message


@pytest.mark.parametrize("trace", [NEVER, DROPPED, WENT_AWAY], ids=["never", "dropped", "went away"])
def test_another_cluster_is_misconfigured_and_never_diverged(trace: Trace) -> None:
    """A place that belongs to other data is named, with what to check."""
    finding = judge(replace(trace, origin=ELSEWHERE))
    assert (finding.reason, finding.place) == (Reason.MISCONFIGURED, "postgres replica eu-2")
    assert "another cluster or database" in finding.message


def test_a_place_that_cannot_be_asked_is_unknown_for_its_own_reason() -> None:
    """It names the place, and hides no violation of another."""
    failure = Failure(reason=Reason.UNREACHABLE, message="PostgreSQL at x: down", place="postgres replica us-1")
    finding = judge(IN_TIME, failures=(failure,))
    assert (finding.reason, finding.place) == (Reason.UNREACHABLE, "postgres replica us-1")
    assert kinds(judge(NEVER, failures=(failure,))) == [Kind.DIVERGED]


@pytest.mark.parametrize(
    ("ours", "theirs", "akin"),
    [
        (HERE, HERE, True),
        (HERE, ELSEWHERE, False),
        (HERE, Origin(marks=(frozenset(), frozenset({"1700000000"}))), True),
        (HERE, Origin(marks=(frozenset({"7212"}), frozenset({"1"}))), False),
        (HERE, SILENT, None),
        (Origin(marks=(frozenset({"a", "b"}),)), Origin(marks=(frozenset({"b", "c"}),)), True),
    ],
    ids=["same", "other cluster", "cluster not told", "other database", "nothing told", "after a failover"],
)
def test_servers_know_each_other_by_what_both_tell(ours: Origin, theirs: Origin, *, akin: bool | None) -> None:
    """Every mark that both tell must agree; where they tell none in common, nobody knows."""
    assert ours.akin(theirs) is theirs.akin(ours) is akin


def copied(version: int | None, *, again: int | None = None, kept: bool = True, damaged: bool = False) -> Copied:
    """A cached copy that was looked at after version 2 was acknowledged, once, or twice where it was old."""
    looks = [
        Cached(present=number is not None or damaged, document=None if number is None else _document(number))
        for number in (version, again)
    ]
    reading = Reading(first=looks[0]) if again is None else Reading(first=looks[0], second=looks[1], node=PRIMARY)
    return Copied(link=Link("postgres", "redis"), written=2, kept=kept, reading=reading)


def _document(version: int) -> Document:
    return Document(id=UUID(int=1), user="holdfast-user-0", version=version, body="{}")


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        (copied(2), []),
        (copied(3), []),
        (copied(None), []),
        (copied(None, damaged=True), []),
        (copied(1, again=1), [Kind.STALE]),
        (copied(1, again=2), Reason.INCONCLUSIVE),
        (copied(2, kept=False), Reason.INCONCLUSIVE),
    ],
    ids=["fresh", "newer", "none", "damaged", "old", "old once", "never kept"],
)
def test_a_cached_copy_is_never_older_than_the_change(copy: Copied, expected: list[Kind] | Reason) -> None:
    """A copy may be gone, never old; old once, or in a cache that keeps nothing, nothing is told."""
    finding = judge(copies=(copy,), controls={})
    assert (finding.reason or kinds(finding)) == expected


TIMES = st.floats(min_value=0, max_value=DEADLINE, allow_nan=False)


@st.composite
def healthy(draw: st.DrawFn) -> Trace:
    """A change that arrived in time, after some misses, and that whoever came back has seen."""
    took = draw(TIMES)
    resolution = draw(st.floats(min_value=0, max_value=took))
    look = Look(version=draw(st.integers(2, 5)), applied=draw(st.sampled_from([True, False, None])))
    back = draw(st.sampled_from([(), (look,)]))
    return replace(IN_TIME, took=took, resolution=resolution, waited=took - resolution, last=look, back=back)


MISSED = st.builds(Look, version=st.sampled_from([None, 0, 1]), applied=st.sampled_from([True, False, None]))


def _delayed(trace: Trace, look: Look) -> Trace:
    del look
    return replace(trace, took=DEADLINE + 1.0, resolution=0.5, waited=DEADLINE + 0.5)


def _never(trace: Trace, look: Look) -> Trace:
    return replace(trace, took=None, waited=2 * DEADLINE, last=look, back=(look, look), origin=HERE)


def _went_away(trace: Trace, look: Look) -> Trace:
    return replace(trace, back=(look, look), origin=HERE)


BREAKS: dict[Kind, Callable[[Trace, Look], Trace]] = {
    Kind.LATE: _delayed,
    Kind.DIVERGED: _never,
    Kind.STALE: _went_away,
}


@given(st.lists(healthy(), max_size=5), st.lists(healthy(), max_size=5), healthy(), MISSED, st.sampled_from([*BREAKS]))
def test_whatever_is_broken_in_one_way_is_named_so(
    before: list[Trace], after: list[Trace], victim: Trace, look: Look, kind: Kind
) -> None:
    """Many targets that are well are silence; one that is broken is found among them, as what it is."""
    well = judge(*before, victim, *after)
    assert (well.verdict, well.checks) == (Verdict.OK, len(before) + len(after) + 1)
    assert wrong([*before, victim, *after]) == set()
    broken = BREAKS[kind](victim, look)
    assert kinds(judge(*before, broken, *after)) == [kind]
    assert wrong([broken]) == (set() if kind is Kind.LATE else {"postgres"})


@pytest.mark.parametrize(("found", "said"), [(1, "version 1"), (0, "what an earlier run had written")])
def test_a_source_that_goes_on_to_show_what_is_older_is_stale(found: int, said: str) -> None:
    """What was acknowledged is not gone, but an older state is read for it, by the source's own reads as well."""
    old = Look(version=found)
    trace = replace(NEVER, link=Link("api", "api"), at_source=True, last=old, back=(old, old))
    (violation,) = judge(trace, controls={"postgres": replace(TRUTH["postgres"], version=found)}).violations
    assert (violation.kind, violation.expected) == (Kind.STALE, "version 2, which was acknowledged")
    assert violation.actual.startswith(said)


def test_a_new_number_beside_old_content_is_the_old_version() -> None:
    """A version counts as found only with what it says; of the first there is none before it."""
    first, second = (
        Document(id=UUID(int=1), user="holdfast-user-9", version=version, body=f"[{version}]") for version in (1, 2)
    )
    cases = [
        (None, first, None),
        (first, first, 1),
        (first, second, 1),
        (second, first, 2),
        (replace(second, body="[ 2 ]"), second, 2),
        (replace(second, body="[1]"), second, 1),
        (replace(first, body="[7]"), first, None),
    ]
    for found, expected, version in cases:
        assert version_in(found, expected) == version
