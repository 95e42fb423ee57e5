"""Conversations over an API: the platform's own, and the one in the style of OpenAI's."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from joserfc import jwt
from joserfc.jwk import OctKey

from examples.platform.running import Platform
from monitor.bindings import Auth, Binding
from monitor.core.pages import Page
from monitor.core.payload import Author, Thread, synthetic_user
from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.core.verdict import Kind, Reason, Verdict
from monitor.embedded.servers import Servers
from monitor.ports import MissingError, Store, StoreError
from monitor.probes.history import HistoryProbe
from monitor.probes.load import LoadProbe
from monitor.probes.thread import ThreadProbe
from monitor.stores.api import ApiAddress
from tests.bindings.scripted import Heard, reply, scripted
from tests.conftest import MakeSite, Site
from tests.platform.conftest import running
from tests.probes.breaking import run_ok

BINDINGS = Path(__file__).parents[2] / "config/bindings"
THREAD = ThreadProbe(messages=10)
HISTORY = HistoryProbe(sizes=(3, 20, 45), page=10)

MakeApi = Callable[..., Awaitable[Site]]


def shipped(name: str, **changes: Any) -> Binding:
    """The requests of a binding that ships, with some parts of it changed."""
    given = yaml.safe_load((BINDINGS / f"{name}.yaml").read_text(encoding="utf-8"))
    own = {key: part for key, part in given.items() if key not in {"postgres", "redis", "threads", "profile"}}
    own["api"] = {key: part for key, part in own["api"].items() if key in {"headers", "idempotency", "threads"}}
    return Binding.model_validate(merged(own, changes))


def merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The first with what the second says, at any depth."""
    both = {
        name: merged(one[name], part) if isinstance(part, Mapping) and isinstance(one.get(name), Mapping) else part
        for name, part in other.items()
    }
    return {**one, **both}


@pytest.fixture(scope="module")
async def platform(servers: Servers) -> AsyncIterator[Platform]:
    """A clean platform; a test that breaks it mends it."""
    async with running(servers) as started:
        yield started


@pytest.fixture
def make_api(platform: Platform, make_site: MakeSite) -> MakeApi:
    """Make an environment that has an API only."""

    async def make(binding: Binding, *, url: str = "", auth: Auth | None = None, **changes: Any) -> Site:
        login = auth or Auth.model_validate({"kind": "jwt", "key": platform.secret})
        return await make_site(
            postgres_dsn=None,
            redis_url=None,
            connections={Store.API: 4},
            provision=False,
            binding=binding,
            api=ApiAddress(base_url=url or platform.url, auth=login),
            **changes,
        )

    return make


@pytest.fixture(params=["platform", "openai-threads"])
async def site(request: pytest.FixtureRequest, make_api: MakeApi) -> Site:
    """Each of both APIs."""
    return await make_api(shipped(request.param))


def kinds(record: RunRecord) -> set[Kind]:
    """What was found broken."""
    return {violation.kind for violation in record.finding.violations}


async def left(site: Site) -> int:
    """How many threads of Holdfast's the API still lists."""
    return await site.environment.left(Store.API)


async def test_conversations_come_back(site: Site) -> None:
    """What is written through an API comes back through it, in every way of reading, and nothing is left."""
    thread = await run_ok(site, THREAD)
    await run_ok(site, HISTORY)
    burst = await run_ok(site, LoadProbe(enabled=True, rate=40, length="300ms", ramp="0s", p99="30s", budget="30s"))
    assert {step.name for step in burst.steps} == {"connect", "create_thread", "append_message"}
    assert await left(site) == 0
    assert thread.finding.left_out[-1].startswith("whether a reader sees a part of a transaction is not checked")


async def test_every_kind_of_content_comes_back(make_api: MakeApi) -> None:
    """Metadata of any depth, numbers at their limits and strange letters survive the way through two JSONs."""
    site = await make_api(shipped("platform"))
    await run_ok(site, ThreadProbe(messages=44))


@pytest.mark.parametrize("name", ["platform", "openai-threads"])
async def test_lost_messages_are_lost(make_api: MakeApi, platform: Platform, name: str) -> None:
    """A list that begins one page too late is told as a loss."""
    site = await make_api(shipped(name))
    async with platform.broken("loses-newest-page"):
        record = await site.run(HISTORY)
    assert kinds(record) == {Kind.LOST}


