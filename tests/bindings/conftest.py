"""Applications on the shared server: their schemas, and environments that are bound to them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from monitor.bindings import Binding
from monitor.embedded.servers import Servers
from tests.bindings.schemas import OPEN, PLATFORM, SUPABASE, TICKETS, TICKETS_BINDING, of, shipped
from tests.conftest import MakeSite, Site, in_database

_ROLES = """
CREATE ROLE anon NOLOGIN;
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD '{password}';
GRANT anon, authenticated TO authenticator;
"""
_NO_ROLES = "DROP ROLE authenticator, authenticated, anon;"


@dataclass(frozen=True, kw_only=True)
class Application:
    """One application with a database of its own, and an environment that is bound to it.

    `threads` and `messages` are the names of its tables, `content` of the column that holds what a message says.
    """

    site: Site
    binding: Binding
    threads: str
    messages: str
    content: str


MakeApplication = Callable[[str], Awaitable[Application]]


@pytest.fixture(scope="session")
async def authenticator(servers: Servers) -> AsyncIterator[str]:
    """Roles as Supabase has them, which are of the whole server; -> user and password of the one that logs in."""
    password = secrets.token_hex(8)
    await servers.postgres.sql(_ROLES.format(password=password), database="postgres")
    yield f"authenticator:{password}"
    await servers.postgres.sql(_NO_ROLES, database="postgres")


@pytest.fixture
async def make_application(servers: Servers, database: str, authenticator: str, make_site: MakeSite) -> MakeApplication:
    """Make the schema of an application, and an environment that is bound to it."""

    async def make(name: str) -> Application:
        dsn, schema, names = in_database(servers.postgres.dsn, database), "", ("threads", "messages", "content")
        match name:
            case "platform":
                binding, schema = shipped("platform"), PLATFORM + OPEN
            case "supabase":
                binding, schema = shipped("supabase"), SUPABASE
                parts = urlsplit(dsn)
                dsn = parts._replace(netloc=f"{authenticator}@{parts.hostname}:{parts.port}").geturl()
            case _:
                binding, schema, names = of(TICKETS_BINDING), TICKETS + OPEN, ("tickets", "entries", "body")
        site = await make_site(postgres_dsn=dsn, redis_url=None, provision=False, binding=binding)
        await site.sql(schema)
        threads, messages, content = names
        return Application(site=site, binding=binding, threads=threads, messages=messages, content=content)

    return make


@pytest.fixture(params=["platform", "supabase", "tickets"])
async def application(request: pytest.FixtureRequest, make_application: MakeApplication) -> Application:
    """Each application in turn."""
    return await make_application(request.param)
