"""The API below /api/v1: what is known, as JSON, and the few things that may be changed with the token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.core import duration
from monitor.core.verdict import Verdict
from monitor.core.violations import Stage
from monitor.exposition import Turns
from monitor.web import wire
from monitor.web.answers import Fault, Json, bad, missing, moment
from monitor.web.daemon import Daemon
from monitor.web.guard import Token, body
from monitor.web.picture import find_environment, find_probe, find_violation, picture
from monitor.web.query import LONGEST_LIST, Query

PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(days=30)
LONGEST_NOTE = 2000  # characters

Endpoint = Callable[[Request], Awaitable[Response]]


class Api:
    """Every endpoint below /api/v1."""

    def __init__(self, daemon: Daemon, token: Token) -> None:
        self._daemon = daemon
        self._token = token

    def routes(self) -> list[Route]:
        """Its paths."""
        environment = "/environments/{environment}"
        return [
            Route("/", self.index, methods=["GET"]),
            Route("/environments", self.environments, methods=["GET"]),
            Route(environment, self.environment, methods=["GET"]),
            Route(f"{environment}/pause", self._guarded(self.pause), methods=["POST"]),
            Route(f"{environment}/resume", self._guarded(self.resume), methods=["POST"]),
            Route(f"{environment}/probes/{{probe}}/run", self._guarded(self.run), methods=["POST"]),
            Route("/runs", self.runs, methods=["GET"]),
            Route("/violations", self.violations, methods=["GET"]),
            Route("/violations/{id}", self.violation, methods=["GET"]),
            Route("/violations/{id}/ack", self._guarded(self.acknowledge), methods=["POST"]),
        ]

    async def index(self, request: Request) -> Response:
        """What there is to ask for, and what somebody should mend about the daemon itself."""
        Query(request)
        routes = [route for route in self.routes() if route.path != "/"]
        return Json(
            {
                "version": self._daemon.version,
                "location": self._daemon.location,
                "started": moment(self._daemon.started),
                "notices": wire.notices(self._daemon.notices()),
                "endpoints": [
                    {"method": method, "path": f"/api/v1{route.path}", "token": method == "POST"}
                    for route in routes
                    for method in sorted((route.methods or set()) - {"HEAD"})
                ],
            }
        )

    async def environments(self, request: Request) -> Response:
        """Every environment as it stands now."""
        Query(request)
        turns, found = Turns(), []
        for watched in list(self._daemon.environments().values()):
            found.append(wire.environment(picture(self._daemon, watched)))
            await turns.give()
        return Json({"environments": found, "notices": wire.notices(self._daemon.notices())})

    async def environment(self, request: Request) -> Response:
        """One environment as it stands now."""
        Query(request)
        watched = find_environment(self._daemon, request.path_params["environment"])
        return Json(wire.environment(picture(self._daemon, watched)))

    async def runs(self, request: Request) -> Response:
        """The latest runs first."""
        query = Query(request, "environment", "probe", "verdict", "limit")
        environment, probe = query.text("environment"), query.text("probe")
        verdict, limit = query.one_of("verdict", Verdict), query.limit()
        found = await self._daemon.journal.runs(environment=environment, probe=probe, verdict=verdict, limit=limit)
        if not found:
            self._check_names(environment, probe)
        return Json({"runs": [wire.run(record) for record in found]})

    async def violations(self, request: Request) -> Response:
        """The latest opened first."""
        query = Query(request, "environment", "stage", "limit")
        environment, stages, limit = query.text("environment"), query.some_of("stage", Stage), query.limit(LONGEST_LIST)
        kept = await self._daemon.journal.violations(stages=stages)
        found = [each for each in kept if environment in (None, each.environment)]
        if not found:
            self._check_names(environment, None)
        return Json({"violations": [wire.violation(each) for each in found[:limit]]})

    async def violation(self, request: Request) -> Response:
        """One violation with its evidence."""
        Query(request)
        return Json(wire.violation_with_evidence(await find_violation(self._daemon, request.path_params["id"])))

    async def pause(self, request: Request) -> Response:
        """Run nothing against an environment for a while."""
        watched = find_environment(self._daemon, request.path_params["environment"])
        given = (await body(request, "for")).get("for")
        length = PAUSE if given is None else _pause(given)
        until = self._daemon.clock.now() + length
        await self._known(self._daemon.pause(watched.name, until), watched.name)
        return Json({"environment": watched.name, "paused_until": moment(until)})

    async def resume(self, request: Request) -> Response:
        """End a pause."""
        watched = find_environment(self._daemon, request.path_params["environment"])
        await body(request)
        await self._known(self._daemon.resume(watched.name), watched.name)
        return Json({"environment": watched.name, "paused_until": None})

    async def run(self, request: Request) -> Response:
        """Run a probe now, or join the run that is under way, and show how it ended."""
        watched = find_environment(self._daemon, request.path_params["environment"])
        probe = find_probe(watched, request.path_params["probe"])
        await body(request)
        try:
            record = await self._daemon.run_now(watched.name, probe.name)
        except KeyError:
            raise missing("environment", watched.name, self._daemon.environments()) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise Fault(
                503, "the run was cut off, for the daemon is stopping", do="ask again once it is back"
            ) from None
        return Json(wire.run_with_evidence(record))

    async def acknowledge(self, request: Request) -> Response:
        """Quieten a violation until its check passes again."""
        note = (await body(request, "note")).get("note", "")
        if not isinstance(note, str):
            raise bad("note", expected="text", found=note)
        if len(note) > LONGEST_NOTE:
            raise bad("note", expected=f"at most {LONGEST_NOTE} characters", found=f"{len(note)} characters")
        journal = self._daemon.journal
        found = await find_violation(self._daemon, request.path_params["id"])
        kept = await journal.acknowledge(found.id, note=note)
        if kept is None:
            when = f" at {moment(found.closed)}" if found.closed else ""
            raise Fault(409, f"the violation {found.id} was closed{when}", do="there is nothing left to acknowledge")
        self._daemon.metrics.standing(kept.environment, journal.standing(kept.environment))
        return Json(wire.violation_with_evidence(kept))

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        """The same, for whoever has the token."""

        async def guarded(request: Request) -> Response:
            self._token.check(request)
            Query(request)
            return await endpoint(request)

        return guarded

    async def _known(self, change: Awaitable[None], environment: str) -> None:
        try:
            await change
        except KeyError:  # it left the configuration while the request was under way
            raise missing("environment", environment, self._daemon.environments()) from None

    def _check_names(self, environment: str | None, probe: str | None) -> None:
        """Nothing was found: because of a slip in a name? What left the configuration may still have a history."""
        environments = self._daemon.environments()
        if environment is not None and environment not in environments:
            raise missing("environment", environment, environments)
        probes: Iterable[str] = {name for each in environments.values() for name in (*each.probes, *each.left_out)}
        if probe is not None and probe not in probes:
            raise missing("probe", probe, probes)


def _pause(given: object) -> timedelta:
    expected = "a length of time from 1s to 30d, such as 30m"
    if not isinstance(given, str):
        raise bad("for", expected=expected, found=given)
    try:
        length = duration.parse(given)
    except ValueError:
        raise bad("for", expected=expected, found=given) from None
    if not timedelta(seconds=1) <= length <= LONGEST_PAUSE:
        raise bad("for", expected=expected, found=given)
    return length
