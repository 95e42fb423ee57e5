"""A request over HTTP as it is sent, and its answer."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it is sent. `shown` is what may be said of it; `fine` are statuses that are no failure."""

    method: str
    url: str
    shown: str
    headers: Mapping[str, str]
    body: bytes | None = None
    fine: Container[int] = ()

    @property
    def writes(self) -> bool:
        """Whether something may have been done although no answer came."""
        return self.method != "GET"

    @property
    def unsendable(self) -> str | None:
        """The name of the first header whose value no request can have."""
        return next((name for name, value in self.headers.items() if not _can_be_sent(value)), None)


def _can_be_sent(value: str) -> bool:
    return (
        value.isascii() and value == value.strip() and all(letter.isprintable() or letter == "\t" for letter in value)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer, whatever its status. `headers` are by name in lower case; `following` leads to the next page."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    following: str | None = None
