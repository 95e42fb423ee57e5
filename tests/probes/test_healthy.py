"""On healthy servers every probe is ok, and silent."""

from __future__ import annotations

import pytest

from monitor.core.verdict import Verdict
from monitor.probe import Probe
from monitor.probes.eviction import EvictionProbe
from monitor.probes.history import HistoryProbe
from monitor.probes.notify import NotifyProbe
from monitor.probes.pool import PoolProbe
from monitor.probes.session import SessionProbe
from monitor.probes.thread import ThreadProbe
from tests.conftest import Site


@pytest.mark.parametrize(
    "probe",
    [
        ThreadProbe(),
        ThreadProbe(messages=2, batch=2),
        HistoryProbe(),
        HistoryProbe(sizes=(1, 7), page=7),
        SessionProbe(),
        SessionProbe(discipline="lua", sliding=False),
        SessionProbe(discipline="fields"),
        EvictionProbe(),
        NotifyProbe(),
        NotifyProbe(messages=40),
        PoolProbe(),
        PoolProbe(users=2, transactions=1, cuts=0),
    ],
    ids=[
        "thread",
        "thread-small",
        "history",
        "history-small",
        "session",
        "session-lua",
        "session-fields",
        "eviction",
        "notify",
        "notify-larger",
        "pool",
        "pool-smaller",
    ],
)
async def test_is_ok_again_and_again_and_leaves_nothing(site: Site, probe: Probe[object]) -> None:
    """Ten runs in a row are ok, and neither a row nor a key is left behind."""
    verdicts = [(await site.run(probe)).verdict for _ in range(10)]
    assert set(verdicts) <= {Verdict.OK, Verdict.SLOW}
    for store in probe.needs:
        assert await site.environment.census(store) == 0
