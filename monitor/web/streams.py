"""A response that goes on: it ends with its client, with the daemon, or when nobody reads it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from monitor.web.events import LOOK, Events, Subscription

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent: proxies cut what is silent for a minute or half of one."""
PATIENCE = 10.0
"""Seconds that a client may take to read what was sent before it counts as gone."""
_GATHER = 0.05  # seconds in which events are gathered, so that a hundred of them are not a hundred packets
_LAST = 0.1  # seconds for the end of a stream when the daemon stops


class EventStream(Response):
    """The events of one subscription, which ends with the response."""

    media_type = "text/event-stream"

    def __init__(self, events: Events, client: Subscription) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})  # or nginx keeps them
        del self.headers["content-length"]
        self._events, self._client = events, client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until something ends it."""
        head = scope["method"] == "HEAD"
        tasks = {
            "body": asyncio.create_task(self._body(send, head=head)),
            "gone": asyncio.create_task(_gone(receive)),
            "stop": asyncio.create_task(self._events.stop.wait()),
        }
        try:
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._events.leave(self._client)
            for task in tasks.values():
                task.cancel()
            ended = dict(zip(tasks, await asyncio.gather(*tasks.values(), return_exceptions=True), strict=True))
        if not tasks["stop"].cancelled() and isinstance(ended["body"], asyncio.CancelledError):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST):
                    await send(_body(b"", more=False))
        if isinstance(ended["body"], Exception) and not isinstance(ended["body"], TimeoutError):
            raise ended["body"]

    async def _body(self, send: Send, *, head: bool) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        loop = asyncio.get_running_loop()
        sent = loop.time()
        while not head:
            lost, waiting = self._client.lost, self._client.take()
            if not waiting and loop.time() - sent >= HEARTBEAT:
                waiting = self._events.beat()
            if waiting:
                async with asyncio.timeout(PATIENCE):
                    await send(_body(waiting, more=True))
                sent = loop.time()
            if lost:
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):  # wait_for forgets a cancellation that comes with the event
                    await self._client.wake.wait()
                await asyncio.sleep(_GATHER)
            await self._events.look()
        await send(_body(b"", more=False))


async def _gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(content: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}
