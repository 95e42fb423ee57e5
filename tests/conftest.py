"""Real servers for the whole session, a database for each test, a proxy where something has to break."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from uuid_utils import uuid7

from monitor.core.record import RunRecord
from monitor.core.residue import Instance
from monitor.desk import Desk
from monitor.embedded.process import NotInstalledError
from monitor.embedded.proxy import TcpProxy
from monitor.embedded.servers import Servers
from monitor.journal import Journal
from monitor.metrics import Metrics
from monitor.ports import Place, Store, SystemClock
from monitor.probe import Probe
from monitor.runner import run_once
from monitor.stores.environment import LiveEnvironment
from monitor.stores.state import KeptState


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing is skipped: a server that is missing there is a fault of .ci/run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("CI") and skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"CI: {len(skipped)} tests were skipped, and none may be", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """A test that needs a server of the system's packages is skipped where there is none; see above for CI."""
    return (yield from _skipped_where_not_installed())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """The same where the test itself starts the server."""
    return (yield from _skipped_where_not_installed())


def _skipped_where_not_installed() -> Generator[None, object, object]:
    try:
        return (yield)
    except NotInstalledError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    """PostgreSQL and Valkey, started once. No fsync: a test asks what is right, not what survives a power cut."""
    async with Servers(fsync=False) as started:
        yield started


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[str]:
    """The name of a new, empty database in which the ordinary role `holdfast` may create a schema."""
    name = f"test_{secrets.token_hex(4)}"
    await servers.postgres.sql(
        f"CREATE DATABASE {name}; GRANT CREATE ON DATABASE {name} TO holdfast;", database="postgres"
    )
    yield name
    await servers.postgres.sql(f"DROP DATABASE {name} WITH (FORCE);", database="postgres")


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Where runs report to: a real journal on SQLite in memory, and real metrics."""
    state, clock = KeptState(None), SystemClock()
    await state.open()
    journal = Journal(state, clock=clock, new_id=lambda: str(uuid7()))
    yield Desk(journal=journal, metrics=Metrics(location="test", version="0"), clock=clock)
    await state.close()


@dataclass(frozen=True, kw_only=True)
class Site:
    """One test's own environment on the shared servers, and what it takes to run a probe against it."""

    servers: Servers
    database: str
    environment: LiveEnvironment
    desk: Desk

    @property
    def dsn(self) -> str:
        """The DSN of the ordinary role, for this test's database."""
        return in_database(self.servers.postgres.dsn, self.database)

    async def run(self, probe: Probe[Any]) -> RunRecord:
        """Run a probe once."""
        self.desk.metrics.expect(
            self.environment.name,
            labels={},
            probes=[probe],
            stores=sorted(self.environment.stores),
            around=self.environment.surroundings,
        )
        return await run_once(probe, self.environment, self.desk)

    async def sql(self, script: str) -> str:
        """Run SQL as superuser in this test's database."""
        return await self.servers.postgres.sql(script, database=self.database)


def in_database(dsn: str, name: str) -> str:
    """The same DSN for another database."""
    return dsn.rpartition("/")[0] + f"/{name}"


MakeSite = Callable[..., Awaitable[Site]]


@pytest.fixture
async def make_site(servers: Servers, database: str, desk: Desk) -> MakeSite:
    """Make an environment; keyword arguments replace those of LiveEnvironment (None leaves a store out).

    `others` are its replicas and its pooler, if it is to have any.
    """

    async def make(
        name: str | None = None,
        *,
        postgres_dsn: str | None = in_database(servers.postgres.dsn, database),
        redis_url: str | None = servers.valkey.url,
        others: Mapping[Place, str] | None = None,
        **changes: Any,
    ) -> Site:
        name = name or f"env-{secrets.token_hex(4)}"
        own = {Place(Store.POSTGRES): postgres_dsn, Place(Store.REDIS): redis_url, **(others or {})}
        arguments: dict[str, Any] = {
            "instance": Instance(secrets.token_hex(4), 1),
            "tally": desk.metrics.tally(name),
            "addresses": {place: address for place, address in own.items() if address is not None},
            "connections": {Store.POSTGRES: 4, Store.REDIS: 4},
            "provision": True,
            "timeout": timedelta(seconds=2),
        }
        environment = LiveEnvironment(name, **(arguments | changes))
        return Site(servers=servers, database=database, environment=environment, desk=desk)

    return make


@pytest.fixture
async def site(make_site: MakeSite) -> Site:
    """An environment with both stores."""
    return await make_site()


MakeProxy = Callable[[int], Awaitable[TcpProxy]]


@pytest.fixture
async def make_proxy() -> AsyncIterator[MakeProxy]:
    """Put a proxy in front of a port."""
    async with AsyncExitStack() as stack:

        async def make(port: int) -> TcpProxy:
            proxy = TcpProxy(port)
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            return proxy

        yield make
