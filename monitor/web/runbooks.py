"""The runbooks, as pages: an alert that wakes somebody leads here, also where nothing else can be reached."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.web.answers import missing

INDEX = "README"
"""The page that lists the others, by its name in the folder."""
LISTENS = "http://127.0.0.1:9464"
"""Where a daemon listens unless configured: in its place stands the address by which a page was asked for."""
_ADDRESS = re.compile(r"https?://[\w.:\[\]-]+(?:/[\w./-]*)?")

_PACKAGE = Path(__file__).parents[1]
_PACKED, _IN_CHECKOUT = _PACKAGE / "runbooks", _PACKAGE.parent / "docs" / "runbooks"
FOLDER = _PACKED if _PACKED.is_dir() else _IN_CHECKOUT
"""A wheel carries them in the package, where pyproject.toml puts them; a checkout has them among its documents."""

Render = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Runbook:
    """A page as it is shown: its heading, and all of it."""

    title: str
    text: Markup


class Runbooks:
    """Their endpoints. `render` makes a page of a template and what the template asks for."""

    def __init__(self, render: Render) -> None:
        self._render = render

    def routes(self) -> list[Route]:
        """Its paths. A name may end in .md, as it does in links that are made for the files."""
        return [
            Route("/runbooks", self.moved, methods=["GET"]),
            Route("/runbooks/", self.index, methods=["GET"]),
            Route("/runbooks/{name}", self.one, methods=["GET"]),
        ]

    async def moved(self, _request: Request) -> Response:
        """Links of the index are relative, so it is read with a slash at its end."""
        return Response(status_code=308, headers={"location": "runbooks/"})

    async def index(self, request: Request) -> Response:
        """All alerts."""
        return await self._page(INDEX, request)

    async def one(self, request: Request) -> Response:
        """The runbook of one alert."""
        name = request.path_params["name"].removesuffix(".md")
        known = names()
        if name not in {INDEX, *known}:
            raise missing("runbook", name, known)
        return await self._page(name, request)

    async def _page(self, name: str, request: Request) -> Response:
        found = runbook(name)
        asked = str(request.base_url).rstrip("/")
        if _ADDRESS.fullmatch(asked):  # a Host is what the request says it is
            found = replace(found, text=found.text.replace(LISTENS, asked))
        return await self._render("runbook.html", root="../", refresh=None, topics="", of=found, index=name == INDEX)


def names() -> list[str]:
    """Every runbook there is: those of the alerts."""
    return sorted(page.stem for page in FOLDER.glob("Holdfast*.md"))


@cache
def runbook(name: str) -> Runbook:
    """A runbook that there is. Text that looks like HTML stays text."""
    from markdown_it import MarkdownIt  # noqa: PLC0415  for whoever reads one, and for nobody's start

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse((FOLDER / f"{name}.md").read_text("utf-8"))
    title = name
    for token, following in pairwise(tokens):
        if token.type == "heading_open":
            token.attrSet("id", following.content.lower().replace(" ", "-"))
            title = following.content if token.tag == "h1" else title
        for child in following.children or ():
            if child.type == "link_open":
                child.attrSet("href", _served(str(child.attrGet("href"))))
    return Runbook(title, Markup(reader.renderer.render(tokens, reader.options, {})))  # noqa: S704  it is our own


def _served(link: str) -> str:
    """Where a link between two files leads between two pages."""
    return re.sub(rf"^{INDEX}(?=$|#)", "./", re.sub(r"^(\w+)\.md(?=$|#)", r"\1", link))
