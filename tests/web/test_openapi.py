"""The OpenAPI document against the real application: what it says is what is answered, and it leaves nothing out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import jsonschema
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from starlette.routing import Mount, Route

from monitor.core.ledger.found import Standing
from monitor.core.record import Propagation, RunRecord, StepTiming
from monitor.core.rollup import HOUR, rolled
from monitor.core.slo import WINDOW, ErrorBudget
from monitor.core.verdict import Verdict
from monitor.ports import Store
from monitor.web import create_app
from monitor.web.events import Topic

from . import AUTH, FINDINGS, NOON, TOKEN, SmallDaemon

DOCUMENT = "/api/v1/openapi.json"


async def rich(daemon: SmallDaemon) -> dict[str, str]:
    """A daemon of which there is something to tell of every sort. Returns what stands for the names in paths."""
    daemon.kept = {Store.POSTGRES: Standing(live=7, lost=2, due=10, verified=9, oldest=timedelta(hours=1))}
    daemon.outcome = FINDINGS[Verdict.VIOLATED]  # of a run that is asked for
    daemon.budgets["production"] = ErrorBudget(objective=0.999, window=WINDOW, good=999, bad=2)
    record = await daemon.ran(FINDINGS[Verdict.VIOLATED])
    await daemon.ran(FINDINGS[Verdict.OK], probe="basket")
    runs = [
        RunRecord(
            run_id=f"old-{number}",
            environment="production",
            probe="chat",
            started=NOON - number * HOUR,
            took=timedelta(seconds=1),
            finding=FINDINGS[Verdict.UNKNOWN],
            steps=(StepTiming(name="reload", after=timedelta(), took=timedelta(milliseconds=20), messages=3),),
            propagations=(
                Propagation(source="a", target="b", took=timedelta(seconds=1), resolution=timedelta(seconds=1)),
            ),
        )
        for number in (1, 2, 30)
    ]
    daemon.rolled = rolled(runs, length=HOUR, budgets=lambda *_: timedelta(seconds=2))
    (kept,) = daemon.journal.standing()
    return {"environment": "production", "probe": "chat", "/runs/{id}": record.run_id, "/violations/{id}": kept.id}


async def test_every_answer_has_the_shape_that_the_document_gives_it(
    daemon: SmallDaemon, client: httpx.AsyncClient
) -> None:
    """Each operation is asked on a daemon that has something to tell, and answers as its schema says, keys and all."""
    names = await rich(daemon)
    document = (await client.get(DOCUMENT)).json()
    asked = 0
    for path, operations in document["paths"].items():
        id_ = next((value for part, value in names.items() if part in path and "{id}" in part), "")
        known = path.format(environment=names["environment"], probe=names["probe"], id=id_)
        for method, operation in operations.items():
            content = operation["responses"]["200"]["content"].get("application/json")
            if content is None:  # a stream, which test_events reads
                continue
            answer = await client.request(method, known, headers=AUTH)
            assert answer.status_code == 200, (known, answer.text)
            _hold(answer.json(), content["schema"], document)
            asked += 1
    assert asked == 13
    refused = await client.get("/api/v1/environments/produktion")
    _hold(refused.json(), {"$ref": "#/components/schemas/Error"}, document)


def _hold(answer: object, schema: Mapping[str, Any], document: Mapping[str, Any]) -> None:
    """An answer fits a schema in which every object is closed, so that no key may be there that is not told."""
    closed = {name: _closed(each) for name, each in document["components"]["schemas"].items()}
    jsonschema.validate(
        answer,
        {**schema, "components": {"schemas": closed}},
        cls=jsonschema.Draft202012Validator,
    )


def _closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"additionalProperties": False, **schema} if "properties" in schema else dict(schema)


async def test_the_document_has_every_route_and_no_other(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """What is below /api/v1 is in the document, by path, method and names in the path; what changes needs the token."""
    document = (await client.get(DOCUMENT)).json()
    jsonschema.validate(document["info"], {"required": ["title", "version"]})
    told = {(path, method.upper()) for path, operations in document["paths"].items() for method in operations}
    mounts = {each.path: each for each in create_app(daemon, token=TOKEN).routes if isinstance(each, Mount)}
    routed = [route for route in mounts["/api/v1"].routes if isinstance(route, Route)]
    assert told == {(f"/api/v1{each.path}", method) for each in routed for method in (each.methods or set()) - {"HEAD"}}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parameters = operation.get("parameters", [])
            named = {each["name"] for each in parameters if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path)), path
            assert ("security" in operation) == (method == "post"), path
            assert operation["summary"], path
    types = next(each for each in document["paths"]["/api/v1/events"]["get"]["parameters"] if each["name"] == "types")
    assert all(re.fullmatch(types["schema"]["pattern"], topic) for topic in Topic)


async def test_examples_are_understood(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Every parameter of a query with an example is accepted with it; the example of a probe is of the real ones."""
    await rich(daemon)
    asked = 0
    for path, operations in (await client.get(DOCUMENT)).json()["paths"].items():
        for param in operations.get("get", {}).get("parameters", []):
            if param["in"] == "query" and "example" in param and "{id}" not in path and not path.endswith("/events"):
                value = "chat" if param["name"] == "probe" else param["example"]
                answer = await client.get(path.format(environment="production"), params={param["name"]: value})
                assert answer.status_code == 200, (path, param["name"], answer.text)
                asked += 1
    assert asked == 9


_DAEMON = SmallDaemon()
_SCHEMA = schemathesis.openapi.from_asgi(DOCUMENT, create_app(_DAEMON, token=TOKEN))


@(_SCHEMA.exclude(path="/api/v1/events").parametrize())
@settings(
    max_examples=5,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[*HealthCheck],
)
def test_what_the_document_allows_is_answered_as_it_says(case: schemathesis.Case) -> None:
    """Whatever fits the document is answered with a status and a shape that it names; nothing crashes."""
    case.call_and_validate(headers=AUTH)
