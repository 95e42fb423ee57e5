"""A document of ours as an application's profile, and back: what carries it, and whose it is when it is read."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from uuid import UUID

from monitor.core.document import Document
from monitor.core.verdict import Json, Reason
from monitor.ports import Place, Store, StoreError
from monitor.stores.bound.context import Bound
from monitor.stores.encodings import UNREADABLE

_MARK = "holdfast"
_PERMISSIONS = "permissions"
_MOST = 1000  # versions that are remembered; what a cache still holds is among the latest of them


class Translator:
    """The documents of one synthetic user, who has one profile: each takes the place of the one before.

    In the application's profile the body lies as it is, with a mark beside it: id, version, digest and the
    application's own id of the user. So a profile that is another user's, or another run's, is known as such.
    """

    def __init__(self, bound: Bound, user: str) -> None:
        self.user = user
        self._theirs = str(bound.identities.user(user))
        self._current: UUID | None = None
        self._shown: set[Place] = set()
        self._acknowledged: OrderedDict[tuple[UUID, int], None] = OrderedDict()

    def payload(self, document: Document) -> dict[str, Json]:
        """What an application keeps of a document."""
        mark: dict[str, Json] = {
            "id": str(document.id),
            "user": self._theirs,
            "version": document.version,
            "digest": document.digest,
        }
        return {**json.loads(document.body), _MARK: mark}

    def permissions(self, document: Document) -> list[Json]:
        """The permissions in it, for an application that keeps them apart."""
        return list(json.loads(document.body).get(_PERMISSIONS, []))

    def began(self, document: Document) -> None:
        """From now on it is this document that has to be there."""
        self._current = document.id

    def acknowledged(self, document: Document) -> None:
        """The application said that it has stored this version."""
        self._acknowledged[document.id, document.version] = None
        if len(self._acknowledged) > _MOST:
            self._acknowledged.popitem(last=False)

    def shown_by(self, place: Place) -> frozenset[str]:
        """A mark of the places at which documents of ours were found: they are of one application."""
        return frozenset({"documents of this daemon"} if place in self._shown else ())

    def document(self, payload: Json) -> Document | None:
        """The document in a copy; None where that is none, or disagrees with its own digest. Raises StoreError."""
        mark, document = self._taken_apart(payload)
        whole = document is not None and document.digest == mark["digest"]
        return self._of_this_run(document, Place(Store.REDIS)) if document and whole else None

    def read(self, profile: Json, permissions: Json, expected: Document, *, place: Place) -> Document:
        """The document in a profile, by the permissions that stand apart from it, where they do. Raises StoreError.

        What is no document of this user's comes back as one that says something else than what was expected.
        """
        profile = _parsed(profile)
        if isinstance(profile, dict) and permissions is not None:
            profile = {**profile, _PERMISSIONS: _parsed(permissions)}
        _, document = self._taken_apart(profile)
        if document is None:
            body = json.dumps(profile, ensure_ascii=False)
            return Document(id=expected.id, user=expected.user, version=expected.version, body=body)
        return self._of_this_run(document, place)

    def _taken_apart(self, profile: Json) -> tuple[Mapping[str, Json], Document | None]:
        try:
            body = dict(profile)  # type: ignore[arg-type]  # what is no mapping raises
            mark = dict(body.pop(_MARK))  # type: ignore[arg-type]  # as above
            found = Document(
                id=UUID(str(mark["id"])),
                user=self.user,
                version=int(mark["version"]),  # type: ignore[arg-type]  # as above
                body=json.dumps(body, ensure_ascii=False),
            )
            return mark, found if mark["user"] == self._theirs and "digest" in mark else None
        except UNREADABLE:
            return {}, None

    def _of_this_run(self, document: Document, place: Place) -> Document:
        """A document that an earlier run wrote, and knows to be stored, is older than each of this run's: version 0."""
        if document.id == self._current:
            self._shown.add(place)
            return document
        if (document.id, document.version) in self._acknowledged and self._current is not None:
            self._shown.add(place)
            return Document(id=self._current, user=document.user, version=0, body=document.body)
        message = (
            f"{place}: the profile of {self._theirs} has a document that this run did not write ({document.id}): does"
            " another daemon use the same account, or has a write that was given up come late? Each daemon needs"
            " accounts of its own"
        )
        raise StoreError(Reason.INCONCLUSIVE, message, store=place.store, place=place)


def _parsed(value: Json) -> Json:
    """What JSON text says; what is none stands for itself."""
    if not isinstance(value, str):
        return value
    try:
        parsed: Json = json.loads(value)
    except ValueError:
        return value
    return parsed
