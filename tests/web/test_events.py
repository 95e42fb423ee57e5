"""Server-sent events: what is told, to whom, what is missed, and how a stream ends. Over the real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent, aconnect_sse

from monitor.core.verdict import Verdict
from monitor.web import create_app, events, serve, streams

from . import AUTH, FINDINGS, NOON, TOKEN, Basket, SmallDaemon, watched

PATIENCE = 5.0
Told = tuple[str, Mapping[str, Any]]


@dataclass
class Site:
    """A daemon that is served, and a client of it."""

    daemon: SmallDaemon
    client: httpx.AsyncClient
    stop: asyncio.Event


class Stream:
    """A stream of events as its client sees it."""

    def __init__(self, told: AsyncIterator[ServerSentEvent]) -> None:
        self._told = told
        self.last = ""

    async def next(self) -> Told:
        """The next event: its name and its data."""
        event = await asyncio.wait_for(anext(self._told), PATIENCE)
        self.last = event.id
        return event.event, json.loads(event.data)

    async def some(self, count: int) -> list[str]:
        """The names of the next events, with what is peculiar to each."""
        found = [await self.next() for _ in range(count)]
        return [f"{name} {_short(data)}" for name, data in found]

    async def end(self) -> None:
        """The stream ends, and nothing comes before."""
        with pytest.raises(StopAsyncIteration):
            await self.next()


def _short(data: Mapping[str, Any]) -> str:
    if "change" in data:
        return f"{data['change']} {data['violation']['kind']}"
    return str(data.get("verdict", data))


@pytest.fixture
async def site(daemon: SmallDaemon) -> AsyncIterator[Site]:
    """The small daemon behind the real server."""
    stop = asyncio.Event()
    server = await serve(create_app(daemon, token=TOKEN, stop=stop), host="127.0.0.1", port=0, stop=stop)
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield Site(daemon, client, stop)
    stop.set()
    await asyncio.wait_for(server.task, PATIENCE)


@asynccontextmanager
async def listening(site: Site, query: str = "", *, after: str | None = None) -> AsyncIterator[Stream]:
    """A stream, whose first event has come."""
    headers = {} if after is None else {"Last-Event-ID": after}
    async with aconnect_sse(site.client, "GET", f"/api/v1/events{query}", headers=headers) as source:
        stream = Stream(source.aiter_sse())
        name, hello = await stream.next()
        assert (name, hello["version"], hello["location"]) == ("hello", "1.2.3", "eu-west-1")
        yield stream


async def test_runs_violations_and_verdicts_are_told(site: Site) -> None:
    """A run is told as the API shows it, then what it did to violations, then what became of its environment."""
    await site.daemon.all_ran(FINDINGS[Verdict.OK])
    async with listening(site) as stream:
        record = await site.daemon.ran(FINDINGS[Verdict.VIOLATED])
        name, run = await stream.next()
        assert (name, run) == ("run", (await site.client.get(f"/api/v1/runs/{record.run_id}")).json())
        name, told = await stream.next()
        (kept,) = (await site.client.get("/api/v1/violations")).json()["violations"]
        assert (name, told) == ("violation", {"change": "opened", "violation": kept})
        now = {"environment": "production", "verdict": "violated", "paused_until": None}
        assert await stream.next() == ("environment", now)
        await site.client.post(f"/api/v1/violations/{kept['id']}/ack", headers=AUTH)
        await site.daemon.ran(FINDINGS[Verdict.OK])
        assert await stream.some(4) == [
            "violation acknowledged lost",
            "run ok",
            "violation closed lost",
            "environment ok",
        ]


async def test_pauses_ages_and_configurations_are_told(site: Site) -> None:
    """What changes without a run is told too: a pause at once, a verdict that grows old and a new environment soon."""
    await site.daemon.all_ran(FINDINGS[Verdict.OK])
    async with listening(site) as stream:
        await site.client.post("/api/v1/environments/production/pause", headers=AUTH)
        paused = {"environment": "production", "verdict": "unknown", "paused_until": "2026-03-01T13:00:00.000Z"}
        assert await stream.next() == ("environment", paused)
        await site.client.post("/api/v1/environments/production/resume", headers=AUTH)
        assert await stream.some(1) == ["environment ok"]
        site.daemon.watch(watched("staging", Basket()))
        site.daemon.clock.moment = NOON + timedelta(hours=1)
        told = {data["environment"]: data["verdict"] for _, data in (await stream.next(), await stream.next())}
        assert told == {"production": "unknown", "staging": "unknown"}
        del site.daemon.known["staging"]
        site.daemon.clock.moment += timedelta(minutes=1)
        assert await stream.next() == ("environment", {"environment": "staging", "verdict": None, "paused_until": None})


async def test_a_client_hears_what_it_asked_for(site: Site) -> None:
    """Environment and types choose; what does not exist is refused with what does."""
    site.daemon.watch(watched("staging", Basket()))
    async with listening(site, "?environment=staging&types=run,violation") as stream:
        await site.daemon.ran(FINDINGS[Verdict.OK])
        await site.daemon.ran(FINDINGS[Verdict.SLOW], environment="staging", probe="basket")
        await site.daemon.ran(FINDINGS[Verdict.VIOLATED], environment="staging", probe="basket")
        assert await stream.some(3) == ["run slow", "run violated", "violation opened lost"]
    for query, status in (("?environment=stagin", 404), ("?types=runs", 400), ("?since=1", 400)):
        assert (await site.client.get(f"/api/v1/events{query}")).status_code == status


async def test_who_comes_back_hears_what_was_missed(site: Site) -> None:
    """With the id of the last event that was heard, the next ones follow, each once."""
    async with listening(site, "?types=run") as stream:
        await site.daemon.ran(FINDINGS[Verdict.OK])
        assert await stream.some(1) == ["run ok"]
        last = stream.last
    await site.daemon.ran(FINDINGS[Verdict.SLOW])
    await site.daemon.ran(FINDINGS[Verdict.UNKNOWN])
    async with listening(site, "?types=run", after=last) as stream:
        assert await stream.some(2) == ["run slow", "run unknown"]
        await site.daemon.ran(FINDINGS[Verdict.OK])
        assert await stream.some(1) == ["run ok"]


async def test_who_missed_too_much_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ring does not reach back, or nobody kept what happened, or the id is of another life: `reset`."""
    monkeypatch.setattr(events, "RING", 3)
    async with listening(site, "?types=run") as stream:
        await site.daemon.ran(FINDINGS[Verdict.OK])
        await stream.next()
        first = stream.last
        for _ in range(5):
            await site.daemon.ran(FINDINGS[Verdict.OK])
        await stream.some(5)
    for after in (first, "0-1", "nonsense", "-"):
        async with listening(site, after=after) as stream:
            assert (await stream.next())[0] == "reset"


