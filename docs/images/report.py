"""Makes docs/images/report.png: the report of a month that tests/report makes up, as Chromium shows it.

    .venv/bin/python docs/images/report.py

The month goes into a state database by its own methods, and `holdfast report` reads it as it reads any other.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from monitor.ports import SystemClock
from monitor.report import Form, Period, rendered, whole
from monitor.stores.ledger import Ledgers
from monitor.stores.state import KeptState
from tests.report import UNTIL
from tests.report.conftest import MONTH, Month, fill

_PICTURE = Path(__file__).with_suffix(".png")


async def main() -> None:
    """Make the month, the report and the picture."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "state.db"
        state, ledgers = KeptState(home), Ledgers(home, clock=SystemClock())
        await state.open()
        await fill(state, ledgers.of("production"), "production")
        part = await Month(home, state, ledgers).judged("production", MONTH)
        await ledgers.close()
        await state.close()
    report = whole([part], period=Period.latest(MONTH, UNTIL), location="eu-west-1", version="0.1.0")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1120, "height": 1480})
        await page.set_content(rendered(report, Form.HTML))
        await page.screenshot(path=_PICTURE)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
