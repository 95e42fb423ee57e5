"""An application's users over its API: each user's token against what is each other's, on each request of the binding.

What came is told by the whole reply, whatever the binding takes from it: a user's secret in it is that user's. Where
not even the owner is shown its secret, the id of what was asked for must do. Users ask for their own by the same path
one after the other, before others try and after it, so that a reply which is cached without its user goes to another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from monitor.bindings import ApiBinding, ApiThreads, Request
from monitor.bindings.templates import filled
from monitor.core.record import Node
from monitor.core.tenancy import NOBODY, SOMEBODY_ELSE, STRANGER, Look, Tenant, is_synthetic, owners_in
from monitor.core.verdict import Reason
from monitor.stores.api_connection import Value, plain
from monitor.stores.bound.api_messages import Translation
from monitor.stores.bound.api_tampering import OF_ONE, UNTOLD, Tampering
from monitor.stores.bound.api_voices import Heard, Voices
from monitor.stores.bound.belongings import Belongings, Sights
from monitor.stores.bound.context import Bound

READS: Final = ("load", "messages", "newest", "list")


@dataclass(frozen=True, slots=True)
class Question:
    """One request, by the name of its path."""

    path: str
    request: Request

    @classmethod
    def of(cls, name: str, request: Request) -> Question:
        """A request by its name in the binding."""
        return cls(f"{name} ({request.shown})", request)


class ApiTenantConnection:
    """One connection, as all users in turn, as nobody, and as a stranger."""

    def __init__(self, bound: Bound, voices: Voices, api: ApiBinding) -> None:
        self.bound = bound
        self.voices = voices
        self.api = api
        self.things = Belongings(bound.binding.speech, bound.identities)
        self._left_out: dict[str, dict[str, None]] = {}

    @classmethod
    async def open(cls, bound: Bound, label: str) -> Self:
        """A new connection, which is opened by its first request. Raises LookupError where no API is bound."""
        if bound.binding.api is None:
            raise LookupError(f"the binding of environment {bound.ways.environment} has no api")
        return cls(bound, Voices(bound, label), bound.binding.api)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The requests that cannot tell users apart, and the changes that nobody sees."""
        return tuple(f"{', '.join(paths)}: {why}" for why, paths in self._left_out.items())

    def leave_out(self, path: str, why: str) -> None:
        """A path is not tried, or proves nothing."""
        self._left_out.setdefault(why, {})[path] = None

    async def node(self) -> Node:
        """What answered last, so far as it says."""
        return await self.voices.node()

    async def close(self) -> None:
        """Really close it."""
        await self.voices.close()

    async def settle(self, tenant: Tenant) -> None:
        """Store its thread with a message, and its profile."""
        await self.settle_thread(tenant)
        if profile := self.api.profile:
            await self.voices.own(profile.write, self.values(tenant), by=tenant.user)

    async def settle_thread(self, tenant: Tenant) -> None:
        """Store its thread with a message, and remember the ids that the server has made."""
        if (threads := self.api.threads) is None:
            return
        identities = self.bound.identities
        made = await self.voices.own(threads.create, self.values(tenant), by=tenant.user)
        if (given := made.values.get("thread_id")) is not None:
            identities.threads.learn(tenant.id, str(given))
            await self._make_sure_it_is(threads, tenant)
        made = await self.voices.own(threads.append, self.values(tenant), by=tenant.user)
        if (given := made.values.get("message_id")) is None and identities.messages.style.made_by == "server":
            listed = await self.voices.own(threads.messages, self.values(tenant), by=tenant.user)
            given = listed.items[-1].get("message_id") if listed.items else None
        if given is not None:
            identities.messages.learn(tenant.id, str(given))

    async def _make_sure_it_is(self, threads: ApiThreads, tenant: Tenant) -> None:
        """Load by the id that was returned what was created. Raises StoreError where that is something else."""
        known = self.bound.identities.threads
        try:
            found = await self.voices.own(threads.load, self.values(tenant), by=tenant.user)
            made = Translation(threads, self.bound.identities).is_made(self.things.thread(tenant), found.values)
        except BaseException:
            known.forget(tenant.id)  # else it would be cleaned up by this very id
            raise
        if found.done and not made and not is_synthetic(found.text):  # one user's shown to another is what is sought
            given = known.id(tenant.id)
            known.forget(tenant.id)
            what = f"returned thread_id {given}, and {threads.load.shown} finds another thread by it"
            raise self.voices.error(threads.create, Reason.MISCONFIGURED, f"{what} (check `returns` in the binding)")

    async def clear(self, tenant: Tenant) -> None:
        """Delete everything of a user that can be deleted; a profile that cannot stays until the next run."""
        threads, profile = self.api.threads, self.api.profile
        if profile and profile.delete:
            await self.voices.own(profile.delete, self.values(tenant), by=tenant.user)
        if threads and self.bound.identities.threads.id(tenant.id) is not None:
            await self.voices.own(threads.delete, self.values(tenant), by=tenant.user)
            self.bound.identities.threads.forget(tenant.id)
            self.bound.identities.messages.forget(tenant.id)

    async def look(self, tenants: Sequence[Tenant]) -> Look:
        """Ask by every request that reads: each for its own, then for each other's, then for its own again."""
        sights, told = Sights(), [question for question in self._questions if self.is_told(question.request)]
        for question in self._questions:
            if question not in told:
                self.leave_out(question.path, UNTOLD)
        shown = await self._own(sights, told, tenants)
        for question in told:
            await self._others(sights, question, tenants, by_ids=question.path not in shown)
        await self._own(sights, told, tenants)
        return Look(sights=sights.all())

    async def tamper(self, tenants: Sequence[Tenant]) -> Look:
        """Try to change what is each other's, with threads that are made for it and gone at the end."""
        return Look(sights=(await Tampering(self, tenants).all()).all())

    async def _own(self, sights: Sights, told: Sequence[Question], tenants: Sequence[Tenant]) -> frozenset[str]:
        """Each asks for its own; -> the paths on which it is shown its secret."""
        shown = set[str]()
        for question in told:
            heard = {
                tenant.user: await self.voices.own(question.request, self.values(tenant), by=tenant.user)
                for tenant in tenants
            }
            if any(owners_in(one.text, tenants) for one in heard.values()):
                shown.add(question.path)
            for user, one in heard.items():
                others = self._named(one, tenants) - {user}
                sights.see(question.path, user, self._owners(one, tenants, by_ids=question.path not in shown) | others)
        return frozenset(shown)

    async def _others(self, sights: Sights, question: Question, tenants: Sequence[Tenant], *, by_ids: bool) -> None:
        """Each asks for each other's; nobody and a stranger ask for what is one user's."""
        request = question.request
        if OF_ONE & request.names:
            for viewer in tenants:
                for owner in tenants:
                    if owner is not viewer:
                        for values in self.crossed(request, viewer, owner):
                            heard = await self.voices.other(request, values, by=viewer.user)
                            sights.see(question.path, viewer.user, self._owners(heard, tenants, by_ids=by_ids))
        if self.voices.tells:
            for name, owner in ((NOBODY, tenants[0]), (STRANGER, tenants[-1])):
                heard = await self.voices.other(request, self.values(owner), by=name)
                sights.see(question.path, name, self._owners(heard, tenants, by_ids=by_ids))

    def crossed(
        self, request: Request, viewer: Tenant, owner: Tenant, *, text: str | None = None, new: bool = False
    ) -> Iterator[dict[str, Value]]:
        """What a viewer sends to reach an owner's: its ids; and by itself as the user, where there are other ids."""
        theirs = self.values(owner, text=text, new=new)
        if self.voices.tells:
            yield theirs
        if "user_id" in request.names and request.names & {"thread_id", "message_id"}:
            yield {**theirs, "user_id": self.values(viewer)["user_id"]}

    def is_told(self, request: Request) -> bool:
        """Whether it says who asks: by a token, or beside the ids of what it asks for."""
        return self.voices.tells or ("user_id" in request.names and bool(request.names & {"thread_id", "message_id"}))

    def _owners(self, heard: Heard, tenants: Sequence[Tenant], *, by_ids: bool) -> frozenset[str]:
        found = owners_in(heard.text, tenants)
        if by_ids and heard.done:
            ids = {tenant.user: str(self.bound.identities.threads.id(tenant.id)) for tenant in tenants}
            found |= {user for user, own in ids.items() if own in heard.text}
        return found

    def _named(self, heard: Heard, tenants: Sequence[Tenant]) -> frozenset[str]:
        """Whose a reply to somebody's own question says that it is; that it is the asker's proves nothing."""
        users = {tenant.user for tenant in tenants}
        named = [each["user_id"] for each in (heard.values, *heard.items) if each.get("user_id") is not None]
        found = {self.bound.identities.user_of(str(owner)) for owner in named}
        return frozenset(user if user in users else SOMEBODY_ELSE for user in found)

    @cached_property
    def _questions(self) -> tuple[Question, ...]:
        threads, profile = self.api.threads, self.api.profile
        named = [(f"threads.{name}", getattr(threads, name)) for name in READS] if threads else []
        named += [("profile.read", profile.read)] if profile else []
        return tuple(Question.of(name, request) for name, request in named if request is not None)

    def values(self, tenant: Tenant, *, text: str | None = None, new: bool = False) -> dict[str, Value]:
        """All that a request can be filled with, as its owner's; with `text` in the place of its secret."""
        identities = self.bound.identities
        thread, message = self.things.thread(tenant, text=text), self.things.message(tenant, text=text, new=new)
        profile = self.things.profile(tenant, text=text)
        values: dict[str, Value] = {
            "user_id": identities.user(tenant.user),
            "thread_id": identities.threads.id(thread.id),
            "message_id": identities.messages.id(message.id),
            "name": thread.name,
            "role": message.role,
            "type": message.type,
            "content": message.content,
            "metadata": json.loads(message.metadata),
            "metadata_json": message.metadata,
            "number": message.number,
            "profile": profile["profile"],
            "permissions": profile["permissions"],
            "version": profile["version"],
        }
        if threads := self.api.threads:
            values["messages"] = [filled(threads.append.body, plain(values))]
        return values
