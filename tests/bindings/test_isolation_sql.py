"""What an application's own statements show one user of another's: whatever keeps users apart, or no longer does."""

from __future__ import annotations

from monitor.probes.isolation import IsolationProbe
from tests.bindings.conftest import Application
from tests.probes.breaking import run_ok

PROBE = IsolationProbe()


async def test_healthy(application: Application) -> None:
    """Each reaches its own only."""
    record = await run_ok(application.site, PROBE)
    print([(s.name, s.took) for s in record.steps])
    print(record.finding.left_out)
    print(record.finding.checks)
    assert await application.site.sql(f"SELECT count(*) FROM {application.messages}") == "0\n"
