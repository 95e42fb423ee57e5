"""Content that is recomputed from its key, and digests that mean the same for the same meaning."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.core.payload import CONTENT, USERS, Author, Message, canonical, noise, synthetic_user

NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,10}", fullmatch=True)
RUNS = st.uuids().map(str)


def author(environment: str = "production", run_id: str = "0190aaaa-0000-7000-8000-000000000000") -> Author:
    """Somebody who writes for the thread probe."""
    return Author(environment=environment, probe="thread", run_id=run_id)


@given(environment=NAMES, run=RUNS, number=st.integers(1, 50), version=st.integers(0, 3))
def test_the_same_key_makes_the_same_content(environment: str, run: str, number: int, version: int) -> None:
    """Another daemon, or the same one after a restart, recomputes every message and header."""
    one, other = author(environment, run), author(environment, run)
    assert one.message(0, number, version=version) == other.message(0, number, version=version)
    assert one.thread(number, user="u") == other.thread(number, user="u")


@settings(max_examples=200)
@given(
    keys=st.lists(
        st.tuples(NAMES, st.sampled_from(["thread", "session"]), RUNS, st.integers(0, 20), st.integers(1, 300)),
        min_size=2,
        max_size=20,
        unique=True,
    )
)
def test_two_keys_never_make_the_same_id(keys: list[tuple[str, str, str, int, int]]) -> None:
    """Environment, probe, run, thread and number each change the id, and no two of them can be mistaken."""
    ids = {
        Author(environment=environment, probe=probe, run_id=run).id("thread", thread, "message", number)
        for environment, probe, run, thread, number in keys
    }
    assert len(ids) == len(keys)


def test_every_message_of_many_runs_has_its_own_id_and_digest() -> None:
    """Thousands of messages, versions and runs: no id twice, no content twice, whatever its kind."""
    writers = [author(run_id=str(uuid4())) for _ in range(20)]
    messages = [
        writer.message(thread, number, version=version)
        for writer in writers
        for thread in range(2)
        for number in range(1, 25)
        for version in range(2)
    ]
    assert len({message.digest for message in messages}) == len(messages)
    assert len({message.id for message in messages}) == len(messages) / 2


@pytest.mark.parametrize("kind", CONTENT)
def test_every_kind_of_content_can_be_stored(kind: str) -> None:
    """Every kind is UTF-8 without NUL, and its metadata is JSON that comes back as it was."""
    content, extra = CONTENT[kind]("some/key")
    spoken = (content or "") + json.dumps(extra, ensure_ascii=False)
    assert spoken.encode("utf-8").decode("utf-8") == spoken
    assert "\x00" not in spoken
    assert "\\u0000" not in spoken
    assert json.loads(json.dumps(extra)) == extra


def jsonb_order(pairs: list[tuple[str, object]]) -> list[tuple[str, object]]:
    """Pairs in the order in which PostgreSQL's jsonb keeps them."""
    return sorted(pairs, key=lambda pair: (len(pair[0].encode()), pair[0].encode()))


@pytest.mark.parametrize("number", range(1, len(CONTENT) + 1))
def test_metadata_stand_in_the_order_of_jsonb(number: int) -> None:
    """At every depth, so that what comes back is equal as text and need not be parsed."""
    orders: list[list[tuple[str, object]]] = []
    for text in (author().message(0, number).metadata, author().thread(number, user="u").metadata):
        json.loads(text, object_pairs_hook=orders.append)
    assert orders == [jsonb_order(pairs) for pairs in orders]


def test_all_kinds_of_content_take_part_in_a_few_messages() -> None:
    """As many messages in a row as there are kinds show every kind once."""
    kinds = [json.loads(author().message(0, number).metadata)["content"] for number in range(1, len(CONTENT) + 1)]
    assert sorted(kinds) == sorted(CONTENT)


def test_two_messages_say_the_same_where_their_digests_agree() -> None:
    """Whatever is compared with whatever, under another spelling of its metadata, too."""
    messages = [author().message(0, number, version=version) for number in range(1, 12) for version in range(2)]
    respelt = [replace(message, metadata=f" {message.metadata} ") for message in messages]
    for one in messages:
        assert [one.says(other) for other in respelt] == [one.digest == other.digest for other in respelt]


