"""Values of ours as the types of an application's columns ask for them, and what is read there as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from monitor.bindings.statements import PARAMETERS, ParameterKind

TEXT: Final = frozenset({"text", "varchar", "bpchar", "name"})
WHOLE: Final = frozenset({"int2", "int4", "int8"})
NUMBERS: Final = WHOLE | {"float4", "float8", "numeric"}
JSON: Final = frozenset({"json", "jsonb"})
_MOMENTS: Final = frozenset({"timestamptz", "timestamp", "date"})

FITS: Mapping[ParameterKind, frozenset[str]] = {
    "id": TEXT | WHOLE | {"numeric", "uuid"},
    "ids": frozenset(f"{name}[]" for name in TEXT | WHOLE | {"uuid"}),
    "text": TEXT,
    "json": JSON | TEXT | {f"{name}[]" for name in TEXT | JSON},
    "integer": NUMBERS | TEXT,
    "moment": _MOMENTS | (NUMBERS - {"int2", "float4"}) | TEXT,
    "milliseconds": (NUMBERS - {"int2", "int4", "float4"}) | TEXT,
}
"""The types of the server's that a parameter of each kind can have; types of the application's own take any text."""


class UnfitError(Exception):
    """A value cannot be sent as what the server has there."""


def sent(name: str, value: object, asked: str) -> object:
    """The value of the parameter `name` as the driver wants it for the server's type. Raises UnfitError."""
    if value is None:
        return None
    try:
        return _SENT[PARAMETERS[name]](value, asked)
    except (ValueError, TypeError, ArithmeticError):
        text = str(value)
        shown = text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004  a line of an error
        raise UnfitError(f":{name} is {asked} there, and {shown!r} is not") from None


def _id(value: object, asked: str) -> object:
    if asked == "uuid":
        return UUID(str(value))
    if asked in WHOLE:
        return int(str(value))
    return Decimal(str(value)) if asked == "numeric" else str(value)


def _ids(values: object, asked: str) -> object:
    return [_id(value, asked.removesuffix("[]")) for value in _list(values)]


def _list(value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return [*value]
    raise TypeError


def _text(value: object, _asked: str) -> object:
    return str(value)


def _json(value: object, asked: str) -> object:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not asked.endswith("[]"):
        return text
    parts = _list(json.loads(text))
    if asked.removesuffix("[]") in JSON:
        return [json.dumps(part, ensure_ascii=False) for part in parts]
    if not all(isinstance(part, str) for part in parts):
        raise TypeError
    return parts


def _number(value: object, asked: str) -> object:
    exact = Decimal(str(value))
    if asked in WHOLE:
        return int(exact)
    if asked == "numeric":
        return exact
    return float(exact) if asked in NUMBERS else str(value)


def _moment(value: object, asked: str) -> object:
    if not isinstance(value, datetime):
        raise TypeError
    moment = value.astimezone(UTC)
    match asked:
        case "timestamptz":
            return moment
        case "timestamp":
            return moment.replace(tzinfo=None)
        case "date":
            return moment.date()
        case _ if asked in NUMBERS:
            return _number(Decimal(round(moment.timestamp() * 1_000_000)) / 1_000_000, asked)
        case _:
            return moment.isoformat()


_SENT: Mapping[ParameterKind, Callable[[object, str], object]] = {
    "id": _id,
    "ids": _ids,
    "text": _text,
    "json": _json,
    "integer": _number,
    "moment": _moment,
    "milliseconds": _number,
}


def json_text(found: object) -> str:
    """What a column holds, of json, jsonb, text or of an array of these, as JSON text."""
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)
