"""One Chromium for all, a real daemon on real servers, and one daemon of a thousand environments without any."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from monitor.core.record import RunRecord, StepTiming
from monitor.core.verdict import Verdict
from monitor.embedded.process import NotInstalledError
from monitor.embedded.servers import Servers
from monitor.web import create_app, serve
from tests.conftest import in_database
from tests.system import Daemon, described, until, write
from tests.web import FINDINGS, TOKEN, Basket, Chat, SmallDaemon, watched

CHROMIUM = shutil.which("chromium")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PROBES = {
    "thread": {"every": "1s", "timeout": "990ms", "budget": "9s"},
    "session": {"every": "1s", "timeout": "990ms", "budget": "9s"},
}
MANY = 1000


@dataclass
class Seen:
    """A page, what its console said, and what it asked of others than its daemon."""

    page: Page
    url: str
    console: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        """Keep what the console says; Content-Security-Policy is told of here."""
        self.console.append(message.text)

    def on_request(self, request: Request) -> None:
        """Keep what goes elsewhere."""
        if not request.url.startswith(self.url):
            self.elsewhere.append(request.url)


class Chromium:
    """Makes pages, each in a context of its own."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    @asynccontextmanager
    async def page(self, url: str, path: str = "", **context: Any) -> AsyncIterator[Seen]:
        """A page that is loaded; afterwards nothing was wrong with it, and nothing was asked elsewhere."""
        opened: BrowserContext = await self._browser.new_context(**context)
        try:
            seen = Seen(page=await opened.new_page(), url=url)
            seen.page.on("console", seen.on_console)
            seen.page.on("request", seen.on_request)
            await seen.page.goto(url + path, wait_until="domcontentloaded")
            yield seen
            assert seen.elsewhere == []
            assert [text for text in seen.console if "Content Security Policy" in text or "Error" in text] == []
        finally:
            await opened.close()


@pytest.fixture(scope="package")
async def chromium() -> AsyncIterator[Chromium]:
    """Debian's."""
    if CHROMIUM is None:
        raise NotInstalledError("chromium is not installed; on Debian, apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield Chromium(browser)
        await browser.close()


@dataclass(frozen=True, kw_only=True)
class Real:
    """A daemon on real servers, and the database that it watches."""

    daemon: Daemon
    servers: Servers
    database: str

    @property
    def url(self) -> str:
        """Its page."""
        return self.daemon.url

    async def sql(self, script: str) -> str:
        """Run SQL as superuser."""
        return await self.servers.postgres.sql(script, database=self.database)


@pytest.fixture(scope="package")
async def real(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Real]:
    """It has run every probe once, and all was right."""
    folder: Path = tmp_path_factory.mktemp("browser")
    name = "test_browser"
    await servers.postgres.sql(
        f"CREATE DATABASE {name}; GRANT CREATE ON DATABASE {name} TO holdfast;", database="postgres"
    )
    dsn = in_database(servers.postgres.dsn, name)
    config = write(folder / "holdfast.yaml", described(folder, dsn=dsn, url=servers.valkey.url, probes=PROBES))
    async with Daemon(config, folder) as daemon:

        async def ready() -> bool:
            return (await daemon.get("/readyz")).status_code == 200

        await until(ready, what="/readyz")
        yield Real(daemon=daemon, servers=servers, database=name)
    await servers.postgres.sql(f"DROP DATABASE {name} WITH (FORCE);", database="postgres")


class NowClock:
    """The real time, as ages on a page go by it."""

    def now(self) -> datetime:
        """Now."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The same in seconds."""
        return self.now().timestamp()


async def filled(daemon: SmallDaemon, environments: int, *, runs: int = 3) -> None:
    """Watch so many, with some runs each; three are violated, five unknown, seven slow."""
    daemon.known.clear()
    ends = {3: Verdict.VIOLATED, 5: Verdict.UNKNOWN, 7: Verdict.SLOW}
    apart = max(1, environments // 10)
    for number in range(environments):
        region = ("eu-west", "us-east", "ap-south")[number % 3]
        name = f"{region}-{number:04d}"
        daemon.watch(watched(name, Chat(), Basket()))
        bad = next(
            (verdict for count, verdict in ends.items() if number % apart == count and number < count * apart), None
        )
        for place in range(runs):
            took = timedelta(milliseconds=200 + (number * 37 + place * 211) % 900)
            for probe in ("chat", "basket"):
                last = place == runs - 1 and probe == "chat" and bad
                await daemon.journal.add(
                    RunRecord(
                        run_id=f"run-{number}-{probe}-{place}",
                        environment=name,
                        probe=probe,
                        started=daemon.clock.now() - timedelta(seconds=30 * (runs - place)),
                        took=took,
                        finding=FINDINGS[last or Verdict.OK],
                        steps=(StepTiming(name="reload", after=timedelta(), took=took),),
                    )
                )


@pytest.fixture(scope="package")
async def many() -> AsyncIterator[str]:
    """The page of a daemon that watches a thousand environments and talks to none of them."""
    daemon = SmallDaemon()
    daemon.clock = daemon.journal._clock = NowClock()  # type: ignore[assignment]
    await filled(daemon, MANY)
    async with served(daemon) as url:
        yield url


@pytest.fixture(scope="package")
async def twelve() -> AsyncIterator[str]:
    """The page of a daemon whose environment has twelve probes, all of which found something."""
    daemon = SmallDaemon()
    names = [f"transact{place:02d}" for place in range(12)]
    daemon.watch(watched("production", *(type(name, (Chat,), {"name": name})() for name in names)))
    await daemon.all_ran(FINDINGS[Verdict.VIOLATED])
    async with served(daemon) as url:
        yield url


@asynccontextmanager
async def served(daemon: SmallDaemon) -> AsyncIterator[str]:
    """Its page."""
    stop = asyncio.Event()
    serving = await serve(create_app(daemon, token=TOKEN, stop=stop), host="127.0.0.1", port=0, stop=stop)
    yield serving.url
    stop.set()
    await serving.task
