"""Content as a function of its key, so that what is expected is recomputed and never remembered.

The key is (environment, probe, run, number). Two daemons, or one before and after a restart, that use the same key
make the same content; two keys never make the same identifier.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

from monitor.core.verdict import Json

_NAMESPACE = UUID("6f6c6466-6173-5074-8000-686f6c646661")  # "holdfast", in hexadecimal; every id descends from it
USERS = 10
"""How many synthetic users there are: few and fixed, so that a sweep can act as each under row-level security."""
PROFILED, SYNCED = 8, 9
"""The users whose profiles the probes `profile` and `sync` write: an application has one for each user, and others
would write the same."""

ROLES = ("user", "assistant", "tool", "assistant")
TYPES = ("user_query", "agent_thinking", "tool_result", "agent_completed")
Metadata: TypeAlias = Literal["any", "strings", "no"]


def synthetic_user(number: int) -> str:
    """The name of a synthetic user, 0 up to USERS; no customer has such a name."""
    return f"holdfast-user-{number % USERS}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of a conversation, as it is written and as it is read. `metadata` is JSON text.

    `number` is 0 where it was read from an application that keeps none.
    """

    id: UUID
    number: int
    role: str
    type: str
    content: str | None
    metadata: str

    @property
    def digest(self) -> str:
        """A hash of what the author said: role, type, content (empty is not null) and the meaning of the metadata."""
        spoken: list[Json] = [self.role, self.type, self.content, canonical(self.metadata)]
        return _hash(json.dumps(spoken, ensure_ascii=False))

    def says(self, other: Message) -> bool:
        """Whether the author of both said the same: by what the digest is of, and without the work of two hashes."""
        if (self.role, self.type, self.content) != (other.role, other.type, other.content):
            return False
        return self.metadata == other.metadata or canonical(self.metadata) == canonical(other.metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """The header of a conversation. `metadata` is JSON text."""

    id: UUID
    user: str
    name: str
    metadata: str

    @property
    def digest(self) -> str:
        """A hash of the header."""
        return _hash(json.dumps([self.user, self.name, canonical(self.metadata)], ensure_ascii=False))


def canonical(text: str) -> str:
    """JSON text in one spelling per meaning: sorted keys, no blanks, whole numbers as integers up to 64 bits.

    PostgreSQL's jsonb spells 1e16 as 10000000000000000 and 1.7976931348623157e308 with 309 digits; those are the same
    numbers. Text that is not
    JSON stands for itself, so that a mangled value differs from the right one instead of stopping the judge.
    """
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return text
    return _ENCODER.encode(value)


def _integer(digits: str) -> int | float:
    value = int(digits) if len(digits.lstrip("-")) < 20 else float(digits)  # noqa: PLR2004  int8 has at most 19 digits
    return value if -(2**63) <= value < 2**63 else float(value)


def _number(digits: str) -> int | float:
    value = float(digits)
    if not 0 < abs(value) < 2**63:
        return value or 0
    exact = Decimal(digits)  # 6.80780443323959e+16 ends with 900 for PostgreSQL, and with 904 as a double
    return int(exact) if exact == exact.to_integral_value() else value


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_number)
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _hash(text: str) -> str:
    # "surrogatepass": what a broken server returns must be hashed, not refused.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What an application's conversations can hold: its words for roles and types, and the content that it keeps.

    Without `types` a message has none, without `names` a thread. Metadata are `any` JSON, at most sixteen pairs of
    `strings`, or none (`no`). `contents` are names of CONTENT.
    """

    roles: tuple[str, ...] = ROLES
    types: tuple[str, ...] = TYPES
    contents: tuple[str, ...] = ()
    metadata: Metadata = "any"
    names: bool = True

    def kept(self, metadata: Mapping[str, Json]) -> str:
        """JSON text of so much of it as is kept."""
        if self.metadata == "any":
            return _json(metadata)
        if self.metadata == "no":
            return "{}"
        return _json({name: str(value)[:512] for name, value in [*metadata.items()][:16] if not _nests(value)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Writes everything that one run stores, so that the application can keep it."""

    environment: str
    probe: str
    run_id: str
    speech: Speech = field(default_factory=Speech)

    def id(self, *path: str | int) -> UUID:
        """The identifier of a thing of this run."""
        return uuid5(_NAMESPACE, "/".join((self.environment, self.probe, self.run_id, *map(str, path))))

    def thread(self, number: int, *, user: str) -> Thread:
        """The header of thread `number`, counted from 0."""
        metadata: dict[str, Json] = {
            "run": self.run_id,
            "labels": ["holdfast", "synthetic"],
            "pinned": number % 2 == 0,
            "thread": number,
        }
        return Thread(
            id=self.id("thread", number),
            user=user,
            name=f"Holdfast {self.probe} {number}" if self.speech.names else "",
            metadata=self.speech.kept(metadata),
        )

    def message(self, thread: int, number: int, *, version: int = 0, light: bool = False) -> Message:
        """Message `number`, 1, 2, …, of thread `number`; a later version has other content under the same id.

        A `light` one is never of the kind that has 64 KiB.

        The kinds of content take turns: a run begins at a place that its id decides, so that all runs together use
        all kinds at every place.
        """
        key = f"{self.environment}/{self.probe}/{self.run_id}/{thread}/{number}/{version}"
        place = _beginning(self.run_id) + number + version
        names = _kinds(self.speech.contents, light)
        kind = names[place % len(names)]
        content, extra = CONTENT[kind](key)
        metadata: dict[str, Json] = {"key": key, "tokens": place % 4096, "content": kind, **extra}
        roles, types = self.speech.roles, self.speech.types
        return Message(
            id=self.id("thread", thread, "message", number),
            number=number,
            role=roles[number % len(roles)],
            type=types[number % len(types)] if types else "",
            content=content,
            metadata=self.speech.kept(metadata),
        )


