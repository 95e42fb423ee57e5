"""`notify` through a binding: what an application's API pushes, by server-sent events and by a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta

import pytest

from monitor.bindings import Binding
from monitor.core.verdict import Kind, Reason
from monitor.embedded.servers import Servers
from monitor.ports import Place, Store, Surroundings
from monitor.probes.notify import NotifyProbe
from monitor.stores.api import ApiAddress
from tests.bindings.layers import WEBSOCKET, MakeLayered, Running, address, events, layered, running
from tests.bindings.scripted import Heard, reply, replying, scripted
from tests.conftest import MakeSite
from tests.probes.breaking import kinds, run_ok, run_unknown

PROBE = NotifyProbe()
HASTY = NotifyProbe(deadline=timedelta(milliseconds=600), patience=timedelta(milliseconds=100))
BRIEF = timedelta(seconds=1)
PROTOCOLS: dict[str, Mapping[str, str]] = {"sse": {}, "websocket": WEBSOCKET}
API_ONLY = {"postgres_dsn": None, "redis_url": None}


@pytest.fixture(scope="module")
async def application(servers: Servers) -> AsyncIterator[Running]:
    """The platform; a test that breaks it mends it."""
    async with running(servers) as application:
        yield application


@pytest.fixture
def database(application: Running) -> str:
    """The platform's own."""
    return application.database


@pytest.fixture
def make_layered(make_site: MakeSite, application: Running) -> MakeLayered:
    """Make an environment that is bound to the platform."""
    return layered(make_site, application.platform)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_is_ok_again_and_again(make_layered: MakeLayered, protocol: str) -> None:
    """Five runs in a row are ok by the API alone; what it cannot do is said."""
    site = await make_layered(events(**PROTOCOLS[protocol]), **API_ONLY)
    for _ in range(5):
        record = await run_ok(site, PROBE)
        assert record.finding.checks == 1
    assert (
        "that nothing is pushed of what is rolled back is not checked for events of an API" in record.finding.left_out
    )


async def test_is_one_more_channel_beside_those_of_the_stores(make_layered: MakeLayered) -> None:
    """Where there are stores, too, theirs are checked as before."""
    site = await make_layered(events(), provision=True)
    assert (await run_ok(site, PROBE)).finding.checks == 4


def test_only_what_is_bound_is_said_to_be_checked() -> None:
    """A binding without an address of the API is as none."""
    everywhere = tuple(map(Place, Store))
    bound = Surroundings(places=everywhere, bound=events().served())
    unbound = [Surroundings(places=everywhere), Surroundings(places=everywhere[:2], bound=events().served())]
    assert not any("no API is bound" in sentence for sentence in PROBE.left_out(bound))
    for around in unbound:
        assert any("no API is bound" in sentence for sentence in PROBE.left_out(around))


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_api_that_is_down_is_unknown(make_layered: MakeLayered, application: Running, protocol: str) -> None:
    """The reason is its own, the place is the API, and it is no loss; the next run is right."""
    site = await make_layered(events(**PROTOCOLS[protocol]), **API_ONLY)
    async with application.platform.broken("down"):
        record = await run_unknown(site, PROBE, Reason.CAPACITY)
        assert record.finding.place == "api"
    await run_ok(site, PROBE)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_log_in_that_is_not_taken_is_refused(
    make_layered: MakeLayered, application: Running, protocol: str
) -> None:
    """A wrong key is the reason `refused`, and no token is in the message."""
    wrong = address(application.platform, key="not-the-secret-of-this-platform-but-long-enough")
    site = await make_layered(events(**PROTOCOLS[protocol]), api=wrong, **API_ONLY)
    record = await run_unknown(site, PROBE, Reason.REFUSED)
    assert "eyJ" not in record.finding.message


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_text_that_is_nowhere_is_said(make_layered: MakeLayered, protocol: str) -> None:
    """Where `text` leads to nothing, the run is inconclusive and names it."""
    site = await make_layered(events(**{**PROTOCOLS[protocol], "text": "data.message"}), timeout=BRIEF, **API_ONLY)
    record = await run_unknown(site, PROBE, Reason.INCONCLUSIVE)
    assert "data.message" in record.finding.message


@pytest.mark.parametrize(
    ("protocol", "reason"), [("sse", Reason.MISCONFIGURED), ("websocket", Reason.REFUSED)], ids=["sse", "websocket"]
)
async def test_a_path_that_is_no_stream_is_said(make_layered: MakeLayered, protocol: str, reason: Reason) -> None:
    """Whether nothing is there, or something else; to a WebSocket the platform says 403 in both cases."""
    site = await make_layered(events(**{**PROTOCOLS[protocol], "path": "/events/{nobody}"}), **API_ONLY)
    assert "{nobody}" in (await run_unknown(site, PROBE, Reason.MISCONFIGURED)).finding.message
    for path in ("/nowhere", "/me/profile"):
        site = await make_layered(events(**{**PROTOCOLS[protocol], "path": path}), **API_ONLY)
        record = await run_unknown(site, PROBE, reason)
        assert path in record.finding.message


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_redirect_is_not_followed(make_layered: MakeLayered, application: Running, protocol: str) -> None:
    """No log-in is sent to another server."""
    async with scripted(replying(reply(200))) as other:
        away = reply(307, Location=f"{other.url}/events")
        async with scripted(replying(away)) as server:
            api = address(application.platform, url=server.url)
            site = await make_layered(events(**PROTOCOLS[protocol]), api=api, **API_ONLY)
            await run_unknown(site, PROBE, Reason.MISCONFIGURED)
        assert other.heard == []


