"""Profiles: a row in PostgreSQL, and a copy in Redis that is made by who reads it first (cache-aside)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Final

import orjson
from pydantic import Field, JsonValue
from redis.exceptions import WatchError
from starlette.responses import Response

from examples.platform.answers import Json, Refusal, not_found
from examples.platform.calls import Body, Call, resource
from examples.platform.service import Service
from examples.platform.switches import Switch

COPY_SECONDS: Final = 1800

_READ: Final = "SELECT * FROM user_profiles WHERE user_id = $1"
_WRITE: Final = """
INSERT INTO user_profiles AS old (user_id, auth_data, permissions, subscription_tier) VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id) DO UPDATE SET auth_data = $2, permissions = $3, subscription_tier = $4,
    updated_at = greatest(clock_timestamp(), old.updated_at + interval '1 microsecond')
RETURNING *
"""
_LOGGED_IN: Final = "UPDATE user_profiles SET last_login = clock_timestamp() WHERE user_id = $1 RETURNING user_id"


class Profile(Body):
    """What of a profile can be written; it is replaced whole."""

    auth_data: dict[str, JsonValue] = Field(default_factory=dict)
    permissions: list[JsonValue] = Field(default_factory=list)
    subscription_tier: str = "free"


async def logged_in(service: Service, user: str) -> None:
    """Remember the moment, if the user has a profile."""
    if await service.database.fetchrow(_LOGGED_IN, user) is not None:
        await _drop_copy(service, user)


def _key(service: Service, user: str) -> str:
    return "user_data:me" if service.switches.on(Switch.CACHE_WITHOUT_USER) else f"user_data:{user}"


async def _load(service: Service, user: str) -> bytes:
    """The copy if there is one, else the row, of which then a copy is kept.

    The key is watched while the row is read: where the profile is changed meanwhile, `_drop_copy` touches the key,
    and what was read is not kept, because it may be old.
    """
    key = _key(service, user)
    copy = await service.redis.get(key)
    if copy is not None:
        return str(copy).encode()
    async with service.redis.pipeline() as pipe:
        await pipe.watch(key)
        row = await service.database.fetchrow(_READ, user)
        if row is None:
            raise not_found("profile")
        profile = orjson.dumps(dict(row))
        pipe.multi()  # type: ignore[no-untyped-call]  # redis-py left this one out
        pipe.set(key, profile, ex=COPY_SECONDS)
        with suppress(WatchError):
            await pipe.execute()
        return profile


async def _store(service: Service, user: str, profile: Profile) -> Mapping[str, object]:
    """Write the row; the copy is dropped after it, and before: nothing is written where the cache cannot be told."""
    await _drop_copy(service, user)
    row = await service.database.fetchrow(
        _WRITE, *(user, profile.auth_data, profile.permissions, profile.subscription_tier)
    )
    await _drop_copy(service, user)
    return dict(row or {})


async def _drop_copy(service: Service, user: str) -> None:
    """Invalidate. To delete a key that is not there would not touch it; hence it is written first."""
    if service.switches.on(Switch.NEVER_INVALIDATES):
        return
    key = _key(service, user)
    async with service.redis.pipeline(transaction=True) as pipe:
        pipe.set(key, "", ex=1)
        pipe.delete(key)
        await pipe.execute()


def _whose(call: Call) -> str:
    """Whose profile the path means: the caller's, always."""
    user = str(call.request.path_params.get("user_id", call.user))
    if user != call.user and not call.service.switches.on(Switch.TRUSTS_THE_PATH):
        raise Refusal(HTTPStatus.FORBIDDEN, "this is another user's profile")
    return user


async def _get(call: Call) -> Response:
    return Json(await _load(call.service, _whose(call)))


async def _put(call: Call) -> Response:
    return Json(await _store(call.service, _whose(call), call.body(Profile)))


ROUTES = (
    resource("/me/profile", get=_get, put=_put),
    resource("/users/{user_id}/profile", get=_get, put=_put),
)
