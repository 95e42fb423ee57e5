"""Switches that put a real bug into the running service, each at the one place where teams really have it.

`PUT` and `DELETE /_switches/NAME` turn one on and off for this process, for who sends the token of --admin.
"""

from __future__ import annotations

import asyncio
import secrets
from enum import StrEnum
from http import HTTPStatus

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.platform.answers import Json, not_found, refuse, unavailable

PREFIX = "/_switches"


class Switch(StrEnum):
    """A bug, or a sort of bad weather."""

    FORGETS_WHERE = "forgets-where"  # lists and reads of threads forget WHERE user_id = …
    TRUSTS_THE_PATH = "trusts-the-path"  # nobody checks that the id in the path is the caller's
    CACHE_WITHOUT_USER = "cache-without-user"  # one cache key for everybody's profile
    NEVER_INVALIDATES = "never-invalidates"  # a changed profile leaves the old copy in the cache
    LOSES_NEWEST_PAGE = "loses-newest-page"  # a list of messages begins one page too late
    DOUBLES_ON_RETRY = "doubles-on-retry"  # Idempotency-Key is ignored
    ANOTHERS_REPLY = "anothers-reply"  # replies are cached by path, and now and then the wrong user gets one
    SLOW = "slow"  # every answer takes --delay longer
    DOWN = "down"  # every answer is 503


class Switches:
    """Which switches are on. None is at the start."""

    def __init__(self) -> None:
        self._on: set[Switch] = set()

    def on(self, *switches: Switch) -> bool:
        """Whether any of these is on."""
        return not self._on.isdisjoint(switches)

    def turn(self, switch: Switch, *, on: bool) -> None:
        """Turn one on or off; twice is as once."""
        if on:
            self._on.add(switch)
        else:
            self._on.discard(switch)

    def state(self) -> dict[str, bool]:
        """Every switch by its name."""
        return {switch.value: switch in self._on for switch in Switch}


class Weather:
    """Before the whole service: makes it slow, or down. Switches can always be reached."""

    def __init__(self, app: ASGIApp, *, switches: Switches, delay: float) -> None:
        self._app = app
        self._switches = switches
        self._delay = delay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if the weather permits."""
        if scope["type"] in {"http", "websocket"} and not scope["path"].startswith(PREFIX):
            if self._switches.on(Switch.SLOW):
                await asyncio.sleep(self._delay)
            if self._switches.on(Switch.DOWN):
                await refuse(scope["path"], unavailable("the platform is down"))(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def endpoint(request: Request) -> Response:
    """Show all switches, or turn one."""
    switches: Switches = request.app.state.service.switches
    _must_be_admin(request, request.app.state.service.options.admin)
    if request.method in {"PUT", "DELETE"}:
        name = request.path_params["name"]
        if name not in set(Switch):
            raise not_found(f"switch; there are {', '.join(Switch)}")
        switches.turn(Switch(name), on=request.method == "PUT")
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return Json(switches.state())


def _must_be_admin(connection: HTTPConnection, token: str | None) -> None:
    given = connection.headers.get("X-Admin", "")
    if token is None or not secrets.compare_digest(given.encode(), token.encode()):
        raise not_found("page")
