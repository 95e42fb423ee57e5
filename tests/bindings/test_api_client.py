"""How requests over HTTP end: by what answers, or because nothing does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from monitor.bindings import Listing, Request
from monitor.core.verdict import Reason
from monitor.embedded.folder import PrivateFolder
from monitor.ports import Outcome, Store, StoreError
from monitor.stores.api_wire import MOST_BYTES
from tests.bindings.scripted import Answering, Counts, Heard, connected, reply, replying, scripted
from tests.probes.test_tls_weather import Certificate, signed

READ = Request(path="/things/{id}", returns={"name": "name"})
WRITE = Request(method="POST", path="/things", body={"name": "{name}"}, returns={"id": "id"})
VALUES = {"id": "a/b", "name": "x"}
CLOSE = {"Connection": "close"}


async def failure(answer: Answering, request: Request = READ, **address: Any) -> tuple[StoreError, Counts]:
    """How a request fails, and how that was counted."""
    counts = Counts()
    async with scripted(answer) as server, connected(server.url, tally=counts, **address) as connection:
        with pytest.raises(StoreError) as failed:
            await connection.ask(request, VALUES, user=None)
    return failed.value, counts


async def test_a_request_says_who_asks() -> None:
    """It is HTTP/1.1 on one connection, names the daemon and the probe, and sends JSON; the answer is taken apart."""
    counts = Counts()
    answer = replying(reply(201, {"id": "t1"}, Server="platform/2"), reply(200, {"name": "ü"}), reply(404))
    async with scripted(answer) as server, connected(server.url, tally=counts) as connection:
        made = await connection.ask(WRITE, VALUES, user=None)
        node = await connection.node()
        read = await connection.ask(READ, VALUES, user=None)
        none = await connection.ask(READ, VALUES, user=None)
    assert (made.status, made.found, made.values) == (201, True, {"id": "t1"})
    assert (read.status, read.found, read.values) == (200, True, {"name": "ü"})
    assert (none.status, none.found, none.values) == (404, False, {})
    first, second, _ = server.heard
    assert (first.method, first.target, first.json) == ("POST", "/things", {"name": "x"})
    assert (second.method, second.target, second.body) == ("GET", "/things/a%2Fb", b"")
    assert first.headers["user-agent"] == "holdfast/0.1.0 (test)"
    assert first.headers["content-type"] == "application/json"
    assert server.connections == 1
    assert (node.store, node.version, node.primary) == (Store.API, "platform/2", True)
    assert (counts.outcomes, counts.sent) == ([Outcome.OK] * 3, len('{"name": "x"}'))


@pytest.mark.parametrize(
    ("status", "reason", "write"),
    [
        (400, Reason.MISCONFIGURED, Outcome.FAILED),
        (401, Reason.REFUSED, Outcome.FAILED),
        (403, Reason.REFUSED, Outcome.FAILED),
        (405, Reason.MISCONFIGURED, Outcome.FAILED),
        (408, Reason.CAPACITY, Outcome.FAILED),
        (409, Reason.INCONCLUSIVE, Outcome.FAILED),
        (413, Reason.MISCONFIGURED, Outcome.FAILED),
        (422, Reason.MISCONFIGURED, Outcome.FAILED),
        (429, Reason.CAPACITY, Outcome.FAILED),
        (500, Reason.UNREACHABLE, Outcome.INDETERMINATE),
        (502, Reason.UNREACHABLE, Outcome.INDETERMINATE),
        (503, Reason.CAPACITY, Outcome.INDETERMINATE),
        (504, Reason.TIMEOUT, Outcome.INDETERMINATE),
        (507, Reason.CAPACITY, Outcome.INDETERMINATE),
        (303, Reason.MISCONFIGURED, Outcome.INDETERMINATE),
    ],
)
async def test_each_status_has_its_reason(status: int, reason: Reason, write: Outcome) -> None:
    """What a status means is its reason; where a server failed in the midst of a write, nobody knows what it did."""
    body = {"error": {"code": "some_code", "message": "what was wrong"}}
    reading, counted = await failure(replying(reply(status, body)))
    writing, _ = await failure(replying(reply(status, body)), WRITE)
    assert (reading.reason, reading.outcome, writing.outcome) == (reason, Outcome.FAILED, write)
    assert f"GET /things/{{id}}: answered {status}" in str(reading)
    assert "some_code: what was wrong" in str(reading)
    assert counted.outcomes == [Outcome.OK if status == 303 else Outcome.FAILED]


async def test_what_is_tolerated_is_an_answer() -> None:
    """A status that the caller awaits is told and not raised."""
    async with scripted(replying(reply(403))) as server, connected(server.url) as connection:
        answer = await connection.ask(READ, VALUES, user=None, tolerate={401, 403})
    assert (answer.status, answer.found) == (403, False)


async def test_a_limit_is_respected_once() -> None:
    """A server that says how long to wait is asked again after that, and not a third time; each refusal is counted."""
    counts = Counts()
    busy = reply(429, {"detail": "slow down"}, Retry_After="0")
    async with (
        scripted(replying(busy, reply(200, {"name": 1}))) as server,
        connected(server.url, tally=counts) as connection,
    ):
        answer = await connection.ask(READ, VALUES, user=None)
    assert (answer.values, counts.outcomes) == ({"name": 1}, [Outcome.FAILED, Outcome.OK])
    failed, counts = await failure(replying(busy))
    assert (failed.reason, counts.outcomes) == (Reason.CAPACITY, [Outcome.FAILED] * 2)
    assert "slow down" in str(failed)


@pytest.mark.parametrize("wait", ["3600", "Wed, 21 Oct 2065 07:28:00 GMT", "-1", "²"])
async def test_a_long_wait_ends_the_run(wait: str) -> None:
    """A server that wants more patience than a run has is not asked again."""
    failed, counts = await failure(replying(reply(429, Retry_After=wait)))
    assert (failed.reason, counts.outcomes) == (Reason.CAPACITY, [Outcome.FAILED])


async def test_a_redirect_is_followed_on_the_same_server() -> None:
    """The same request goes to the other path, a write with its body."""
    answer = replying(reply(307, Location="/elsewhere"), reply(200, {"id": 5}))
    async with scripted(answer) as server, connected(server.url) as connection:
        found = await connection.ask(WRITE, VALUES, user=None)
    assert found.values == {"id": 5}
    assert [(each.method, each.target, each.json) for each in server.heard] == [
        ("POST", "/things", {"name": "x"}),
        ("POST", "/elsewhere", {"name": "x"}),
    ]


@pytest.mark.parametrize(
    "location", ["https://elsewhere.example/login?secret=x", "//elsewhere.example", "http://u:p@127.0.0.1/", "http://["]
)
async def test_a_redirect_to_another_server_is_refused(location: str) -> None:
    """No log-in of ours is sent where the configuration does not name the server."""
    failed, counts = await failure(replying(reply(302, Location=location)))
    assert (failed.reason, len(counts.outcomes)) == (Reason.MISCONFIGURED, 1)
    assert "redirects to another server" in str(failed)
    assert "secret=x" not in str(failed)


async def test_redirects_end() -> None:
    """Three are followed, and a circle is told as such."""
    failed, counts = await failure(replying(reply(301, Location="/things/again")))
    assert (failed.reason, len(counts.outcomes)) == (Reason.MISCONFIGURED, 4)
    assert "redirects more than 3 times" in str(failed)


async def _endless(_: Heard) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while True:
        yield b"10000\r\n" + b" " * 0x10000 + b"\r\n"


async def _huge(_: Heard) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
    while True:
        yield b" " * 0x10000


@pytest.mark.parametrize("answer", [_endless, _huge])
async def test_an_endless_answer_is_cut(answer: Answering) -> None:
    """As soon as there is too much of it the connection is closed, and the message says so."""
    failed, _ = await failure(answer)
    assert failed.reason is Reason.MISCONFIGURED
    assert f"more than {MOST_BYTES // 1024**2} MiB" in str(failed)


async def _dripping(_: Heard) -> AsyncIterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    while True:
        yield b" "
        await asyncio.sleep(0.02)


async def _silent(_: Heard) -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("answer", [_dripping, _silent])
async def test_a_slow_answer_is_given_up(answer: Answering) -> None:
    """Silence has an end, and so has an answer that comes byte by byte; nobody knows what became of a write."""
    failed, counts = await failure(answer, WRITE, seconds=0.1)
    assert (failed.reason, failed.outcome) == (Reason.TIMEOUT, Outcome.INDETERMINATE)
    assert counts.outcomes == [Outcome.INDETERMINATE]


async def _cut(_: Heard) -> AsyncIterator[bytes]:
    raise ConnectionAbortedError
    yield b""


async def _half(_: Heard) -> AsyncIterator[bytes]:
    yield b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id"'
    raise ConnectionAbortedError


async def _no_http(_: Heard) -> AsyncIterator[bytes]:
    yield b"-ERR wrong number of arguments\r\n\r\n"


@pytest.mark.parametrize("answer", [_cut, _half, _no_http])
async def test_a_broken_connection_leaves_a_write_in_doubt(answer: Answering) -> None:
    """Without a whole answer nobody knows whether a write was done; it is not sent again."""
    failed, counts = await failure(answer, WRITE)
    assert (failed.reason, failed.outcome) == (Reason.UNREACHABLE, Outcome.INDETERMINATE)
    assert counts.outcomes == [Outcome.INDETERMINATE]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(200, b"<html>", Content_Type="text/html"), "answered 200 with what is no JSON (text/html)"),
        (reply(200, b"[" * 100_000), "what is no JSON"),
        (reply(200, b"\x1f\x8b", Content_Encoding="gzip"), "sent a packed answer although none was asked for"),
    ],
)
async def test_an_answer_that_cannot_be_read_is_told(answer: bytes, words: str) -> None:
    """What is no JSON, or is packed, is no answer to a question for values."""
    failed, _ = await failure(replying(answer))
    assert failed.reason is Reason.MISCONFIGURED
    assert words in str(failed)


@pytest.mark.parametrize("body", [b"", b"<html>"])
async def test_what_returns_nothing_may_say_anything(body: bytes) -> None:
    """Where no value is asked for, nothing has to be JSON."""
    async with scripted(replying(reply(200, body))) as server, connected(server.url) as connection:
        answer = await connection.ask(Request(path="/"), {}, user=None)
    assert (answer.found, answer.values) == (True, {})


async def test_a_list_has_to_be_one() -> None:
    """A listing whose items are no list says what it found none at."""
    failed, _ = await failure(replying(reply(200, {"data": None})), Listing(path="/things", items="data"))
    assert (failed.reason, "items (data) is no list" in str(failed)) == (Reason.MISCONFIGURED, True)


async def test_a_function_that_does_not_suit_is_named() -> None:
    """An expression that cannot be asked of what came is told with its name."""
    failed, _ = await failure(replying(reply(200, {"n": 5})), Request(path="/", returns={"x": "length(n)"}))
    assert (failed.reason, "length(n) cannot be asked" in str(failed)) == (Reason.MISCONFIGURED, True)


async def test_a_parameter_that_is_null_is_left_out() -> None:
    """A first page has no cursor, and the next one has the cursor of the one before."""
    pages = Listing(path="/things", query={"after": "{after}", "all": True}, items="data", after="next")
    answer = replying(reply(200, {"data": [1], "next": "c &"}), reply(200, {"data": [], "next": False}))
    async with scripted(answer) as server, connected(server.url) as connection:
        first = await connection.ask(pages, {"after": None}, user=None)
        last = await connection.ask(pages, {"after": first.after}, user=None)
    assert [each.target for each in server.heard] == ["/things?all=true", "/things?after=c+%26&all=true"]
    assert last.after is None


async def test_cookies_are_not_kept() -> None:
    """What one user is given does not speak for the next."""
    answer = replying(reply(200, {"name": 1}, Set_Cookie="session=ann; Path=/"), reply(200, {"name": 2}))
    async with scripted(answer) as server, connected(server.url) as connection:
        for _ in range(2):
            await connection.ask(READ, VALUES, user=None)
    assert "cookie" not in server.heard[1].headers


async def test_a_header_that_cannot_be_sent_is_misconfigured() -> None:
    """A value with a line break would be two headers; it is not sent, and not shown."""
    request = Request(path="/", headers={"X-Note": "{name}"})
    async with scripted(replying(reply(200))) as server, connected(server.url) as connection:
        with pytest.raises(StoreError) as failed:
            await connection.ask(request, {"name": "a\r\nX-Admin: yes"}, user=None)
    assert (failed.value.reason, server.heard) == (Reason.MISCONFIGURED, [])
    assert "X-Admin" not in str(failed.value)
    assert "the header X-Note cannot be sent" in str(failed.value)


async def test_nothing_listens() -> None:
    """A port where nobody is, and a host that nobody knows, are unreachable; nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for url, words in (
        (f"http://127.0.0.1:{port}", "nothing listens there"),
        ("http://no.invalid", "nobody knows this host"),
    ):
        async with connected(url) as connection:
            with pytest.raises(StoreError, match=words) as failed:
                await connection.ask(WRITE, VALUES, user=None)
        assert (failed.value.reason, failed.value.outcome) == (Reason.UNREACHABLE, Outcome.FAILED)


