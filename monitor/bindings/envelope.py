"""What an application keeps around a value of ours: a template of JSON, in one place of which ours stands."""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from monitor.bindings.templates import filled, make_sure_known, placeholders
from monitor.core.verdict import Json

PAYLOAD, AS_TEXT = "payload", "payload_text"


@dataclass(frozen=True, slots=True)
class Envelope:
    """A template, the names under which the payload lies in it, and whether it is JSON text there, or JSON itself."""

    template: Json = "{payload}"
    path: tuple[str, ...] = ()
    as_text: bool = False

    @classmethod
    def of(cls, template: Json, *, words: Collection[str] = ()) -> Envelope:
        """Find the payload's place. Raises ValueError where there is none, or several, or an unknown placeholder."""
        make_sure_known(template, (PAYLOAD, AS_TEXT, *words), where="value")
        places = tuple(_places(template, ()))
        if len(places) != 1:
            hint = "" if places else "; put it in quotes, for YAML takes {payload} for a mapping"
            raise ValueError(f'"{{payload}}" or "{{payload_text}}" must stand in it exactly once{hint}')
        ((path, name),) = places
        return cls(template, path, name == AS_TEXT)

    def seal(self, payload: Json, words: Mapping[str, Json]) -> Json:
        """The whole value around a payload."""
        put = json.dumps(payload, ensure_ascii=False) if self.as_text else payload
        return filled(self.template, {**words, PAYLOAD: put, AS_TEXT: put})

    def open(self, value: Json) -> Json:
        """The payload in a value. Raises ValueError, KeyError or TypeError where there is none."""
        for name in self.path:
            value = value[name]  # type: ignore[index,call-overload]  # what has no names raises
        return json.loads(value) if self.as_text else value  # type: ignore[arg-type]  # as above

    def put(self, value: Json, payload: Json) -> Json:
        """The same value with another payload. Raises as `open` does."""
        held = json.dumps(payload, ensure_ascii=False) if self.as_text else payload
        if not self.path:
            return held
        changed = copy.deepcopy(value)
        inner = changed
        for name in self.path[:-1]:
            inner = inner[name]  # type: ignore[index,call-overload]  # as above
        inner[self.path[-1]] = held  # type: ignore[index,call-overload]  # as above
        return changed

    def beside(self, value: Json) -> Json:
        """All of a value but its payload."""
        return self.put(value, None)


def _places(template: Json, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where the payload stands, and by which name."""
    match template:
        case str(text):
            for name in sorted({PAYLOAD, AS_TEXT} & placeholders(text)):
                if text != f"{{{name}}}":
                    raise ValueError(f"{text!r}: {{{name}}} must be the whole text")
                yield path, name
        case dict():
            for name, inner in template.items():
                yield from _places(inner, (*path, name))
        case list() if {PAYLOAD, AS_TEXT} & placeholders(template):
            raise ValueError("the payload stands in a list; it can stand in mappings only")
