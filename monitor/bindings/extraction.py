"""Where in an answer a value stands, as a JMESPath says it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

from pydantic import AfterValidator, JsonValue

if TYPE_CHECKING:
    from jmespath.parser import ParsedResult


@lru_cache(maxsize=512)
def _compiled(expression: str) -> ParsedResult:
    import jmespath  # noqa: PLC0415  a daemon without a binding does not need it

    return jmespath.compile(expression)


def _compiles(expression: str) -> str:
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415  the same

    try:
        _compiled(expression)
    except JMESPathError as error:
        place = getattr(error, "lex_position", None)
        where = "" if place is None else f" at character {place + 1}"
        raise ValueError(f"is no JMESPath{where}; write it like data[].id, see https://jmespath.org") from None
    return expression


JmesPath: TypeAlias = Annotated[str, AfterValidator(_compiles)]
"""A JMESPath that is known to be one."""


def extracted(expression: str, document: JsonValue) -> JsonValue:
    """What stands there; null where nothing does. Raises ValueError where a function does not suit what is there."""
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415  the same

    try:
        return cast("JsonValue", _compiled(expression).search(document))
    except JMESPathError as error:
        raise ValueError(f"{expression} cannot be asked of the answer ({type(error).__name__})") from None
