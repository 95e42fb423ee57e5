"""What is refused of a binding's keys when it is loaded, and what templates mean."""

from __future__ import annotations

import json
import pickle
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from monitor.bindings.envelope import Envelope
from monitor.bindings.redis import CacheKeys, SessionKeys
from monitor.stores.bound.key_values import AsPickle
from monitor.stores.encodings import AsHash, AsText

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no session id": ({"key": "session:{user_id}"}, "{session_id} is missing"),
    "two session ids": ({"key": "{session_id}:{session_id}"}, "{session_id} stands there more than once"),
    "an unknown placeholder": (
        {"key": "s:{user}:{session_id}"},
        "{user}, which has no value there; did you mean {user_id}?",
    ),
    "a lonely brace": ({"key": "s:{session_id"}, "'}'"),
    "an empty placeholder": ({"key": "s:{}:{session_id}"}, "{{ and }} for the braces themselves"),
    "no payload": ({"key": "{session_id}", "value": {"a": 1}}, "exactly once; put it in quotes"),
    "a payload without quotes": ({"key": "{session_id}", "value": {"a": {"payload": None}}}, "put it in quotes"),
    "two payloads": ({"key": "{session_id}", "value": {"a": "{payload}", "b": "{payload_text}"}}, "exactly once"),
    "a payload within a text": ({"key": "{session_id}", "value": {"a": "x{payload}"}}, "must be the whole text"),
    "a payload in a list": ({"key": "{session_id}", "value": {"a": ["{payload}"]}}, "in mappings only"),
    "a mapping in a hash": (
        {"key": "{session_id}", "encoding": "hash", "value": {"a": {"b": 1}, "c": "{payload_text}"}},
        "fields that hold text",
    ),
    "an object in a hash": ({"key": "{session_id}", "encoding": "hash", "value": {"c": "{payload}"}}, "payload_text"),
    "fields of a text": ({"key": "{session_id}", "discipline": "fields"}, "is for hashes; the encoding is json"),
    "a script on a pickle": (
        {"key": "{session_id}", "encoding": "pickle", "discipline": "lua"},
        "a script of Redis cannot read Python's pickle",
    ),
    "an empty list for a script": (
        {"key": "{session_id}", "discipline": "lua", "value": {"a": "{payload}", "b": {"c": [[]]}}},
        "turns an empty list into {}",
    ),
    "a long number for a script": (
        {"key": "{session_id}", "discipline": "lua", "value": {"a": "{payload}", "b": 1234567890123456789}},
        "turns 1234567890123456789 into 1.2345678901235e+18",
    ),
    "a life too short": ({"key": "{session_id}", "ttl": "10ms"}, "less than a second"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_refused_with_the_reason(name: str) -> None:
    """Each mistake is named in the words of the file."""
    given, said = REFUSED[name]
    with pytest.raises(ValidationError, match=re.escape(said)):
        SessionKeys.model_validate(given)


def test_a_copy_s_key_names_its_user_once() -> None:
    """Copies are told apart by their users; sessions' ids mean nothing there."""
    assert CacheKeys(key="user_data:{user_id}").filled({"user_id": -7}) == "user_data:-7"
    with pytest.raises(ValidationError, match=re.escape("{user_id} is missing")):
        CacheKeys(key="user_data")
    with pytest.raises(ValidationError, match=re.escape("{session_id}, which has no value there; there are {user_id}")):
        CacheKeys(key="user_data:{user_id}:{session_id}")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(before=TEXTS, between=TEXTS, user=TEXTS, word=TEXTS)
def test_a_key_is_what_its_template_says_and_fits_its_pattern(before: str, between: str, user: str, word: str) -> None:
    """Braces written twice are braces, and what is special in patterns is not special."""
    doubled = [text.replace("{", "{{").replace("}", "}}") for text in (before, between)]
    keys = SessionKeys(key=f"{doubled[0]}{{user_id}}{doubled[1]}{{session_id}}")
    filled = keys.filled({"user_id": user, "session_id": word})
    assert filled == before + user + between + word
    pattern = keys.pattern({"session_id": "holdfast-*"})
    unescaped = re.sub(r"\\(.)", lambda found: f"[{found[1]}]", pattern)  # as Python's globs spell it
    assert fnmatchcase(keys.filled({"user_id": user, "session_id": "holdfast-1"}), unescaped)


NAMES = st.text("ab{é ", min_size=1, max_size=3)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("xyz ü🦊", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(
    beside=st.dictionaries(NAMES, PLAIN, max_size=3),
    path=st.lists(NAMES, max_size=3),
    payload=PLAIN,
    text=st.booleans(),
)
def test_what_is_sealed_is_opened_and_what_is_beside_it_stays(
    beside: dict[str, Any], path: list[str], payload: Any, *, text: bool
) -> None:
    """For any template, through any encoding; another payload changes nothing beside it."""
    template: Any = "{payload_text}" if text else "{payload}"
    for name in reversed(path):
        template = {**beside, name: template}
    envelope = Envelope.of(template)
    assert (envelope.path, envelope.as_text) == (tuple(path), text)
    sealed = envelope.seal(payload, {})
    for kept in (AsText(), AsPickle()):
        read = kept.load(kept.dump(sealed))
        assert envelope.open(read) == payload
        assert envelope.beside(read) == envelope.beside(sealed)
        assert envelope.open(envelope.put(read, ["other"])) == ["other"]
        assert envelope.beside(envelope.put(read, ["other"])) == envelope.beside(sealed)


@given(payload=PLAIN, number=st.integers(), name=TEXTS.filter(bool))
def test_a_hash_comes_back_as_texts(payload: Any, number: int, name: str) -> None:
    """Whatever a field is called; numbers are texts there."""
    field = f"{name}."
    kept = AsHash(field)
    value = {field: json.dumps(payload), "number": number}
    pairs = list(kept.write("key", value, 1000)[2][2:])
    reply = [part.encode() if isinstance(part, str) else str(part).encode() for part in pairs]
    assert kept.value(list(reply)) == kept.as_read(value) == {field: json.dumps(payload), "number": str(number)}
    assert kept.raw(list(reply)) == json.dumps(payload).encode()
    assert kept.raw([b"number", b"1"]) is None


@settings(max_examples=300)
@given(value=PLAIN, place=st.integers(0, 200), rubbish=st.binary(min_size=1, max_size=8))
def test_a_damaged_pickle_is_unreadable_or_plain(value: Any, place: int, rubbish: bytes) -> None:
    """Whatever the damage, loading ends in a plain value or in ValueError."""
    stored = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    place %= len(stored)
    damaged = stored[:place] + rubbish + stored[place + len(rubbish) :]
    try:
        AsPickle().load(damaged)
    except ValueError:
        return
