"""Stored sessions: their own, undamaged, with every acknowledged increment."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.session import COUNTERS, Session, compare, compare_counter, decode
from monitor.core.verdict import Kind

OWN = Session.of("holdfast:production:0badcafe-3:session:run:own", user="holdfast-user-1")
OTHER = Session.of("holdfast:production:0badcafe-3:session:run:other", user="holdfast-user-2")


def kinds(value: bytes) -> list[Kind]:
    """What is reported of a stored value."""
    return [violation.kind for violation in compare(OWN, value)]


@given(st.dictionaries(st.sampled_from(COUNTERS), st.integers(0, 2**53)))
def test_a_session_comes_back(counters: dict[str, int]) -> None:
    """What was stored is whole, whatever its counters say."""
    stored = decode(OWN.encode(counters))
    assert stored is not None
    assert (stored.whole, stored.key, stored.user) == (True, OWN.key, OWN.user)
    assert stored.counters == (counters or dict.fromkeys(COUNTERS, 0))
    assert kinds(OWN.encode(counters)) == []


def test_a_store_may_spell_json_in_its_own_way() -> None:
    """Other blanks, another order of keys and escapes are the same session."""
    value = json.loads(OWN.encode())
    assert kinds(json.dumps(dict(reversed(value.items())), indent=1).encode()) == []


def test_the_session_of_somebody_else_is_leaked() -> None:
    """A whole session under the wrong key is named with the key that it belongs to."""
    (violation,) = compare(OWN, OTHER.encode())
    assert (violation.kind, violation.evidence["found"]) == (Kind.LEAKED, OTHER.key)


def test_another_version_of_the_own_session_is_corrupt() -> None:
    """A body that is whole and is not what was written is no session of this key."""
    value = Session(key=OWN.key, user=OWN.user, body={**OWN.body, "preferences": {}}).encode()
    assert kinds(value) == [Kind.CORRUPT]


@settings(max_examples=500)
@given(place=st.integers(0, len(OWN.encode()) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_never_taken_for_a_leak(place: int, byte: int) -> None:
    """One byte changed anywhere before the counters is corruption: not a leak, and not nothing."""
    value = bytearray(OWN.encode())
    same = value[place] == byte
    value[place] = byte
    found = kinds(bytes(value))
    in_counters = place >= OWN.encode().index(b'"counters"')
    try:
        same = same or json.loads(value) == json.loads(OWN.encode())
    except ValueError:
        same = False
    if same:
        assert found == []
    elif in_counters:
        assert found in ([], [Kind.CORRUPT])
    else:
        assert found == [Kind.CORRUPT]


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"42",
        b"\xff\xfe",
        b'"text"',
        b"{",
        b"{}",
        b'{"counters": 1}',
        OWN.encode()[:-1],
        OWN.encode()[:100],
        OWN.encode().replace(b'"messages": 0', b'"messages": 1e999'),
        OWN.encode().replace(b'"messages": 0', b'"messages": NaN'),
        OWN.encode().replace(b'"messages": 0', b'"messages": null'),
        OWN.encode().replace(b'"messages": 0', b'"messages": ' + b"9" * 5000),
        b"[" * 100_000,
    ],
    ids=range(16),
)
def test_what_is_no_session_is_corrupt(value: bytes) -> None:
    """Anything under the key that is not a session at all is corruption, and stops no judge."""
    assert decode(value) is None
    assert kinds(value) == [Kind.CORRUPT]


@given(st.binary(max_size=60) | st.text().map(str.encode))
def test_no_bytes_stop_the_judge(value: bytes) -> None:
    """Any bytes at all are judged."""
    assert kinds(value) == [Kind.CORRUPT]


def test_evidence_is_fit_for_utf_8() -> None:
    """A foreign session whose key is half a character can be kept and shown."""
    foreign = Session(key="\ud800", user="\udfff", body={})
    stored = {"key": foreign.key, "user": foreign.user, "body": {}, "counters": {}, "digest": foreign.digest}
    (violation,) = compare(OWN, json.dumps(stored).encode())
    assert violation.kind is Kind.LEAKED
    assert violation.actual.encode() == b"session \\ud800 of \\udfff"
    assert violation.evidence["found"] == "\\ud800"


@pytest.mark.parametrize(
    ("found", "wanted"), [(8, []), (7, [Kind.LOST_UPDATE]), (0, [Kind.LOST_UPDATE]), (9, [Kind.DUPLICATED])]
)
def test_every_acknowledged_increment_counts_once(found: int, wanted: list[Kind]) -> None:
    """Fewer than were acknowledged are lost updates, more are duplicates."""
    value = OWN.encode({"messages": found, "tools": 0})
    assert [each.kind for each in compare_counter(OWN, value, "messages", acknowledged=8)] == wanted


def test_a_counter_that_is_gone_lost_its_updates() -> None:
    """A stored session without the counter has none of the acknowledged increments."""
    found = [each.kind for each in compare_counter(OWN, OWN.encode({"tools": 1}), "messages", acknowledged=2)]
    assert found == [Kind.LOST_UPDATE]


def test_a_counter_of_rubbish_is_judged_as_rubbish() -> None:
    """Where a value cannot be read its counters say nothing more."""
    assert list(compare_counter(OWN, b"rubbish", "messages", acknowledged=8)) == []
