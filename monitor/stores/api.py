"""The HTTP API of an application: where it is, how it is trusted, and what is never said of it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from uuid import UUID

from monitor.bindings import Account, Auth
from monitor.core.secrets import MASK, Scrubber
from monitor.core.verdict import Reason
from monitor.ports import Outcome, Place, Store, StoreError, Tally

if TYPE_CHECKING:
    from monitor.stores.api_connection import ApiConnection
    from monitor.stores.api_logins import Logins

_SPELLINGS = 512  # of tokens that a server may still quote: each synthetic user's present one, and some before it
_SHORTEST_PART = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiAddress:
    """Where an API is, and how synthetic users log in to it; `ca` is a file with certificates to trust.

    `headers` go with every request. What they say is never shown, and neither are `secrets`.
    """

    base_url: str
    auth: Auth | None = None
    ca: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """A synthetic user as the application knows it, and the account by which it logs in, where it needs one."""

    id: str | int | UUID
    account: Account | None = None


class Api:
    """How to reach an API. Opens nothing by itself."""

    def __init__(self, address: ApiAddress, *, tally: Tally, timeout: timedelta) -> None:
        self.address = address
        self.place = Place(Store.API)
        self.timeout = timeout
        self.tally = tally
        parts = urlsplit(address.base_url)
        self.host = parts.netloc.rpartition("@")[2]
        self._had: list[str] = []

    def url(self, path: str) -> str:
        """The URL of a path below the base_url."""
        return self.address.base_url.rstrip("/") + path

    @cached_property
    def tls(self) -> ssl.SSLContext:
        """The authorities of the system, and those of `ca`. Raises StoreError."""
        urls = (self.address.base_url, self.address.auth.token_url if self.address.auth else "")
        if not any(url.startswith("https:") for url in urls) and not self.address.ca:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; to read the system's takes 30 ms
        context = ssl.create_default_context()
        if self.address.ca:
            try:
                context.load_verify_locations(self.address.ca)
            except (OSError, ssl.SSLError):
                what = f"`ca` names {self.address.ca}, which has no certificates that can be read"
                raise self.error(Reason.MISCONFIGURED, what) from None
        return context

    @cached_property
    def logins(self) -> Logins:
        """The tokens of the synthetic users, shared by all connections."""
        from monitor.stores.api_logins import Logins  # noqa: PLC0415  a daemon without an API needs no HTTP

        return Logins(self)

    async def connect(self, label: str) -> ApiConnection:
        """A new connection, which is opened by its first request; `label` names the probe to whoever reads its log."""
        from monitor.stores.api_connection import ApiConnection  # noqa: PLC0415  the same

        return ApiConnection(self, label)

    def keep_secret(self, token: str) -> None:
        """A token, and each part of it, that is never to be shown."""
        parts = {token, *(part for part in token.split(".") if len(part) >= _SHORTEST_PART)} - {""}
        spelled = {quote(part, safe="") for part in parts} | parts
        self._had = [*self._had, *spelled][-_SPELLINGS:]

    @cached_property
    def _scrub(self) -> Scrubber:
        given = self.address.auth.secrets if self.address.auth else ()
        return Scrubber((*self.address.secrets, *self.address.headers.values(), *given))

    def scrub(self, text: str) -> str:
        """The same text without secrets."""
        text = self._scrub(text)
        for token in sorted(self._had, key=len, reverse=True):  # to seek them in every spelling would take a second
            text = text.replace(token, MASK)
        return text

    def error(
        self, reason: Reason, what: str, *, outcome: Outcome = Outcome.FAILED, host: str | None = None
    ) -> StoreError:
        """A failure of this API, to be raised, without any secret that is known. `host` is another one than its own."""
        return StoreError(reason, self.scrub(f"API at {host or self.host}: {what}"), store=Store.API, outcome=outcome)
