"""Every query of every panel, asked of a Prometheus that scrapes a running daemon: it returns data."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import httpx
import pytest
import yaml

from monitor.embedded.faults import FAULTS
from monitor.embedded.faults.fault import POSTGRES, REDIS, Site
from monitor.embedded.server import free_port
from monitor.embedded.servers import Servers
from tests.dashboards.panels import UIDS, Asked, queries, read
from tests.e2e.watch import prometheus
from tests.system import ENVIRONMENT, Daemon, described, holdfast, until, write

pytestmark = pytest.mark.debian
GONE = "olive"
"""An environment whose store nobody can reach."""
EVERY = {"every": "2s", "timeout": "1900ms"}
PROBES = {
    "thread": EVERY,
    "history": {**EVERY, "sizes": [5]},
    "session": {**EVERY, "budgets": {"save": "1ms"}},
    "durability": {**EVERY, "patience": "500ms", "ladder": ["1s", "2s", "1m"]},
    "sync": {**EVERY, "deadline": "300ms", "patience": "200ms"},
}
WITHIN = 40.0


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A daemon, and the Prometheus that scrapes it and evaluates its rules."""

    daemon: Daemon
    prometheus: httpx.AsyncClient

    async def asked(self, path: str, **parameters: str) -> Any:
        """What Prometheus answers; AssertionError where it cannot read the question."""
        answer = (await self.prometheus.get(path, params=parameters)).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def values(self, query: Asked) -> list[float]:
        """The latest value of each series of a query."""
        now = time()
        if query.instant:
            # A subquery has its steps at round moments, of which there was none yet: it is asked of the next.
            later = math.ceil(now / 600) * 600 if ":10m]" in query.expr else now
            found = await self.asked("/api/v1/query", query=query.filled(), time=str(later))
            return [float(series["value"][1]) for series in found["result"]]
        span = {"start": str(now - 5), "end": str(now), "step": "1"}
        found = await self.asked("/api/v1/query_range", query=query.filled(), **span)
        return [float(series["values"][-1][1]) for series in found["result"]]


@pytest.fixture(scope="module")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """One environment that loses rows, and one that is not there, as people on call would see them."""
    folder: Path = tmp_path_factory.mktemp("dashboards")
    async with AsyncExitStack() as stack:
        servers = await stack.enter_async_context(Servers(fsync=False))
        site = await Site.before(servers, stack)
        dsn, url = (site.addresses()[place] for place in (POSTGRES, REDIS))
        values = described(folder, dsn=dsn, url=url, probes=PROBES)
        values["environments"][ENVIRONMENT] |= {
            "labels": {"tier": "critical"},
            "impact": {"users": 120, "revenue_per_hour": 57},
        }
        values["http"]["listen"] = f"127.0.0.1:{(port := free_port())}"
        values["environments"][GONE] = {"redis": {"url": f"redis://127.0.0.1:{free_port()}/0"}}
        config = write(folder / "holdfast.yaml", values)
        rules = folder / "rules.yml"
        made = await holdfast("rules", "--config", config, "--scrape", "1s", "--out", rules)
        assert made.code == 0, made.err
        _hasten(rules)
        watching = prometheus(
            folder,
            target=f"127.0.0.1:{port}",
            rules=rules,
            tells=free_port(),
            scrape="1s",
            flags=("--enable-feature=exemplar-storage", "--query.lookback-delta=15m"),
        )
        await stack.enter_async_context(watching)
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=watching.url, trust_env=False))
        daemon = await stack.enter_async_context(Daemon(config, folder))
        await daemon.event("run.finished", environment=ENVIRONMENT, probe="thread")
        await FAULTS["rows-dropped-after-commit"].inject(site)
        yield Watched(daemon=daemon, prometheus=client)


def _hasten(rules: Path) -> None:
    """Evaluate all rules every second: what is asked here is what they make, not how often."""
    made = yaml.safe_load(rules.read_text("utf-8"))
    for group in made["groups"]:
        group["interval"] = "1s"
    rules.write_text(yaml.safe_dump(made), encoding="utf-8")


def _all() -> list[Asked]:
    return [query for uid in UIDS for query in queries(read(uid))]


async def test_every_query_returns_data(watched: Watched) -> None:
    """Each is answered by at least one series with a number, within the first half minute of a daemon's life."""
    waiting = _all()

    async def answered() -> bool:
        nonlocal waiting
        found = [await watched.values(query) for query in waiting]
        waiting = [query for query, values in zip(waiting, found, strict=True) if not any(map(math.isfinite, values))]
        return not waiting

    await until(answered, within=WITHIN, what=lambda: "\n".join(f"{each.panel}: {each.filled()}" for each in waiting))


async def test_the_matrix_says_how_promises_stand(watched: Watched) -> None:
    """What is lost is violated, what cannot be reached cannot be told, and what is right is not grey."""
    (matrix,) = (each for each in queries(read("holdfast-overview")) if each.panel == "Which promise holds where")

    async def state() -> dict[tuple[str, str], float]:
        found = await watched.asked("/api/v1/query", query=matrix.filled())
        return {
            (each["metric"]["environment"], each["metric"]["probe"]): float(each["value"][1])
            for each in found["result"]
        }

    async def as_it_is() -> bool:
        found = await state()
        expected = {(ENVIRONMENT, "thread"): 5, (GONE, "session"): 4}
        return {each: found.get(each) for each in expected} == expected and found.get((ENVIRONMENT, "session")) in (
            1,
            2,
        )

    await until(as_it_is, within=WITHIN)
    one = matrix.filled({"environment": GONE})
    (only,) = (await watched.asked("/api/v1/query", query=f"count({one})"))["result"]
    assert only["value"][1] == str(sum(environment == GONE for environment, _ in await state()))


async def test_points_of_latency_are_runs(watched: Watched) -> None:
    """The exemplars of a panel carry the id of a run that the daemon knows."""
    panels = [query for query in _all() if query.exemplars]
    assert {query.panel for query in panels} == {"$probe: p99 of each step", "$probe: how long all steps took"}
    for query in panels:
        now = time()

        async def found(expr: str = query.filled({"probe": "session"}), start: float = now - 60) -> list[str]:
            data = await watched.asked("/api/v1/query_exemplars", query=expr, start=str(start), end=str(time()))
            return [each["labels"]["run_id"] for series in data for each in series["exemplars"]]

        async def some(found: Any = found) -> bool:
            return bool(await found())

        await until(some)
        (run,) = set((await found())[-1:])
        assert (await watched.daemon.get(f"/api/v1/runs?environment={ENVIRONMENT}&limit=500")).text.count(run) == 1


@pytest.mark.parametrize("uid", UIDS)
async def test_variables_have_their_values(watched: Watched, uid: str) -> None:
    """Location, environment and probe can be chosen from what there is."""
    found = {}
    for variable in read(uid)["templating"]["list"]:
        if variable["type"] == "query":
            selector, _, label = (
                variable["query"]["query"].removeprefix("label_values(").removesuffix(")").rpartition(", ")
            )
            match = Asked(dashboard=uid, panel="", expr=selector, legend="", instant=True, exemplars=False).filled()
            found[label] = set(await watched.asked(f"/api/v1/label/{label}/values", **{"match[]": match}))
    expected: dict[str, Iterable[str]] = {"location": ["test"], "environment": [ENVIRONMENT, GONE], "probe": PROBES}
    assert found == {label: set(expected[label]) for label in found}
    assert set(found) == set(expected) - ({"probe"} if uid == "holdfast-overview" else set())
