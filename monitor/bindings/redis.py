"""How an application keeps sessions and cached copies in Redis: templates of keys, encodings, times to live."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from monitor.bindings.envelope import Envelope
from monitor.bindings.part import Part
from monitor.bindings.templates import make_sure_known, parts, text_of
from monitor.values import Length

_SPECIAL = re.compile(r"([\\*?\[\]])")
_DIGITS = 14  # that a number keeps which a script's cjson writes


class Keys(Part):
    """Keys of one kind. In `key` and `value` a brace that means itself is written twice: {{user}}."""

    words: ClassVar[tuple[str, ...]] = ("user_id",)
    needed: ClassVar = "user_id"

    key: str = Field(
        min_length=1,
        max_length=512,
        description="A template of the key, with {user_id}; of sessions with {session_id}, and {user_id} as they have.",
    )
    encoding: Literal["json", "hash", "redisjson", "pickle"] = Field(
        default="json", description="How the value is kept: json text, a hash's fields, RedisJSON, or Python's pickle."
    )
    value: JsonValue = Field(
        default=None,
        description='A template of the value, "{payload}" where the probe\'s own stands, or "{payload_text}" where it'
        " stands as JSON text; {user_id} and {session_id} are filled in. None: the payload alone.",
    )
    ttl: Length = Field(default=timedelta(hours=1), description="How long the application lets it live.")

    def filled(self, words: Mapping[str, JsonValue]) -> str:
        """The key with its words."""
        return "".join(literal + ("" if name is None else text_of(words[name])) for literal, name in parts(self.key))

    def pattern(self, words: Mapping[str, str]) -> str:
        """The pattern, of SCAN or of an ACL, of all such keys; `words` are patterns, and what is not in them is *."""
        return "".join(
            escaped(literal) + ("" if name is None else words.get(name, "*")) for literal, name in parts(self.key)
        )

    @cached_property
    def envelope(self) -> Envelope:
        """The value around the payload."""
        if self.value is not None:
            return Envelope.of(self.value, words=self.words)
        return Envelope.of({"value": "{payload_text}"} if self.encoding == "hash" else "{payload}")

    @model_validator(mode="after")
    def _is_sound(self) -> Keys:
        make_sure_known(self.key, self.words, where="key")
        times = [name for _, name in parts(self.key)].count(self.needed)
        if times != 1:
            found = "is missing" if not times else "stands there more than once"
            raise ValueError(f"key {self.key!r}: {{{self.needed}}} {found}, so that keys would not be told apart")
        envelope = self.envelope
        if self.encoding == "hash" and not _is_flat(envelope):
            raise ValueError(
                "value: a hash has fields that hold text: give it a mapping of names to texts or numbers, with"
                ' "{payload_text}" for one of them'
            )
        if self.ttl < timedelta(seconds=1):
            raise ValueError("ttl: what lives less than a second is not kept")
        return self


class SessionKeys(Keys):
    """Sessions."""

    words: ClassVar = ("user_id", "session_id")
    needed: ClassVar = "session_id"

    sliding: bool = Field(default=True, description="Whether each use begins the time to live anew.")
    discipline: Literal["watch", "lua", "fields", "naive"] = Field(
        default="watch", description="How two at once change it: WATCH, a script, field by field, or read and write."
    )

    @model_validator(mode="after")
    def _can_be_changed_so(self) -> SessionKeys:
        if self.discipline == "fields" and self.encoding != "hash":
            raise ValueError(f"discipline fields is for hashes; the encoding is {self.encoding}")
        if self.discipline == "lua" and self.encoding == "pickle":
            raise ValueError("discipline lua: a script of Redis cannot read Python's pickle; use watch or naive")
        if self.discipline == "lua" and self.encoding != "hash":
            for what in _lost_by_scripts(self.value):
                raise ValueError(f"discipline lua: a script's cjson turns {what}, so that each update would damage it")
        return self


class CacheKeys(Keys):
    """Copies of rows, made by whoever reads first and deleted by whoever changes the row."""


class RedisBinding(Part):
    """An application's keys."""

    session: SessionKeys | None = Field(default=None, description="Sessions.")
    profile: CacheKeys | None = Field(default=None, description="The cached copy of a user's profile.")
    permissions: CacheKeys | None = Field(default=None, description="The cached permissions of a user.")


def escaped(text: str) -> str:
    """The pattern that only this text fits."""
    return _SPECIAL.sub(r"\\\1", text)


def _is_flat(envelope: Envelope) -> bool:
    template = envelope.template
    return (
        isinstance(template, dict)
        and len(envelope.path) == 1
        and envelope.as_text
        and all(isinstance(text, str | int | float) and not isinstance(text, bool) for text in template.values())
    )


def _lost_by_scripts(value: JsonValue) -> Iterator[str]:
    match value:
        case []:
            yield "an empty list into {}"
        case list():
            for inner in value:
                yield from _lost_by_scripts(inner)
        case dict():
            for inner in value.values():
                yield from _lost_by_scripts(inner)
        case int() | float() if float(f"{value:.{_DIGITS}g}") != value:
            yield f"{json.dumps(value)} into {value:.{_DIGITS}g}"