@pytest.fixture(scope="module")
def folder() -> Iterator[PrivateFolder]:
    """A folder for certificates."""
    made = PrivateFolder()
    yield made
    made.close()


def with_tls(certificate: Certificate) -> ssl.SSLContext:
    """What a server needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    return context


async def test_tls_is_trusted_by_its_authority(folder: PrivateFolder) -> None:
    """A certificate that `ca` vouches for is right; one for another host, an old one and an unknown one are not."""
    right, other, old = (
        signed(folder, "127.0.0.1"),
        signed(folder, "db.example"),
        signed(folder, "127.0.0.1", expired=True),
    )
    cases = [
        (right, right, None),
        (right, None, "self-signed certificate"),
        (right, other, "self-signed certificate"),
        (other, other, "IP address mismatch"),
        (old, old, "certificate has expired"),
    ]
    for shown, trusted, words in cases:
        ca = str(trusted.certificate) if trusted else None
        answer = replying(reply(200, {"name": 1}))
        async with scripted(answer, tls=with_tls(shown)) as server, connected(server.url, ca=ca) as connection:
            if words is None:
                assert (await connection.ask(READ, VALUES, user=None)).values == {"name": 1}
                continue
            with pytest.raises(StoreError, match=words) as failed:
                await connection.ask(WRITE, VALUES, user=None)
            assert (failed.value.reason, failed.value.outcome) == (Reason.UNREACHABLE, Outcome.FAILED)


async def test_silence_behind_tls_is_no_fault_of_tls(folder: PrivateFolder) -> None:
    """A server that was reached and says nothing is too slow, and may have done what it was asked."""
    right = signed(folder, "127.0.0.1")
    async with (
        scripted(_silent, tls=with_tls(right)) as server,
        connected(server.url, ca=str(right.certificate), seconds=0.2) as connection,
    ):
        with pytest.raises(StoreError) as failed:
            await connection.ask(WRITE, VALUES, user=None)
    assert (failed.value.reason, failed.value.outcome) == (Reason.TIMEOUT, Outcome.INDETERMINATE)


async def test_tls_where_there_is_none() -> None:
    """A plain port that is spoken to by https says that TLS failed, and where to look."""
    async with scripted(replying(reply(200))) as server, connected(server.url.replace("http:", "https:")) as connection:
        with pytest.raises(
            StoreError, match=r"TLS failed: (wrong version number|record layer failure|\[?ssl)"
        ) as failed:
            await connection.ask(READ, VALUES, user=None)
    assert failed.value.reason is Reason.UNREACHABLE


async def test_an_authority_that_is_no_file() -> None:
    """A `ca` that cannot be read is misconfigured, and named."""
    with pytest.raises(StoreError, match=r"`ca` names /nowhere/ca\.pem") as failed:
        async with connected("https://127.0.0.1:1", ca="/nowhere/ca.pem"):
            pass
    assert failed.value.reason is Reason.MISCONFIGURED
