"""The runbooks that the daemon serves."""

from __future__ import annotations

from urllib.parse import urljoin

import httpx
import pytest

from monitor.core.verdict import Finding
from monitor.web.runbooks import FOLDER, names

from . import LOST, SmallDaemon
from .test_pages import Page, page


@pytest.mark.parametrize("path", ["/runbooks/", *(f"/runbooks/{name}" for name in names())])
async def test_each_is_a_page_whose_links_lead_somewhere(client: httpx.AsyncClient, path: str) -> None:
    """Each is shown whole, without a script, and its links lead to pages, and to headings where they name one."""
    answer = await client.get(path)
    seen = Page(answer.text)
    assert (answer.status_code, seen.found("script")) == (200, [])
    name = path.rpartition("/")[2] or "README"
    written = (FOLDER / f"{name}.md").read_text("utf-8")
    assert [each["id"] for each in seen.found("h2")] == [
        line.removeprefix("## ").lower().replace(" ", "-") for line in written.splitlines() if line.startswith("## ")
    ]
    for link in seen.found("a"):
        target = urljoin(path, str(link["href"]))
        if target.partition("#")[0] != path and "/runbooks" in target:
            other = await page(client, target)
            assert target.partition("#")[2] in {"", *(str(each["id"]) for each in other.found("h2"))}


async def test_links_that_alerts_carry_lead_there(client: httpx.AsyncClient) -> None:
    """An alert names a file below the address that it was given, with a slash or without; both lead to the page."""
    shown = await client.get("/runbooks/HoldfastDataLost")
    assert "<h1" in shown.text
    assert (await client.get("/runbooks/HoldfastDataLost.md")).text == shown.text
    moved = await client.get("/runbooks")
    assert (moved.status_code, moved.headers["location"]) == (308, "runbooks/")
    assert (await client.get("/runbooks/README.md")).text == (await client.get("/runbooks/")).text


async def test_commands_ask_the_daemon_that_is_asked(client: httpx.AsyncClient) -> None:
    """What is pasted leads to where the page was read, on whatever port; a Host that is none changes nothing."""
    own = "http://127.0.0.1:9464"
    elsewhere = await client.get("/runbooks/HoldfastDown", headers={"host": "[2001:db8::1]:80"})
    assert ("curl -s http://[2001:db8::1]:80/healthz" in elsewhere.text, own in elsewhere.text) == (True, False)
    assert own in (await client.get("/runbooks/HoldfastDown", headers={"host": "$(reboot)"})).text


@pytest.mark.parametrize("name", ["HoldfastDataLots", "../why-durability", "..%2Fwhy-durability.md", "README.md.md"])
async def test_no_other_file_is_served(client: httpx.AsyncClient, name: str) -> None:
    """What is no runbook is not found, wherever it lies; a name that is nearly one leads to it."""
    answer = await client.get(f"/runbooks/{name}")
    assert answer.status_code == 404
    assert ("did you mean HoldfastDataLost?" in answer.text) == (name == "HoldfastDataLots")


async def test_a_violation_leads_to_its_runbook(daemon: SmallDaemon, client: httpx.AsyncClient) -> None:
    """The page of a violation, that of its environment, and the body for people on call."""
    await daemon.ran(Finding.of([LOST], checks=1))
    (kept,) = daemon.journal.standing("production")
    for path in (f"/violations/{kept.id}", "/environments/production"):
        links = [str(each["href"]) for each in (await page(client, path)).found("a")]
        assert "../runbooks/HoldfastDataLost" in links
    found = (await client.get("/health/production")).json()["violations"]
    assert [each["runbook"] for each in found] == ["HoldfastDataLost"]
