"""What may stand in a query string, and how it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from starlette.requests import Request

from monitor.web.answers import Fault, bad, nearest

LONGEST_LIST = 1000
"""As many runs or violations as one answer holds at most."""

E = TypeVar("E", bound=StrEnum)


class Query:
    """The parameters of one request. Raises Fault at once where one is unknown here."""

    def __init__(self, request: Request, *known: str) -> None:
        self._given = request.query_params
        for name in self._given:
            if name not in known:
                raise Fault(400, f"{name[:64]!r} is not understood here", do=nearest(name, known))

    def text(self, name: str) -> str | None:
        """The value of a parameter that may be given once."""
        values = self._given.getlist(name)
        if len(values) > 1:
            raise bad(name, expected="one value", found=values)
        if values and not values[0]:
            raise bad(name, expected="a name", found="")
        return values[0] if values else None

    def one_of(self, name: str, choices: type[E]) -> E | None:
        """One word of a closed set."""
        given = self.text(name)
        return None if given is None else _choose(name, given, choices)

    def some_of(self, name: str, choices: type[E]) -> Sequence[E]:
        """Words of a closed set: the parameter may be given several times."""
        return [_choose(name, given, choices) for given in self._given.getlist(name)]

    def limit(self, default: int = 100) -> int:
        """How many to return at most."""
        given = self.text("limit")
        if given is None:
            return default
        if given.isascii() and given.isdecimal() and len(given) < 10 and 1 <= int(given) <= LONGEST_LIST:  # noqa: PLR2004  nine digits always fit
            return int(given)
        raise bad("limit", expected=f"a whole number from 1 to {LONGEST_LIST}", found=given)


def _choose(name: str, given: str, choices: type[E]) -> E:
    try:
        return choices(given)
    except ValueError:
        raise bad(name, expected=f"one of {', '.join(choices)}", found=given) from None
