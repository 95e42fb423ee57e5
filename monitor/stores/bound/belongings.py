"""What a synthetic user owns in an application: one thread with one message, and its profile, its secret in each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import UUID, uuid4

from monitor.core.payload import Message, Speech, Thread
from monitor.core.tenancy import SOMEBODY_ELSE, Sight, Tenant, owners_in
from monitor.core.verdict import Json
from monitor.stores.bound.identities import Identities

Values = Mapping[str, object]


class Belongings:
    """What a user has, as the application can hold it. `text` is its secret, or what somebody else puts there."""

    def __init__(self, speech: Speech, identities: Identities) -> None:
        self._speech = speech
        self._identities = identities

    def thread(self, tenant: Tenant, *, text: str | None = None) -> Thread:
        """Its thread, by whose name and metadata a sweep knows what a killed run has left."""
        said = text or tenant.secret
        return Thread(
            id=tenant.id,
            user=tenant.user,
            name=f"Holdfast {said}" if self._speech.names else "",
            metadata=self._speech.kept({"run": tenant.run_id, "holdfast": said}),
        )

    def message(self, tenant: Tenant, *, text: str | None = None, new: bool = False) -> Message:
        """The message of its thread, or a new one."""
        said, types = text or tenant.secret, self._speech.types
        return Message(
            id=uuid4() if new else tenant.id,
            number=2 if new else 1,
            role=self._speech.roles[0],
            type=types[0] if types else "",
            content=said,
            metadata=self._speech.kept({"holdfast": said}),
        )

    def profile(self, tenant: Tenant, *, text: str | None = None) -> dict[str, Json]:
        """The values of its profile."""
        said = text or tenant.secret
        return {"profile": {"holdfast": said}, "permissions": [said], "version": 1}

    def marked(self, rows: Iterable[Mapping[str, object]], tenants: Sequence[Tenant]) -> frozenset[str]:
        """Whose these rows are, by the ids that they bear, by the user whom they name, and by the secrets in them."""
        by_id: dict[UUID, str] = {tenant.id: tenant.user for tenant in tenants}
        found = set[str]()
        for row in rows:
            found |= owners_in(json.dumps([*row.values()], default=str), tenants)
            found |= {by_id[ours] for ours in self._ids(row) if ours in by_id}
            if row.get("user_id") is not None:
                user = self._identities.user_of(str(row["user_id"]))
                found.add(user if user in by_id.values() else SOMEBODY_ELSE)
        return frozenset(found)

    def _ids(self, row: Mapping[str, object]) -> Iterator[UUID]:
        for name, things in (("thread_id", self._identities.threads), ("message_id", self._identities.messages)):
            if row.get(name) is not None:
                yield things.ours(str(row[name]))


class Sights:
    """What was seen, by path and viewer: each sight is of all that one viewer was given by one path."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], frozenset[str]] = {}

    def see(self, path: str, viewer: str, owners: frozenset[str] = frozenset()) -> None:
        """A viewer was given this."""
        self._found[path, viewer] = self._found.get((path, viewer), frozenset()) | owners

    def drop(self, path: str) -> None:
        """By this path nothing can be told."""
        self._found = {at: owners for at, owners in self._found.items() if at[0] != path}

    def all(self) -> tuple[Sight, ...]:
        """Every sight, by path."""
        return tuple(Sight(path=path, viewer=viewer, owners=owners) for (path, viewer), owners in self._found.items())
