"""The pages for people: the state of everything, and each violation with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from monitor.core import advice
from monitor.core.verdict import worst
from monitor.core.violations import Stage
from monitor.exposition import Turns
from monitor.web import words
from monitor.web.daemon import Daemon
from monitor.web.picture import find_violation, pause_text, picture

REFRESH = 10
"""Seconds after which the status page loads itself again: there is no script on it."""


class Pages:
    """The endpoints for people."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= words.FILTERS

    def routes(self) -> list[Route]:
        """Its paths."""
        return [
            Route("/", self.status, methods=["GET"]),
            Route("/violations/{id}", self.violation, methods=["GET"]),
        ]

    async def status(self, _request: Request) -> Response:
        """Everything at a glance: what is broken first."""
        turns, pictures = Turns(), []
        for watched in list(self._daemon.environments().values()):
            pictures.append(picture(self._daemon, watched))
            await turns.give()
        standing = self._daemon.journal.standing()
        return await self._page(
            "status.html",
            root="./",
            refresh=REFRESH,
            pictures=pictures,
            probes=sorted({name for each in pictures for name in (*each.probes, *each.watched.left_out)}),
            verdict=worst(each.verdict for each in pictures),
            open=[kept for kept in standing if kept.stage is Stage.OPEN],
            acknowledged=[kept for kept in standing if kept.stage is Stage.ACKNOWLEDGED],
            notices=list(self._daemon.notices()),
            lacking=list(self._daemon.not_ready()),
            pauses={
                each.watched.name: pause_text(each.paused_until, self._daemon.clock.now())
                for each in pictures
                if each.paused_until
            },
        )

    async def violation(self, request: Request) -> Response:
        """One violation with its evidence."""
        kept = await find_violation(self._daemon, request.path_params["id"])
        watched = self._daemon.environments().get(kept.environment)
        probe = watched.probes.get(kept.probe) if watched else None
        return await self._page(
            "violation.html",
            root="../",
            refresh=None,
            kept=kept,
            next_step=advice.next_step(kept),
            ending=advice.ending(kept),
            promise=probe.promise() if probe else "",
            evidence=words.evidence(kept.evidence),
        )

    async def _page(self, template: str, **known: object) -> Response:
        """Render in turns, for a page of many environments takes a while."""
        common: Mapping[str, Any] = {
            "version": self._daemon.version,
            "location": self._daemon.location,
            "started": self._daemon.started,
            "now": self._daemon.clock.now(),
        }
        turns, pieces = Turns(), []
        for piece in self._templates.get_template(template).generate(**common, **known):
            pieces.append(piece)
            await turns.give()
        return HTMLResponse("".join(pieces).encode("utf-8", "replace"))
