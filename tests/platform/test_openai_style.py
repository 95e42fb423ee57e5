"""The same service, asked as OpenAI is asked."""

from __future__ import annotations

import httpx
import pytest

from tests.platform.conftest import contents, new_thread, say


async def _thread(user: httpx.AsyncClient, *texts: str) -> str:
    thread = (await user.post("/v1/threads", json={})).raise_for_status().json()["id"]
    for text in texts:
        (await user.post(f"/v1/threads/{thread}/messages", json={"role": "user", "content": text})).raise_for_status()
    return str(thread)


async def _texts(user: httpx.AsyncClient, thread: str, **params: str | int) -> tuple[list[str], bool]:
    page = (await user.get(f"/v1/threads/{thread}/messages", params=params)).raise_for_status().json()
    ids = [message["id"] for message in page["data"]] or [None]
    assert (page["object"], page["first_id"], page["last_id"]) == ("list", ids[0], ids[-1])
    return [message["content"][0]["text"]["value"] for message in page["data"]], page["has_more"]


async def test_a_thread_lives_and_dies(ann: httpx.AsyncClient) -> None:
    """Create, retrieve, modify and delete answer the documented objects."""
    thread = (await ann.post("/v1/threads", json={"metadata": {"a": "b"}})).json()
    assert thread == {
        "id": thread["id"],
        "object": "thread",
        "created_at": int(thread["created_at"]),
        "metadata": {"a": "b"},
    }
    path = f"/v1/threads/{thread['id']}"
    assert (await ann.get(path)).json() == thread
    modified = (await ann.post(path, json={"metadata": {"c": "d"}})).json()
    assert modified == thread | {"metadata": {"c": "d"}}
    assert (await ann.delete(path)).json() == {"id": thread["id"], "object": "thread.deleted", "deleted": True}
    assert (await ann.get(path)).status_code == 404


async def test_a_message_lives_and_dies(ann: httpx.AsyncClient) -> None:
    """Create, retrieve, modify and delete answer the documented objects; text may come in parts."""
    thread = await _thread(ann)
    parts = [{"type": "text", "text": "Hello, "}, {"type": "text", "text": "world"}]
    message = (
        await ann.post(f"/v1/threads/{thread}/messages", json={"role": "assistant", "content": parts, "metadata": {}})
    ).json()
    assert message == {
        "id": message["id"],
        "object": "thread.message",
        "created_at": message["created_at"],
        "thread_id": thread,
        "role": "assistant",
        "content": [{"type": "text", "text": {"value": "Hello, world", "annotations": []}}],
        "metadata": {},
    }
    path = f"/v1/threads/{thread}/messages/{message['id']}"
    assert (await ann.get(path)).json() == message
    assert (await ann.post(path, json={"metadata": {"k": "v"}})).json() == message | {"metadata": {"k": "v"}}
    deleted = {"id": message["id"], "object": "thread.message.deleted", "deleted": True}
    assert (await ann.delete(path)).json() == deleted
    assert (await ann.get(path)).status_code == 404


async def test_messages_are_listed_as_documented(ann: httpx.AsyncClient) -> None:
    """Newest first unless asked otherwise; `after` goes on, `before` goes back, has_more says whether there is more."""
    thread = await _thread(ann, *"abcdef")
    listed = (await ann.get(f"/v1/threads/{thread}/messages")).json()["data"]
    ids = {message["content"][0]["text"]["value"]: message["id"] for message in listed}
    assert await _texts(ann, thread) == (list("fedcba"), False)
    assert await _texts(ann, thread, order="asc", limit=4) == (list("abcd"), True)
    assert await _texts(ann, thread, order="asc", limit=4, after=ids["d"]) == (list("ef"), False)
    assert await _texts(ann, thread, limit=2, after=ids["e"]) == (list("dc"), True)
    assert await _texts(ann, thread, limit=2, before=ids["b"]) == (list("dc"), True)
    assert await _texts(ann, thread, after=ids["f"], before=ids["c"]) == (list("ed"), False)
    assert await _texts(ann, thread, order="asc", before=ids["a"]) == ([], False)


async def test_both_styles_stand_on_the_same_tables(ann: httpx.AsyncClient) -> None:
    """What one style writes the other reads."""
    thread = await new_thread(ann)
    await say(ann, thread, "own")
    await ann.post(f"/v1/threads/{thread}/messages", json={"role": "user", "content": "theirs"})
    assert await contents(ann, thread) == ["own", "theirs"]
    assert await _texts(ann, thread, order="asc") == (["own", "theirs"], False)


async def test_a_retry_is_written_once_here_too(ann: httpx.AsyncClient) -> None:
    """OpenAI's own clients send an Idempotency-Key."""
    thread = await _thread(ann)
    message, key = {"role": "user", "content": "once"}, {"Idempotency-Key": "openai"}
    replies = [await ann.post(f"/v1/threads/{thread}/messages", json=message, headers=key) for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    assert await _texts(ann, thread) == (["once"], False)


async def test_another_users_things_are_not_found(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    """Every request with another's id is a 404, also as a place in a list."""
    thread = await _thread(ann, "secret")
    message = (await ann.get(f"/v1/threads/{thread}/messages")).json()["first_id"]
    path, his = f"/v1/threads/{thread}", await _thread(bob, "his")
    requests: list[tuple[str, str, object]] = [
        ("GET", path, None),
        ("POST", path, {"metadata": {}}),
        ("GET", f"{path}/messages", None),
        ("POST", f"{path}/messages", {"role": "user", "content": "intruder"}),
        ("GET", f"{path}/messages/{message}", None),
        ("POST", f"{path}/messages/{message}", {"metadata": {}}),
        ("DELETE", f"{path}/messages/{message}", None),
        ("DELETE", path, None),
        ("GET", f"/v1/threads/{his}/messages?after={message}", None),
    ]
    for method, url, body in requests:
        reply = await bob.request(method, url, json=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "not_found"), (method, url)
    assert await _texts(ann, thread) == (["secret"], False)


@pytest.mark.parametrize(
    "body",
    [
        {"role": "tool", "content": "a"},
        {"role": "user", "content": []},
        {"role": "user", "content": "a", "metadata": {"k": 1}},
        {"role": "user", "content": "a", "metadata": {"k" * 65: "v"}},
        {"role": "user", "content": "a", "metadata": {"k": "v" * 513}},
        {"role": "user", "content": "a", "metadata": {str(number): "" for number in range(17)}},
    ],
)
async def test_bad_input_is_a_400_in_openais_words(ann: httpx.AsyncClient, body: object) -> None:
    """Roles, and what metadata may hold, are as OpenAI documents them."""
    reply = await ann.post(f"/v1/threads/{await _thread(ann)}/messages", json=body)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_a_wrong_key_is_a_401_in_openais_words(ann: httpx.AsyncClient) -> None:
    """The key is the JWT."""
    reply = await ann.post("/v1/threads", headers={"Authorization": "Bearer sk-none"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
