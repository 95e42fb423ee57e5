"""What a binding's requests ask of an API: filled in, sent on behalf of a user, and what was answered taken apart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from urllib.parse import urlencode
from uuid import UUID

from pydantic import JsonValue

from monitor.bindings import Listing, Request
from monitor.bindings.extraction import extracted
from monitor.bindings.templates import filled, filled_path, text_of
from monitor.core.record import Node
from monitor.core.verdict import Reason
from monitor.ports import Outcome, StoreError
from monitor.stores.api import Api, Who
from monitor.stores.api_errors import in_words, of_status
from monitor.stores.api_requests import Asked, Reply

Value: TypeAlias = JsonValue | UUID

_UNAUTHORIZED, _TOO_MANY, _ERRORS, _SERVER_ERRORS = 401, 429, 400, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered. `found` is whether its status is one of those that the request expects.

    `values` are those that it returns; of a listing `items` has those of each. `after` is the cursor of the next page
    and `link` its URL, None where there is none.
    """

    status: int
    found: bool
    values: Mapping[str, JsonValue] = field(default_factory=dict)
    items: tuple[Mapping[str, JsonValue], ...] = ()
    after: JsonValue = None
    link: str | None = None


class ApiConnection:
    """One connection. Nothing is sent again but what the server has refused as a whole: by a 401 or a 429, once."""

    def __init__(self, api: Api, label: str) -> None:
        from monitor.stores.api_wire import Wire  # noqa: PLC0415  a daemon without an API needs no HTTP

        self.api = api
        self._wire = Wire(api, label)
        self._patience = api.timeout.total_seconds()

    async def close(self) -> None:
        """Really close it."""
        await self._wire.close()

    async def node(self) -> Node:
        """What answered last, so far as it says."""
        return Node(
            store=self.api.place.store,
            address=self.api.host,
            primary=True,
            version=self._wire.server,
            position="",
            identity="",
        )

    async def ask(
        self,
        request: Request,
        values: Mapping[str, Value],
        *,
        user: Who | None,
        tolerate: Collection[int] = (),
        headers: Mapping[str, str] | None = None,
        link: str | None = None,
    ) -> Answer:
        """Send a request as a user, or as nobody, and take the answer apart.

        A status that is neither expected nor among `missing` nor in `tolerate` raises StoreError; the latter two are
        answers that were not found. `link` is the URL of a page, instead of the request's path and query.
        """
        fine = {*request.expect, *request.missing, *tolerate}
        asked = self._asked(request, values, headers or {}, link=link, fine=fine)
        reply = await self._as(user, asked, tolerate)
        if reply.status in request.expect:
            return self._answer(request, asked, reply)
        if reply.status in fine:
            return Answer(status=reply.status, found=False)
        reason, advice = of_status(reply.status)
        if reply.status < _ERRORS:
            reason, advice = Reason.MISCONFIGURED, f"the binding expects {' or '.join(map(str, request.expect))}"
        done = asked.writes and not _ERRORS <= reply.status < _SERVER_ERRORS
        raise self._wire.error(
            asked,
            reason,
            f"{in_words(reply.status, reply.body, scrub=self.api.scrub)} ({advice})",
            outcome=Outcome.INDETERMINATE if done else Outcome.FAILED,
        )

    def error(self, request: Request, reason: Reason, what: str, *, outcome: Outcome = Outcome.FAILED) -> StoreError:
        """A failure of a request, to be raised."""
        return self.api.error(reason, f"{request.shown}: {what}", outcome=outcome)

    def _asked(
        self,
        request: Request,
        values: Mapping[str, Value],
        headers: Mapping[str, str],
        *,
        link: str | None,
        fine: Collection[int],
    ) -> Asked:
        known = plain(values)
        try:
            path = filled_path(request.path, known)
            query = {name: filled(value, known) for name, value in request.query.items()}
            own = {name: text_of(filled(value, known)) for name, value in request.headers.items()}
            body = filled(request.body, known)
        except (KeyError, ValueError) as error:
            raise self.error(request, Reason.MISCONFIGURED, f"cannot be filled in: {error}") from None
        url = self.api.url(path)
        if query := {name: text_of(value) for name, value in query.items() if value is not None}:
            url += f"?{urlencode(query)}"
        if link is not None:
            url = self._wire.beside(url, link) or ""
        if not url:
            what = "the Link to its next page leads to another server, which is not asked"
            raise self.error(request, Reason.MISCONFIGURED, what)
        kind = {} if body is None else {"Content-Type": "application/json"}
        return Asked(
            method=request.method,
            url=url,
            shown=request.shown,
            headers={"Accept": "application/json", **kind, **self.api.address.headers, **own, **headers},
            body=None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"),
            fine=fine,
        )

    async def _as(self, user: Who | None, asked: Asked, tolerate: Collection[int]) -> Reply:
        """Send it with the token of a user; once more with a new one, and once more when too many had come before."""
        logins = self.api.logins
        login = await logins.login(user) if user else None
        renewed = waited = False
        while True:
            headers = {**asked.headers, **(login.headers if login else {})}
            reply = await self._wire.exchange(replace(asked, headers=headers))
            if reply.status == _UNAUTHORIZED and user and login and not renewed:
                renewed, before = True, login
                login = await logins.renewed(user, instead_of=before)
                if login is not before:
                    continue
            wait = _seconds(reply)
            if reply.status == _TOO_MANY and _TOO_MANY not in tolerate and not waited and wait <= self._patience:
                waited = True
                self._patience -= wait
                await asyncio.sleep(wait)
                continue
            return reply

    def _answer(self, request: Request, asked: Asked, reply: Reply) -> Answer:
        listing = request if isinstance(request, Listing) else None
        if not request.returns and listing is None:
            return Answer(status=reply.status, found=True)
        lost = Outcome.INDETERMINATE if asked.writes else Outcome.FAILED
        try:
            document: JsonValue = json.loads(reply.body) if reply.body else None
        except (ValueError, RecursionError):
            what = f"answered {reply.status} with what is no JSON ({reply.headers.get('content-type', 'of no type')})"
            raise self._wire.error(asked, Reason.MISCONFIGURED, what, outcome=lost) from None
        try:
            if listing is None:
                return Answer(status=reply.status, found=True, values=_values(request, document))
            items = extracted(listing.items, document)
            if not isinstance(items, list):
                raise ValueError(f"items ({listing.items}) is no list in what was answered")  # noqa: TRY004, TRY301  it is told as the others are
            after = extracted(listing.after, document) if listing.after else None
            return Answer(
                status=reply.status,
                found=True,
                items=tuple(_values(listing, item) for item in items),
                after=None if after is False or after == "" else after,
                link=reply.following,
            )
        except ValueError as error:
            raise self._wire.error(asked, Reason.MISCONFIGURED, str(error), outcome=lost) from None


def plain(values: Mapping[str, Value]) -> dict[str, JsonValue]:
    """The same as JSON has it."""
    return {name: str(value) if isinstance(value, UUID) else value for name, value in values.items()}


def _values(request: Request, document: JsonValue) -> Mapping[str, JsonValue]:
    return {name: extracted(path, document) for name, path in request.returns.items()}


def _seconds(reply: Reply) -> float:
    """How long a server wants to be left alone: a whole number of seconds, or (a date, or nothing) nobody knows."""
    given = reply.headers.get("retry-after", "")
    return float(given) if given.isascii() and given.isdigit() else float("inf")
