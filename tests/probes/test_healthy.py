"""On healthy servers every probe is ok, and silent."""

from __future__ import annotations

import json

import pytest

from monitor.core.payload import CONTENT, Author, synthetic_user
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


async def test_what_comes_back_whole_is_equal_as_text(site: Site) -> None:
    """All but numbers, which jsonb spells anew: so judging reads none of it."""
    author = Author(environment=site.environment.name, probe="thread", run_id="0190aaaa-0000-7000-8000-000000000000")
    thread = author.thread(0, user=synthetic_user(0))
    messages = tuple(author.message(0, number) for number in range(1, len(CONTENT) + 1))
    await site.environment.prepare(ThreadProbe.needs, probe="thread")
    connection = await site.environment.threads.connect("thread")
    try:
        await connection.create(thread)
        await connection.append_batch(thread, messages)
        found = await connection.load(thread)
        await connection.delete_thread(thread)
    finally:
        await connection.close()
    differ = [wanted for wanted, seen in zip(messages, found.messages, strict=True) if wanted != seen]
    assert [json.loads(message.metadata)["content"] for message in differ] == ["numbers"]
    assert found.thread == thread
