"""Takes the pictures of the status page that the documents show: of the demo, healthy and broken, and of many."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import httpx
from playwright.async_api import Browser, async_playwright

from monitor.embedded.server import free_port
from monitor.web import create_app, serve
from tests.system import until
from tests.web import TOKEN, SmallDaemon

from .conftest import ARGUMENTS, CHROMIUM, MANY, NowClock, filled

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 250_000  # bytes of one picture
PATIENCE = 90.0
AWHILE = 25.0  # seconds of runs, so that there is something to plot


def started(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """A process whose words go to a file."""
    return subprocess.Popen(command, stdout=log, stderr=log)


@asynccontextmanager
async def demo(*arguments: str) -> AsyncIterator[str]:
    """The demo, as somebody starts it; -> its page."""
    port = free_port()
    command = [sys.executable, "-m", "monitor", "demo", "--port", str(port), *arguments]
    with tempfile.TemporaryFile() as log, started(command, log) as process:
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.terminate()


@asynccontextmanager
async def thousand() -> AsyncIterator[str]:
    """A daemon that watches a thousand environments and talks to none of them; -> its page."""
    daemon, stop = SmallDaemon(), asyncio.Event()
    daemon.clock = daemon.journal._clock = NowClock()  # type: ignore[assignment]
    await filled(daemon, MANY, runs=20)
    serving = await serve(create_app(daemon, token=TOKEN, stop=stop), host="127.0.0.1", port=0, stop=stop)
    yield serving.url
    stop.set()
    await serving.task


async def stands(url: str, *verdicts: str) -> None:
    """Wait until the demo's environment stands so."""

    async def so() -> bool:
        await asyncio.sleep(0.2)
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                found = (await client.get(f"{url}api/v1/environments/demo")).json()
                ready = (await client.get(f"{url}readyz")).status_code == httpx.codes.OK
            except httpx.TransportError:
                return False
        return ready and found["verdict"] in verdicts

    await until(so, what=f"{url} to be {' or '.join(verdicts)}", within=PATIENCE)


async def shoot(
    browser: Browser, url: str, name: str, *, width: int, height: int, unfold: str = "", **context: Any
) -> None:
    """Take one picture, with what is folded in the element of this id to be seen."""
    opened = await browser.new_context(viewport={"width": width, "height": height}, **context)
    page = await opened.new_page()
    await page.goto(url)
    await page.wait_for_selector("#live.on")
    if unfold:
        await page.click(f"#{unfold} > summary")
    await page.screenshot(path=IMAGES / f"{name}.png")
    await opened.close()
    size = (IMAGES / f"{name}.png").stat().st_size
    print(f"{name}.png: {size // 1000} kB")  # noqa: T201  it is a command
    if size > LARGEST:
        raise ValueError(f"{name}.png has {size} bytes, and may have {LARGEST}")


async def violation(url: str) -> str:
    """The page of the violation that was opened first."""
    async with httpx.AsyncClient(trust_env=False) as client:
        found = (await client.get(f"{url}api/v1/violations")).json()["violations"]
    return f"{url}violations/{found[-1]['id']}"


async def healthy(browser: Browser) -> None:
    """Every promise is kept: the overview, and the environment with its charts."""
    async with demo() as url:
        await stands(url, "ok", "slow")
        await asyncio.sleep(AWHILE)
        await stands(url, "ok")
        await shoot(browser, url, "page-healthy", width=1536, height=560)
        await shoot(
            browser, f"{url}environments/demo", "page-environment", width=1440, height=1100, unfold="steps-eviction"
        )


async def violated(browser: Browser) -> None:
    """A promise is broken: the overview in both schemes and on a phone, and the violation."""
    async with demo("--fault", "content-truncated") as url:
        await stands(url, "violated")
        await asyncio.sleep(AWHILE / 2)
        await shoot(browser, url, "page-violated", width=1536, height=640)
        await shoot(browser, url, "page-dark", width=1536, height=640, color_scheme="dark")
        await shoot(browser, url, "page-phone", width=360, height=760, device_scale_factor=1.5)
        await shoot(browser, await violation(url), "page-violation", width=1280, height=900)


async def unreachable(browser: Browser) -> None:
    """A store does not answer: what is not known is not shown as ok."""
    async with demo("--fault", "postgres-refuses-connections") as url:
        await stands(url, "unknown")
        await asyncio.sleep(AWHILE / 2)
        await shoot(browser, url, "page-unreachable", width=1536, height=560)


async def many(browser: Browser) -> None:
    """A thousand environments, the worst first."""
    async with thousand() as url:
        await shoot(browser, url, "page-thousand", width=1440, height=900)


PICTURES: dict[str, Callable[[Browser], Awaitable[None]]] = {
    each.__name__: each for each in (healthy, violated, unreachable, many)
}


async def main(names: list[str]) -> None:
    """Take all pictures, or those that are named."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for name in names or PICTURES:
            await PICTURES[name](browser)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
