"""The sorts of value that settings are made of, and what is wrong with one that is not of its sort."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    StringConstraints,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from monitor.addresses import shown
from monitor.probe import Duration

_RESERVED_LABELS = frozenset(
    {"environment", "location", "probe", "verdict", "step", "kind", "reason", "store", "outcome", "state", "source"}
    | {"target", "le", "quantile"}
)
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def _no_number(value: object) -> object:
    if isinstance(value, (int, float)):  # 7 for "a week" would be read as seven seconds
        raise ValueError("a length of time needs its unit; write it like 500ms, 30s, 5m, 1h30m or 7d")  # noqa: TRY004 pydantic reports ValueError, and lets TypeError through
    return value


def _longer_than_nothing(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("must be longer than nothing")
    return value


def no_truth(value: object) -> object:
    """The value, unless it is true or false. Raises ValueError."""
    if isinstance(value, bool):  # int(True) is 1, and nobody means that
        raise ValueError("expected a number, found true or false")  # noqa: TRY004 as above
    return value


class OrNothing:
    """A section whose every line is commented out is an empty one."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        return core_schema.no_info_before_validator_function(lambda value: {} if value is None else value, inner)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [handler(schema), {"type": "null"}]}


class OfFile:
    """A section that stands in a file of its own, of which the path is given; or it stands where the path would."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._path_or_keys, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}

    @staticmethod
    def _path_or_keys(value: object) -> object:
        if isinstance(value, bool | int | float | list):
            raise ValueError("expected the path of a file")  # noqa: TRY004  as above
        return value


class OneOrSeveral:
    """A list of texts; a text alone is a list of one."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: (value,) if isinstance(value, str) else value, handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string"}, handler(schema)]}


def _label_name(value: str) -> str:
    if not _LABEL_NAME.fullmatch(value) or value.startswith("__"):
        raise ValueError("is not a Prometheus label name; use letters, digits and _, and begin with a letter")
    if value in _RESERVED_LABELS:
        raise ValueError("is a label that Holdfast sets itself; choose another name")
    return value


Length = Annotated[Duration, BeforeValidator(_no_number), AfterValidator(_longer_than_nothing)]
"""A length of time longer than nothing, always with its unit."""

Connections = Annotated[int, Field(ge=1, le=100), BeforeValidator(no_truth)]
ReplicaName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
LabelName = Annotated[str, AfterValidator(_label_name)]
Shown = PlainSerializer(shown, return_type=str, when_used="json")
"""An address is shown without its passwords."""
