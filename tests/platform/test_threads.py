"""Threads and messages in the platform's own style."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.platform.conftest import contents, name_of, new_thread, say


async def test_a_thread_comes_back_as_it_was_made(ann: httpx.AsyncClient) -> None:
    """Name and metadata are kept, the id begins with thread_, the owner is the token's."""
    made = await ann.post("/threads", json={"name": "Ünïcode 💾", "metadata": {"deep": [1, None, {"a": 0.5}]}})
    assert made.status_code == 201
    thread = made.json()
    assert thread["id"].startswith("thread_")
    assert {name: thread[name] for name in ("user_id", "name", "metadata", "is_active")} == {
        "user_id": name_of(ann),
        "name": "Ünïcode 💾",
        "metadata": {"deep": [1, None, {"a": 0.5}]},
        "is_active": True,
    }
    assert (await ann.get(f"/threads/{thread['id']}")).json() == thread


async def test_a_thread_is_changed_in_parts(ann: httpx.AsyncClient) -> None:
    """What a PATCH does not name stays; the moment of the change moves."""
    thread = (await ann.post("/threads", json={"name": "old", "metadata": {"kept": True}})).json()
    changed = (await ann.patch(f"/threads/{thread['id']}", json={"name": "new", "is_active": False})).json()
    assert changed == thread | {"name": "new", "is_active": False, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > thread["updated_at"]


async def test_a_deleted_thread_takes_its_messages_with_it(ann: httpx.AsyncClient) -> None:
    """After DELETE neither the thread nor a message of it is found."""
    thread = await new_thread(ann)
    [message] = await say(ann, thread, "hello")
    paths = [f"/threads/{thread}", f"/threads/{thread}/messages", f"/threads/{thread}/messages/{message}"]
    assert (await ann.delete(paths[0])).status_code == 204
    assert [(await ann.get(path)).status_code for path in paths] == [404, 404, 404]
    assert (await ann.delete(paths[0])).status_code == 404


async def test_threads_are_listed_newest_first_over_pages(ann: httpx.AsyncClient) -> None:
    """Each thread is in one page, and the last page has no cursor."""
    made = [await new_thread(ann) for _ in range(5)]
    found, params = list[str](), {"limit": "2"}
    while True:
        page = (await ann.get("/threads", params=params)).json()
        found += [thread["id"] for thread in page["data"]]
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert found == made[::-1]


async def test_a_message_comes_back_as_it_was_said(ann: httpx.AsyncClient) -> None:
    """Role, type, content and metadata are kept; the id begins with msg_."""
    thread = await new_thread(ann)
    said = {"role": "tool", "message_type": "agent_thinking", "content": "a\r\n\tb 😀", "metadata": {"n": [1.5, ""]}}
    made = await ann.post(f"/threads/{thread}/messages", json=said)
    assert made.status_code == 201
    message = made.json()
    assert {name: message[name] for name in said} == said
    assert message["id"].startswith("msg_")
    assert (await ann.get(f"/threads/{thread}/messages/{message['id']}")).json() == message


@pytest.mark.parametrize(
    ("role", "usual"), [("user", "user_query"), ("assistant", "agent_completed"), ("tool", "tool_result")]
)
async def test_a_message_has_the_usual_type_of_its_role(ann: httpx.AsyncClient, role: str, usual: str) -> None:
    """Where no type is given."""
    thread = await new_thread(ann)
    message = (await ann.post(f"/threads/{thread}/messages", json={"role": role, "content": ""})).json()
    assert message["message_type"] == usual


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_messages_keep_their_order_over_batches_and_pages(ann: httpx.AsyncClient, order: str) -> None:
    """A batch keeps the order it had, in pages of any size, from either end."""
    thread = await new_thread(ann)
    texts = [str(number) for number in range(23)]
    for begin in range(0, 23, 10):
        await say(ann, thread, *texts[begin : begin + 10])
    assert await contents(ann, thread, limit=4, order=order) == (texts if order == "asc" else texts[::-1])


async def test_batches_of_many_writers_do_not_mix(ann: httpx.AsyncClient) -> None:
    """Written at once, each is in one piece; no two messages of a thread have the same created_at."""
    thread, texts = await new_thread(ann), [str(number) for number in range(200)]
    await asyncio.gather(*(say(ann, thread, *texts) for _ in range(6)))
    assert await contents(ann, thread, limit=100) == texts * 6
    page = (await ann.get(f"/threads/{thread}/messages", params={"limit": 100, "order": "desc"})).json()
    moments = [message["created_at"] for message in page["data"]]
    assert moments == sorted(set(moments), reverse=True)


async def test_a_batch_comes_whole_or_not_at_all(ann: httpx.AsyncClient) -> None:
    """One message that PostgreSQL cannot store leaves none of its batch."""
    thread = await new_thread(ann)
    batch = {"messages": [{"role": "user", "content": text} for text in ("good", "no\0good")]}
    assert (await ann.post(f"/threads/{thread}/messages/batch", json=batch)).status_code == 422
    assert await contents(ann, thread) == []


async def test_a_message_is_changed_and_deleted(ann: httpx.AsyncClient) -> None:
    """A change keeps id, place and what it does not name; a deletion leaves the others."""
    thread = await new_thread(ann)
    first, second = await say(ann, thread, "one", "two")
    before = (await ann.get(f"/threads/{thread}/messages/{first}")).json()
    changed = (await ann.patch(f"/threads/{thread}/messages/{first}", json={"content": "ONE"})).json()
    assert changed == before | {"content": "ONE"}
    assert await contents(ann, thread) == ["ONE", "two"]
    assert (await ann.delete(f"/threads/{thread}/messages/{second}")).status_code == 204
    assert await contents(ann, thread) == ["ONE"]


async def test_a_retry_is_answered_again_and_written_once(ann: httpx.AsyncClient) -> None:
    """The same Idempotency-Key, one after the other and at the same time: one message, one answer."""
    thread = await new_thread(ann)
    message, key = {"role": "user", "content": "once"}, {"Idempotency-Key": "k-1"}

    async def post() -> httpx.Response:
        return await ann.post(f"/threads/{thread}/messages", json=message, headers=key)

    replies = [await post(), *await asyncio.gather(*(post() for _ in range(5)))]
    assert {(reply.status_code, reply.content) for reply in replies} == {(201, replies[0].content)}
    assert await contents(ann, thread) == ["once"]


async def test_an_idempotency_key_is_for_one_request_of_one_user(
    ann: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    """Used for another request it is refused; another user's same key is another key; a failed request leaves none."""
    key = {"Idempotency-Key": "k-1"}
    threads = [await new_thread(user) for user in (ann, bob)]

    async def post(user: httpx.AsyncClient, thread: str, text: str) -> int:
        message = {"role": "user", "content": text}
        return (await user.post(f"/threads/{thread}/messages", json=message, headers=key)).status_code

    assert await post(ann, "thread_none", "a") == 404
    assert await post(ann, threads[0], "a") == 201
    assert await post(ann, threads[0], "b") == 422
    assert await post(bob, threads[1], "c") == 201
    assert [await contents(user, thread) for user, thread in zip((ann, bob), threads, strict=True)] == [["a"], ["c"]]


async def test_threads_and_batches_are_idempotent_too(ann: httpx.AsyncClient) -> None:
    """Every POST that stores something in PostgreSQL takes the key."""
    threads = {(await ann.post("/threads", json={}, headers={"Idempotency-Key": "t"})).json()["id"] for _ in range(2)}
    assert len(threads) == 1
    path, batch = f"/threads/{threads.pop()}/messages/batch", {"messages": [{"role": "user", "content": "x"}] * 3}
    replies = [await ann.post(path, json=batch, headers={"Idempotency-Key": "b"}) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    assert await contents(ann, path.split("/")[2]) == ["x", "x", "x"]


async def test_two_users_do_not_reach_each_other(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    """Every request with another's id is a 404, and changes nothing."""
    thread = await new_thread(ann, name="mine")
    [message] = await say(ann, thread, "secret")
    path = f"/threads/{thread}"
    said = {"role": "user", "content": "intruder"}
    requests: list[tuple[str, str, Any]] = [
        ("GET", path, None),
        ("PATCH", path, {"name": "his"}),
        ("GET", f"{path}/messages", None),
        ("POST", f"{path}/messages", said),
        ("POST", f"{path}/messages/batch", {"messages": [said]}),
        ("GET", f"{path}/messages/{message}", None),
        ("PATCH", f"{path}/messages/{message}", {"content": "his"}),
        ("DELETE", f"{path}/messages/{message}", None),
        ("DELETE", path, None),
    ]
    for method, url, body in requests:
        assert (await bob.request(method, url, json=body)).status_code == 404, (method, url)
    assert (await bob.get("/threads")).json() == {"data": [], "next": None}
    assert (await ann.get(path)).json()["name"] == "mine"
    assert await contents(ann, thread) == ["secret"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "no JSON"),
        (b'{"role": "user", "content": "\\ud800"}', "no JSON"),
        (b'{"role": "user", "content": NaN}', "no JSON"),
        (b'{"role": "king", "content": "a"}', "role"),
        (b'{"role": "user", "content": 1}', "content"),
        (b'{"role": "user", "content": "a", "colour": "red"}', "colour"),
        (b'{"role": "user", "content": "\\u0000"}', "PostgreSQL cannot store this"),
    ],
)
async def test_bad_input_is_refused_with_the_reason(ann: httpx.AsyncClient, body: bytes, word: str) -> None:
    """A 422 names what is wrong."""
    thread = await new_thread(ann)
    reply = await ann.post(f"/threads/{thread}/messages", content=body)
    assert reply.status_code == 422
    assert word in reply.json()["error"]["message"]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=9999999999", "limit=x", "after=x", "order=up"])
async def test_a_bad_page_is_refused(ann: httpx.AsyncClient, query: str) -> None:
    """So are bad limits, cursors and orders."""
    assert (await ann.get(f"/threads?{query}")).status_code == 422


async def test_a_body_has_a_bound(ann: httpx.AsyncClient) -> None:
    """More than 8 MiB is a 413."""
    assert (await ann.post("/threads", content=b" " * (8 * 1024 * 1024 + 1))).status_code == 413
