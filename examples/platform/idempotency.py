"""A request that is sent twice with the same Idempotency-Key is done once, and answered twice."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.responses import Response

from examples.platform.answers import Json, bad
from examples.platform.calls import Call
from examples.platform.database import Queries
from examples.platform.switches import Switch

_LONGEST_KEY = 200


async def once(
    call: Call, thread_id: str, write: Callable[[Queries], Awaitable[object]], *, status: HTTPStatus
) -> Response:
    """Do `write` in a transaction, and answer with what it returns; or only answer, as at the first time.

    The key is written in the transaction of the work: neither is there without the other, and of two requests at the
    same time the second waits for the first. The same key for another request is a 422. Keys go with their thread.
    """
    key = call.request.headers.get("Idempotency-Key")
    async with call.service.database.transaction() as transaction:
        if key is None or call.service.switches.on(Switch.DOUBLES_ON_RETRY):
            return Json(await write(transaction), status)
        if not 0 < len(key) <= _LONGEST_KEY:
            raise bad(f"Idempotency-Key: expected 1 to {_LONGEST_KEY} characters, found {len(key)}")
        fingerprint = hashlib.sha256(f"{call.request.method} {call.request.url.path}\n".encode() + call.raw).digest()
        first = await transaction.fetchrow(
            "INSERT INTO idempotency_keys (user_id, key, fingerprint, thread_id) VALUES ($1, $2, $3, $4)"
            " ON CONFLICT DO NOTHING RETURNING key",
            *(call.user, key, fingerprint, thread_id),
        )
        if first is None:
            return await _again(transaction, call.user, key, fingerprint, status=status)
        reply = Json(await write(transaction), status)
        await transaction.fetchrow(
            "UPDATE idempotency_keys SET answer = $3 WHERE user_id = $1 AND key = $2",
            *(call.user, key, bytes(reply.body).decode()),
        )
        return reply


async def _again(transaction: Queries, user: str, key: str, fingerprint: bytes, *, status: HTTPStatus) -> Response:
    kept = await transaction.fetchrow(
        "SELECT fingerprint, answer FROM idempotency_keys WHERE user_id = $1 AND key = $2", user, key
    )
    if kept is None or kept["fingerprint"] != fingerprint:
        raise bad("Idempotency-Key: it was used for another request")
    return Json(kept["answer"].encode(), status, {"Idempotent-Replayed": "true"})
