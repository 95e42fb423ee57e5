"""Each switch breaks what it says, in both styles of the API, and nothing is left of it when it is off."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from examples.platform.running import Platform
from examples.platform.switches import Switch
from tests.platform.conftest import contents, name_of, new_thread, say


async def _values(user: httpx.AsyncClient, thread: str, **params: str | int) -> list[str]:
    """A page of a thread's messages in OpenAI's style."""
    page = (await user.get(f"/v1/threads/{thread}/messages", params=params)).raise_for_status().json()
    return [message["content"][0]["text"]["value"] for message in page["data"]]


async def _listed(user: httpx.AsyncClient) -> list[str]:
    return [thread["id"] for thread in (await user.get("/threads")).json()["data"]]


async def _codes(user: httpx.AsyncClient, *requests: tuple[str, str, Any]) -> list[int]:
    return [(await user.request(method, path, json=body)).status_code for method, path, body in requests]


async def test_all_are_off_at_the_start(platform: Platform) -> None:
    """A platform is clean; and only who has the admin's token learns that there are switches."""
    async with httpx.AsyncClient(base_url=platform.url) as client:
        state = await client.get("/_switches", headers={"X-Admin": platform.admin})
        assert state.json() == dict.fromkeys(Switch, False)
        for headers in ({}, {"X-Admin": "guess"}):
            assert (await client.get("/_switches", headers=headers)).status_code == 404
            assert (await client.put("/_switches/down", headers=headers)).status_code == 404
        unknown = await client.put("/_switches/gravity", headers={"X-Admin": platform.admin})
        assert (unknown.status_code, "forgets-where" in unknown.text) == (404, True)


