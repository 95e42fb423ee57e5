"""The pages of the reference: each is a function of the code that it is about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

import monitor.probes
from docs.site.commands import commands
from docs.site.events import logged
from docs.site.log_events import EVENTS
from docs.site.tables import Document, table
from monitor.configfile import binding_schema, schema
from monitor.core.meanings import BROKEN, UNTOLD
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.faults import AREAS
from monitor.families import Families
from monitor.probe import discover
from monitor.web import create_app
from tests.web import SmallDaemon

ROOT = Path(__file__).parents[2]

SETTINGS = """# Settings

Every key of the configuration file. [config/holdfast.yaml](../../config/holdfast.yaml) has them all with their defaults, and says why one would change each; `holdfast config check` says what is wrong with a file, and `holdfast config show` what is in force.

A variable goes before the file: `HOLDFAST_HTTP__LISTEN` is `http.listen`. In any text `${VARIABLE}`, `${VARIABLE:-DEFAULT}` and `${file:/run/secrets/NAME}` are filled in. `holdfast config schema` prints what this page is made of, as a JSON Schema for editors.
"""
BINDINGS = """# Bindings

Every key of the file that teaches Holdfast an application's tables, keys and API. [The tutorial](../tutorial-bind-your-application.md) makes one step by step, [config/bindings](../../config/bindings/README.md) explains the parts and has bindings that ship. `holdfast config schema --binding` prints this as a JSON Schema.
"""
METRICS = """# Metrics

What `/metrics` exports, in the classic text format and in OpenMetrics. All are there at zero before the first run. An environment's own `labels` stand beside `environment` on each of its series. `holdfast rules` and `holdfast dashboard` make alerts and dashboards of them; [how to be woken](../alerting.md) says which.
"""
LOG = """# What is logged

One line an event, on standard error: JSON, or columns on a terminal (`logging.format`). Besides the fields below each has `event`, `level` and `timestamp` (ISO 8601, UTC). What is empty is left out, and every secret is masked. `run_id` is also on the status page, in the API and in exemplars of the metrics.
"""
VERDICTS = """# Verdicts, kinds and reasons

A run ends in one of four ways, in this order of gravity; of several runs the gravest counts.
"""
MEANT: Mapping[Verdict, str] = {
    Verdict.OK: "Everything that was checked is right, and in time. What was not checked is said beside it.",
    Verdict.SLOW: "Everything is right, and a step took longer than its budget.",
    Verdict.UNKNOWN: "Nothing can be told, for a reason below. It counts neither as ok nor as a violation.",
    Verdict.VIOLATED: "A promise is broken; a second look on a new connection to a verified primary agreed.",
}
FAULTS = """# Faults

What `holdfast demo --fault NAME` breaks, in the order of `holdfast faults`. [What Holdfast catches](../detection.md) has how fast each was seen.
"""
HTTP = """# HTTP API

Below `/api/v1/`, JSON in and out; the daemon serves this description itself as `/api/v1/openapi.json`. What changes anything needs `http.token` as a bearer token; without one configured it is off. `/metrics`, `/healthz`, `/readyz` and `/health/ENV` stand beside it, for machines, and `/runbooks/` for people.
"""


def settings() -> Iterator[str]:
    """From the pydantic models."""
    made = discover(monitor.probes)
    elsewhere = {type(probe()).__name__: f"../probes.md#{name}" for name, probe in made.items()}
    yield SETTINGS
    yield from Document(schema(made), elsewhere).sections()


def bindings() -> Iterator[str]:
    """From the model of a binding."""
    yield BINDINGS
    yield from Document(binding_schema(), {}).sections()


def metrics() -> Iterator[str]:
    """From the families themselves."""
    families = Families(CollectorRegistry(), labels=(), edges=(1.0,))
    rows = []
    for family in vars(families).values():
        if isinstance(family, Counter | Gauge | Histogram):
            (described,) = family.describe()
            name = f"{described.name}_total" if isinstance(family, Counter) else described.name
            labels = ", ".join(f"`{label}`" for label in family._labelnames)  # noqa: SLF001  it tells them nowhere else
            rows.append((f"`{name}`", described.type, labels, described.documentation))
    yield METRICS
    yield from table(("metric", "type", "labels", "what it says"), rows)


def log_events() -> Iterator[str]:
    """From the calls of the log, with what each event means."""
    yield LOG
    yield from table(
        ("event", "level", "fields", "meaning"),
        (
            (
                f"`{name}`",
                ", ".join(sorted(found.levels)),
                ", ".join(f"`{each}`" for each in found.fields if each != "exc_info"),
                EVENTS[name],
            )
            for name, found in logged(ROOT / "monitor").items()
        ),
    )


def verdicts() -> Iterator[str]:
    """From the closed sets."""
    yield VERDICTS
    codes = {Verdict.OK: "0", Verdict.SLOW: "1", Verdict.VIOLATED: "2", Verdict.UNKNOWN: "3"}
    yield from table(
        ("verdict", "exit of `holdfast check`", "meaning"), ((f"`{v}`", codes[v], MEANT[v]) for v in Verdict)
    )
    yield "## Kinds of violation\n\nWhat can be broken, as `kind` of metrics, alerts and evidence."
    yield from table(("kind", "what was broken"), ((f"`{kind}`", BROKEN[kind]) for kind in Kind))
    yield "## Reasons for unknown\n\nWhy nothing can be told, as `reason` of metrics and log lines."
    yield from table(("reason", "why nothing can be told"), ((f"`{reason}`", UNTOLD[reason]) for reason in Reason))


def faults() -> Iterator[str]:
    """From the catalogue."""
    yield FAULTS
    for area, of_area in AREAS.items():
        if of_area:
            yield f"\n## {area}\n"
            rows = ((f"`{each.name}`", each.breaks, f"`{each.report}` by `{each.probe}`") for each in of_area)
            yield from table(("fault", "what is broken", "reported"), rows)


def http_api() -> Iterator[str]:
    """From the OpenAPI document."""
    yield HTTP
    document = _openapi()
    for path, methods in document["paths"].items():
        for method, about in methods.items():
            yield f"\n## {method.upper()} {path}\n"
            yield str(about.get("summary", ""))
            yield f"\n{about.get('description', '')}"
            if parameters := about.get("parameters"):
                rows = ((f"`{each['name']}`", each["in"], str(each.get("description", ""))) for each in parameters)
                yield from table(("parameter", "in", "meaning"), rows)
            answers = about.get("responses", {}).items()
            yield from table(("status", "when"), ((code, str(said.get("description", ""))) for code, said in answers))
    yield "\n## Shapes\n\n```yaml"
    yield yaml.safe_dump(document["components"]["schemas"], sort_keys=False, width=100, allow_unicode=True)
    yield "```"


def _openapi() -> dict[str, Any]:
    """The document that the daemon serves, asked of its own application."""

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(SmallDaemon(), token=None))
        async with httpx.AsyncClient(transport=transport, base_url="http://holdfast") as client:
            return await client.get("/api/v1/openapi.json")

    return dict(asyncio.run(asked()).raise_for_status().json())


PAGES: Mapping[str, Callable[[], Iterator[str]]] = {
    "reference/settings.md": settings,
    "reference/commands.md": commands,
    "reference/verdicts.md": verdicts,
    "reference/metrics.md": metrics,
    "reference/http-api.md": http_api,
    "reference/log.md": log_events,
    "reference/bindings.md": bindings,
    "reference/faults.md": faults,
}
"""By where each stands in the site."""
