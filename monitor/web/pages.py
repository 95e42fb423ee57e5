"""The pages for people: everything at a glance, an environment, a violation with its evidence, and a run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from monitor import charts
from monitor.core import advice
from monitor.core.meanings import BROKEN, UNTOLD
from monitor.core.recent import p99
from monitor.core.record import RunRecord
from monitor.core.verdict import Verdict
from monitor.core.violations import KeptViolation, Stage
from monitor.exposition import Turns
from monitor.ports import StateError
from monitor.web import changes, guidance, markdown, words
from monitor.web.answers import Fault, shown
from monitor.web.daemon import Daemon
from monitor.web.difference import compared
from monitor.web.guard import Token
from monitor.web.history import Past, Range, past
from monitor.web.listing import Wanted
from monitor.web.picture import Picture, find_environment, find_violation, overview, pause_text, picture
from monitor.web.query import Query

REFRESH = 15
"""Seconds after which a browser without JavaScript loads a page again."""
SHOWN = 20
"""Violations, runs and failures that a page lists; the API has the others."""
_FEW = 6
"""Violations that stand above the environments at once: where many are broken, who is on call wants to know which."""
_PHONE, _ENVIRONMENT, _CELL = 48, 20, 6.25
"""Widths in rem, as in the style sheet: a window in which not every column has room shows cards instead of a table."""

_SHARED = ("base.html", "parts.html")
_AT_ONCE = 64  # bits of a template between two looks at the clock: a tenth of a millisecond
_SPARKLINES = 1024
"""As many are kept as drawn, 3 MB: most on a page are the same when it is fetched again."""

T = TypeVar("T")


class Pages:
    """The endpoints for people."""

    def __init__(self, daemon: Daemon, token: Token) -> None:
        self._daemon = daemon
        self._token = token
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,  # a page of one version with the words of another would be neither
        )
        self._templates.filters |= words.FILTERS
        self._templates.globals |= {
            "spark": lru_cache(_SPARKLINES)(_spark),
            "p99": p99,
            "broken": BROKEN,
            "untold": UNTOLD,
            "verdicts": [*reversed(Verdict)],
            "plural": words.plural,
        }

        self._compiled: dict[str, Template] = {}

    def routes(self) -> list[Route]:
        """Its paths."""
        return [
            Route("/", self.status, methods=["GET"]),
            Route("/environments/{environment}", self.environment, methods=["GET"]),
            Route("/violations/{id}.md", self.as_markdown, methods=["GET"]),
            Route("/violations/{id}", self.violation, methods=["GET"]),
            Route("/violations/{id}", self.acknowledge, methods=["POST"]),
            Route("/runs/{id}", self.run, methods=["GET"]),
        ]

    async def status(self, request: Request) -> Response:
        """Everything at a glance: what is broken first."""
        wanted = Query(request, "q", "verdict", "page", "size").wanted()
        turns, pictures = Turns(), list[Picture]()
        listing, found = await overview(self._daemon, wanted, turns)
        for watched in found:
            pictures.append(picture(self._daemon, watched))
            await turns.give()
        standing = self._daemon.journal.standing()
        probes = sorted({name for each in pictures for name in (*each.probes, *each.watched.left_out)})
        stands = {stage: [kept for kept in standing if kept.stage is stage] for stage in Stage}
        return await self.page(
            "status.html",
            root="./",
            refresh=REFRESH,
            topics="violation,environment",
            listing=listing,
            pictures=pictures,
            recent=self._daemon.journal.recent,
            probes=probes,
            narrow=max(_PHONE, _ENVIRONMENT + _CELL * len(probes)),
            open=stands[Stage.OPEN],
            acknowledged=stands[Stage.ACKNOWLEDGED],
            few=_FEW,
            most=SHOWN,
            address=_address(wanted),
            notices=list(self._daemon.notices()),
            lacking=list(self._daemon.not_ready()),
        )

    async def environment(self, request: Request) -> Response:
        """One environment: what each probe promises, how it stands, and how long its steps took."""
        query = Query(request, "range")
        chosen = (query.one_of("range", Range) if any(request.query_params.getlist("range")) else None) or Range.HOUR
        watched = find_environment(self._daemon, request.path_params["environment"])
        of, journal, troubles = picture(self._daemon, watched), self._daemon.journal, list[str]()
        nothing = Past(steps={name: {} for name in watched.probes}, propagation={})
        history = await _or(nothing, past(self._daemon, watched, chosen, Turns()), troubles)
        latest = await _or([], journal.runs(environment=watched.name, limit=SHOWN), troubles)
        failures = list[RunRecord]()
        for verdict in (Verdict.VIOLATED, Verdict.UNKNOWN, Verdict.SLOW):
            found = journal.runs(environment=watched.name, verdict=verdict, limit=SHOWN)
            failures += await _or([], found, troubles)
        return await self.page(
            "environment.html",
            root="../",
            refresh=REFRESH,
            topics="run,violation,environment",
            of=of,
            name=watched.name,
            pause=pause_text(of.paused_until, self._daemon.clock.now()) if of.paused_until else None,
            history=history,
            ranges=list(Range),
            chosen=chosen,
            recent=journal.recent,
            latest=latest,
            failures=sorted(failures, key=lambda each: each.started, reverse=True)[:SHOWN],
            steps=guidance.of_environment(of),
            ladder=_ladder(watched.probes.get(advice.LEDGER)),
            troubles=troubles[:1],
        )

    async def violation(self, request: Request) -> Response:
        """One violation with its evidence."""
        return await self._violation(await find_violation(self._daemon, request.path_params["id"]))

    async def acknowledge(self, request: Request) -> Response:
        """Quieten a violation with the token that somebody typed; what is wrong with it is said in the page."""
        kept = await find_violation(self._daemon, request.path_params["id"])
        note = ""
        try:
            given = await changes.form(request, "token", "note")
            note = given.get("note", "").strip()
            self._token.check_typed(given.get("token", ""))
            await changes.acknowledge(self._daemon, kept, note)
        except Fault as fault:
            return await self._violation(kept, fault=fault, note=note)
        return Response(status_code=303, headers={"location": quote(kept.id, safe="")})

    async def as_markdown(self, request: Request) -> Response:
        """One violation, for a ticket."""
        kept = await find_violation(self._daemon, request.path_params["id"])
        text = markdown.violation(kept).encode("utf-8", "replace")
        return Response(text, media_type="text/markdown; charset=utf-8")

    async def run(self, request: Request) -> Response:
        """One run with its steps."""
        id_, journal = request.path_params["id"], self._daemon.journal
        record = await journal.run(id_)
        if record is None:
            raise Fault(404, f"there is no run {shown(id_)}", do="runs are forgotten after a while, failures later")
        watched = self._daemon.environments().get(record.environment)
        probe = watched.probes.get(record.probe) if watched else None
        parts = [
            charts.Part(
                name=step.name,
                after=step.after.total_seconds(),
                took=step.took.total_seconds(),
                limit=probe.budget_of(step.name).total_seconds() if probe else None,
                failed=step.failed,
            )
            for step in record.steps
        ]
        return await self.page(
            "run.html",
            root="../",
            refresh=None,
            topics="",
            record=record,
            watched=watched is not None,
            promise=probe.promise() if probe else "",
            parts=parts,
            standing={
                kept.kind: kept.id for kept in journal.standing(record.environment) if kept.probe == record.probe
            },
            chart=charts.waterfall(parts, title=f"Steps of this run of {record.probe}"),
        )

    async def fault(self, request: Request, fault: Fault) -> Response:
        """What cannot be answered, for whoever typed an address or followed an old link: it leads back."""
        path = request.scope.get("raw_path") or request.url.path.encode()
        depth = max(1, path.count(b"/"))
        page = await self.page(
            "fault.html", status=fault.status, root="../" * (depth - 1) or "./", refresh=None, topics="", fault=fault
        )
        page.headers.update(fault.headers or {})
        return page

    def _compile(self, template: str) -> Template:
        """A template, and those that it will ask for."""
        for other in _SHARED:
            self._templates.get_template(other)
        return self._templates.get_template(template)

    async def _violation(self, kept: KeptViolation, *, fault: Fault | None = None, note: str = "") -> Response:
        watched = self._daemon.environments().get(kept.environment)
        probe = watched.probes.get(kept.probe) if watched else None
        expected, actual = compared(kept.expected, kept.actual)
        return await self.page(
            "violation.html",
            status=fault.status if fault else 200,
            root="../",
            refresh=None,
            topics="violation",
            kept=kept,
            watched=watched is not None,
            promise=probe.promise() if probe else "",
            expected=expected,
            actual=actual,
            cause=guidance.cause(kept),
            timeline=guidance.timeline(kept),
            steps=guidance.of_violation(kept),
            runbook=guidance.runbook_of(kept.kind),
            acknowledging=advice.once_acknowledged(kept),
            can_acknowledge=self._token.configured,
            fault=fault,
            note=note,
            longest_note=changes.LONGEST_NOTE,
            whole=_pretty(dict(kept.evidence)),
            markdown=markdown.violation(kept),
        )

    async def page(self, template: str, *, status: int = 200, **known: object) -> Response:
        """Render in turns, for a page of many environments takes a while."""
        common: Mapping[str, Any] = {
            "version": self._daemon.version,
            "location": self._daemon.location,
            "started": self._daemon.started,
            "now": self._daemon.clock.now(),
        }
        turns, pieces = Turns(), []
        if template not in self._compiled:  # which takes long, and only once
            self._compiled[template] = await asyncio.to_thread(self._compile, template)
        rendered = self._compiled[template].stream(**common, **known)
        rendered.enable_buffering(_AT_ONCE)
        for piece in rendered:
            pieces.append(piece)
            await turns.give()
        return HTMLResponse("".join(pieces).encode("utf-8", "replace"), status_code=status)


def _spark(shares: tuple[float | None, ...]) -> Markup:
    """How near to their budgets the latest runs of a probe came."""
    runs = words.plural(len(shares), "run")
    return charts.sparkline(p99(shares), label=f"p99 of the worst step over the latest {runs}, against its budget")


async def _or(otherwise: T, asked: Awaitable[T], troubles: list[str]) -> T:
    """What the state database answers; where it does not, the page says so and shows what is known without it."""
    try:
        return await asked
    except StateError as error:
        troubles.append(str(error))
        return otherwise


def _address(wanted: Wanted) -> Any:  # noqa: ANN401  a function for the template
    """Makes the links of a listing: the same search with another verdict, or another page."""

    def address(**other: object) -> str:
        chosen = {"q": wanted.q, "verdict": wanted.verdict or "", "page": 1, **other}
        if "size" not in other and wanted.size != Wanted().size:
            chosen["size"] = wanted.size
        given = {name: str(value) for name, value in chosen.items() if value and (name, value) != ("page", 1)}
        return f"./?{urlencode(given)}#environments" if given else "./"

    return address


def _ladder(probe: object) -> list[str]:
    """The ages at which the ledger looks for what was acknowledged."""
    return [words.rough(age) for age in getattr(probe, "ladder", ())]


def _pretty(value: object) -> str:
    return words.visible(json.dumps(value, indent=2, ensure_ascii=False, default=str))
