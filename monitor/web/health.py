"""What other machines ask: is it alive, is it ready, is an environment well, and the metrics."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monitor.exposition import Exposition, choose
from monitor.web import wire
from monitor.web.answers import Json
from monitor.web.daemon import Daemon
from monitor.web.picture import find_environment, picture
from monitor.web.pieces import answer

STALLED = 5.0
"""Seconds without a turn of the loop after which the daemon is called dead."""


class Health:
    """The endpoints for probes of an orchestrator, load balancers and Prometheus."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._exposition = Exposition(daemon.metrics.registry)

    def routes(self) -> list[Route]:
        """Its paths."""
        return [
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/healthz", self.alive, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/health/{environment}", self.environment, methods=["GET"]),
        ]

    async def alive(self, _request: Request) -> Response:
        """200 while the loop turns."""
        stalled = self._daemon.stalled()
        if stalled < STALLED:
            return PlainTextResponse("alive\n")
        return PlainTextResponse(f"the loop has not turned for {stalled:.1f} s\n", status_code=503)

    async def ready(self, _request: Request) -> Response:
        """200 once nothing is missing, else 503 with a line for each thing that is."""
        lacking = self._daemon.not_ready()
        if not lacking:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n" + "".join(f"- {each}\n" for each in lacking), status_code=503)

    async def environment(self, request: Request) -> Response:
        """200 while the worst of the latest verdicts is ok or slow, else 503; what is wrong, for people on call."""
        of = picture(self._daemon, find_environment(self._daemon, request.path_params["environment"]))
        return Json(wire.health(of), status_code=200 if of.well else 503)

    async def metrics(self, request: Request) -> Response:
        """Every series, in the format that the scraper prefers."""
        openmetrics, content_type = choose(",".join(request.headers.getlist("accept")))
        registry = self._daemon.metrics.registry
        if self._exposition.registry is not registry:  # a new configuration brought new labels or bounds
            self._exposition = Exposition(registry)
        page = self._exposition.parts(openmetrics=openmetrics)
        return await answer(page, headers={"content-type": content_type, "vary": "accept"})
