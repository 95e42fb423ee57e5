"""Attempts to change what is another's by the statements of a binding, all taken back.

A statement that touched a row proves nothing by itself: it may have touched the viewer's own, such as a record of what
it did. So whatever touched something is looked at with the owner's eyes, within the same transaction: what the owner
reads has changed, or it has not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import uuid4

from monitor.bindings.guards import asks_whose, inserts, names_who
from monitor.bindings.statements import Statement
from monitor.core.tenancy import NO_LONGER_ANYBODY, Tenant
from monitor.ports import StoreError
from monitor.stores.bound.belongings import Sights

if TYPE_CHECKING:
    from monitor.stores.bound.sql_tenants import SqlTenantConnection

View: TypeAlias = list[Mapping[str, object]]

_CHANGES: Final = ("append", "edit", "rename", "delete_message", "delete")
_SHOWN: Final = frozenset(
    {"name", "metadata", "message_count", "message_id", "role", "type", "content", "number", "profile", "permissions"}
)
"""What is compared. Other columns may differ each time, such as the moment of the reading."""
UNSEEN: Final = "what is read back does not show it, so that nobody can tell whom it changed"
FORGED: Final = " for another's :user_id"
UNTOLD: Final = "no condition names :user_id, and `begin` does not say who asks: whoever knows an id may"


@dataclass(frozen=True, slots=True)
class Deed:
    """What can be done to an owner, and where the owner would see it."""

    path: str
    statements: tuple[Statement, ...]
    on: str
    """`thread`, `profile`, or `new`: a thread that would not be there otherwise."""

    @property
    def names_who(self) -> bool:
        """Whether any of it says who asks."""
        return any(names_who(statement.sql) for statement in self.statements)


class Tampering:
    """All attempts of one look, over one connection."""

    def __init__(self, connection: SqlTenantConnection, tenants: Sequence[Tenant], kept: frozenset[str]) -> None:
        self._on = connection
        self._tenants = tenants
        self._kept = kept
        self._sights = Sights()
        self._unseen: dict[str, None] = {}
        self._before: dict[tuple[str, str], View] = {}

    async def all(self) -> Sights:
        """As each, and then as nobody, try everything on everybody."""
        for owner in self._tenants:
            async with self._on.saved(owner.user, end="ROLLBACK"):
                for on in ("thread", "profile"):
                    self._before[on, owner.user] = await self._view(on, owner)
        for viewer in (*self._tenants, None):
            if viewer or self._on.told:
                async with self._on.saved(viewer.user if viewer else None, end="ROLLBACK"):
                    for deed in self._deeds():
                        await self._try(deed, viewer)
        for path in self._unseen:
            self._sights.drop(path)
            self._sights.drop(path + FORGED)
            self._on.leave_out(path, UNSEEN)
        return self._sights

    def _deeds(self) -> Iterator[Deed]:
        threads, profile = self._on.sql.threads, self._on.sql.profile
        if threads:
            for task in _CHANGES:
                if statements := threads.statements(task):
                    yield Deed(f"threads.{task}", statements, "thread")
            yield Deed("threads.create", threads.statements("create"), "new")
        if profile:
            yield Deed("profile.write", profile.statements("write"), "profile")
            yield Deed("profile.delete", profile.statements("delete"), "profile")

    async def _try(self, deed: Deed, viewer: Tenant | None) -> None:
        """One deed on all, in the viewer's own name where it can be on another's, and in each owner's."""
        kept = self._on.told and any(self._on.is_kept(statement, self._kept) for statement in deed.statements)
        forged = kept and deed.names_who
        if viewer is None:
            if forged or not deed.names_who:
                for owner in self._tenants:
                    await self._attempt(deed, None, owner, path=deed.path, name=owner)
            return
        if deed.on == "thread":
            if any(self._on.tells(statement) for statement in deed.statements):
                for owner in self._tenants:
                    await self._attempt(deed, viewer, owner, path=deed.path, name=viewer)
            else:
                self._on.leave_out(deed.path, UNTOLD)
        if forged:
            for owner in self._tenants:
                await self._attempt(deed, viewer, owner, path=deed.path + FORGED, name=owner)

    async def _attempt(self, deed: Deed, viewer: Tenant | None, owner: Tenant, *, path: str, name: Tenant) -> None:
        own = viewer is owner
        target = replace(owner, id=uuid4()) if deed.on == "new" else owner
        values = self._values(deed, target, name)
        reached = False
        try:
            forbidden = not own and self._may_be_forbidden(deed) and await self._on.forbids(deed.statements, values)
            touched = []
            for statement in () if forbidden else deed.statements:
                row, tag = await self._on.done(statement, values)
                touched.append((statement, _touched(tag)))
                if deed.on == "new" and row is not None and row.get("thread_id") is not None:
                    values["thread_id"] = row["thread_id"]
            if self._happened(touched):
                reached = await self._owner_sees(deed, target, values)
                if own and not reached:
                    self._unseen[deed.path] = None
        except StoreError as error:
            if own or not self._on.kept_out(error):
                raise
        await self._on.back(viewer)
        self._sights.see(path, viewer.user if viewer else NO_LONGER_ANYBODY, frozenset({owner.user} if reached else ()))

    def _may_be_forbidden(self, deed: Deed) -> bool:
        """Whether a policy could raise an error; what only changes or deletes rows finds none."""
        return self._on.told and any(inserts(statement.sql) for statement in deed.statements)

    def _values(self, deed: Deed, target: Tenant, name: Tenant) -> dict[str, object]:
        """New content under the ids of the target, asked for in somebody's name."""
        things, identities = self._on.things, self._on.bound.identities
        text = f"holdfast-attempt-{uuid4().hex}"
        said = things.message(target, text=text, new=deed.path == "threads.append")
        return {
            **self._on.of(name.user),
            **things.profile(target, text=text),
            **(
                {
                    "thread_id": identities.threads.id(target.id),
                    "message_id": identities.messages.id(said.id),
                    "name": f"Holdfast {text}",
                    "role": said.role,
                    "type": said.type,
                    "content": said.content,
                    "metadata": said.metadata,
                    "number": said.number,
                }
                if deed.on != "profile"
                else {}
            ),
        }

    def _happened(self, touched: Sequence[tuple[Statement, bool]]) -> bool:
        """Whether it was done, so far as the server's tags tell.

        Where the application itself tells users apart, it gives up where a statement that asks whose it is finds
        nothing.
        """
        if self._on.told:
            return any(did for _, did in touched)
        return all(did for statement, did in touched if asks_whose(statement.sql))

    async def _owner_sees(self, deed: Deed, target: Tenant, values: Mapping[str, object]) -> bool:
        await self._on.become(target)
        if deed.on == "new":
            return bool(await self._view("new", target, thread_id=values["thread_id"]))
        return await self._view(deed.on, target) != self._before[deed.on, target.user]

    async def _view(self, on: str, owner: Tenant, *, thread_id: object = None) -> View:
        """What the owner reads: its thread with the messages, only a new thread, or its profile."""
        threads, profile = self._on.sql.threads, self._on.sql.profile
        statements: tuple[Statement, ...] = ()
        values: dict[str, object] = {"limit": 50}
        if on == "profile" and profile:
            statements = profile.statements("read")
        elif on != "profile" and threads:
            values["thread_id"] = thread_id or self._on.bound.identities.threads.id(owner.id)
            statements = threads.statements("load") + (threads.statements("messages") if on == "thread" else ())
        rows = [row for statement in statements for row in await self._on.rows(statement, values)]
        return [{name: value for name, value in row.items() if name in _SHOWN} for row in rows]


def _touched(tag: str) -> bool:
    """Whether a statement touched a row, or does not say."""
    count = tag.rpartition(" ")[2]
    return not count.isdigit() or count != "0"
