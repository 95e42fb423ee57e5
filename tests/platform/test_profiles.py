"""Profiles, and their copies in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from redis.asyncio import Redis

from monitor.embedded.servers import Servers
from tests.platform.conftest import name_of

PROFILE = {"auth_data": {"mfa": True, "keys": ["a"]}, "permissions": ["read", {"deep": 1}], "subscription_tier": "pro"}


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    """The platform's Redis, looked into directly."""
    async with Redis.from_url(servers.valkey.url, decode_responses=True) as client:
        yield client


async def test_a_profile_comes_back_as_it_was_put(ann: httpx.AsyncClient) -> None:
    """At /me and under one's own id it is the same; before the first PUT there is none."""
    assert (await ann.get("/me/profile")).status_code == 404
    put = await ann.put("/me/profile", json=PROFILE)
    assert put.status_code == 200
    assert {name: put.json()[name] for name in PROFILE} == PROFILE
    for path in ("/me/profile", f"/users/{name_of(ann)}/profile"):
        assert (await ann.get(path)).json() == put.json()


async def test_a_read_leaves_a_copy_that_a_put_drops(ann: httpx.AsyncClient, redis: Redis) -> None:
    """The copy is what was answered, under user_data:{user_id}, for 1800 s; and no read after a PUT is old."""
    key = f"user_data:{name_of(ann)}"
    await ann.put("/me/profile", json=PROFILE)
    assert await redis.get(key) is None
    answered = (await ann.get("/me/profile")).text
    assert await redis.get(key) == answered
    assert 1790 <= await redis.ttl(key) <= 1800
    await ann.put("/me/profile", json=PROFILE | {"subscription_tier": "free"})
    assert await redis.get(key) is None
    assert (await ann.get("/me/profile")).json()["subscription_tier"] == "free"


async def test_no_reader_keeps_what_a_writer_has_replaced(ann: httpx.AsyncClient) -> None:
    """Readers without pause beside a writer: what is read after a PUT was answered is what was put."""
    await ann.put("/me/profile", json=PROFILE)
    written = asyncio.Event()

    async def read() -> None:
        while not written.is_set():
            await ann.get("/me/profile")

    async def write() -> None:
        for number in range(40):
            await ann.put("/me/profile", json=PROFILE | {"permissions": [number]})
            assert (await ann.get("/me/profile")).json()["permissions"] == [number]

    readers = [asyncio.create_task(read()) for _ in range(3)]
    try:
        await write()
    finally:
        written.set()
        await asyncio.gather(*readers)


async def test_another_users_profile_is_forbidden(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    """Neither to be read nor to be written."""
    await ann.put("/me/profile", json=PROFILE)
    path = f"/users/{name_of(ann)}/profile"
    assert (await bob.get(path)).status_code == 403
    assert (await bob.put(path, json={})).status_code == 403
    assert (await bob.get("/me/profile")).status_code == 404
    assert (await ann.get("/me/profile")).json()["subscription_tier"] == "pro"


async def test_a_session_is_kept_as_json_for_an_hour(ann: httpx.AsyncClient, redis: Redis) -> None:
    """Under session:{user_id}:{session_id}; each use of it begins the hour anew, and is noted beside it."""
    made = await ann.post("/sessions", json={"data": {"cart": [1, 2]}})
    assert made.status_code == 201
    session = made.json()
    key, path = f"session:{name_of(ann)}:{session['session_id']}", f"/sessions/{session['session_id']}"
    assert await redis.get(key) == made.text
    for method in ("GET", "PUT"):
        await redis.expire(key, 10)
        assert (await ann.request(method, path)).status_code == 200
        assert 3590 <= await redis.ttl(key) <= 3600
    assert session["session_id"] in (await redis.get(f"session_state:{name_of(ann)}") or "")
    assert await redis.exists(f"user_backend:{name_of(ann)}") == 1


async def test_a_session_is_replaced_and_deleted(ann: httpx.AsyncClient) -> None:
    """A PUT replaces the data and counts the version; after DELETE there is nothing to use."""
    session = (await ann.post("/sessions", json={"data": {"a": 1}})).json()
    path = f"/sessions/{session['session_id']}"
    put = (await ann.put(path, json={"data": {"b": 2}})).json()
    assert (put["data"], put["version"]) == ({"b": 2}, 2)
    assert (await ann.get(path)).json() == put
    assert (await ann.delete(path)).status_code == 204
    assert [(await ann.request(method, path)).status_code for method in ("GET", "PUT", "DELETE")] == [404, 404, 404]


async def test_of_two_writers_of_a_version_one_wins(ann: httpx.AsyncClient) -> None:
    """With If-Match the second gets a 409, and does not overwrite; without it all are done, one after the other."""
    path = f"/sessions/{(await ann.post('/sessions')).json()['session_id']}"
    replies = await asyncio.gather(
        *(ann.put(path, json={"data": {"n": number}}, headers={"If-Match": "1"}) for number in range(4))
    )
    assert sorted(reply.status_code for reply in replies) == [200, 409, 409, 409]
    [won] = [reply.json() for reply in replies if reply.status_code == 200]
    assert (await ann.get(path)).json() == won
    await asyncio.gather(*(ann.put(path, json={"data": {}}) for _ in range(6)))
    assert (await ann.get(path)).json()["version"] == 8


async def test_another_users_session_is_not_found(ann: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    """Not by its id, and not by an id that pretends to be part of a key."""
    session = (await ann.post("/sessions")).json()["session_id"]
    for path in (f"/sessions/{session}", f"/sessions/{name_of(ann)}:{session}"):
        assert [(await bob.request(method, path)).status_code for method in ("GET", "PUT", "DELETE")] == [404] * 3
    assert (await ann.get(f"/sessions/{session}")).status_code == 200
