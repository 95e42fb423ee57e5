"""Sessions in Redis: JSON under `session:{user_id}:{session_id}`, for an hour after the last request that used it.

Beside it `session_state:{user_id}` says which session was used last, and `user_backend:{user_id}` which process
served it. Neither a user nor a session id makes a key ambiguous: a session id has no colon.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import orjson
from pydantic import Field, JsonValue
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError
from starlette.responses import Response

from examples.platform.answers import Json, Refusal, bad, not_found
from examples.platform.calls import Body, Call, resource

LIFE_SECONDS: Final = 3600

_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")


class Session(Body):
    """What of a session can be written; it is replaced whole."""

    data: dict[str, JsonValue] = Field(default_factory=dict)


async def _create(call: Call) -> Response:
    session_id, now = f"sess_{uuid4().hex}", datetime.now(UTC)
    session = {
        "session_id": session_id,
        "user_id": call.user,
        "data": call.body(Session).data,
        "version": 1,
        "created_at": now,
        "updated_at": now,
    }
    async with call.service.redis.pipeline(transaction=True) as pipe:
        text = _write(pipe, call, session_id, session)
        await pipe.execute()
    return Json(text, HTTPStatus.CREATED)


async def _get(call: Call) -> Response:
    async with call.service.redis.pipeline(transaction=True) as pipe:
        pipe.get(_key(call, call.path("session_id")))
        pipe.expire(_key(call, call.path("session_id")), LIFE_SECONDS)
        found, _ = await pipe.execute()
    if found is None:
        raise not_found("session")
    return Json(found.encode())


async def _put(call: Call) -> Response:
    """Replace the data. With If-Match: VERSION only if nobody else did since then; otherwise the last writer wins."""
    data, expected = call.body(Session).data, call.request.headers.get("If-Match")
    if expected is not None and not (expected.isascii() and expected.strip('"').isdecimal()):
        raise bad("If-Match: expected the session's version")
    session_id = call.path("session_id")
    async with call.service.redis.pipeline(transaction=True) as pipe:
        while True:
            await pipe.watch(_key(call, session_id))
            found = await pipe.get(_key(call, session_id))
            if found is None:
                raise not_found("session")
            session = orjson.loads(found)
            if expected is not None and int(expected.strip('"')) != session["version"]:
                raise Refusal(HTTPStatus.CONFLICT, f"the session is at version {session['version']} already")
            session |= {"data": data, "version": session["version"] + 1, "updated_at": datetime.now(UTC)}
            pipe.multi()  # type: ignore[no-untyped-call]  # redis-py left this one out
            text = _write(pipe, call, session_id, session)
            try:
                await pipe.execute()
            except WatchError:
                continue  # somebody else was quicker
            return Json(text)


async def _delete(call: Call) -> Response:
    if not await call.service.redis.delete(_key(call, call.path("session_id"))):
        raise not_found("session")
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _write(pipe: Pipeline, call: Call, session_id: str, session: object) -> bytes:
    """Put a session and what stands beside it into a transaction; -> the session as JSON."""
    text = orjson.dumps(session)
    pipe.set(_key(call, session_id), text, ex=LIFE_SECONDS)
    state = {"session_id": session_id, "seen_at": datetime.now(UTC)}
    pipe.set(f"session_state:{call.user}", orjson.dumps(state), ex=LIFE_SECONDS)
    backend = {"process": os.getpid(), "port": call.request.url.port}
    pipe.set(f"user_backend:{call.user}", orjson.dumps(backend), ex=LIFE_SECONDS)
    return text


def _key(call: Call, session_id: str) -> str:
    if not _ID.fullmatch(session_id):
        raise not_found("session")
    return f"session:{call.user}:{session_id}"


ROUTES = (
    resource("/sessions", post=_create),
    resource("/sessions/{session_id}", get=_get, put=_put, delete=_delete),
)