def _json(value: Mapping[str, Json]) -> str:
    """Spelt as PostgreSQL's jsonb gives it back, shorter names first: what came back whole is then equal as text.

    Only what is in the values themselves may be spelt anew, as 5e-324 is; that is the same by `canonical`.
    """
    return _WRITER.encode({name: value[name] for name in sorted(value, key=_place_in_jsonb)})


_WRITER = json.JSONEncoder(ensure_ascii=False)


def _place_in_jsonb(name: str) -> tuple[int, bytes]:
    spelt = name.encode()
    return len(spelt), spelt


@lru_cache(maxsize=64)  # of the runs that are under way
def _beginning(run_id: str) -> int:
    """The place among the kinds of content at which a run begins."""
    return int.from_bytes(hashlib.blake2b(run_id.encode(), digest_size=4).digest(), "big")


@lru_cache(maxsize=64)
def _kinds(contents: tuple[str, ...], light: bool) -> tuple[str, ...]:  # noqa: FBT001  a key of the cache
    """The kinds of content that take turns."""
    return tuple(name for name in contents or CONTENT if not (light and name == "large"))


def _nests(value: Json) -> bool:
    return value is None or isinstance(value, list | dict)


def written_as(metadata: str) -> UUID | None:
    """The id of the message that an author has written with this metadata; None where no author has."""
    try:
        key = json.loads(metadata)["key"]
        environment, probe, run_id, thread, number, _ = key.split("/")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return Author(environment=environment, probe=probe, run_id=run_id).id("thread", thread, "message", number)


def noise(key: str, length: int) -> str:
    """`length` hexadecimal characters that only this key makes."""
    return hashlib.shake_256(key.encode()).hexdigest((length + 1) // 2)[:length]


def _nested(key: str, depth: int) -> Json:
    value: Json = noise(key, 8)
    for level in range(depth):
        value = {"next": [value, None, True], "level": level}
    return value


Content = tuple[str | None, dict[str, Json]]

CONTENT: Mapping[str, Callable[[str], Content]] = {
    "plain": lambda key: (f"The quick brown fox says {noise(key, 24)}.", {}),
    "astral": lambda key: (f"🦊🧑‍🚀 𝔥𝔬𝔩𝔡 𠜎𠜱 {noise(key, 8)} 🏴󠁧󠁢󠁳󠁣󠁴󠁿", {"emoji": "🙂"}),
    "combining": lambda key: (f"Zä̀̀̀́͂̂l̸g̷o e\u0301 \u00e9 \u1100\u1161 {noise(key, 8)}", {"é": "e\u0301"}),
    "right_to_left": lambda key: (f"שלום \u202eعالم\u202c {noise(key, 8)}", {}),
    "control": lambda key: (f"a\x01b\x07c\x1bd\r\n\te\x7f\x85\u2028{noise(key, 8)}", {"bell": "\x07"}),
    "code": lambda key: (
        f"```sql\nSELECT '{noise(key, 8)}''; DROP TABLE x; --' \\\\ $1 %s {{}} <b>&amp;\n```",
        {},
    ),
    "deep_json": lambda key: (noise(key, 16), {"deep": _nested(key, 48)}),
    "large": lambda key: (noise(key, 65_536), {}),
    "numbers": lambda key: (
        noise(key, 8),
        {
            "int8": 2**63 - 1,
            "least": -(2**63),
            "max": 1.7976931348623157e308,
            "min": 5e-324,
            "sum": 0.1 + 0.2,
            "zero": 0,
        },
    ),
    "empty": lambda _: ("", {"empty": "", "null": None, "list": [], "object": {}}),
    "null": lambda _: (None, {"null": None}),
}
"""The kinds of content that once broke a real store. None holds NUL, which PostgreSQL's text cannot."""
