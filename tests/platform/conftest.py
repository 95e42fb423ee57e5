"""One platform for all tests, and users that no other test has."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from examples.platform.running import Platform
from examples.platform.tokens import Tokens
from monitor.embedded.servers import Servers
from tests.conftest import in_database

MakeUser = Callable[..., httpx.AsyncClient]


@asynccontextmanager
async def running(servers: Servers, *options: str) -> AsyncIterator[Platform]:
    """A platform with a database of its own, for more than one test."""
    name = f"platform_{secrets.token_hex(4)}"
    await servers.postgres.sql(
        f"CREATE DATABASE {name}; GRANT CREATE ON DATABASE {name} TO holdfast;", database="postgres"
    )
    dsn, options = in_database(servers.postgres.dsn, name), ("--schema", "platform", *options)
    async with Platform(dsn=dsn, redis_url=servers.valkey.url, options=options) as platform:
        yield platform
    await servers.postgres.sql(f"DROP DATABASE {name} WITH (FORCE);", database="postgres")


@pytest.fixture(scope="package")
async def platform(servers: Servers) -> AsyncIterator[Platform]:
    """A clean platform; a test that breaks it mends it."""
    async with running(servers, "--delay", "0.2") as started:
        yield started


@pytest.fixture
async def make_user(platform: Platform) -> AsyncIterator[MakeUser]:
    """Make a client with a token for a user, by default a new one at the shared platform."""
    async with AsyncExitStack() as stack:
        clients: list[httpx.AsyncClient] = []

        def make(user: str | None = None, *, at: Platform = platform) -> httpx.AsyncClient:
            name = user or f"user-{secrets.token_hex(4)}"
            token = Tokens(secret=at.secret, life=60).mint(name)
            headers = {"Authorization": f"Bearer {token}", "X-Test-User": name}
            client = httpx.AsyncClient(base_url=at.url, headers=headers, timeout=10)
            clients.append(client)
            return client

        yield make
        for client in clients:
            stack.push_async_callback(client.aclose)


@pytest.fixture
def ann(make_user: MakeUser) -> httpx.AsyncClient:
    """A user."""
    return make_user()


@pytest.fixture
def bob(make_user: MakeUser) -> httpx.AsyncClient:
    """Another user."""
    return make_user()


def name_of(user: httpx.AsyncClient) -> str:
    """The user's name, as its token says it."""
    return user.headers["X-Test-User"]


async def new_thread(user: httpx.AsyncClient, **values: object) -> str:
    """A new thread's id."""
    return str((await user.post("/threads", json=values)).raise_for_status().json()["id"])


async def say(user: httpx.AsyncClient, thread: str, *texts: str) -> list[str]:
    """Append messages in one batch; -> their ids."""
    batch = {"messages": [{"role": "user", "content": text} for text in texts]}
    reply = (await user.post(f"/threads/{thread}/messages/batch", json=batch)).raise_for_status()
    return [message["id"] for message in reply.json()["data"]]


async def contents(user: httpx.AsyncClient, thread: str, **params: str | int) -> list[str]:
    """The contents of a thread's messages, over all pages."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        asked = params if cursor is None else {**params, "after": cursor}
        page = (await user.get(f"/threads/{thread}/messages", params=asked)).raise_for_status().json()
        found += [message["content"] for message in page["data"]]
        cursor = page["next"]
        if cursor is None:
            return found