async def test_a_retry_that_is_done_twice_is_duplicated(make_api: MakeApi, platform: Platform) -> None:
    """An Idempotency-Key that is ignored is told by the message that came twice."""
    site = await make_api(shipped("platform"))
    async with platform.broken("doubles-on-retry"):
        record = await site.run(THREAD)
    assert kinds(record) == {Kind.DUPLICATED}
    await run_ok(site, THREAD)


async def test_an_api_that_is_down_is_unknown(make_api: MakeApi, platform: Platform) -> None:
    """A 503 is told with its words, and accuses nobody."""
    site = await make_api(shipped("platform"))
    async with platform.broken("down"):
        record = await site.run(THREAD)
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.CAPACITY)
    assert "POST /threads: answered 503 Service Unavailable" in record.finding.message


async def test_the_same_request_again_adds_nothing(make_api: MakeApi) -> None:
    """What is sent again with its key is the first answer again."""
    site = await make_api(shipped("platform"))
    author, connection = _author(site), await site.environment.threads.connect("test")
    thread, message = author.thread(0, user=synthetic_user(0)), author.message(0, 1)
    await connection.create(thread)
    await connection.append(thread, message)
    await connection.append_again(thread, message)
    read = await connection.load(thread)
    await connection.delete_thread(thread)
    await connection.close()
    assert [each.id for each in read.messages] == [message.id]
    assert (read.count, read.thread and read.thread.digest) == (1, thread.digest)


async def test_what_is_gone_is_missing(site: Site) -> None:
    """A change of what is not there any more says so; reading it finds nothing."""
    author, connection = _author(site), await site.environment.threads.connect("test")
    thread, message = author.thread(0, user=synthetic_user(0)), author.message(0, 1)
    await connection.create(thread)
    await connection.append(thread, message)
    await connection.delete_message(thread, message)
    with pytest.raises(MissingError, match="the message, once acknowledged, is gone"):
        await connection.delete_message(thread, message)
    await connection.delete_thread(thread)
    with pytest.raises(MissingError, match="its thread, once acknowledged, is gone"):
        await connection.append(thread, author.message(0, 2))
    with pytest.raises(MissingError, match="the thread, once acknowledged, is gone"):
        await connection.delete_thread(thread)
    read, counts = await connection.load(thread), await connection.count(thread.user, [thread.id])
    await connection.close()
    assert (read.thread, read.messages, read.count) == (None, (), None)
    assert (counts[thread.id].header, counts[thread.id].messages) == (None, 0)


def _author(site: Site) -> Author:
    environment = site.environment
    return Author(environment=environment.name, probe="test", run_id=_RUN, speech=environment.speech)


_RUN = "01930000-0000-7000-8000-000000000000"  # of a time long ago


async def test_a_sweep_finds_what_was_killed(make_api: MakeApi) -> None:
    """What a killed run has left is found and deleted, also by who comes after it; a run under way is left alone."""
    instance = Instance(secrets.token_hex(4), 1)
    site = await make_api(shipped("platform"), name="swept", instance=instance)
    old, connection = _author(site), await site.environment.threads.connect("test")
    new = Author(environment="swept", probe="test", run_id=await _run_now(site), speech=old.speech)
    threads = [author.thread(0, user=synthetic_user(3)) for author in (old, new)]
    for thread in threads:
        await connection.create(thread)
    restarted = await make_api(shipped("platform"), name="swept", instance=Instance(instance.id, 2))
    found = [await restarted.environment.sweep(Store.API, dry_run=True), await left(restarted)]
    gone = [await restarted.environment.sweep(Store.API) for _ in range(2)]
    stays = (await connection.load(threads[1])).thread is not None
    await connection.delete_thread(threads[1])
    await connection.close()
    assert (found, gone, stays) == ([1, 2], [1, 0], True)


async def _run_now(site: Site) -> str:
    return (await site.run(ThreadProbe())).run_id


async def test_a_log_in_that_is_refused_is_unknown(make_api: MakeApi) -> None:
    """Tokens that the application does not take are told as refused, and shown nowhere."""
    auth = Auth.model_validate({"kind": "jwt", "key": "planted secret, and another one than the platform's"})
    record = await (await make_api(shipped("platform"), auth=auth)).run(THREAD)
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.REFUSED)
    assert "planted" not in str(record)


