"""Operations as files hold them: objects of JSON, as Jepsen records them."""

from __future__ import annotations

from typing import Any, TypeGuard

from monitor.core.history.operations import Append, Element, Key, Kind, MicroOperation, Operation, Read

_KINDS = {str(kind): kind for kind in Kind}
_NO_CLIENT = "nemesis"  # what Jepsen calls the process that breaks things
_CUT = 60  # characters of what was found are shown


class MalformedError(ValueError):
    """An operation is not what it should be; the message says what was expected and what was found."""


def shown(found: object) -> str:
    """What was found, cut to fit into a message."""
    text = repr(found)
    return text if len(text) <= _CUT else f"{text[:_CUT]}…"


class Recorded:
    """Turns objects into operations, one by one. Their `index` has to grow, and is counted where it is not given.

    Lists that repeat or continue an earlier one share its elements: most reads of a key do.
    """

    def __init__(self) -> None:
        self._known: dict[Key, tuple[Element, ...]] = {}
        self._place = -1

    def operation(self, found: object) -> Operation | None:
        """An operation, or None if it is not a client's. Raises MalformedError."""
        if not isinstance(found, dict):
            raise MalformedError(f"expected an object with type, process and value, found {shown(found)}")
        kind = _KINDS.get(found.get("type", "")) if isinstance(found.get("type"), str) else None
        if kind is None:
            expected = "expected `type` to be invoke, ok, fail or info"
            raise MalformedError(f"{expected}, found {_member(found, 'type')}")
        process = found.get("process")
        if not isinstance(process, (int, str)) or isinstance(process, bool):
            expected = "expected `process` to be a whole number or a string"
            raise MalformedError(f"{expected}, found {_member(found, 'process')}")
        place = self._next(found)
        if process == _NO_CLIENT:
            return None
        return Operation(kind, process, self._value(found, kind), place)

    def _next(self, found: dict[str, Any]) -> int:
        place = found.get("index", self._place + 1)
        if not isinstance(place, int) or isinstance(place, bool):
            raise MalformedError(f"expected `index` to be a whole number, found {shown(place)}")
        if place <= self._place:
            expected = f"expected `index` to be greater than {self._place}, that of the operation before"
            raise MalformedError(f"{expected}, found {place}; sort the history by it")
        self._place = place
        return place

    def _value(self, found: dict[str, Any], kind: Kind) -> tuple[MicroOperation, ...]:
        value = found.get("value")
        if value is None and kind in {Kind.FAIL, Kind.INFO}:
            return ()
        if not isinstance(value, list):
            expected = (
                'expected `value` to be a list of micro-operations such as ["append", "x", 1] and ["r", "x", [1]]'
            )
            raise MalformedError(f"{expected}, found {_member(found, 'value')}")
        return tuple(self._micro(each, kind) for each in value)

    def _micro(self, found: object, kind: Kind) -> MicroOperation:
        match found:
            case ["append", key, element] if _is_name(key) and _is_name(element):
                return Append(key, element)
            case ["r", key] | ["r", key, None] if _is_name(key):
                return Read(key, None)
            case ["r", key, [*elements]] if _is_name(key) and _are_names(elements):
                return Read(key, None if kind is Kind.INVOKE else self._shared(key, tuple(elements)))
        expected = 'expected ["append", key, element] or ["r", key, list or null], with strings and whole numbers'
        raise MalformedError(f"{expected}, found {shown(found)}")

    def _shared(self, key: Key, elements: tuple[Element, ...]) -> tuple[Element, ...]:
        known = self._known.get(key, ())
        if len(elements) <= len(known):
            same = known[: len(elements)]
            return same if same == elements else elements
        if elements[: len(known)] == known:
            elements = known + elements[len(known) :]
        self._known[key] = elements
        return elements


def _is_name(found: object) -> TypeGuard[Key]:
    return type(found) is int or type(found) is str


def _are_names(found: list[object]) -> TypeGuard[list[Element]]:
    return all(map(_is_name, found))


def _member(found: dict[str, Any], name: str) -> str:
    return shown(found[name]) if name in found else "none"
