"""Requests of a binding asked as anybody: with a user's token and another's ids, without a token, with a false one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from secrets import token_hex
from typing import Final
from uuid import uuid4

from pydantic import JsonValue

from monitor.bindings import Listing, Request
from monitor.core.tenancy import NOBODY, STRANGER
from monitor.stores.api_connection import ApiConnection, Value
from monitor.stores.api_errors import in_words, of_status
from monitor.stores.bound.context import Bound

# Any other status below 500 is an answer: to be refused is what should happen.
_NO_ANSWER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_ANSWERS: Final = frozenset(range(200, 500)) - _NO_ANSWER
_PAGES: Final = 3
"""How far a list is read: what was stored a moment ago stands on its first page, and a user of ours has few things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was answered: whether it was done, the whole body as text, and what the binding takes from it."""

    done: bool
    text: str
    values: Mapping[str, JsonValue]
    items: tuple[Mapping[str, JsonValue], ...] = ()


class Voices(ApiConnection):
    """One connection by which anybody asks."""

    def __init__(self, bound: Bound, label: str) -> None:
        super().__init__(bound.ways.primary_api, label)
        self._bound = bound
        self._key = bound.binding.api.idempotency if bound.binding.api else None

    @property
    def tells(self) -> bool:
        """Whether it is told by a token who asks."""
        return self.api.address.auth is not None

    async def own(self, request: Request, values: Mapping[str, Value], *, by: str) -> Heard:
        """Ask by a user for what is its own; of a list, some pages. Raises StoreError where it is refused."""
        who = self._bound.who(by)
        limit = request.limit if isinstance(request, Listing) else None
        page: dict[str, Value] = {"limit": limit, "after": None, "offset": 0}
        link: str | None = None
        text, items, found = "", list[Mapping[str, JsonValue]](), dict[str, JsonValue]()
        for _ in range(_PAGES):
            fine = {*request.expect, *request.missing}
            asked = self._asked(request, {**values, **page}, self._sent_along(request), link=link, fine=fine)
            reply = await self._as(who, asked, ())
            if reply.status not in fine:
                reason, advice = of_status(reply.status)
                raise self._wire.error(
                    asked, reason, f"{in_words(reply.status, reply.body, scrub=self.api.scrub)} ({advice})"
                )
            text += reply.body.decode("utf-8", "replace")
            if reply.status not in request.expect:
                return Heard(done=False, text=text, values={})
            answer = self._answer(request, asked, reply)
            items += answer.items
            found |= answer.values
            link = answer.link
            page |= {"after": answer.after, "offset": len(items)}
            if not (answer.items and (answer.after or link or len(answer.items) == limit)):
                break
        return Heard(done=True, text=text, values=found, items=tuple(items))

    async def other(self, request: Request, values: Mapping[str, Value], *, by: str) -> Heard:
        """Ask by a user, by NOBODY or by a STRANGER for what is not its own. To be refused is an answer.

        Raises StoreError where there is none.
        """
        limit = request.limit if isinstance(request, Listing) else None
        given = {**values, "limit": limit, "after": None, "offset": 0}
        asked = self._asked(request, given, self._sent_along(request), link=None, fine=_ANSWERS)
        # Not `_as`: that a user is refused by a 401 is no reason to log in again.
        reply = await self._wire.exchange(replace(asked, headers={**asked.headers, **await self._token(by)}))
        if reply.status not in _ANSWERS:
            reason, advice = of_status(reply.status)
            raise self._wire.error(
                asked, reason, f"{in_words(reply.status, reply.body, scrub=self.api.scrub)} ({advice})"
            )
        text = reply.body.decode("utf-8", "replace")
        return Heard(done=reply.status in request.expect, text=text, values={})

    async def _token(self, by: str) -> Mapping[str, str]:
        if (auth := self.api.address.auth) is None or by == NOBODY:
            return {}
        if by == STRANGER:
            return {auth.header: f"{auth.scheme} {token_hex(16)}".strip()}
        login = await self.api.logins.login(self._bound.who(by))
        return login.headers if login else {}

    def _sent_along(self, request: Request) -> dict[str, str]:
        """A key of its own for what changes something, where the API has such keys: nothing here is said twice."""
        return {self._key: uuid4().hex} if self._key and request.method != "GET" else {}