async def test_a_slow_client_is_dropped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads more slowly than it happens is told `reset` once, and the stream ends; nothing is kept for it."""
    monkeypatch.setattr(events, "WAITING", 3)
    async with listening(site, "?types=run") as stream:
        for _ in range(5):  # in one turn of the loop, so that nobody can read meanwhile
            await site.daemon.ran(FINDINGS[Verdict.OK])
        assert (await stream.next())[0] == "reset"
        await stream.end()


async def test_nothing_is_made_while_nobody_listens(daemon: SmallDaemon) -> None:
    """A run that nobody wants to hear of makes no event; the last client takes the work with it after a while."""
    hub = events.Events(daemon, asyncio.Event())
    await daemon.all_ran(FINDINGS[Verdict.OK])
    assert daemon.journal._listeners == ()
    client = await hub.subscribe(topics=tuple(events.Topic), environment=None, after=None)
    assert daemon.journal._listeners == (hub,)
    hub.leave(client)
    daemon.clock.moment += timedelta(seconds=events.LINGER + 1)
    await daemon.ran(FINDINGS[Verdict.OK])
    assert (daemon.journal._listeners, len(hub._ring)) == ((), 0)
    latest = client.take().split(b"id: ")[-1].split(b"\n")[0].decode()
    client = await hub.subscribe(topics=(), environment=None, after=latest)
    assert b"event: reset\n" in client.take()


async def test_so_many_may_listen_and_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap a client is told when to ask again; one that leaves makes room."""
    monkeypatch.setattr(events, "CLIENTS", 1)
    async with listening(site):
        answer = await site.client.get("/api/v1/events")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    answers = [await site.client.head("/api/v1/events")]
    while answers[-1].status_code == 503:  # until the server has seen it leave
        answers.append(await site.client.head("/api/v1/events"))
    assert answers[-1].headers["content-type"].startswith("text/event-stream")


async def test_silence_is_kept_alive(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing happens a comment is sent now and then, with the id from which to go on."""
    monkeypatch.setattr(streams, "HEARTBEAT", 0.0)
    async with site.client.stream("GET", "/api/v1/events") as answer:
        lines = answer.aiter_lines()
        while await anext(lines) != ":":
            pass
        assert (await anext(lines)).startswith("id: ")


async def test_the_end_of_the_daemon_ends_every_stream(site: Site) -> None:
    """A stream ends in good order as soon as the daemon stops, rather than hold it up."""
    async with listening(site) as stream:
        site.stop.set()
        await stream.end()


@pytest.mark.parametrize("turns", range(8))
async def test_a_client_that_leaves_as_something_happens_is_gone(daemon: SmallDaemon, turns: int) -> None:
    """However few turns of the loop lie between an event and the end of its reader, the stream ends with them."""
    told, sent, left = events.Events(daemon, asyncio.Event()), asyncio.Event(), asyncio.Event()
    client = await told.subscribe(topics=tuple(events.Topic), environment=None, after=None)

    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sent.set()

    answer = asyncio.create_task(streams.EventStream(told, client)({"type": "http", "method": "GET"}, receive, send))
    await sent.wait()
    for _ in range(20):  # until it waits for what happens next
        await asyncio.sleep(0)
    client.wake.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    left.set()
    await asyncio.wait_for(answer, PATIENCE)