async def test_forgets_where(platform: Platform, ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    """Lists and reads show another's threads; nothing of another's can be changed."""
    thread = await new_thread(ann)
    [message] = await say(ann, thread, "secret")
    async with platform.broken("forgets-where"):
        assert thread in await _listed(bob)
        assert await contents(bob, thread) == await _values(bob, thread) == ["secret"]
        paths = [f"{root}/threads/{thread}{rest}" for root in ("", "/v1") for rest in ("", f"/messages/{message}")]
        assert await _codes(bob, *(("GET", path, None) for path in paths)) == [200] * 4
        assert await _codes(bob, ("PATCH", f"/threads/{thread}", {"name": "his"})) == [404]
        assert await _codes(bob, ("DELETE", f"/v1/threads/{thread}", None)) == [404]
    assert await _listed(bob) == []
    assert await _codes(bob, *(("GET", path, None) for path in paths)) == [404] * 4


async def test_trusts_the_path(platform: Platform, ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    """Who knows an id may read and write there, profiles too; lists show only what is one's own."""
    thread = await new_thread(ann)
    [message] = await say(ann, thread, "secret")
    await ann.put("/me/profile", json={"subscription_tier": "pro"})
    profile = f"/users/{name_of(ann)}/profile"
    async with platform.broken("trusts-the-path"):
        assert await _listed(bob) == []
        assert await contents(bob, thread) == await _values(bob, thread) == ["secret"]
        assert (await bob.get(profile)).json()["subscription_tier"] == "pro"
        assert await _codes(
            bob,
            ("PATCH", f"/threads/{thread}", {"name": "his"}),
            ("PATCH", f"/threads/{thread}/messages/{message}", {"content": "forged"}),
            ("POST", f"/threads/{thread}/messages", {"role": "user", "content": "intruder"}),
            ("POST", f"/v1/threads/{thread}/messages", {"role": "user", "content": "another"}),
            ("PUT", profile, {"subscription_tier": "free"}),
        ) == [200, 200, 201, 200, 200]
    assert await contents(ann, thread) == ["forged", "intruder", "another"]
    assert (await ann.get("/me/profile")).json()["subscription_tier"] == "free"
    assert await _codes(bob, ("GET", f"/threads/{thread}", None), ("GET", profile, None)) == [404, 403]


async def test_cache_without_user(platform: Platform, ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    """The profile that was read last is everybody's."""
    for user in (ann, bob):
        await user.put("/me/profile", json={"auth_data": {"name": name_of(user)}})
    async with platform.broken("cache-without-user"):
        await ann.put("/me/profile", json={"auth_data": {"name": name_of(ann)}})  # drops what others left
        read = [(await user.get("/me/profile")).json()["user_id"] for user in (ann, bob)]
    assert read == [name_of(ann), name_of(ann)]
    assert [(await user.get("/me/profile")).json()["user_id"] for user in (ann, bob)] == [name_of(ann), name_of(bob)]


async def test_never_invalidates(platform: Platform, ann: httpx.AsyncClient) -> None:
    """After a change the old copy is read, until one that invalidates."""
    await ann.put("/me/profile", json={"subscription_tier": "old"})
    await ann.get("/me/profile")
    async with platform.broken("never-invalidates"):
        assert (await ann.put("/me/profile", json={"subscription_tier": "new"})).json()["subscription_tier"] == "new"
        assert (await ann.get("/me/profile")).json()["subscription_tier"] == "old"
    await ann.put("/me/profile", json={"subscription_tier": "newest"})
    assert (await ann.get("/me/profile")).json()["subscription_tier"] == "newest"


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_loses_newest_page(platform: Platform, ann: httpx.AsyncClient, order: str) -> None:
    """As many messages as a page has are missing at the end, in either order and either style; they are not gone."""
    thread, texts = await new_thread(ann), [str(number) for number in range(7)]
    await say(ann, thread, *texts)
    async with platform.broken("loses-newest-page"):
        shown = texts[:4] if order == "asc" else texts[3::-1]
        assert await contents(ann, thread, limit=3, order=order) == shown
        assert await _values(ann, thread, limit=3, order=order) == shown[:3]
        assert await contents(ann, thread, limit=100) == []
    assert await contents(ann, thread, limit=3) == texts


async def test_doubles_on_retry(platform: Platform, ann: httpx.AsyncClient) -> None:
    """The same Idempotency-Key writes twice."""
    thread, message = await new_thread(ann), {"role": "user", "content": "twice"}
    async with platform.broken("doubles-on-retry"):
        for path in (f"/threads/{thread}/messages", f"/v1/threads/{thread}/messages"):
            for _ in range(2):
                await ann.post(path, json=message, headers={"Idempotency-Key": path})
    assert await contents(ann, thread) == ["twice"] * 4


async def test_anothers_reply(platform: Platform, ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    """What one user was answered, the next who asks the same path is answered once; one's own replies stay fresh."""
    thread = await new_thread(ann)
    for user in (ann, bob):
        await user.put("/me/profile", json={})
    async with platform.broken("anothers-reply"):
        for path in ("/threads", "/me/profile"):
            hers = (await ann.get(path)).json()
            assert (await ann.get(path)).json() == hers
            assert (await bob.get(path)).json() == hers
            assert (await bob.get(path)).json() != hers
        assert await _codes(ann, ("GET", f"/v1/threads/{thread}", None)) == [200]
        assert await _codes(bob, *[("GET", f"/v1/threads/{thread}", None)] * 2) == [200, 404]
        assert await _codes(ann, ("GET", f"/v1/threads/{thread}", None)) == [200]
    assert await _codes(bob, ("GET", f"/v1/threads/{thread}", None)) == [404]
    assert await _listed(bob) == []


async def test_slow(platform: Platform, ann: httpx.AsyncClient) -> None:
    """A client that does not wait as long as --delay gets nothing; one that waits is answered."""
    async with platform.broken("slow"):
        with pytest.raises(httpx.ReadTimeout):
            await ann.get("/threads", timeout=httpx.Timeout(5, read=0.1))
        assert (await ann.get("/threads")).status_code == 200


async def test_down(platform: Platform, ann: httpx.AsyncClient) -> None:
    """Everything is a 503, the log-in and the WebSocket too."""
    async with platform.broken("down"):
        requests = [("GET", "/threads"), ("GET", "/healthz"), ("POST", "/auth/token"), ("GET", "/events")]
        assert await _codes(ann, *((method, path, None) for method, path in requests)) == [503] * 4
        assert (await ann.post("/v1/threads")).json()["error"]["type"] == "server_error"
        with pytest.raises(InvalidStatus) as refused:
            await connect(platform.url.replace("http", "ws") + "/ws").__aenter__()
        assert refused.value.response.status_code == 503
    assert (await ann.get("/healthz")).json() == {"status": "ok"}
