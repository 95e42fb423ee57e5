"""What an application's API shows one user of another's, with each bug of the sample platform switched on in turn."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from monitor.bindings import Binding
from monitor.core.verdict import Kind
from monitor.embedded.servers import Servers
from monitor.probes.isolation import IsolationProbe
from tests.bindings.layers import SHIPPED, MakeLayered, Running, layered, running
from tests.conftest import MakeSite
from tests.probes.breaking import run_ok, run_violated

PROBE = IsolationProbe()
IDS, MESSAGES = SHIPPED["ids"], SHIPPED["messages"]
API = Binding.model_validate({"ids": IDS, "messages": MESSAGES, "api": SHIPPED["api"]})


@pytest.fixture(scope="module")
async def platform(servers: Servers) -> AsyncIterator[Running]:
    """The platform."""
    async with running(servers) as started:
        yield started


@pytest.fixture
def make_layered(platform: Running, make_site: MakeSite) -> MakeLayered:
    """Make an environment that is bound to it."""
    return layered(make_site, platform.platform)


async def test_healthy(make_layered: MakeLayered) -> None:
    """Each reaches its own only."""
    site = await make_layered(API, postgres_dsn=None, redis_url=None)
    for _ in range(3):
        record = await run_ok(site, PROBE)
        print([(s.name, s.took) for s in record.steps])
        print(record.finding.left_out)
        print(record.finding.checks)


@pytest.mark.parametrize("switch", ["forgets-where", "trusts-the-path", "cache-without-user", "anothers-reply"])
async def test_broken(make_layered: MakeLayered, platform: Running, switch: str) -> None:
    """Each bug is a leak."""
    site = await make_layered(API, postgres_dsn=None, redis_url=None)
    await run_ok(site, PROBE)
    async with platform.platform.broken(switch):
        record = await run_violated(site, PROBE, {Kind.LEAKED})
        for v in record.finding.violations:
            print(v.subject, v.actual, v.evidence["reached"])
    await run_ok(site, PROBE)
