"""Live updates: every user has a channel in Redis, so that it does not matter which process holds the stream.

An event has a name, an id that increases for each user, and JSON. What happens while a stream is not open is not
repeated: a client that connects again reads what it has missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import orjson
from redis.exceptions import RedisError
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket

from examples.platform.answers import Json, Refusal, as_refusal, refuse, unavailable
from examples.platform.calls import Body, Call, caller, resource
from examples.platform.database import Row
from examples.platform.service import Service

_LOG = logging.getLogger(__name__)
_HEARTBEAT = 1.0  # seconds; shows proxies that an idle stream lives, and us that its client does
_ANSWER = 2.0  # seconds in which a subscription is confirmed
_RESTARTING = 1012  # the WebSocket code for it

# In one script, so that ids arrive in their order whoever publishes.
_PUBLISH: Final = """
local id = redis.call('INCR', KEYS[1])
redis.call('PUBLISH', ARGV[1], id .. ' ' .. ARGV[2])
return id
"""


@dataclass(frozen=True, slots=True)
class Event:
    """What a user is told. `data` is JSON."""

    id: int
    name: str
    data: bytes

    def as_frame(self) -> bytes:
        """A server-sent event."""
        return b"event: %s\nid: %d\ndata: %s\n\n" % (self.name.encode(), self.id, self.data)

    def as_text(self) -> str:
        """A WebSocket message: one JSON object."""
        value = {"event": self.name, "id": self.id, "data": orjson.Fragment(self.data)}
        return orjson.dumps(value).decode()


async def publish(service: Service, user: str, name: str, *events: object) -> list[int]:
    """Tell all streams of a user, in this order; -> the ids of the events. Raises RedisError."""
    async with service.redis.pipeline(transaction=False) as pipe:
        for data in events:
            text = f"{name} {orjson.dumps(data).decode()}"
            pipe.eval(_PUBLISH, 1, f"event_id:{user}", _channel(user), text)
        return list(await pipe.execute())


async def tell_messages(service: Service, user: str, name: str, messages: Iterable[Row]) -> None:
    """Tell a user of messages that are stored. They stay stored where Redis is away: then only the telling is lost."""
    events = [
        {
            "thread_id": message["thread_id"],
            "message_id": message["id"],
            "content": message["content"],
            "metadata": message["metadata"],
        }
        for message in messages
    ]
    try:
        await publish(service, user, name, *events)
    except RedisError as error:
        _LOG.warning("%s was told nothing: %s", user, error)


@asynccontextmanager
async def subscribed(service: Service, user: str) -> AsyncIterator[AsyncIterator[Event | None]]:
    """The events of a user from now on, and None at every heartbeat; they end with the service."""
    async with service.redis.pubsub() as feed:
        await feed.subscribe(_channel(user))
        if await feed.get_message(timeout=_ANSWER) is None:
            raise unavailable("Redis does not confirm the subscription")

        async def events() -> AsyncIterator[Event | None]:
            while not service.ending.is_set():
                message = await feed.get_message(ignore_subscribe_messages=True, timeout=_HEARTBEAT)
                if message is None:
                    yield None
                else:
                    number, name, data = message["data"].split(" ", maxsplit=2)
                    yield Event(int(number), name, data.encode())

        yield events()


async def _stream(call: Call) -> Response:
    frames = _frames(call.service, call.user)
    opening = await anext(frames)  # only now it is subscribed, and may say 200

    async def whole() -> AsyncIterator[bytes]:
        yield opening
        async for frame in frames:
            yield frame

    return StreamingResponse(whole(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _frames(service: Service, user: str) -> AsyncIterator[bytes]:
    async with subscribed(service, user) as events:
        yield b": connected\n\n"
        async for event in events:
            yield b": \n\n" if event is None else event.as_frame()


async def _socket(socket: WebSocket) -> None:
    service: Service = socket.app.state.service
    async with AsyncExitStack() as stack:
        try:
            events = await stack.enter_async_context(subscribed(service, caller(service, socket)))
        except (Refusal, RedisError) as error:
            await socket.send_denial_response(refuse(socket.url.path, as_refusal(error)))
            return
        await socket.accept()
        sending = asyncio.create_task(_send(socket, events))
        try:
            async for _ in socket.iter_text():
                pass  # clients have nothing to say; this ends when they go
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError, RedisError):
                await sending


async def _send(socket: WebSocket, events: AsyncIterator[Event | None]) -> None:
    try:
        async for event in events:
            if event is not None:
                await socket.send_text(event.as_text())
    finally:
        await socket.close(_RESTARTING)


class Announcement(Body):
    """Something to say to oneself."""

    text: str


async def _announce(call: Call) -> Response:
    text = call.body(Announcement).text
    [number] = await publish(call.service, call.user, "announcement", {"text": text})
    return Json({"id": number}, HTTPStatus.ACCEPTED)


def _channel(user: str) -> str:
    return f"events:{user}"


ROUTES: tuple[BaseRoute, ...] = (
    resource("/events", get=_stream),
    resource("/announce", post=_announce),
    WebSocketRoute("/ws", _socket),
)
