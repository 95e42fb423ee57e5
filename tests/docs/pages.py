"""Markdown and YAML as somebody reads them who looks for what can be wrong: links, headings, blocks, words of code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_FENCE = re.compile(
    r"^ *(?P<fence>`{3,}|~{3,}) *(?P<kind>[\w+-]*)[^\n]*\n(?P<body>.*?)^ *(?P=fence)`* *$", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(
    r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)|<(?:a|img)\b[^>]*?\b(?:href|src)=\"([^\"]+)\"|^\[[^\]]+\]: (\S+)",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[`*]")


@dataclass(frozen=True)
class Page:
    """A text with the place where it stands; `file` need not exist, so that a page can be planted."""

    file: Path
    text: str

    @classmethod
    def read(cls, file: Path) -> Page:
        """A page from the disk."""
        return cls(file, file.read_text("utf-8"))

    @property
    def is_yaml(self) -> bool:
        """Whether it is YAML as a whole."""
        return self.file.suffix in {".yaml", ".yml"}

    @cached_property
    def blocks(self) -> list[tuple[str, str]]:
        """Its blocks of code: language and text. A YAML file is one."""
        if self.is_yaml:
            return [("yaml", self.text)]
        return [(found["kind"], found["body"]) for found in _FENCE.finditer(self.text)]

    @cached_property
    def prose(self) -> str:
        """What is no block of code; of YAML its comments."""
        if self.is_yaml:
            return "\n".join(re.findall(r"(?:^|\s)#+ ?(.*)$", self.text, re.MULTILINE))
        return _COMMENT.sub("", _FENCE.sub("", self.text))

    @cached_property
    def words(self) -> list[str]:
        """What stands between backticks in its prose."""
        return [" ".join(found[2].split()) for found in _SPAN.finditer(self.prose)]

    @cached_property
    def links(self) -> list[str]:
        """Where its links and pictures lead; of YAML nothing."""
        if self.is_yaml:
            return []
        return [next(filter(None, found.groups())) for found in _LINK.finditer(_SPAN.sub("", self.prose))]

    @cached_property
    def anchors(self) -> frozenset[str]:
        """What a link can name after its #, as GitHub and the site make it of headings."""
        return frozenset(_slugs(_HEADING.findall(_FENCE.sub("", self.text))))


def _slugs(headings: list[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for heading in headings:
        text = _MARKUP.sub(lambda found: found[1] or "", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")
        times = seen[slug] = seen.get(slug, -1) + 1
        yield f"{slug}-{times}" if times else slug
