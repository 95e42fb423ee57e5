"""Links of a document in the repository, so that they hold in the site: what the site lacks becomes a page of it."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

_LINK = re.compile(r"(\]\()([^)\s]+)(\))")
_FENCES = re.compile(r"(^ *(?:```|~~~).*?^ *(?:```|~~~) *$)", re.MULTILINE | re.DOTALL)
_OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:|^#|^//")
_LANGUAGES = {".yml": "yaml", ".sql": "sql", ".py": "python", ".sh": "sh", ".json": "json", ".toml": "toml"}


def address(path: str) -> str:
    """Where the site has a file or folder of the repository."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/") and Path(path).suffix:
        return path.removeprefix("docs/")
    return f"files/{path}" if path.endswith(".md") else f"files/{path}.md"


def relinked(text: str, *, source: str, found: set[str]) -> str:
    """The same text with links that hold in the site; `source` is its path in the repository.

    Each file or folder outside of `docs` that a link names is added to `found`.
    """
    here, at = posixpath.dirname(source), posixpath.dirname(address(source))

    def turned(link: re.Match[str]) -> str:
        target, hash_, anchor = link[2].partition("#")
        if _OUTSIDE.match(link[2]) or not target:
            return link[0]
        path = posixpath.normpath(posixpath.join(here, target))
        if path == "docs/decisions":
            path = "docs/decisions/index.md"
        elif not path.startswith("docs/"):
            found.add(path)
        return f"{link[1]}{posixpath.relpath(address(path), at or '.')}{hash_}{anchor}{link[3]}"

    parts = _FENCES.split(text)
    return "".join(part if at % 2 else _LINK.sub(turned, part) for at, part in enumerate(parts))


def shown(root: Path, path: str) -> str:
    """A file or a folder of the repository as a page: Markdown as it is, all else as code."""
    file = root / path
    if file.suffix == ".md":
        return file.read_text("utf-8")
    if file.is_dir() and (file / "README.md").exists():
        return f"{(file / 'README.md').read_text('utf-8')}"
    files = sorted(each for each in file.iterdir() if each.is_file()) if file.is_dir() else [file]
    lines = ["---\nsearch:\n  exclude: true\n---\n", f"# {path}\n"]
    for each in files:
        text = each.read_text("utf-8")
        lines += [f"## {each.name}\n"] if file.is_dir() else []
        lines += [f"````{_LANGUAGES.get(each.suffix, each.suffix.removeprefix('.') or 'text')}\n{text}````\n"]
    return "\n".join(lines)
