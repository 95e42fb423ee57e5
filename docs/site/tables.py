"""Markdown tables, and the settings that a JSON Schema describes, as such tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

Schema = Mapping[str, Any]
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "over {}",
    "exclusiveMaximum": "under {}",
}
_SORTS = {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "`true` or `false`"}


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; a bar or a new line within a cell is escaped."""
    yield ""
    yield f"| {' | '.join(titles)} |"
    yield f"|{'---|' * len(titles)}"
    for row in rows:
        yield f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


@dataclass(frozen=True)
class Document:
    """A JSON Schema with the definitions that another page has, each with its address."""

    schema: Schema
    elsewhere: Mapping[str, str]

    def sections(self) -> Iterator[str]:
        """Every mapping under a heading of its own, from the root down, in the order in which one meets them."""
        waiting, told = [("", self.schema)], {*self.elsewhere}
        while waiting:
            name, part = waiting.pop(0)
            if name:  # what the whole is the page says itself
                yield f"\n## {name}\n\n{part.get('description', '')}"
            needed = part.get("required", ())
            rows = [self._row(key, about, needed=key in needed) for key, about in part["properties"].items()]
            yield from table(("key", "what it takes", "default", "meaning"), rows)
            for inner in _refers_to(part["properties"]):
                if inner not in told and "properties" in self._defined(inner):
                    told.add(inner)
                    waiting.append((inner, self._defined(inner)))

    def _defined(self, name: str) -> Schema:
        return cast("Schema", self.schema["$defs"][name])

    def _row(self, key: str, about: Schema, *, needed: bool) -> tuple[str, str, str, str]:
        value = about.get("default")
        untold = value in (None, {}, [], "") or ("writeOnly" in about and "*" in str(value))
        default = "**needed**" if needed else "" if untold else f"`{_plain(value)}`"
        return f"`{key}`", self.takes(about), default, str(about.get("description", ""))

    def takes(self, about: Schema) -> str:
        """What a value may be, in words, with links to the sections of mappings."""
        if "anyOf" in about:
            parts = [self.takes(each) for each in about["anyOf"] if each.get("type") != "null"]
            return " or ".join(dict.fromkeys(parts))
        if "$ref" in about:
            return self._linked(str(about["$ref"]).rpartition("/")[2])
        if "enum" in about:
            return ", ".join(f"`{each}`" for each in about["enum"] if each is not False)
        if "examples" in about:
            sort = "a length of time" if "ms" in str(about["examples"]) else "a size"
            return f"{sort}, such as `{about['examples'][0]}`"
        return self._of_sort(about)

    def _linked(self, name: str) -> str:
        about = self._defined(name)
        if name not in self.elsewhere and "properties" not in about:
            return self.takes(about)
        return f"[{name}]({self.elsewhere.get(name, f'#{name.lower()}')})"

    def _of_sort(self, about: Schema) -> str:
        kinds = about.get("type", "any value")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind == "object":
            inner = next(iter(about.get("patternProperties", {}).values()), about.get("additionalProperties"))
            return f"a mapping: name → {self.takes(inner)}" if isinstance(inner, Mapping) else "a mapping"
        if kind == "array":
            return f"a list: {self.takes(about['items'])}" if "items" in about else "a list"
        bounds = [said.format(about[bound]) for bound, said in _BOUNDS.items() if bound in about]
        secret = ["a secret, masked wherever it is shown"] if about.get("writeOnly") else []
        return ", ".join([_SORTS.get(kind, kind), *bounds, *secret])


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _refers_to(about: Any) -> Iterator[str]:  # noqa: ANN401  any part of a schema
    if isinstance(about, Mapping):
        if "$ref" in about:
            yield str(about["$ref"]).rpartition("/")[2]
        for each in about.values():
            yield from _refers_to(each)
    elif isinstance(about, list):
        for each in about:
            yield from _refers_to(each)
