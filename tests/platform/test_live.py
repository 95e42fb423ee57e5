"""Live updates, over server-sent events and over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from examples.platform.running import Platform
from tests.platform.conftest import new_thread, say


@asynccontextmanager
async def _stream(user: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The user's events over SSE, as a WebSocket would say them."""
    async with user.stream("GET", "/events") as reply:

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for event in EventSource(reply).aiter_sse():
                yield {"event": event.event, "id": int(event.id), "data": event.json()}

        yield events()


@asynccontextmanager
async def _socket(user: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """The user's events over a WebSocket."""
    url = str(user.base_url.copy_with(scheme="ws", path="/ws"))
    async with connect(url, additional_headers={"Authorization": user.headers["Authorization"]}) as socket:

        async def events() -> AsyncIterator[dict[str, Any]]:
            async for text in socket:
                yield json.loads(text)

        yield events()


WAYS = pytest.mark.parametrize("way", [_stream, _socket])


@WAYS
async def test_a_user_is_told_of_messages_in_their_order(ann: httpx.AsyncClient, way: Any) -> None:
    """Created, changed, deleted: each once, with increasing ids, from the moment the stream is open."""
    thread = await new_thread(ann)
    async with way(ann) as events:
        ids = await say(ann, thread, "one", "two\n\nlines ☃")
        await ann.patch(f"/threads/{thread}/messages/{ids[0]}", json={"metadata": {"seen": True}})
        await ann.delete(f"/threads/{thread}/messages/{ids[1]}")
        told = [await anext(events) for _ in range(4)]
    assert [event["event"] for event in told] == [
        *("message.created", "message.created", "message.updated", "message.deleted")
    ]
    assert [event["data"] for event in told] == [
        {"thread_id": thread, "message_id": ids[0], "content": "one", "metadata": {}},
        {"thread_id": thread, "message_id": ids[1], "content": "two\n\nlines ☃", "metadata": {}},
        {"thread_id": thread, "message_id": ids[0], "content": "one", "metadata": {"seen": True}},
        {"thread_id": thread, "message_id": ids[1], "content": "two\n\nlines ☃", "metadata": {}},
    ]
    numbers = [event["id"] for event in told]
    assert numbers == sorted(set(numbers))


@WAYS
async def test_an_announcement_reaches_every_stream_of_its_user_only(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient, way: Any
) -> None:
    """Both of Ann's streams have hers; Bob's has his."""
    async with way(ann) as first, way(ann) as second, way(bob) as his:
        assert (await ann.post("/announce", json={"text": "for Ann"})).status_code == 202
        assert (await bob.post("/announce", json={"text": "for Bob"})).status_code == 202
        told = [(await anext(events))["data"] for events in (first, second, his)]
    assert told == [{"text": "for Ann"}, {"text": "for Ann"}, {"text": "for Bob"}]


async def test_a_retry_is_told_once(ann: httpx.AsyncClient) -> None:
    """What is not written again is not said again."""
    thread = await new_thread(ann)
    async with _stream(ann) as events:
        for text in ("retried", "retried", "next"):
            message = {"role": "user", "content": text}
            await ann.post(f"/threads/{thread}/messages", json=message, headers={"Idempotency-Key": text})
        assert [(await anext(events))["data"]["content"] for _ in range(2)] == ["retried", "next"]


async def test_no_stream_without_a_token(platform: Platform) -> None:
    """Both ways answer 401."""
    async with httpx.AsyncClient(base_url=platform.url) as nobody:
        assert (await nobody.get("/events")).status_code == 401
    with pytest.raises(InvalidStatus) as refused:
        await connect(platform.url.replace("http", "ws") + "/ws").__aenter__()
    assert refused.value.response.status_code == 401
