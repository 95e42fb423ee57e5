"""What people see in a browser, with and without JavaScript, by keyboard and on a small screen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page, expect

from tests.system import ENVIRONMENT, TOKEN

from .conftest import MANY, Chromium, Real

GRAVE = {"serious", "critical"}
NO_SCRIPT = {"java_script_enabled": False}
BREAK = """
CREATE SCHEMA breaking;
GRANT USAGE ON SCHEMA breaking TO PUBLIC;
CREATE FUNCTION breaking.truncate() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NEW.content := left(NEW.content, 10); RETURN NEW; END $$;
CREATE TRIGGER breaking BEFORE INSERT OR UPDATE ON holdfast.messages
    FOR EACH ROW EXECUTE FUNCTION breaking.truncate();
"""
MEND = "DROP SCHEMA breaking CASCADE;"


async def grave(page: Page) -> list[str]:
    """What axe calls serious or critical, and where."""
    await page.evaluate(AXE_SCRIPT)  # not as an element: the page's policy forbids scripts that are not its own
    found: dict[str, Any] = await page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {node['target']}"
        for each in found["violations"]
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]


async def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


async def test_a_fault_is_seen_live_and_acknowledged(chromium: Chromium, real: Real) -> None:
    """The page tells of a violation without being loaded again, keeps what somebody types, and takes the token only."""
    async with chromium.page(real.url) as seen:
        page = seen.page
        await expect(page.locator("#live")).to_have_text("live")
        await expect(page.locator("[data-verdict=ok]")).to_have_count(2)
        await page.fill("#q", "half a wor")
        await page.evaluate("window.notLoadedAgain = true")
        await real.sql(BREAK)
        await expect(page.locator("h1")).to_contain_text("1 promise is broken", timeout=20_000)
        assert await page.evaluate("window.notLoadedAgain") is True
        assert await page.evaluate("document.activeElement.id") == "q"
        assert await page.input_value("#q") == "half a wor"
        await page.click(".violation h3 a")
        address = page.url
        await page.fill("#token", "wrong")
        await page.fill("#note", "at it")
        await page.click("form.acknowledge button")
        await expect(page.locator("#refused")).to_contain_text("the token is not the configured one")
        assert await page.input_value("#note") == "at it"
        assert await page.input_value("#token") == ""
        await page.fill("#token", TOKEN)
        await page.click("form.acknowledge button")
        await expect(page.locator(".kept-note")).to_have_text("Note: at it")
        assert page.url == address
        await page.click("#markdown-of-it summary")
        assert (await page.input_value("#markdown")).startswith("## ")
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert await grave(page) == []
        await page.set_viewport_size({"width": 320, "height": 640})
        assert await overflow(page) <= 0
        await page.click(".timeline a >> nth=0")
        await expect(page.locator(".waterfall")).to_be_visible()
        assert await grave(page) == []
        assert await overflow(page) <= 0
        seen.console = [each for each in seen.console if "401" not in each]  # the wrong token's
    await real.sql(MEND)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["", "environments/{}", "environments/{}?range=7d", "runbooks/"])
async def test_axe_finds_nothing_grave(chromium: Chromium, real: Real, path: str, scheme: str) -> None:
    """Each page can be used by everybody, in both schemes, and fits a window of 320 pixels."""
    async with chromium.page(real.url, path.format(ENVIRONMENT), color_scheme=scheme) as seen:
        assert await grave(seen.page) == []
        await seen.page.set_viewport_size({"width": 320, "height": 640})
        assert await overflow(seen.page) <= 0


async def test_a_thousand_environments_are_found_without_javascript(chromium: Chromium, many: str) -> None:
    """By a form and links alone: searched, filtered, paged; and it loads itself again."""
    async with chromium.page(many, **NO_SCRIPT) as seen:
        page = seen.page
        await expect(page.locator(".matrix tbody tr")).to_have_count(50)
        await expect(page.locator(".pages")).to_contain_text(f"{MANY:,} environments, page 1 of 20")
        await page.click("a[rel=next]")
        await expect(page.locator(".pages")).to_contain_text("page 2 of 20")
        await page.fill("#q", "eu-west")
        await page.keyboard.press("Enter")
        await expect(page.locator(".pages")).to_contain_text("334 environments, page 1 of 7")
        await page.click(".filters a:has-text('violated')")
        assert await page.input_value("#q") == "eu-west"
        names = await page.locator(".matrix .env").all_inner_texts()
        assert names
        assert all(name.startswith("eu-west") for name in names)
        await expect(page.locator("noscript meta, meta[http-equiv=refresh]")).to_have_attribute("content", "15")


async def test_the_keyboard_reaches_the_matrix(chromium: Chromium, many: str) -> None:
    """The first key skips to the content; then come filters, the search, the matrix and its environments."""
    async with chromium.page(many) as seen:
        page = seen.page
        await expect(page.locator("#live")).to_have_text("live")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        reached = []
        for _ in range(40):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.className || document.activeElement.id"))
            if reached[-1] == "env":
                break
        assert [each for each in reached if each in {"q", "matrix-region", "env"}] == ["q", "matrix-region", "env"]
        await page.keyboard.press("Enter")
        await page.wait_for_url(re.compile("/environments/"))


@pytest.mark.parametrize("width", [1024, 1280, 1511, 1536, 1920])
async def test_no_verdict_of_twelve_is_hidden(chromium: Chromium, twelve: str, width: int) -> None:
    """Where a table of so many probes has no room, each environment is a card; nothing is cut off."""
    async with chromium.page(twelve, viewport={"width": width, "height": 900}) as seen:
        region = seen.page.locator(".matrix-region")
        assert await region.evaluate("each => each.scrollWidth - each.clientWidth") <= 0
        await expect(seen.page.locator(".cell .verdict")).to_have_count(12)


@pytest.mark.parametrize("width", [320, 768, 1440, 3840])
async def test_nothing_is_wider_than_its_window(chromium: Chromium, many: str, width: int) -> None:
    """From a phone to a wall, also in forced colours."""
    async with chromium.page(many, viewport={"width": width, "height": 900}, forced_colors="active") as seen:
        assert await overflow(seen.page) <= 0
        assert await grave(seen.page) == [] if width == 1440 else True
