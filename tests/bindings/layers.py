"""The sample platform as an application of several layers, and environments that are bound to some of them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from examples.platform.running import Platform
from monitor.bindings import Auth, Binding
from monitor.embedded.servers import Servers
from monitor.ports import Place, Store
from monitor.stores.api import ApiAddress
from tests.bindings.schemas import ROOT
from tests.conftest import Site, in_database

SHIPPED = yaml.safe_load((ROOT / "config/bindings/platform.yaml").read_text(encoding="utf-8"))
SQL, API = "postgres", "api"
WAYS: dict[str, tuple[str, str, frozenset[str]]] = {
    "sql": (SQL, SQL, frozenset({"postgres"})),
    "sql and its cache": (SQL, SQL, frozenset({"postgres", "redis"})),
    "api": (API, API, frozenset({"api"})),
    "api, rows and cache": (API, SQL, frozenset({"postgres", "redis", "api"})),
    "rows, then api": (SQL, API, frozenset({"postgres", "redis", "api"})),
    "api, all layers": (API, API, frozenset({"postgres", "redis", "api"})),
}
"""Through which layer profiles are written and read, and which sections a binding then has."""


def profiles(write: str, read: str, sections: frozenset[str]) -> Binding:
    """The profiles of the shipped binding, through these layers."""
    given: dict[str, Any] = {"ids": SHIPPED["ids"], "profile": {"write": write, "read": read}}
    given |= {section: {"profile": SHIPPED[section]["profile"]} for section in sections}
    return Binding.model_validate(given)


def events(**changes: Any) -> Binding:
    """The events of the shipped binding."""
    return Binding.model_validate({"ids": SHIPPED["ids"], "api": {"events": {**SHIPPED["api"]["events"], **changes}}})


WEBSOCKET: Mapping[str, str] = {"protocol": "websocket", "path": "/ws", "text": "data.text"}


def address(platform: Platform, *, url: str | None = None, **changes: Any) -> ApiAddress:
    """Where the platform is, and how synthetic users log in."""
    auth = Auth.model_validate({"kind": "jwt", "key": platform.secret, **changes})
    return ApiAddress(base_url=url or platform.url, auth=auth)


@dataclass(frozen=True, kw_only=True)
class Running:
    """The platform, and the database whose schema `public` has its tables."""

    platform: Platform
    database: str


@asynccontextmanager
async def running(servers: Servers) -> AsyncIterator[Running]:
    """A platform with a database of its own."""
    name = f"layers_{secrets.token_hex(4)}"
    await servers.postgres.sql(
        f"CREATE DATABASE {name}; GRANT CREATE ON DATABASE {name} TO holdfast", database="postgres"
    )
    await servers.postgres.sql("GRANT ALL ON SCHEMA public TO holdfast", database=name)
    dsn = in_database(servers.postgres.dsn, name)
    async with Platform(dsn=dsn, redis_url=servers.valkey.url, options=("--schema", "public")) as platform:
        yield Running(platform=platform, database=name)
    await servers.postgres.sql(f"DROP DATABASE {name} WITH (FORCE)", database="postgres")


MakeLayered = Callable[..., Awaitable[Site]]


def layered(make_site: Callable[..., Awaitable[Site]], platform: Platform) -> MakeLayered:
    """Make an environment that is bound to the platform; all but the binding is handed on."""

    async def make(binding: Binding, *places: Mapping[Place, str | None], **changes: Any) -> Site:
        api = address(platform) if binding.api else None
        given = {"binding": binding, "api": api, "connections": dict.fromkeys(Store, 8), "provision": False}
        return await make_site(*places, **{**given, **changes})

    return make
