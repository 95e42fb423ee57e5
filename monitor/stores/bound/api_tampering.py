"""Attempts to change what is another's by the requests of a binding, on threads that are made for it.

What was answered proves nothing: a 200 may have changed nothing, and a 404 may have come too late. So the owner looks
after each attempt: what the attempt brought with it is there, or what was there is gone, or nothing has happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from monitor.bindings import Request
from monitor.core.tenancy import NOBODY, STRANGER, Tenant
from monitor.stores.api_connection import Value
from monitor.stores.bound.belongings import Sights

if TYPE_CHECKING:
    from monitor.stores.bound.api_tenants import ApiTenantConnection

UNTOLD: Final = "nobody logs in, and it names no {user_id} beside what it asks for"
UNSEEN: Final = "what is read back does not show it, so that nobody can tell whom it changed"
_BRINGS: Final = ("append", "append_many", "edit", "rename")
OF_ONE: Final = frozenset({"user_id", "thread_id", "message_id"})
"""What makes a request one for a certain user's things, so that others can ask for them."""
_ALL: Final = (*_BRINGS, "delete_message", "delete")
_NEW: Final = frozenset({"threads.append", "threads.append_many"})


@dataclass(frozen=True, slots=True, eq=False)  # a request holds mappings, which have no hash
class Deed:
    """A request that changes something, by its name in the binding."""

    name: str
    request: Request

    @property
    def path(self) -> str:
        """As it is told of."""
        return f"{self.name} ({self.request.shown})"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the owner reads. `thread` and `messages` are None where they are not there."""

    thread: str | None
    messages: str | None
    profile: str | None

    def shows(self, text: str) -> bool:
        """Whether a text stands anywhere."""
        return any(text in (part or "") for part in (self.thread, self.messages, self.profile))


class Tampering:
    """All attempts of one look, over one connection."""

    def __init__(self, connection: ApiTenantConnection, tenants: Sequence[Tenant]) -> None:
        self._on = connection
        self._tenants = tenants
        self._sights = Sights()
        self._unseen: dict[str, None] = {}

    async def all(self) -> Sights:
        """Each owner's by each other, by nobody and by a stranger; at last by itself, which is the control."""
        untold = [deed for deed in self._bound_deeds(_ALL) if not self._on.is_told(deed.request)]
        for deed in untold:
            self._on.leave_out(deed.path, UNTOLD)
        if any(deed.name == "threads.delete" for deed in untold):
            return self._sights  # what is made for it could not be removed by it
        for owner in self._tenants:
            others = [tenant.user for tenant in self._tenants if tenant is not owner]
            if self._on.voices.tells:
                others += [NOBODY] if owner is self._tenants[0] else []
                others += [STRANGER] if owner is self._tenants[-1] else []
            target = await self._settled(owner)
            for viewer in others:
                if await self._try_all(target, viewer):
                    target = await self._settled(owner)  # the next one has to find what can be changed
            await self._try_all(target, owner.user)
            self._on.bound.identities.threads.forget(target.id)
            self._on.bound.identities.messages.forget(target.id)
        for path in self._unseen:
            self._sights.drop(path)
            self._on.leave_out(path, UNSEEN)
        return self._sights

    async def _settled(self, owner: Tenant) -> Tenant:
        """The owner of another thread."""
        target = replace(owner, id=uuid4())
        await self._on.settle_thread(target)
        return target

    async def _try_all(self, target: Tenant, viewer: str) -> bool:
        """Every deed on one thread, what only brings something first; -> whether anything of it was done."""
        brought = {deed: f"holdfast-attempt-{uuid4().hex}" for deed in self._deeds(_BRINGS, target)}
        for deed, text in brought.items():
            await self._send(deed, target, viewer, text=text)
        view = await self._view(target)
        reached = [self._see(deed, target, viewer, reached=view.shows(text)) for deed, text in brought.items()]

        edited = next((text for deed, text in brought.items() if deed.name == "threads.edit"), "")
        said = edited if edited and edited in (view.messages or "") else target.secret
        for deed in self._deeds(("delete_message",), target):
            await self._send(deed, target, viewer)
            left, before = await self._view(target), view.messages or ""
            reached.append(
                self._see(deed, target, viewer, reached=said in before and said not in (left.messages or ""))
            )
        for deed in self._deeds(("delete",), target):
            await self._send(deed, target, viewer)
            left = await self._view(target)
            reached.append(self._see(deed, target, viewer, reached=view.thread is not None and left.thread is None))
        return any(reached)

    def _see(self, deed: Deed, target: Tenant, viewer: str, *, reached: bool) -> bool:
        self._sights.see(deed.path, viewer, frozenset({target.user} if reached else ()))
        if viewer == target.user and not reached:
            self._unseen[deed.path] = None
        return reached

    def _deeds(self, names: Sequence[str], target: Tenant) -> Iterator[Deed]:
        """Those that one can send to another's; the others are left out, and said so."""
        for deed in self._bound_deeds(names):
            unknown = self._on.bound.identities.messages.id(target.id) is None
            if "message_id" in deed.request.names and unknown:
                self._on.leave_out(deed.path, "the server does not say which id it gave to a message")
            elif OF_ONE & deed.request.names and self._on.is_told(deed.request):
                yield deed

    def _bound_deeds(self, names: Sequence[str]) -> Iterator[Deed]:
        threads, profile = self._on.api.threads, self._on.api.profile
        requests = dict(threads.requests) if threads else {}
        yield from (Deed(f"threads.{name}", requests[name]) for name in names if name in requests)
        if profile and "append" in names:
            yield Deed("profile.write", profile.write)

    def _ways(self, deed: Deed, target: Tenant, viewer: str, text: str | None = None) -> Iterator[dict[str, Value]]:
        """What a viewer sends to do it to another."""
        new = deed.name in _NEW
        tenant = next((tenant for tenant in self._tenants if tenant.user == viewer), None)
        if tenant is None:
            yield self._on.values(target, text=text, new=new)
        else:
            yield from self._on.crossed(deed.request, tenant, target, text=text, new=new)

    async def _send(self, deed: Deed, target: Tenant, viewer: str, *, text: str | None = None) -> None:
        if viewer == target.user:
            values = self._on.values(target, text=text, new=deed.name in _NEW)
            await self._on.voices.own(deed.request, values, by=viewer)
            return
        for values in self._ways(deed, target, viewer, text):
            await self._on.voices.other(deed.request, values, by=viewer)

    async def _view(self, owner: Tenant) -> View:
        threads, profile = self._on.api.threads, self._on.api.profile
        requests = (threads and threads.load, threads and threads.messages, profile and profile.read)
        values = self._on.values(owner)
        heard = [await self._on.voices.own(one, values, by=owner.user) if one else None for one in requests]
        thread, messages, about = (one.text if one and one.done else None for one in heard)
        return View(thread=thread, messages=messages, profile=about)
