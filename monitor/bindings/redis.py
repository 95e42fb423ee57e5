"""How an application keeps sessions and cached copies in Redis: templates of keys, encodings, times to live."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, JsonValue

from monitor.bindings.part import Part
from monitor.values import Length


class Keys(Part):
    """Keys of one kind."""

    key: str = Field(description="A template of the key, with {user_id} and, for sessions, {session_id}.")
    encoding: Literal["json", "hash", "redisjson", "pickle"] = Field(
        default="json", description="How the value is kept: json text, a hash's fields, RedisJSON, or Python's pickle."
    )
    value: JsonValue = Field(
        default=None, description="A template of the value, {payload} where the probe's own stands; none: that alone."
    )
    ttl: Length = Field(default=timedelta(hours=1), description="How long the application lets it live.")


class SessionKeys(Keys):
    """Sessions."""

    sliding: bool = Field(default=True, description="Whether each use begins the time to live anew.")
    discipline: Literal["watch", "lua", "fields", "naive"] = Field(
        default="watch", description="How two at once change it: WATCH, a script, field by field, or read and write."
    )


class CacheKeys(Keys):
    """Copies of rows, made by whoever reads first and deleted by whoever changes the row."""


class RedisBinding(Part):
    """An application's keys."""

    session: SessionKeys | None = Field(default=None, description="Sessions.")
    profile: CacheKeys | None = Field(default=None, description="The cached copy of a user's profile.")
    permissions: CacheKeys | None = Field(default=None, description="The cached permissions of a user.")
