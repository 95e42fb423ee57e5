"""What mkdocs asks while it builds: pages from the code, pages from the repository, and the navigation."""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File, Files  # noqa: E402

from docs.site.reference import PAGES  # noqa: E402
from docs.site.repository import address, relinked, shown  # noqa: E402

DOCS = ROOT / "docs"
_HEADING = re.compile(r"^# (.+)$", re.MULTILINE)
_FOREIGN = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")
_HOW_TO = {"alerting.md"}
"""Pages that answer *how*, and whose name does not begin with it."""


def on_config(config: Any) -> Any:  # noqa: ANN401  mkdocs' own class
    """The navigation by what a page is for. A page is found by how its name begins: how-to-, tutorial-, why-."""

    def named(*beginnings: str, also: tuple[str, ...] = ()) -> list[dict[str, str]]:
        pages = sorted(page for page in DOCS.glob("*.md") if page.name.startswith(beginnings) or page.name in also)
        return [{_title(page): page.name} for page in pages]

    decisions = [{_title(page): f"decisions/{page.name}"} for page in sorted((DOCS / "decisions").glob("0*.md"))]
    runbooks = [{page.stem: f"runbooks/{page.name}"} for page in sorted((DOCS / "runbooks").glob("Holdfast*.md"))]
    config.nav = [
        {"Holdfast": "index.md"},
        {"Tutorials": [{"First steps": "first-steps.md"}, *named("tutorial-")]},
        {"How to": named("how-to-", also=(*_HOW_TO,))},
        {"Runbooks": [{"All alerts": "runbooks/README.md"}, *runbooks]},
        {
            "Reference": [
                {"Probes": "probes.md"},
                *({_heading(text): uri} for uri, text in _made().items()),
                {"What is caught": "detection.md"},
                {"How fast it is": "performance.md"},
                {"Changes": address("CHANGELOG.md")},
            ]
        },
        {
            "Why": [
                *named("why-"),
                {"How it is built": "architecture.md"},
                {"Decisions": [{"All decisions": "decisions/index.md"}, *decisions]},
            ]
        },
    ]
    return config


def on_files(files: Files, config: Any) -> Files:  # noqa: ANN401  as above
    """Add what is made: the reference, the list of decisions, and all of the repository that a page leads to."""
    linked = {"README.md", "CHANGELOG.md"}
    for page in DOCS.rglob("*.md"):
        relinked(page.read_text("utf-8"), source=page.relative_to(ROOT).as_posix(), found=linked)
    made = {uri: relinked(text, source=f"docs/{uri}", found=linked) for uri, text in _made().items()}
    made["decisions/index.md"] = _decisions()
    done: set[str] = set()
    while waiting := linked - done:
        for path in sorted(waiting):
            source = f"{path}/README.md" if (ROOT / path / "README.md").exists() else path
            if source != path and source in linked:
                made[address(path)] = f"# {path}\n\n[It has a page]({Path(address(source)).name}).\n"
            made[address(source)] = relinked(shown(ROOT, source), source=source, found=linked)
            if source != path:
                made[address(path)] = relinked(shown(ROOT, path), source=source, found=linked)
            done.add(path)
    for uri, text in made.items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(text: str, page: Any, **_: Any) -> str:  # noqa: ANN401  as above
    """Links of pages that stand in `docs`."""
    if page.file.generated_by:
        return text
    return relinked(text, source=f"docs/{page.file.src_uri}", found=set())


def on_post_page(output: str, page: Any, **_: Any) -> str:  # noqa: ANN401  as above
    """Refuse what a reader without a network would miss."""
    if found := _FOREIGN.search(output):
        message = f"{page.file.src_uri} asks another server: {found[0]}"
        raise PluginError(message)
    return output


@cache
def _made() -> dict[str, str]:
    """The reference, by address."""
    return {uri: "\n".join(page()) for uri, page in PAGES.items()}


def _decisions() -> str:
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    return (
        "# Decisions\n\nWhy it is so, with the roads not taken. A number that is missing was never used.\n\n"
        + "\n".join(f"{int(page.name[:3])}. [{_title(page)}]({page.name})" for page in pages)
    )


def _title(page: Path) -> str:
    """What stands in the navigation: the heading, without what its section says already."""
    title = re.sub(r"^(?:\d+\. |How to )", "", _heading(page.read_text("utf-8")))
    return title[:1].upper() + title[1:]


def _heading(text: str) -> str:
    found = _HEADING.search(text)
    return found[1].strip() if found else ""
