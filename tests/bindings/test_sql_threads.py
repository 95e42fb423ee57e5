"""Conversations in an application's own tables, whatever these are like."""

from __future__ import annotations

from monitor.probes.history import HistoryProbe
from monitor.probes.thread import ThreadProbe
from tests.bindings.conftest import Application
from tests.probes.breaking import run_ok

THREAD = ThreadProbe(messages=9, batch=3)  # enough for every kind of content that these applications keep
HISTORY = HistoryProbe(sizes=(3, 30), page=10)


async def test_whole(application: Application) -> None:
    """Conversations come back whole, and nothing is left."""
    record = await run_ok(application.site, THREAD)
    print([(s.name, s.took) for s in record.steps])
    record = await run_ok(application.site, HISTORY)
    print([(s.name, s.took) for s in record.steps])
    assert record.finding.left_out == ()
    assert await application.site.sql(f"SELECT count(*) FROM {application.messages}") == "0\n"
