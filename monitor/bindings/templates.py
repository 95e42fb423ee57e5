"""Templates of what is sent: texts with {placeholders}, at any depth of a value. `{{` and `}}` are braces."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from string import Formatter
from urllib.parse import quote

from pydantic import JsonValue

_HOLDS_IN_PATH = frozenset({"", ".", ".."})


def parts(text: str) -> Iterator[tuple[str, str | None]]:
    """What is literal, and the name that follows it. Raises ValueError where it is no template."""
    for literal, name, spec, conversion in Formatter().parse(text):
        if name is not None and (not name.isidentifier() or spec or conversion):
            raise ValueError("has braces around what is no name; write {name}, and {{ and }} for the braces themselves")
        yield literal, name


def placeholders(template: JsonValue) -> frozenset[str]:
    """The names in a template. Raises ValueError where a text is none."""
    match template:
        case str():
            return frozenset(name for _, name in parts(template) if name is not None)
        case list():
            return frozenset().union(*map(placeholders, template))
        case dict():
            return frozenset().union(*map(placeholders, template.values()))
        case _:
            return frozenset()


def make_sure_known(template: JsonValue, known: Collection[str], *, where: str) -> None:
    """Raises ValueError that names the nearest name, where a template has one that nobody will fill in."""
    try:
        unknown = sorted(placeholders(template) - set(known))
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None
    if unknown:
        near = get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {{{near[0]}}}? " if near else ""
        names = ", ".join(f"{{{name}}}" for name in sorted(known))
        raise ValueError(f"{where} names {{{unknown[0]}}}, which has no value there; {hint}there are {names}")


def filled(template: JsonValue, values: Mapping[str, JsonValue]) -> JsonValue:
    """The template with its values. A text that is one placeholder alone becomes the value itself, with its type."""
    match template:
        case str():
            found = list(parts(template))
            if len(found) == 1 and found[0][0] == "" and found[0][1] is not None:
                return values[found[0][1]]
            return "".join(literal + ("" if name is None else text_of(values[name])) for literal, name in found)
        case list():
            return [filled(part, values) for part in template]
        case dict():
            return {name: filled(part, values) for name, part in template.items()}
        case _:
            return template


def filled_path(template: str, values: Mapping[str, JsonValue]) -> str:
    """The same for a path, where values are percent-encoded.

    Raises ValueError where a value would lead elsewhere: to the parent, or to the collection instead of one thing.
    """
    path = ""
    for literal, name in parts(template):
        path += literal
        if name is not None:
            text = text_of(values[name])
            if text in _HOLDS_IN_PATH:
                raise ValueError(f"{{{name}}} is {text!r}, which cannot be a part of a path")
            path += quote(text, safe="")
    return path


def text_of(value: JsonValue) -> str:
    """A value as text: nothing for null, JSON for what is neither text nor null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
