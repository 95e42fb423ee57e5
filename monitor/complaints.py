"""What pydantic finds wrong with the configuration, in words for whoever has to put it right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import reduce
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from monitor.addresses import AddressError
from monitor.core.secrets import Scrubber
from monitor.expansion import KeyPath, kind

_EXPECTED = {
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "time_delta_type": "a length of time such as 30s",
    "time_delta_parsing": "a length of time such as 30s",
}
_BOUNDS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}
_UNITS = "ms|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?|months?|y|years?|%|[kmg]?b"
_HARMLESS = re.compile(rf"-?\d{{1,8}}([.,]\d{{1,8}})? ?({_UNITS})?")  # 30 days or 1mb may be shown, 2024pass may not


_REWORDED = (
    ("Value error, ", ""),
    ("Input should be less than or equal to", "expected at most"),
    ("Input should be greater than or equal to", "expected at least"),
    ("Input should be", "expected"),
    ("Input should", "it should"),
    ("String should", "the text should"),
)


def in_words(message: str) -> str:
    """A message of pydantic's, or of typer's, which has learnt from it, as we say it."""
    for theirs, ours in _REWORDED:
        message = message.replace(theirs, ours)
    return message


def explain(
    detail: ErrorDetails,
    *,
    base: type[BaseModel],
    hidden: Callable[[KeyPath], bool],
    filled: Callable[[KeyPath], Iterable[str] | None],
) -> Iterator[tuple[KeyPath, str]]:
    """The key and the message of an error; several where one check has found several things.

    What an operator gave is not in a message, but for keys and numbers: any text may be a secret at the wrong place.
    A binding may be quoted, but for the texts that ${…} stood for in it: these are what `filled` gives there, and None
    elsewhere.
    """
    path = tuple(str(part) for part in detail["loc"] if part != "[key]")
    context = detail.get("ctx", {})
    if detail["type"] == "below":
        for below, message in context["problems"]:
            yield (*path, *below), message
        return
    message = _message(detail, path, base=base, context=context, hidden=hidden(path), quotable=filled(path) is not None)
    yield path, Scrubber(filled(path) or ())(message)


def _message(
    detail: ErrorDetails,
    path: KeyPath,
    *,
    base: type[BaseModel],
    context: Mapping[str, Any],
    hidden: bool,
    quotable: bool,
) -> str:
    given = detail["input"]
    found = "what ${…} stands for" if hidden else kind(given)
    match detail["type"]:
        case "extra_forbidden":
            message = _unknown(path, base)
        case "missing":
            message = f"missing; {_description(base, path)}".removesuffix("; ")
        case "value_error" | "assertion_error":
            error = context.get("error", detail["msg"])
            texts = () if quotable or isinstance(error, AddressError) else _texts(given)
            message = Scrubber(text for text in texts if hidden or not _HARMLESS.fullmatch(text))(str(error))
        case "literal_error" | "enum":
            choices = re.findall(r"'([^']*)'", str(context["expected"]))
            near = get_close_matches(str(given)[:64], [] if hidden else choices, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            other = "something else" if isinstance(given, str) and not hidden else found
            message = f"expected one of {', '.join(choices)}, found {other}{hint}"
        case _:
            message = _expected(detail, found, context=context, hidden=hidden)
    return message


def _expected(detail: ErrorDetails, found: str, *, context: Mapping[str, Any], hidden: bool) -> str:
    given = detail["input"]
    match detail["type"]:
        case "string_pattern_mismatch" if detail["loc"][-1:] == ("[key]",):
            message = "expected a name of at most 63 letters a to z, digits, _ and -, with a letter or digit first"
        case "string_too_short" | "too_short":
            message = "expected text, found nothing"
        case "string_too_long":
            message = f"expected at most {context['max_length']} characters, found more"
        case "string_type" if isinstance(given, (int, float)) and not isinstance(given, bool):
            message = f"expected text, found {found}; put it in quotes"
        case bound if bound in _BOUNDS:
            words, name = _BOUNDS[bound]
            plain = not hidden and (isinstance(given, (int, float)) or _HARMLESS.fullmatch(str(given)))
            message = f"expected {words} {context[name]}, found {given if plain else found}"
        case other if other in _EXPECTED:
            message = f"expected {_EXPECTED[other]}, found {found}"
        case _:
            message = Scrubber(_texts(given))(in_words(detail["msg"]))
    return message


def _unknown(path: KeyPath, base: type[BaseModel]) -> str:
    is_probe = path[-2:-1] == ("probes",) and len(path) in {2, 4}
    what = "unknown probe" if is_probe else "unknown key"
    known = known_keys(base, path[:-1])
    near = get_close_matches(path[-1][:64].lower(), known, n=1)
    if near:
        return f"{what}; did you mean `{near[0]}`?"
    return f"{what}; known here: {', '.join(known)}" if known else f"{what}; none is known here"


def known_keys(base: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that may stand below a path, as far as they are fixed."""
    return list(_fields(reduce(_below, path, base)))


def settable(base: type[BaseModel], *, environments: Iterable[str]) -> Iterator[KeyPath]:
    """Every path that can be set, for these environments."""
    names = tuple(environments)

    def walk(annotation: Any, path: KeyPath) -> Iterator[KeyPath]:  # noqa: ANN401 any annotation
        keys: Iterable[str] = names if path == ("environments",) else _fields(annotation)
        if path[2:] == ("binding",):  # it is a file of its own
            keys = ()
        if not keys and path != ("environments",):
            yield path
        for key in keys:
            yield from walk(_below(annotation, key), (*path, key))

    return walk(base, ())


def _description(base: type[BaseModel], path: KeyPath) -> str:
    field = _fields(reduce(_below, path[:-1], base)).get(path[-1])
    return (field.description or "") if field else ""


def _fields(annotation: Any) -> Mapping[str, Any]:  # noqa: ANN401 any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.model_fields
    if _is_mapping(annotation) or _is_list(annotation):
        return {}
    return next((fields for part in get_args(annotation) if (fields := _fields(part))), {})


def _below(annotation: Any, key: str) -> Any:  # noqa: ANN401 any annotation
    """The annotation of what stands below a key, None where there is nothing."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(key)
        return field.annotation if field else None
    if _is_mapping(annotation):
        return get_args(annotation)[-1]
    if _is_list(annotation):
        return get_args(annotation)[0]
    return next((below for part in get_args(annotation) if (below := _below(part, key)) is not None), None)


def _is_mapping(annotation: Any) -> bool:  # noqa: ANN401 any annotation
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _is_list(annotation: Any) -> bool:  # noqa: ANN401 any annotation
    return get_origin(annotation) in {tuple, list}


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
