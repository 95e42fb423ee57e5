"""The web application: which path leads where."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles

from monitor.ports import StateError
from monitor.web.answers import Fault, answer_fault, fault_of, wants_page
from monitor.web.api import Api
from monitor.web.daemon import Daemon
from monitor.web.guard import SafeHeaders, Token, protect
from monitor.web.health import Health
from monitor.web.operations import PREFIX
from monitor.web.pages import Pages
from monitor.web.pieces import PIECE
from monitor.web.runbooks import Runbooks

HERE = Path(__file__).parent
_KEPT_BY_BROWSERS = ("text/css", "text/javascript", "application/javascript", "image/svg+xml")


def create_app(daemon: Daemon, *, token: str | Token | None, stop: asyncio.Event | None = None) -> Starlette:
    """The application that shows a daemon. `token` guards what changes anything; without one nothing can be changed.

    Whoever may renew it keeps it as a Token. `stop` ends the streams of events, or they would hold up the end of the
    server.
    """
    guard = token if isinstance(token, Token) else Token(token)
    pages = Pages(daemon, guard)
    routes = Api(daemon, guard, stop=stop or asyncio.Event()).routes()

    async def refuse(request: Request, error: Exception) -> Response:
        fault = fault_of(request, error)
        return await pages.fault(request, fault) if wants_page(request) else answer_fault(request, fault)

    app = Starlette(
        routes=[
            *pages.routes(),
            *Runbooks(pages.page).routes(),
            *Health(daemon).routes(),
            Route(PREFIX, routes[0].endpoint, methods=["GET"]),  # the index, also without a slash at its end
            Mount(PREFIX, Router(routes, redirect_slashes=False)),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[
            Middleware(SafeHeaders),
            Middleware(
                GZipMiddleware,
                minimum_size=1024,
                compresslevel=1,  # 750 MB/s, and a twentieth is left: less work than to send the rest
                thread_minimum_size=8 * PIECE,
                exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, *_KEPT_BY_BROWSERS),
            ),
        ],
        exception_handlers={Fault: refuse, HTTPException: refuse, StateError: refuse, Exception: _crashed},
    )
    app.router.redirect_slashes = False  # a redirect would repeat whatever the Host header says
    return app


def _crashed(request: Request, error: Exception) -> Response:
    """Starlette answers a crash outside the middleware, so the headers are put on here."""
    response = answer_fault(request, fault_of(request, error))
    protect(MutableHeaders(raw=response.raw_headers), path=request.url.path)
    return response
