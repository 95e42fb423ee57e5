"""The HTTP API of an application: connections, log-ins of synthetic users, and how an answer can say no."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from monitor.bindings import Auth
from monitor.ports import Place, Store, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """Where an API is, and how synthetic users log in to it; `ca` is a file with certificates to trust."""

    base_url: str
    auth: Auth | None = None
    ca: str | None = None


class Api:
    """How to reach an API. Opens nothing by itself."""

    def __init__(self, address: ApiAddress, *, tally: Tally, timeout: timedelta) -> None:
        self.address = address
        self.place = Place(Store.API)
        self.timeout = timeout
        self._tally = tally
