"""An application's profiles over its HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monitor.bindings import ApiProfile
from monitor.core.document import Document
from monitor.core.freshness import Look, Origin, version_in
from monitor.core.record import Node
from monitor.core.verdict import Reason
from monitor.ports import MissingError, Store
from monitor.stores.bound.context import Bound
from monitor.stores.bound.documents import Translator

if TYPE_CHECKING:
    from monitor.stores.api_connection import ApiConnection, Value


class ApiProfileConnection:
    """One connection. Writes return once the API has acknowledged them."""

    def __init__(self, api: ApiConnection, requests: ApiProfile, *, bound: Bound, translator: Translator) -> None:
        self._api = api
        self._requests = requests
        self._bound = bound
        self._translator = translator

    @classmethod
    async def open(cls, bound: Bound, label: str, translator: Translator) -> ApiProfileConnection:
        """A new connection. Raises StoreError."""
        if bound.binding.api is None or bound.binding.api.profile is None:
            raise LookupError(f"the binding of environment {bound.ways.environment} has no api.profile")
        api = await bound.ways.primary_api.connect(label)
        return cls(api, bound.binding.api.profile, bound=bound, translator=translator)

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._api.node()

    async def close(self) -> None:
        """Really close it."""
        await self._api.close()

    async def insert(self, document: Document) -> None:
        """Store a new document in the place of the user's profile, which an earlier run may have left."""
        self._translator.began(document)
        await self.update(document)

    async def update(self, document: Document) -> None:
        """Put another version in its place."""
        values = {
            **self._values(document),
            "profile": self._translator.payload(document),
            "permissions": self._translator.permissions(document),
            "version": document.version,
        }
        request = self._requests.write
        answer = await self._api.ask(request, values, user=self._bound.who(document.user))
        if not answer.found:
            message = f"{request.shown}: answered {answer.status}: nothing was acknowledged"
            raise MissingError(message, store=Store.API)
        self._translator.acknowledged(document)

    async def remove(self, *documents: Document) -> None:
        """Delete the profile of each document's user; where the API cannot, it stays, and the next run replaces it."""
        if self._requests.delete is not None:
            for document in documents:
                await self._api.ask(self._requests.delete, self._values(document), user=self._bound.who(document.user))

    async def load(self, document: Document) -> Document | None:
        """The profile of a document's user; None where there is none. Raises StoreError where it is another run's."""
        request = self._requests.read
        answer = await self._api.ask(request, self._values(document), user=self._bound.who(document.user))
        if not answer.found:
            return None
        if "profile" not in answer.values:
            what = "returns no `profile`; say under `returns` where it stands in the answer"
            raise self._api.error(request, Reason.MISCONFIGURED, what)
        profile, permissions = answer.values["profile"], answer.values.get("permissions")
        if profile is None:
            return None
        return self._translator.read(profile, permissions, document, place=self._api.api.place)

    def _values(self, document: Document) -> dict[str, Value]:
        return {"user_id": self._bound.identities.user(document.user)}

    async def position(self) -> str:
        """An API tells none."""
        return ""

    async def look(self, document: Document, *, key: str, position: str) -> Look:  # noqa: ARG002  it is asked as users ask
        """The version that is read."""
        return Look(version=version_in(await self.load(document), document))

    async def origin(self) -> Origin:
        """Whether documents of ours were found there."""
        return Origin(marks=(frozenset(), self._translator.shown_by(self._api.api.place)))
