"""What may stand in a query string, and how it is refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TypeVar

from starlette.requests import Request

from monitor.core import duration
from monitor.core.verdict import Verdict
from monitor.web.answers import Fault, bad, nearest
from monitor.web.listing import LARGEST, SIZE, Wanted

LONGEST_LIST = 1000
"""As many runs or violations as one answer holds at most."""
LONGEST_SEARCH = 200  # characters
LONGEST_PAGE = 1_000_000

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
        return None if given is None else choose(name, given, choices)

    def some_of(self, name: str, choices: type[E]) -> Sequence[E]:
        """Words of a closed set: the parameter may be given several times."""
        return [choose(name, given, choices) for given in self._given.getlist(name)]

    def limit(self, default: int = 100) -> int:
        """How many to return at most."""
        return self.number("limit", default, most=LONGEST_LIST)

    def number(self, name: str, default: int, *, most: int) -> int:
        """A whole number from 1."""
        given = self.text(name)
        if given is None:
            return default
        if given.isascii() and given.isdecimal() and len(given) < 10 and 1 <= int(given) <= most:  # noqa: PLR2004  nine digits always fit
            return int(given)
        raise bad(name, expected=f"a whole number from 1 to {most}", found=given)

    def length(self, name: str, default: timedelta, *, most: timedelta) -> timedelta:
        """A length of time, such as 30d."""
        given = self.text(name)
        return default if given is None else parse_length(name, given, most=most)

    def wanted(self, *, size: int = SIZE) -> Wanted:
        """Which environments to list. What is empty says nothing: so a browser sends a form that is not filled in."""
        words = [value for value in self._given.getlist("q") if value]
        if len(words) > 1 or len("".join(words)) > LONGEST_SEARCH:
            raise bad("q", expected=f"words, {LONGEST_SEARCH} characters at the most", found=" ".join(words))
        return Wanted(
            q="".join(words),
            verdict=self.one_of("verdict", Verdict) if any(self._given.getlist("verdict")) else None,
            page=self.number("page", 1, most=LONGEST_PAGE),
            size=self.number("size", size, most=LARGEST),
        )


def choose(name: str, given: str, choices: type[E]) -> E:
    """A word of a closed set. Raises Fault."""
    try:
        return choices(given)
    except ValueError:
        raise bad(name, expected=f"one of {', '.join(choices)}", found=given) from None


def parse_length(name: str, given: str, *, most: timedelta) -> timedelta:
    """A length of time from a second. Raises Fault."""
    try:
        found = duration.parse(given)
    except ValueError:
        raise bad(name, expected=length_of_time(most), found=given) from None
    if not timedelta(seconds=1) <= found <= most:
        raise bad(name, expected=length_of_time(most), found=given)
    return found


def length_of_time(most: timedelta) -> str:
    """What is expected, in words."""
    return f"a length of time from 1s to {duration.text(most)}, such as 30m"
