"""Bindings for sessions that ship, against what keeps such sessions: Django, and what connect-redis wrote."""

from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import caches
from uuid_utils import uuid7

from monitor.bindings import Binding
from monitor.core.residue import word_in
from monitor.core.session import Session, compare
from monitor.core.verdict import Kind
from monitor.probes.session import SessionProbe
from monitor.stores.redis import RedisConnection
from tests.bindings.redis_captured import CONNECT_REDIS, CONNECT_REDIS_KEY, CONNECT_REDIS_TTL
from tests.conftest import MakeSite, Site
from tests.probes.breaking import run_ok

USER = "holdfast-user-0"
FOLDER = Path(__file__).parents[2] / "config/bindings"

MakeShipped = Callable[[str], Awaitable[Site]]


def shipped(name: str) -> Binding:
    """A binding that ships, its keys only."""
    given = yaml.safe_load((FOLDER / f"{name}.yaml").read_text("utf-8"))
    return Binding.model_validate({key: part for key, part in given.items() if key in {"name", "ids", "redis"}})


@pytest.fixture
def database() -> str:
    """None is made: nothing here is asked of PostgreSQL."""
    return "none"


@pytest.fixture
def make_shipped(make_site: MakeSite) -> MakeShipped:
    """Make an environment that is bound as one of the files says."""

    async def make(name: str) -> Site:
        return await make_site(postgres_dsn=None, binding=shipped(name))

    return make


@pytest.fixture
def django(site: Site) -> Iterator[type[SessionStore]]:
    """Django's own store of sessions, as its documentation sets it up, on the shared Valkey."""
    if not settings.configured:
        settings.configure()
    location = site.servers.valkey.url
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": location}}
    caches.__init__()  # type: ignore[misc]  # it remembers what it was set up with
    yield SessionStore
    caches["default"].close()


async def raw(here: Site, *command: str) -> Any:
    """What the server itself answers, in bytes."""
    connection: RedisConnection = await here.environment.ways.primary_redis.connect("test")
    (reply,) = await connection.ask(command)
    await connection.close()
    return reply


async def saved(here: Site, *, ttl: float) -> Session:
    """A session that the probe's connection wrote, and incremented once."""
    sessions = here.environment.sessions
    session = Session.of(sessions.key(str(uuid7()), "a-own", user=USER), user=USER)
    connection = await sessions.connect("session")
    await connection.save(session, ttl=ttl)
    await connection.increment(session, "messages")
    await connection.close()
    return session


async def seen(here: Site, key: str) -> bytes | None:
    """What the probe's connection reads there."""
    connection = await here.environment.sessions.connect("session")
    (value,) = (await connection.look(key)).values
    await connection.close()
    return value


@pytest.mark.parametrize("name", ["django-sessions", "connect-redis", "platform"])
async def test_what_ships_is_healthy_on_a_healthy_server(make_shipped: MakeShipped, name: str) -> None:
    """The probe of sessions runs through each binding that ships."""
    await run_ok(await make_shipped(name), SessionProbe())


async def test_django_reads_what_the_probe_wrote(make_shipped: MakeShipped, django: type[SessionStore]) -> None:
    """Under the very key that Django makes of the session's id, with an expiry, and changed by the probe's update."""
    here = await make_shipped("django-sessions")
    session = await saved(here, ttl=100)
    word = word_in(session.key)
    store = django(word)
    loaded = await asyncio.to_thread(store.load)
    assert list(loaded) == ["holdfast"]
    assert loaded["holdfast"] == json.loads(session.encode({"messages": 1, "tools": 0}))
    assert await asyncio.to_thread(store.exists, word)
    made = caches["default"].make_key(store.cache_key)
    assert made == session.key
    assert 0 < await raw(here, "PTTL", made) <= 100_000


async def test_the_probe_reads_what_django_wrote(make_shipped: MakeShipped, django: type[SessionStore]) -> None:
    """A session that Django saved is whole; one that Django changed is not; bytes are those of Django's pickle."""
    here = await make_shipped("django-sessions")
    session = await saved(here, ttl=100)
    expected = await raw(here, "GET", session.key)
    store = django(word_in(session.key))
    store["holdfast"] = json.loads(session.encode({"messages": 1, "tools": 0}))
    await asyncio.to_thread(store.save)
    assert await raw(here, "GET", session.key) == expected
    assert 1_209_000_000 < await raw(here, "PTTL", session.key) <= 1_209_600_000
    value = await seen(here, session.key)
    assert value is not None
    assert list(compare(session, value)) == []

    store["cart"] = [1, 2, 3]
    await asyncio.to_thread(store.save)
    value = await seen(here, session.key)
    assert value is not None
    (violation,) = compare(session, value)
    assert violation.kind is Kind.CORRUPT
    assert "cart" in str(violation.evidence["first_difference"])
    assert violation.expected == "around it what the binding declares"


_FOOLED: list[str] = []


def fool() -> None:
    """Note that it was called."""
    _FOOLED.append("by a pickle")


class Malice:
    """What a pickle can do to whoever loads it."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Be called."""
        return fool, ()


def bomb() -> bytes:
    """A small pickle of a value that has more than 2 ** 60 parts."""
    value: list[Any] = [0, 0]
    for _ in range(60):
        value = [value, value]
    return pickle.dumps(value)


@pytest.mark.parametrize(
    "value",
    [
        pickle.dumps(Malice()),
        bomb(),
        b"\x80",
        b"",
        b"\x80\x05}.",
        b"\x80\x05}r\xff\xff\xff\x7f.",
        pickle.dumps({"holdfast": {1, 2}}),
    ],
)
async def test_a_hostile_pickle_is_damage_and_nothing_else(make_shipped: MakeShipped, value: bytes) -> None:
    """Whatever somebody puts under a key of ours, nothing of it is carried out, and it is read as corrupt."""
    here = await make_shipped("django-sessions")
    session = await saved(here, ttl=100)
    connection = await here.environment.ways.primary_redis.connect("test")
    await connection.ask(("SET", session.key, value))
    await connection.close()
    found = await seen(here, session.key)
    assert found is not None
    (violation,) = compare(session, found)
    assert violation.kind is Kind.CORRUPT
    assert _FOOLED == []


async def test_the_probe_writes_as_connect_redis_does(make_shipped: MakeShipped) -> None:
    """The same key, the same cookie in the same order, and the life that it declares."""
    here = await make_shipped("connect-redis")
    session = await saved(here, ttl=100)
    captured, written = json.loads(CONNECT_REDIS), json.loads(await raw(here, "GET", session.key))
    assert session.key == CONNECT_REDIS_KEY.replace("abc", str(word_in(session.key)))
    assert list(written) == ["cookie", "holdfast"]
    assert list(written["cookie"].items()) == list(captured["cookie"].items())
    declared = here.environment.sessions.declared
    assert declared is not None
    assert (declared.ttl, declared.sliding) == (CONNECT_REDIS_TTL, True)


async def test_the_probe_reads_what_connect_redis_would_write(make_shipped: MakeShipped) -> None:
    """In the captured value with the probe's own in the place of the user it finds its session, and nothing amiss."""
    here = await make_shipped("connect-redis")
    session = await saved(here, ttl=100)
    value = {"cookie": json.loads(CONNECT_REDIS)["cookie"], "holdfast": json.loads(session.encode())}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert await raw(here, "SET", session.key, text) == b"OK"
    found = await seen(here, session.key)
    assert found is not None
    assert list(compare(session, found)) == []
