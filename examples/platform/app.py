"""The service as a whole: every path, and who answers it."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from examples.platform import auth, live, openai_style, profiles, sessions, switches, threads
from examples.platform.answers import HANDLERS, Json
from examples.platform.service import Service
from examples.platform.switches import PREFIX, Weather


def create_app(service: Service) -> Starlette:
    """The platform's paths, over a service that is open."""
    app = Starlette(
        routes=[
            Route("/healthz", _healthy),
            Route("/auth/token", auth.token, methods=["POST"]),
            Route(PREFIX, switches.endpoint),
            Route(f"{PREFIX}/{{name}}", switches.endpoint, methods=["PUT", "DELETE"]),
            *threads.ROUTES,
            *profiles.ROUTES,
            *sessions.ROUTES,
            *live.ROUTES,
            *openai_style.ROUTES,
        ],
        middleware=[Middleware(Weather, switches=service.switches, delay=service.options.delay)],
        exception_handlers=HANDLERS,
    )
    app.state.service = service
    return app


async def _healthy(request: Request) -> Response:
    """Whether both stores answer; a 503 otherwise."""
    service: Service = request.app.state.service
    await service.database.fetchrow("SELECT 1")
    await service.redis.ping()
    return Json({"status": "ok"})