async def test_accounts_of_the_application(make_api: MakeApi, platform: Platform) -> None:
    """Where users are four accounts, several of ours are one of them, and each thread is still its owner's."""
    key, claims = OctKey.import_key(platform.secret), {"exp": int(time.time()) + 600}
    given = {name: jwt.encode({"alg": "HS256"}, {**claims, "sub": name}, key) for name in ("ann", "bob", "cy", "di")}
    accounts = [{"id": name, "token": token} for name, token in given.items()]
    site = await make_api(shipped("platform"), auth=Auth.model_validate({"kind": "token", "accounts": accounts}))
    author, connection = _author(site), await site.environment.threads.connect("test")
    threads = [author.thread(number, user=synthetic_user(number)) for number in range(10)]
    for thread in threads:
        await connection.create(thread)
    read = [(await connection.load(thread)).thread for thread in threads]
    await connection.close()
    assert [thread and thread.digest for thread in read] == [thread.digest for thread in threads]
    assert [await site.environment.sweep(Store.API), await left(site)] == [10, 0]


class Shelf:
    """A small API whose ways to the next page, and whose ids, are as a test wants them."""

    def __init__(self, *, page: str, tells_ids: bool = True) -> None:
        self._page = page
        self._tells_ids = tells_ids
        self._threads: dict[str, list[dict[str, Any]]] = {}
        self._made = 0

    async def answer(self, heard: Heard) -> AsyncIterator[bytes]:
        """Threads are /t/ID, their messages /t/ID/m."""
        path, _, query = heard.target.partition("?")
        _, _, thread, *rest = [*path.split("/"), ""]
        messages = self._threads.get(thread)
        match heard.method, rest:
            case "POST", []:
                self._made += 1
                self._threads[str(self._made)] = []
                yield reply(201, {"id": self._made})
            case "POST", ["m", ""] if messages is not None:
                self._made += 1
                messages.append({**heard.json, "id": self._made})
                yield reply(202, {"id": self._made} if self._tells_ids else b"")
            case "GET", ["m", ""] if messages is not None:
                yield self._list(path, messages, dict(part.split("=") for part in query.split("&") if part))
            case "GET", [""] if messages is not None:
                yield reply(200, {"n": len(messages)})
            case "DELETE", [""] if messages is not None:
                del self._threads[thread]
                yield reply(200)
            case _:
                yield reply(404)

    def _list(self, path: str, messages: list[dict[str, Any]], query: dict[str, str]) -> bytes:
        start, limit = int(query.get("from", 0)), int(query.get("limit", 7))
        if self._page == "newest first":
            return reply(200, messages[::-1])
        more = self._page == "link" and start + limit < len(messages)
        link = {"Link": f'<{path}?from={start + limit}&limit={limit}>; rel="next"'} if more else {}
        return reply(200, messages[start : start + limit], **link)


def shelf_binding(
    listing: dict[str, Any], *, made_by: str = "server", returns: dict[str, str] | None = None
) -> Binding:
    """A binding of such an API."""
    thread = {"path": "/t/{thread_id}"}
    message = {"role": "{role}", "content": "{content}", "metadata": "{metadata_json}"}
    read = {"message_id": "id", "role": "role", "content": "content", "metadata": "metadata"}
    sent = {"id": "id"} if returns is None else returns
    return Binding.model_validate(
        {
            "ids": {
                "thread": {"kind": "number", "made_by": "server"},
                "message": {"kind": "number", "made_by": made_by},
            },
            "messages": {"names": False},
            "api": {
                "threads": {
                    "create": {"method": "POST", "path": "/t", "body": {"n": 1}, "returns": {"thread_id": "id"}},
                    "append": {
                        "method": "POST",
                        "path": "/t/{thread_id}/m",
                        "body": message,
                        "returns": {"message_id": "id"} if sent else {},
                    },
                    "load": {**thread, "returns": {"message_count": "n"}},
                    "messages": {"path": "/t/{thread_id}/m", "returns": read, **listing},
                    "delete": {"method": "DELETE", **thread},
                }
            },
        }
    )


