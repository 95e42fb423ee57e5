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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer, whatever its status. `headers` are by name in lower case; `following` leads to the next page."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    following: str | None = None
