"""A user's session: what is stored, how it is recognised, and what concurrent updates may leave of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from monitor.core.conversation import difference
from monitor.core.payload import noise
from monitor.core.verdict import Json, Kind, Violation

COUNTERS = ("messages", "tools")
_AROUND = b"around the session: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session under its key. `body` never changes; the counters beside it do.

    Every value names its own key, so that another session's value is recognised, and a digest of itself without the
    counters, so that damage is.
    """

    key: str
    user: str
    body: Mapping[str, Json]

    @classmethod
    def of(cls, key: str, *, user: str) -> Session:
        """The session that belongs to a key: preferences, context and active threads follow from it."""
        body: dict[str, Json] = {
            "preferences": {"theme": "dark", "language": "de-CH", "zoom": 1.25, "emoji": "🙂", "beta": None},
            "context": {"summary": noise(key, 256), "tokens": 8192, "open_files": ["a b.py", "ü.md", '"quoted"']},
            "active_threads": [noise(f"{key}/{number}", 32) for number in range(3)],
        }
        return cls(key=key, user=user, body=body)

    @property
    def digest(self) -> str:
        """A hash of all but the counters."""
        return _digest([self.key, self.user, self.body])

    def encode(self, counters: Mapping[str, int] | None = None) -> bytes:
        """The stored value: JSON in UTF-8."""
        value = {
            "key": self.key,
            "user": self.user,
            "digest": self.digest,
            "body": self.body,
            "counters": dict(counters or dict.fromkeys(COUNTERS, 0)),
        }
        return json.dumps(value, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A value read back and taken apart; `whole` tells whether it agrees with its own digest."""

    key: str
    user: str
    body: Json
    counters: Mapping[str, int]
    whole: bool


def decode(value: bytes) -> Stored | None:
    """A stored value, or None where it is not one at all."""
    try:
        parsed = json.loads(value)
        counters = {str(name): int(count) for name, count in parsed["counters"].items()}
        whole = parsed["digest"] == _digest([parsed["key"], parsed["user"], parsed["body"]])
        return Stored(key=parsed["key"], user=parsed["user"], body=parsed["body"], counters=counters, whole=whole)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def around(declared: Json, found: Json) -> bytes:
    """What is judged in the place of a session around which an application's value is not as it was declared."""
    spelled = (json.dumps(value, ensure_ascii=False, sort_keys=True) for value in (declared, found))
    return _AROUND + difference(*spelled).encode("utf-8", "backslashreplace")


def _digest(spoken: object) -> str:
    spelled = json.dumps(spoken, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(spelled.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def compare(expected: Session, value: bytes) -> Iterator[Violation]:
    """Whether a value that is present is this session's: its own, and undamaged. Counters are judged apart."""
    stored = decode(value)
    subject = f"session {expected.key}"
    if value.startswith(_AROUND):
        yield Violation(
            kind=Kind.CORRUPT,
            subject=subject,
            expected="around it what the binding declares",
            actual="something else",
            evidence={"key": expected.key, "first_difference": value.removeprefix(_AROUND).decode()},
        )
    elif stored is None or not stored.whole:
        shown = value.decode("utf-8", "replace")
        yield Violation(
            kind=Kind.CORRUPT,
            subject=subject,
            expected=f"{len(expected.encode())} bytes with digest {expected.digest}",
            actual=f"{len(value)} bytes that disagree with their digest",
            evidence={"key": expected.key, "first_difference": difference(expected.encode().decode(), shown)},
        )
    elif (stored.key, stored.user) != (expected.key, expected.user):
        yield Violation(
            kind=Kind.LEAKED,
            subject=subject,
            expected=f"the session of {expected.user}",
            actual=f"session {_shown(stored.key)} of {_shown(stored.user)}",
            evidence={"key": expected.key, "found": _shown(stored.key)},
        )
    elif _digest(stored.body) != _digest(expected.body):
        yield Violation(
            kind=Kind.CORRUPT,
            subject=subject,
            expected=f"digest {expected.digest}",
            actual=f"digest {_digest([stored.key, stored.user, stored.body])}",
            evidence={"key": expected.key},
        )


def _shown(found: object) -> str:
    """What a stored value says of itself, fit for UTF-8: JSON can name halves of characters."""
    return str(found).encode("utf-8", "backslashreplace").decode()


def compare_counter(expected: Session, value: bytes, counter: str, *, acknowledged: int) -> Iterator[Violation]:
    """Whether every acknowledged increment of a counter is in the stored value, and no other."""
    stored = decode(value)
    found = stored.counters.get(counter, 0) if stored else None
    if found is None or found == acknowledged:  # a value that is not readable is judged by compare()
        return
    yield Violation(
        kind=Kind.LOST_UPDATE if found < acknowledged else Kind.DUPLICATED,
        subject=f"counter {counter} of session {expected.key}",
        expected=f"{acknowledged} acknowledged increments",
        actual=str(found),
        evidence={"key": expected.key, "counter": counter},
    )
