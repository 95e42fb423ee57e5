"""The small daemon and a client of its application."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from monitor.web import create_app

from . import TOKEN, SmallDaemon


@pytest.fixture
def daemon() -> SmallDaemon:
    """A daemon that watches `production`, where nothing has run yet."""
    return SmallDaemon()


@pytest.fixture
async def client(daemon: SmallDaemon) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, whose faults become answers as they do behind a real server."""
    transport = httpx.ASGITransport(create_app(daemon, token=TOKEN), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://holdfast") as client:
        yield client
