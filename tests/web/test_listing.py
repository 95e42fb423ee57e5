"""Which environments a page shows."""

from __future__ import annotations

import httpx
import pytest

from monitor.core.verdict import Verdict
from monitor.web.listing import Entry, Wanted, listed

from . import FINDINGS, Basket, SmallDaemon, watched

ENTRIES = [
    Entry(name="prod-eu", verdict=Verdict.OK, labels={"tier": "Critical"}),
    Entry(name="staging", verdict=Verdict.VIOLATED, labels={"tier": "low"}),
    Entry(name="prod-us", verdict=Verdict.UNKNOWN, labels={"tier": "critical"}),
    Entry(name="dev", verdict=Verdict.OK, labels={}),
]


@pytest.mark.parametrize(
    ("wanted", "names", "matching", "pages"),
    [
        (Wanted(), ["staging", "prod-us", "dev", "prod-eu"], 4, 1),
        (Wanted(ranked=False), ["prod-eu", "staging", "prod-us", "dev"], 4, 1),
        (Wanted(q="PROD"), ["prod-us", "prod-eu"], 2, 1),
        (Wanted(q="prod tier:critical us"), ["prod-us"], 1, 1),
        (Wanted(q="low"), ["staging"], 1, 1),
        (Wanted(q="nothing"), [], 0, 1),
        (Wanted(verdict=Verdict.OK), ["dev", "prod-eu"], 2, 1),
        (Wanted(size=3), ["staging", "prod-us", "dev"], 4, 2),
        (Wanted(size=3, page=2), ["prod-eu"], 4, 2),
        (Wanted(size=3, page=3), [], 4, 2),
        (Wanted(size=2), ["staging", "prod-us"], 4, 2),
    ],
)
def test_listed(wanted: Wanted, names: list[str], matching: int, pages: int) -> None:
    """Words that must all occur, a verdict, pages; the worst first and then by name; counts are of all."""
    found = listed(ENTRIES, wanted)
    assert (found.names, found.matching, found.pages) == (names, matching, pages)
    assert {verdict: count for verdict, count in found.counts.items() if count} == {
        "ok": 2,
        "unknown": 1,
        "violated": 1,
    }
    assert (found.total, found.verdict) == (4, Verdict.VIOLATED)


def test_nothing_is_listed_of_nothing() -> None:
    """No environment is unknown, for nothing was seen."""
    found = listed([], Wanted())
    assert (found.names, found.total, found.pages, found.verdict) == ([], 0, 1, Verdict.UNKNOWN)


async def test_environments_are_sought_by_the_api(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """Search, verdict and page choose; without them, or with empty ones, all come as they are configured."""
    for name in ("canary", "beta"):
        daemon.watch(watched(name, Basket()))
        await daemon.ran(FINDINGS[Verdict.OK], environment=name, probe="basket")

    async def names(query: str) -> list[str]:
        answer = (await client.get(f"/api/v1/environments{query}")).json()
        return [each["environment"] for each in answer["environments"]]

    assert await names("") == ["production", "canary", "beta"]
    assert await names("?q=&verdict=") == ["production", "canary", "beta"]
    assert await names("?page=1") == ["production", "beta", "canary"]
    assert await names("?verdict=ok") == ["beta", "canary"]
    assert await names("?q=a&verdict=ok&size=1&page=2") == ["canary"]
    for query in ("?page=0", "?size=1001", "?verdict=fine", "?q=a&q=b", "?q=" + "a" * 201, "?sort=name"):
        assert (await client.get(f"/api/v1/environments{query}")).status_code == 400, query
