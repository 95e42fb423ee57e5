"""Documents: recognised by their digest; and what several services read of them, against what was written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.core import document
from monitor.core.confirmation import Reading
from monitor.core.document import Cached, Document, decode
from monitor.core.payload import Author
from monitor.core.record import Node
from monitor.core.rereads import Copy, Row, Seen, compare, compare_copy, judge
from monitor.core.verdict import Finding, Kind, Reason, Verdict

AUTHOR = Author(environment="production", probe="profile", run_id="01a203df-6d7d-74c0-b2d2-881acb5edeb3")
PRIMARY = Node(store="postgres", address="db:5432", primary=True, version="15", position="0/1", identity="7-1")
MAKERS: dict[str, Callable[..., Document]] = {"profile": document.profile, "result": document.tool_result}


def made(name: str = "profile", version: int = 2) -> Document:
    """A version of one of the documents of a run."""
    return MAKERS[name](AUTHOR, user="holdfast-user-1", version=version)


FIRST, SECOND = made(version=1), made(version=2)


@pytest.mark.parametrize("name", MAKERS)
def test_content_follows_from_its_key(name: str) -> None:
    """The same run makes the same document; each version has its own content under the same id."""
    one, two = made(name, 1), made(name, 2)
    assert one == made(name, 1)
    assert (one.id, one.user) == (two.id, two.user)
    assert len({one.digest, two.digest, one.said, two.said}) == 4


def test_the_first_version_may_write_and_the_later_may_not() -> None:
    """The second version is one in which a permission was revoked."""
    assert [json.loads(each.body)["permissions"] for each in (FIRST, SECOND)] == [["read", "write"], ["read"]]


@pytest.mark.parametrize("name", MAKERS)
def test_a_copy_comes_back_as_it_went(name: str) -> None:
    """What is encoded is decoded to the same document; as jsonb spells it, it is the same still."""
    whole = made(name)
    spelled = replace(whole, body=json.dumps(json.loads(whole.body), indent=1, sort_keys=True))
    assert decode(whole.encode()) == Cached(present=True, document=whole)
    assert spelled.digest == whole.digest


@given(st.binary())
def test_what_is_no_copy_is_damaged(value: bytes) -> None:
    """Whatever stands there is something that is not whole; None is nothing at all."""
    assert decode(value).damaged
    assert not decode(None).damaged
    assert not decode(None).present


@given(st.data())
def test_a_copy_that_lost_a_byte_is_damaged(data: st.DataObject) -> None:
    """Any byte that is another makes a copy that is damaged, or that says the same."""
    value = bytearray(SECOND.encode())
    place = data.draw(st.integers(0, len(value) - 1))
    value[place] = data.draw(st.integers(0, 255))
    found = decode(bytes(value))
    assert found.damaged or found.document == SECOND


OTHER = replace(SECOND, body='{"theme": "?"}')

ROWS: dict[str, tuple[tuple[Document, ...], Kind | None]] = {
    "as written": ((SECOND,), None),
    "nothing": ((), Kind.LOST),
    "the version before": ((FIRST,), Kind.STALE),
    "old content under the new number": ((replace(FIRST, version=2),), Kind.STALE),
    "other content": ((OTHER,), Kind.CORRUPT),
    "another user": ((replace(SECOND, user="holdfast-user-2"),), Kind.CORRUPT),
    "a version that nobody wrote": ((replace(SECOND, version=9),), Kind.CORRUPT),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_is_what_was_acknowledged_last(case: str) -> None:
    """Each way in which a row differs has its kind."""
    rows, kind = ROWS[case]
    assert [each.kind for each in compare(SECOND, rows, earlier=(FIRST,))] == ([kind] if kind else [])


COPIES: dict[str, tuple[Cached, Kind | None]] = {
    "as its row": (Cached(present=True, document=SECOND), None),
    "nothing": (Cached(present=False), Kind.LOST),
    "damaged": (Cached(present=True), Kind.CORRUPT),
    "the version before": (Cached(present=True, document=FIRST), Kind.STALE),
    "another than its row": (Cached(present=True, document=OTHER), Kind.DIVERGED),
}


@pytest.mark.parametrize("case", COPIES)
def test_a_copy_that_was_made_anew_is_its_row(case: str) -> None:
    """Each way in which a copy differs from its row has its kind."""
    cached, kind = COPIES[case]
    assert [each.kind for each in compare_copy(SECOND, cached)] == ([kind] if kind else [])


def _row(found: tuple[Document, ...], *again: tuple[Document, ...]) -> Row:
    reading = Reading(first=found, second=again[0], node=PRIMARY) if again else Reading(first=found)
    return Row(name="read by another service", expected=SECOND, reading=reading, earlier=(FIRST,))


def _copy(found: Cached, *again: Cached) -> Copy:
    reading = Reading(first=found, second=again[0], node=PRIMARY) if again else Reading(first=found)
    return Copy(name="cached", expected=SECOND, reading=reading)


def said(finding: Finding) -> list[Kind] | Reason:
    """The kinds that were found, or why nothing could be told."""
    return finding.reason or [violation.kind for violation in finding.violations]


def test_a_row_that_is_gone_is_lost_and_not_unlooked_at() -> None:
    """Nothing, seen twice, is a violation: it is not the absence of a second look."""
    assert said(judge(Seen(rows=(_row((), ()),)))) == [Kind.LOST]
    assert said(judge(Seen(rows=(_row((), (SECOND,)),)))) is Reason.INCONCLUSIVE


def test_a_copy_that_was_evicted_meanwhile_proves_nothing() -> None:
    """A cache may evict: a copy that is gone is lost only where the server evicted nothing; a wrong one is wrong."""
    gone, old = COPIES["nothing"][0], COPIES["the version before"][0]
    assert said(judge(Seen(copies=(_copy(gone, gone),)))) == [Kind.LOST]
    assert said(judge(Seen(copies=(_copy(gone, gone),), evicted=3))) is Reason.INCONCLUSIVE
    assert said(judge(Seen(copies=(_copy(old, old),), evicted=3))) == [Kind.STALE]


def test_a_control_that_failed_is_inconclusive() -> None:
    """Where the damage was not seen, that nothing was wrong proves nothing."""
    right = Seen(rows=(_row((SECOND,)),), copies=(_copy(COPIES["as its row"][0]),))
    assert (judge(right).verdict, judge(right).checks) == (Verdict.OK, 2)
    assert said(judge(replace(right, doubts=("not seen",)))) is Reason.INCONCLUSIVE


@given(st.integers(0, 4), st.integers(0, 4), st.sampled_from([name for name in ROWS if ROWS[name][1]]))
def test_whatever_row_is_broken_in_one_way_is_named_so(before: int, after: int, case: str) -> None:
    """Many readings that are right are silence; one that is not is found among them, as what it is."""
    rows, kind = ROWS[case]
    well = [_row((SECOND,))]
    assert judge(Seen(rows=tuple(well * (before + after + 1)))).verdict is Verdict.OK
    assert said(judge(Seen(rows=(*(well * before), _row(rows, rows), *(well * after))))) == [kind]


def test_a_violation_names_the_way_by_which_it_was_read() -> None:
    """An API may answer from an old copy while the row is right."""
    read: Reading[tuple[Document, ...]] = Reading(first=(FIRST,), second=(FIRST,), node=PRIMARY)
    row = Row(name="read through the API", expected=SECOND, reading=read, what="the profile as the API reads it")
    (violation,) = judge(Seen(rows=(row,))).violations
    assert (violation.kind, violation.subject) == (Kind.STALE, "the profile as the API reads it")
