"""Takes the pictures of the status page that the documents show: of the demo, healthy and broken, and of many."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import aconnect_sse
from playwright.async_api import Browser, async_playwright

from monitor.embedded.server import free_port
from monitor.web import create_app, serve
from tests.web import TOKEN, SmallDaemon

from .conftest import ARGUMENTS, CHROMIUM, MANY, NowClock, filled

IMAGES = Path(__file__).parents[2] / "docs" / "images"
LARGEST = 250_000  # bytes of one picture
END = 600.0  # seconds, for a machine that does much else at once
PLOTTED = 60  # runs of all probes, so that there is something to plot


class Demo:
    """The demo, as somebody starts it, and its page. Its words are kept, for when it ends too soon."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self._process = process
        self._listens = asyncio.Event()
        self._said = list[str]()
        self._end = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self._said.append(line.decode())
            if line.startswith(b"status page"):
                self._listens.set()
        await self._process.wait()

    async def stands(self, *verdicts: str, runs: int = 0) -> None:
        """Wait until its environment is ready and stands so, and as many runs have ended meanwhile.

        It is asked anew whenever an event tells of a change. TimeoutError after END, RuntimeError where the demo ends.
        """
        standing = asyncio.create_task(self._stands(verdicts, runs))
        try:
            await asyncio.wait({standing, self._end}, timeout=END, return_when=asyncio.FIRST_COMPLETED)
            if standing.done():
                return await standing
            if self._end.done():
                raise RuntimeError(f"the demo has ended: {''.join(self._said)}")
            raise TimeoutError(f"after {END:.0f} s {self.url} is not {' or '.join(verdicts)}")
        finally:
            standing.cancel()

    async def _stands(self, verdicts: Sequence[str], runs: int) -> None:
        await self._listens.wait()
        async with (
            httpx.AsyncClient(trust_env=False, timeout=END, base_url=self.url) as client,
            aconnect_sse(client, "GET", "api/v1/events", params={"types": "run,environment"}) as source,
        ):
            async for event in source.aiter_sse():
                runs -= event.event == "run"
                if runs <= 0 and (await client.get("readyz")).status_code == httpx.codes.OK:
                    found = (await client.get("api/v1/environments/demo")).json()
                    if found["verdict"] in verdicts:
                        return

    async def close(self) -> None:
        """End it, and wait until it has removed everything."""
        if self._process.returncode is None:
            self._process.terminate()
        await self._end


@asynccontextmanager
async def demo(*arguments: str) -> AsyncIterator[Demo]:
    """A demo that does not outlive its pictures."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", "demo", "--port", str(port), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    shown = Demo(process, f"http://127.0.0.1:{port}/")
    try:
        yield shown
    finally:
        await shown.close()


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


async def shoot(
    browser: Browser, url: str, name: str, *, width: int, height: int, unfold: str = "", **context: Any
) -> None:
    """Take one picture, with what is folded in the element of this id to be seen."""
    opened = await browser.new_context(viewport={"width": width, "height": height}, **context)
    opened.set_default_timeout(END * 1000)
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
    async with httpx.AsyncClient(trust_env=False, timeout=END) as client:
        found = (await client.get(f"{url}api/v1/violations")).json()["violations"]
    return f"{url}violations/{found[-1]['id']}"


async def healthy(browser: Browser) -> None:
    """Every promise is kept: the overview, and the environment with its charts."""
    async with demo() as shown:
        await shown.stands("ok", runs=PLOTTED)
        await shoot(browser, shown.url, "page-healthy", width=1536, height=560)
        await shown.stands("ok")
        environment = f"{shown.url}environments/demo"
        await shoot(browser, environment, "page-environment", width=1440, height=1100, unfold="steps-eviction")


async def violated(browser: Browser) -> None:
    """A promise is broken: the overview in both schemes and on a phone, and the violation."""
    async with demo("--fault", "content-truncated") as shown:
        url = shown.url
        await shown.stands("violated")
        await shown.stands("violated", runs=PLOTTED // 2)
        await shoot(browser, url, "page-violated", width=1536, height=640)
        await shoot(browser, url, "page-dark", width=1536, height=640, color_scheme="dark")
        await shoot(browser, url, "page-phone", width=360, height=760, device_scale_factor=1.5)
        await shoot(browser, await violation(url), "page-violation", width=1280, height=900)


async def unreachable(browser: Browser) -> None:
    """A store does not answer: what is not known is not shown as ok."""
    async with demo("--fault", "postgres-refuses-connections") as shown:
        await shown.stands("unknown")
        await shown.stands("unknown", runs=PLOTTED // 2)
        await shoot(browser, shown.url, "page-unreachable", width=1536, height=560)


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