Tamper = Callable[[str, list[str]], Sequence[str]]
"""From what was announced, and what was before, to what is pushed."""


def number(text: str) -> str:
    """Which message of a burst it is, as it says itself."""
    return text.split(" ")[1]


def held(text: str, before: list[str]) -> Sequence[str]:
    """The fourth message is pushed after the fifth."""
    if number(text) == "4":
        return ()
    return (text, before[-2]) if number(text) == "5" else (text,)


TAMPERS: dict[str, tuple[Tamper, Kind]] = {
    "doubles": (lambda text, _: (text, text) if number(text) == "3" else (text,), Kind.DUPLICATED),
    "drops": (lambda text, _: () if number(text) == "4" else (text,), Kind.LOST),
    "swaps": (held, Kind.REORDERED),
    "alters": (lambda text, _: (text.replace("ü", "u"),), Kind.CORRUPT),
    "invents": (lambda text, _: (text, f"{text.split(' ')[0]} 99 x") if number(text) == "4" else (text,), Kind.PHANTOM),
}


class Pusher:
    """An API whose one stream pushes what a tamper makes of each announcement."""

    def __init__(self, tamper: Tamper, *, missed: int = 0, ends: bool = False) -> None:
        self._tamper = tamper
        self._missed = missed
        self._ends = ends
        self._said: list[str] = []
        self._streams: list[asyncio.Queue[str | None]] = []

    async def answer(self, heard: Heard) -> AsyncIterator[bytes]:
        """Push, or take an announcement."""
        if heard.method == "GET":
            stream: asyncio.Queue[str | None] = asyncio.Queue()
            self._streams.append(stream)
            yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hello\n\n"
            while (text := await stream.get()) is not None:
                yield f"event: other\ndata: {{}}\n\ndata: not JSON\n\ndata: {json.dumps({'text': text})}\n\n".encode()
            raise ConnectionAbortedError
        text = heard.json["text"]
        self._said.append(text)
        if self._missed:
            self._missed -= 1
        elif self._ends and number(text) == "4":
            self._streams[-1].put_nowait(None)
        else:
            for each in self._tamper(text, self._said):
                self._streams[-1].put_nowait(each)
        yield reply(202, {})


def bound_to(url: str) -> dict[str, object]:
    """The address of a scripted API, where nobody logs in."""
    return {"api": ApiAddress(base_url=url), "timeout": BRIEF, **API_ONLY}


@pytest.mark.parametrize("name", TAMPERS)
async def test_what_goes_wrong_on_its_way_is_named(make_layered: MakeLayered, name: str) -> None:
    """Each way of pushing wrongly is found by its own kind."""
    tamper, expected = TAMPERS[name]
    async with scripted(Pusher(tamper).answer) as server:
        site = await make_layered(events(), **bound_to(server.url))
        record = await site.run(HASTY)
        assert kinds(record) == {expected}


def whole(text: str, _: list[str]) -> Sequence[str]:
    """As it was said, after something that another user of the same account was told."""
    return ("holdfast-0000000000000000 4 another's", text)


async def test_what_others_are_told_is_passed_over(make_layered: MakeLayered) -> None:
    """Neither events of other kinds nor texts of other runs are taken for ours."""
    async with scripted(Pusher(whole).answer) as server:
        await run_ok(await make_layered(events(), **bound_to(server.url)), PROBE)


async def test_a_subscription_that_comes_a_moment_late_is_waited_for(make_layered: MakeLayered) -> None:
    """What an API has missed before it pushed anything is no loss: the run begins when something has come."""
    async with scripted(Pusher(whole, missed=1).answer) as server:
        await run_ok(await make_layered(events(), **bound_to(server.url)), PROBE)


async def test_a_stream_that_ends_is_unreachable(make_layered: MakeLayered) -> None:
    """What was not pushed because the stream had ended is not lost."""
    async with scripted(Pusher(whole, ends=True).answer) as server:
        await run_unknown(await make_layered(events(), **bound_to(server.url)), PROBE, Reason.UNREACHABLE)


def test_a_binding_of_events_alone_serves_notify_alone() -> None:
    """Everything else stays in Holdfast's own schema and prefix."""
    binding: Binding = events()
    assert set(binding.served()) == {"notify"}