def test_an_edit_changes_content_and_kind_under_the_same_id() -> None:
    """Versions of one message share the id and the number, and never the content."""
    versions = [author().message(0, 3, version=version) for version in range(len(CONTENT))]
    assert len({(message.id, message.number, message.role) for message in versions}) == 1
    assert len({message.digest for message in versions}) == len(versions)


@given(st.integers(0, 10_000))
def test_synthetic_users_are_few_and_recognisable(number: int) -> None:
    """Any number gives one of eight names that no customer has."""
    assert synthetic_user(number) in {f"holdfast-user-{each}" for each in range(USERS)}


@given(st.text(max_size=20), st.integers(0, 300))
def test_noise_has_the_length_that_was_asked(key: str, length: int) -> None:
    """So many hexadecimal characters, always the same for a key."""
    assert len(noise(key, length)) == length
    assert noise(key, length) == noise(key, length)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ('{"b": 1, "a": 2}', '{"a":2,"b":1}'),
        ('{"a": 1, "a": 2}', '{"a": 2}'),
        ('"\\u00e9\\ud83d\\ude42"', '"é🙂"'),
        ("1.7976931348623157e308", "17976931348623157" + "0" * 292),
        ("5e-324", "0." + "0" * 323 + "5"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("1e16", "10000000000000000"),
        ("1e2", "100"),
        ("1.50", "1.5"),
        ("1.0", "1"),
        ("-0.0", "0.0"),
        ("1e22", "10000000000000000000000"),
        ("-9223372036854775808", "-9223372036854775808"),
        (" [ ] ", "[]"),
    ],
)
def test_spellings_of_one_meaning_are_one(written: str, stored: str) -> None:
    """What jsonb spells in its own way has the same digest."""
    assert canonical(written) == canonical(stored)


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("9223372036854775807", "9223372036854775806"),
        ("9007199254740993", "9007199254740992"),
        ("-9223372036854775808", "-9223372036854775807"),
        ("-1000000000000000001", "-1000000000000000000"),
        ("null", '""'),
        ("0", "false"),
        ("1", '"1"'),
        ("[1,2]", "[2,1]"),
        ("{}", "[]"),
        ("", '""'),
        ('{"a":1', '{"a":1}'),
        ("0.1", "0.10000000000000002"),
        ('"e\\u0301"', '"é"'),
    ],
)
def test_different_meanings_stay_different(written: str, stored: str) -> None:
    """What a store mangles, integers that went through a float among it, has another digest."""
    assert canonical(written) != canonical(stored)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_integer_is_its_own(one: int, other: int) -> None:
    """No two integers of 64 bits are taken for each other."""
    assert (canonical(str(one)) == canonical(str(other))) == (one == other)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_double_survives_numeric(value: float) -> None:
    """A double that jsonb writes out as numeric, digit by digit, is the same number."""
    assert canonical(json.dumps(value)) == canonical(f"{Decimal(repr(value)):f}")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(JSON)
def test_canonical_is_stable(value: object) -> None:
    """The canonical spelling of any JSON is its own canonical spelling, whatever the order of keys and blanks was."""
    spelled = canonical(json.dumps(value))
    assert canonical(spelled) == spelled
    assert canonical(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)) == spelled


@given(st.text(alphabet=st.characters(codec=None)))
def test_any_text_of_a_broken_server_has_a_digest(text: str) -> None:
    """Halves of characters, no JSON at all, anything: a digest is made, and differs from the right one."""
    right = author().message(0, 1)
    broken = Message(id=right.id, number=1, role=right.role, type=right.type, content=right.content, metadata=text)
    assert broken.digest != right.digest


@pytest.mark.parametrize("depth", [400, 990, 1010, 5000, 200_000])
def test_nesting_without_end_has_a_digest(depth: int) -> None:
    """JSON that is nested deeper than Python can follow does not stop the judge."""
    assert canonical("[" * depth + "]" * depth) == canonical("[" * depth + "]" * depth)
