"""The API below /api/v1: what is known, as JSON, and the few things that may be changed with the token."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.core.rollup import DAY, HOUR, floor
from monitor.core.verdict import Verdict
from monitor.core.violations import Stage
from monitor.exposition import Turns
from monitor.web import shapes, wire
from monitor.web.answers import Fault, Json, bad, missing, moment
from monitor.web.changes import LONGEST_NOTE, acknowledge
from monitor.web.daemon import Daemon
from monitor.web.events import Events, Topic
from monitor.web.guard import Token, body
from monitor.web.listing import LARGEST, SIZE, Wanted
from monitor.web.operations import PREFIX, Operation, Param
from monitor.web.picture import find_environment, find_probe, find_violation, overview, picture
from monitor.web.pieces import listing
from monitor.web.query import LONGEST_LIST, LONGEST_PAGE, LONGEST_SEARCH, Query, choose, length_of_time, parse_length
from monitor.web.streams import EventStream


class Span(StrEnum):
    """What rollups are of."""

    HOUR = "1h"
    DAY = "1d"


PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(days=30)

_TEXT: Mapping[str, Any] = {"type": "string", "minLength": 1}
ENVIRONMENT = Param(name="environment", about="The name of an environment.", schema=_TEXT, example="production")
PROBE = Param(name="probe", about="The name of a probe.", schema=_TEXT, example="thread")
RUN = Param(name="id", about="The whole id of a run.", schema=_TEXT, example="01980c2e-8f6e-7000-8000-31dab60df79b")
VIOLATION = Param(name="id", about="An id, or its unmistakable beginning.", schema=_TEXT, example="01980c2e-8f6e")
VERDICT = Param(name="verdict", about="Only these.", schema={"enum": [*Verdict]}, example="violated")
LIMIT = Param(
    name="limit", about="How many at the most.", schema={"type": "integer", "minimum": 1, "maximum": LONGEST_LIST}
)
STAGE = Param(
    name="stage", about="Only in these stages.", schema={"type": "array", "items": {"enum": [*Stage]}}, example=["open"]
)
SEARCH = (
    Param(
        name="q",
        about="Words that must all occur in the name, or in a label as in tier:critical.",
        schema={"type": "string", "maxLength": LONGEST_SEARCH},
        example="eu tier:critical",
    ),
    Param(name="verdict", about="Only what stands so now.", schema={"enum": ["", *Verdict]}, example="violated"),
    Param(name="page", about="From 1.", schema={"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE}),
    Param(
        name="size",
        about=f"Environments on a page; {SIZE} where something else is asked for, else all.",
        schema={"type": "integer", "minimum": 1, "maximum": LARGEST},
    ),
)
TYPES = Param(
    name="types",
    about="Only these, with commas between them.",
    schema={"type": "string", "pattern": f"^({'|'.join(Topic)})(,({'|'.join(Topic)}))*$"},
    example="violation,environment",
)
LENGTH = Param(name="length", about="By the hour or by the day; an hour unless said.", schema={"enum": [*Span]})
SINCE = Param(
    name="since",
    about="From how long ago: a day of hours, or 30 days, unless said.",
    schema={"type": "string", "pattern": "^[1-5][0-9]?(h|d)$"},
    example="30d",
)
LONGEST_PAST = {HOUR: timedelta(days=60), DAY: timedelta(days=800)}
_AT_ONCE = 40  # rollups between two turns of the loop
_LENGTHS = {Span.HOUR: HOUR, Span.DAY: DAY}
_USUAL = {HOUR: timedelta(days=1), DAY: timedelta(days=30)}
_FOR = {
    "type": "object",
    "properties": {"for": {"type": "string", "pattern": "^[1-9][0-9]?(s|m|h)$", "examples": ["30m"]}},
    "additionalProperties": False,
}
_NOTE = {
    "type": "object",
    "properties": {"note": {"type": "string", "maxLength": LONGEST_NOTE, "examples": ["restore under way, see #412"]}},
    "additionalProperties": False,
}
_NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}


class Api:
    """Every endpoint below /api/v1."""

    def __init__(self, daemon: Daemon, token: Token, *, stop: asyncio.Event) -> None:
        self._daemon = daemon
        self._token = token
        self._events = Events(daemon, stop)
        self._document: bytes | None = None

    def routes(self) -> list[Route]:
        """Its paths."""
        return [operation.route(self._token) for operation in self.operations()]

    def operations(self) -> tuple[Operation, ...]:
        """All that can be asked."""
        one, violation = "/environments/{environment}", "/violations/{id}"
        here: dict[str, Any] = {"named": (ENVIRONMENT,), "faults": (404,)}
        return (
            Operation(path="/", answer=self.index, gives=shapes.Index),
            Operation(path="/environments", answer=self.environments, gives=shapes.Environments, params=SEARCH),
            Operation(path=one, answer=self.environment, gives=shapes.Environment, **here),
            Operation(
                path=f"{one}/rollups",
                answer=self.rollups,
                gives=shapes.Rollups,
                named=(ENVIRONMENT,),
                params=(PROBE, LENGTH, SINCE),
                faults=(404, 503),
            ),
            Operation(path=f"{one}/pause", answer=self.pause, gives=shapes.Pause, body=_FOR, post=True, **here),
            Operation(path=f"{one}/resume", answer=self.resume, gives=shapes.Pause, body=_NOTHING, post=True, **here),
            Operation(
                path=f"{one}/probes/{{probe}}/run",
                answer=self.run,
                gives=shapes.RunWithEvidence,
                named=(ENVIRONMENT, PROBE),
                body=_NOTHING,
                faults=(404, 503),
                post=True,
            ),
            Operation(
                path="/runs",
                answer=self.runs,
                gives=shapes.Runs,
                params=(ENVIRONMENT, PROBE, VERDICT, LIMIT),
                faults=(404, 503),
            ),
            Operation(path="/runs/{id}", answer=self.one_run, gives=shapes.Run, named=(RUN,), faults=(404, 503)),
            Operation(
                path="/violations",
                answer=self.violations,
                gives=shapes.Violations,
                params=(ENVIRONMENT, STAGE, LIMIT),
                faults=(404, 503),
            ),
            Operation(
                path=violation,
                answer=self.violation,
                gives=shapes.ViolationWithEvidence,
                named=(VIOLATION,),
                faults=(404, 503),
            ),
            Operation(
                path=f"{violation}/ack",
                answer=self.acknowledge,
                gives=shapes.ViolationWithEvidence,
                named=(VIOLATION,),
                body=_NOTE,
                faults=(404, 409, 503),
                post=True,
            ),
            Operation(
                path="/events",
                answer=self.events,
                params=(ENVIRONMENT, TYPES),
                faults=(404, 503),
                events={
                    "hello": shapes.Hello,
                    "run": shapes.Run,
                    "violation": shapes.ViolationChanged,
                    "environment": shapes.EnvironmentChanged,
                    "reset": shapes.Reset,
                },
            ),
            Operation(path="/openapi.json", answer=self.openapi),
        )

    async def index(self, _request: Request, _query: Query) -> Response:
        """What there is to ask for, and what somebody should mend about the daemon itself."""
        index: shapes.Index = {
            "version": self._daemon.version,
            "location": self._daemon.location,
            "started": moment(self._daemon.started),
            "notices": wire.notices(self._daemon.notices()),
            "endpoints": [
                {"method": operation.method, "path": f"{PREFIX}{operation.path}", "token": operation.post}
                for operation in self.operations()
                if operation.path != "/"
            ],
        }
        return Json(index)

    async def openapi(self, _request: Request, _query: Query) -> Response:
        """The API as an OpenAPI document."""
        if self._document is None:  # made of what pydantic takes long to import and to look at
            self._document = await asyncio.to_thread(self._describe)
        return Response(self._document, media_type="application/json")

    def _describe(self) -> bytes:
        from monitor.web.openapi import document  # noqa: PLC0415  who never asks does not wait for it

        return Json.dump(document(self.operations(), version=self._daemon.version)) + b"\n"

    async def environments(self, request: Request, query: Query) -> Response:
        """Every environment as it stands now, or those that are sought.

        All of them in the order of the configuration where nothing is asked for, else the worst first, by pages.
        """
        wanted = query.wanted()
        if not any(request.query_params.values()):
            wanted = Wanted(size=max(1, len(self._daemon.environments())), ranked=False)
        listed, found = await overview(self._daemon, wanted, Turns())
        about = {
            "notices": wire.notices(self._daemon.notices()),
            "total": listed.total,
            "matching": listed.matching,
            "page": wanted.page,
            "pages": listed.pages,
            "counts": listed.counts,
        }
        shown = (wire.environment(picture(self._daemon, watched)) for watched in found)
        return await listing("environments", shown, about)

    async def environment(self, request: Request, _query: Query) -> Response:
        """One environment as it stands now."""
        watched = find_environment(self._daemon, request.path_params["environment"])
        return Json(wire.environment(picture(self._daemon, watched)))

    async def rollups(self, request: Request, query: Query) -> Response:
        """What the runs of an environment came to by the hour or the day: how they ended, and how long each step took.

        The hour or day that is under way is not among them.
        """
        watched = find_environment(self._daemon, request.path_params["environment"])
        probe, length = query.text("probe"), _LENGTHS[query.one_of("length", Span) or Span.HOUR]
        if probe is not None:
            self._check_names(None, probe)
        until = self._daemon.clock.now()
        since = floor(until - query.length("since", _USUAL[length], most=LONGEST_PAST[length]), length)
        step = length * (_AT_ONCE if probe else max(1, _AT_ONCE // max(1, len(watched.probes))))
        found, begin = list[shapes.Rollup](), since
        while begin < until:  # in parts, for each is decoded between two turns of the loop
            end = min(begin + step, until)
            some = await self._daemon.rollups(watched.name, probe, length=length, since=begin, until=end)
            found.extend(map(wire.rollup, some))
            begin = end
        about = {"environment": watched.name, "length_seconds": length.total_seconds(), "since": moment(since)}
        return await listing("rollups", found, about)

    async def events(self, request: Request, query: Query) -> Response:
        """What happens, as it happens: server-sent events.

        `hello` comes first, then `run`, `violation` and `environment` as they are asked for. Who sends the
        Last-Event-ID hears what was missed, or `reset` where too much was.
        """
        environment, types = query.text("environment"), query.text("types")
        if environment is not None:
            find_environment(self._daemon, environment)
        topics = tuple(Topic) if types is None else tuple(choose("types", each, Topic) for each in types.split(","))
        after = request.headers.get("last-event-id")
        return EventStream(
            self._events, await self._events.subscribe(topics=topics, environment=environment, after=after)
        )

    async def runs(self, _request: Request, query: Query) -> Response:
        """The latest runs first."""
        environment, probe = query.text("environment"), query.text("probe")
        verdict, limit = query.one_of("verdict", Verdict), query.limit()
        found = await self._daemon.journal.runs(environment=environment, probe=probe, verdict=verdict, limit=limit)
        if not found:
            self._check_names(environment, probe)
        return await listing("runs", map(wire.run, found), {})

    async def one_run(self, request: Request, _query: Query) -> Response:
        """One run, without the evidence of what it found, which its violation has."""
        id_ = request.path_params["id"]
        record = await self._daemon.journal.run(id_)
        if record is None:
            raise Fault(404, f"there is no run {id_[:64]!r}", do="GET /api/v1/runs lists the latest")
        return Json(wire.run(record))

    async def violations(self, _request: Request, query: Query) -> Response:
        """The latest opened first."""
        environment, stages, limit = query.text("environment"), query.some_of("stage", Stage), query.limit(LONGEST_LIST)
        kept = await self._daemon.journal.violations(stages=stages)
        found = [each for each in kept if environment in (None, each.environment)]
        if not found:
            self._check_names(environment, None)
        return await listing("violations", map(wire.violation, found[:limit]), {})

    async def violation(self, request: Request, _query: Query) -> Response:
        """One violation with its evidence."""
        return Json(wire.violation_with_evidence(await find_violation(self._daemon, request.path_params["id"])))

    async def pause(self, request: Request, _query: Query) -> Response:
        """Run nothing against an environment for a while."""
        watched = find_environment(self._daemon, request.path_params["environment"])
        given = (await body(request, "for")).get("for")
        length = PAUSE if given is None else _pause(given)
        until = self._daemon.clock.now() + length
        await self._known(self._daemon.pause(watched.name, until), watched.name)
        self._events.changed(watched.name)
        return Json({"environment": watched.name, "paused_until": moment(until)})

    async def resume(self, request: Request, _query: Query) -> Response:
        """End a pause."""
        watched = find_environment(self._daemon, request.path_params["environment"])
        await body(request)
        await self._known(self._daemon.resume(watched.name), watched.name)
        self._events.changed(watched.name)
        return Json({"environment": watched.name, "paused_until": None})

    async def run(self, request: Request, _query: Query) -> Response:
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

    async def acknowledge(self, request: Request, _query: Query) -> Response:
        """Quieten a violation until its check passes again."""
        note = (await body(request, "note")).get("note", "")
        if not isinstance(note, str):
            raise bad("note", expected="text", found=note)
        found = await find_violation(self._daemon, request.path_params["id"])
        return Json(wire.violation_with_evidence(await acknowledge(self._daemon, found, note)))

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
    if not isinstance(given, str):
        raise bad("for", expected=length_of_time(LONGEST_PAUSE), found=given)
    return parse_length("for", given, most=LONGEST_PAUSE)
