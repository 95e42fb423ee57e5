"""What `plan()` and the catalogues of operations say is what a healthy run sends: no more, no less."""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

import monitor.probes
from monitor.core.payload import CONTENT, Author
from monitor.core.session import Session
from monitor.probe import Probe, discover
from monitor.probes import history
from monitor.probes.history import HistoryProbe
from monitor.probes.session import SessionProbe
from monitor.probes.thread import AVERAGE_BYTES, ThreadProbe
from monitor.stores import sessions, threads
from monitor.stores.operations import CATALOGUE
from tests.conftest import MakeProxy, MakeSite, Site
from tests.probes.breaking import run_ok

BRIEF = timedelta(milliseconds=150)
PROBES = [made() for made in discover(monitor.probes).values()]


@pytest.mark.parametrize("probe", PROBES, ids=[probe.name for probe in PROBES])
def test_every_operation_of_a_plan_is_in_the_catalogue(probe: Probe[Any]) -> None:
    """What a plan names can be shown in full, and nothing is named twice."""
    names = [(use.store, use.operation) for use in probe.plan()]
    assert len(names) == len(set(names))
    assert all(operation in CATALOGUE[store] for store, operation in names)
    assert {store for store, _ in names} >= set(probe.needs)


CONVERSATIONS = [
    ThreadProbe(),
    ThreadProbe(messages=7, batch=5),
    HistoryProbe(),
    HistoryProbe(sizes=(7, 10), page=5),
]


@pytest.mark.parametrize("probe", CONVERSATIONS, ids=["thread", "thread-larger", "history", "history-smaller"])
async def test_the_plan_of_conversations_is_what_the_server_logs(site: Site, probe: Probe[Any]) -> None:
    """Every statement of a run, as PostgreSQL itself logs it, is in the plan as often as it was sent."""
    await run_ok(site, probe)
    await site.sql(f"ALTER DATABASE {site.database} SET log_statement = 'all'")
    log = site.servers.postgres.log
    before = log.stat().st_size
    await run_ok(site, probe)
    written = log.read_bytes()[before:].decode()

    statements = re.findall(r"LOG:  (?:statement|execute [^:]*): (.*)", written)
    sent = Counter(re.sub(r"'holdfast-user-\d'", "'holdfast-user-N'", each) for each in statements)
    sent = Counter({re.sub(r"timeout = \d+", "timeout = …", each): times for each, times in sent.items()})
    assert sum(sent.values()) == len(statements)

    planned: Counter[str] = Counter()
    for use in probe.plan():
        for statement in threads.OPERATIONS[use.operation]:
            each_row = use.operation == "append_batch" and statement == threads.STATEMENTS["insert_message"]
            planned[statement] += use.rows if each_row else use.times
    looks = sent.pop(threads.STATEMENTS["watch"], 0)
    assert planned.pop(threads.STATEMENTS["watch"], 0) <= looks  # as often as there was time for it around a COMMIT
    assert dict(sent) == dict(planned)


@pytest.mark.parametrize("probe", CONVERSATIONS, ids=["thread", "thread-larger", "history", "history-smaller"])
async def test_the_rows_of_a_plan_are_the_rows_that_are_written(site: Site, probe: Probe[Any]) -> None:
    """As many rows as planned are inserted, or changed in their content."""
    await run_ok(site, probe)
    await site.sql(
        """
        CREATE SEQUENCE public.written;
        CREATE FUNCTION public.counts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN PERFORM nextval('public.written'); RETURN NULL; END $$;
        CREATE TRIGGER zz AFTER INSERT ON holdfast.threads FOR EACH ROW EXECUTE FUNCTION public.counts();
        CREATE TRIGGER zz AFTER INSERT OR UPDATE ON holdfast.messages FOR EACH ROW EXECUTE FUNCTION public.counts();
        """
    )
    await run_ok(site, probe)
    assert int(await site.sql("SELECT last_value FROM public.written")) == sum(use.rows for use in probe.plan())


def test_the_bytes_of_a_plan_are_what_messages_weigh_on_average() -> None:
    """Over all kinds of content a message weighs what the plan reckons with, give or take a tenth."""
    author = Author(environment="production", probe="thread", run_id="01a203df-6d7d-74c0-b2d2-881acb5edeb3")
    messages = [author.message(0, number) for number in range(1, len(CONTENT) * 5 + 1)]
    average = sum(map(threads._size, messages)) / len(messages)
    assert average == pytest.approx(AVERAGE_BYTES, rel=0.1)
    light = [author.message(0, number, light=True) for number in range(1, len(CONTENT) * 5 + 1)]
    assert sum(map(threads._size, light)) / len(light) == pytest.approx(history.AVERAGE_BYTES, rel=0.1)


def test_the_bytes_of_a_plan_are_what_sessions_weigh() -> None:
    """A stored session weighs what the plan reckons with, give or take a tenth."""
    key = "holdfast:production:0123abcd-1:session:01a203df-6d7d-74c0-b2d2-881acb5edeb3:a-own"
    size = len(Session.of(key, user="holdfast-user-0").encode())
    (save,) = (use for use in SessionProbe().plan() if use.operation == "save")
    assert save.payload / save.rows == pytest.approx(size, rel=0.1)


SESSIONS = [
    SessionProbe(brief_ttl=BRIEF, discipline="lua"),
    SessionProbe(brief_ttl=BRIEF, discipline="lua", sliding=False, updates=2),
    SessionProbe(brief_ttl=BRIEF, discipline="fields"),
    SessionProbe(brief_ttl=BRIEF, discipline="watch", updates=3),
]


@pytest.mark.parametrize("probe", SESSIONS, ids=["lua", "lua-fixed", "fields", "watch"])
async def test_the_plan_of_session_is_what_goes_over_the_wire(
    site: Site, make_site: MakeSite, make_proxy: MakeProxy, probe: SessionProbe
) -> None:
    """Every command of a run is in the plan as often as it was sent; a WATCH that lost a race is sent again."""
    valkey = site.servers.valkey
    proxy = await make_proxy(valkey.port)
    here = await make_site(postgres_dsn=None, redis_url=valkey.url.replace(f":{valkey.port}/", f":{proxy.port}/"))
    await run_ok(here, probe)
    sent: Counter[str] = Counter()

    def count(command: list[bytes]) -> list[bytes]:
        sent[command[0].decode()] += 1
        return command

    proxy.rewrite = count
    await run_ok(here, probe)

    planned: Counter[str] = Counter()
    for use in probe.plan():
        for command in sessions.OPERATIONS[use.operation]:
            planned[command.split()[0]] += use.times
    for setup in ("AUTH", "CLIENT"):  # once for each connection
        assert sent.pop(setup) == 3
    for per_key in ("HGETALL" if probe.discipline == "fields" else "GET", "PTTL"):  # a look asks for up to three keys
        assert planned.pop(per_key) <= sent.pop(per_key) <= 100
    again = sent["EXEC"] - planned["EXEC"]  # none but where a WATCH lost a race
    for command in ("WATCH", "MULTI", "SET", "EXEC"):
        planned[command] += again
    planned["ECHO"] += 2 * again
    assert +sent == +planned