@pytest.mark.parametrize(
    ("page", "listing"),
    [
        ("offset", {"query": {"from": "{offset}", "limit": "{limit}"}, "limit": 7}),
        ("offset", {"query": {"from": "{offset}"}}),
        ("link", {"query": {"limit": "{limit}"}, "linked": True, "limit": 7}),
        ("newest first", {"newest_first": True}),
    ],
)
async def test_every_way_to_the_next_page(make_api: MakeApi, page: str, listing: dict[str, Any]) -> None:
    """Offsets, links and lists that begin with the newest bring a whole conversation."""
    async with scripted(Shelf(page=page).answer) as server:
        site = await make_api(shelf_binding(listing), url=server.url)
        await run_ok(site, THREAD)
        author, connection = _author(site), await site.environment.threads.connect("test")
        thread = author.thread(0, user=synthetic_user(0))
        messages = tuple(author.message(0, number) for number in range(1, 15))
        await connection.create(thread)
        await connection.append_batch(thread, messages)
        read = await connection.load(thread)
        pages, after = list[Page](), None
        while site.environment.surroundings.can("history", "page") and (not pages or pages[-1].messages):
            pages.append(await connection.page(thread, after=after, limit=4))
            after = pages[-1].messages[-1] if pages[-1].messages else None
        await connection.close()
    wanted = [message.id for message in messages]
    assert [each.id for each in read.messages] == wanted
    assert [each.id for found in pages for each in found.messages] == (wanted if page != "newest first" else [])
    assert read.count == 14


async def test_a_full_page_that_leads_nowhere_is_misconfigured(make_api: MakeApi) -> None:
    """Where nothing says how the list goes on, what does not come is not told as lost."""
    async with scripted(Shelf(page="none").answer) as server:
        site = await make_api(shelf_binding({"query": {"limit": "{limit}"}, "limit": 7}), url=server.url)
        record = await site.run(THREAD)
    assert (record.verdict, record.finding.reason) == (Verdict.UNKNOWN, Reason.MISCONFIGURED)
    assert "the page is full (7), and nothing leads on" in record.finding.message


async def test_messages_are_known_by_their_metadata(make_api: MakeApi) -> None:
    """Where an API says no id when it stores a message, its metadata say which it is."""
    listing = {"query": {"from": "{offset}", "limit": "{limit}"}}
    async with scripted(Shelf(page="offset", tells_ids=False).answer) as server:
        await run_ok(await make_api(shelf_binding(listing, returns={}), url=server.url), THREAD)


async def test_an_id_that_is_not_told_is_misconfigured(make_api: MakeApi) -> None:
    """A binding that awaits an id where none comes says so, and nobody knows what was stored."""
    async with scripted(Shelf(page="offset", tells_ids=False).answer) as server:
        site = await make_api(shelf_binding({}), url=server.url)
        author, connection = _author(site), await site.environment.threads.connect("test")
        thread: Thread = author.thread(0, user=synthetic_user(0))
        await connection.create(thread)
        with pytest.raises(StoreError, match="answered no id for what it has created") as failed:
            await connection.append(thread, author.message(0, 1))
        await connection.close()
    assert failed.value.reason is Reason.MISCONFIGURED


async def test_an_id_that_leads_to_another_thread_is_never_used(make_api: MakeApi) -> None:
    """Where what creates returns the wrong value as the id, nothing is sent to what that leads to."""
    given = shelf_binding({}).model_dump(mode="json", exclude_defaults=True)
    wrong = {"create": {"returns": {"thread_id": "owner"}}, "load": {"returns": {"user_id": "user"}}}

    async def answer(heard: Heard) -> AsyncIterator[bytes]:
        yield (
            reply(201, {"id": 77, "owner": 5}) if heard.method == "POST" else reply(200, {"user": "a customer", "n": 2})
        )

    async with scripted(answer) as server:
        site = await make_api(Binding.model_validate(merged(given, {"api": {"threads": wrong}})), url=server.url)
        author, connection = _author(site), await site.environment.threads.connect("test")
        thread = author.thread(0, user=synthetic_user(0))
        with pytest.raises(StoreError, match=r"returned thread_id 5, and .* finds another thread by it") as failed:
            await connection.create(thread)
        for use in (connection.append(thread, author.message(0, 1)), connection.delete_thread(thread)):
            with pytest.raises(StoreError, match="has not said which id it gave"):
                await use
        await connection.close()
        asked = [(heard.method, heard.target) for heard in server.heard]
    assert failed.value.reason is Reason.MISCONFIGURED
    assert asked == [("POST", "/t"), ("GET", "/t/5")]
