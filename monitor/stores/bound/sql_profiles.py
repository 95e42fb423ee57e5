"""An application's profiles over SQL."""

from __future__ import annotations

from monitor.core.document import Document
from monitor.core.freshness import Look, Origin, version_in
from monitor.core.record import Node
from monitor.core.verdict import Reason
from monitor.ports import Place, StoreError, Way
from monitor.stores.bound.context import Bound
from monitor.stores.bound.documents import Translator
from monitor.stores.bound.sql import SqlConnection
from monitor.stores.copies import STATEMENTS


class SqlProfileConnection:
    """One connection to the rows: to the primary, the pooler or a replica. Writes return once they are committed."""

    def __init__(self, sql: SqlConnection, translator: Translator) -> None:
        self._sql = sql
        self._translator = translator
        if sql.sql.profile is None:
            raise LookupError(f"the binding of environment {sql.bound.ways.environment} has no postgres.profile")
        self._profile = sql.sql.profile

    @classmethod
    async def open(
        cls, bound: Bound, label: str, translator: Translator, *, place: Place | None = None
    ) -> SqlProfileConnection:
        """A new connection, to the primary unless another place is named. Raises StoreError."""
        return cls(await SqlConnection.open(bound, label, place=place), translator)

    @property
    def place(self) -> Place:
        """Which way into the store this is."""
        return self._sql.postgres.place

    async def node(self) -> Node:
        """The server at the other end."""
        return await self._sql.node()

    async def close(self) -> None:
        """Really close it."""
        await self._sql.close()

    async def insert(self, document: Document) -> None:
        """Store a new document in the place of the user's profile, which an earlier run may have left."""
        self._translator.began(document)
        await self._write(document, parents=True)

    async def update(self, document: Document) -> None:
        """Put another version in its place."""
        await self._write(document, parents=False)

    async def _write(self, document: Document, *, parents: bool) -> None:
        values = {
            "profile": self._translator.payload(document),
            "permissions": self._translator.permissions(document),
            "version": document.version,
        }
        async with self._sql.transaction(document.user, sent_bytes=len(document.body.encode())):
            if parents:
                for statement in self._sql.sql.statements("parents"):
                    await self._sql.row(statement)
            *others, last = self._profile.statements("write")
            for statement in others:
                await self._sql.row(statement, values)
            await self._sql.change(last, values)
        self._translator.acknowledged(document)

    async def remove(self, *documents: Document) -> None:
        """Delete the profile of each document's user; one that is not there is gone already."""
        for document in documents:
            async with self._sql.transaction(document.user):
                for statement in self._profile.statements("delete"):
                    await self._sql.row(statement)

    async def load(self, document: Document) -> Document | None:
        """The profile of a document's user; None where there is none. Raises StoreError where it is another run's."""
        async with self._sql.transaction(document.user):
            return await self._read(document)

    async def _read(self, document: Document) -> Document | None:
        (statement,) = self._profile.statements("read")
        row = await self._sql.row(statement)
        if row is None:
            return None
        if "profile" not in row:
            what = f"{statement.name} of the binding returns no column `profile`; name it by AS profile"
            raise self._sql.postgres.error(Reason.MISCONFIGURED, what)
        return self._translator.read(row["profile"], row.get("permissions"), document, place=self.place)

    async def position(self) -> str:
        """The LSN up to which all is written that was acknowledged by now, and the server."""
        async with self._sql.postgres.asked():
            return str(await self._sql.connection.fetchval(STATEMENTS["position"]))

    async def look(self, document: Document, *, key: str, position: str) -> Look:  # noqa: ARG002  it is a row
        """The version of a row. A replica is asked first what it has replayed: one snapshot must not serve both."""
        async with self._sql.transaction(document.user, level="read committed", end="ROLLBACK"):
            applied, by_source = await self._applied(position)
            found = await self._read(document)
        return Look(version=version_in(found, document), applied=applied, by_source=by_source)

    async def _applied(self, position: str) -> tuple[bool | None, bool]:
        if self.place.way is Way.PRIMARY and position:
            return True, False
        if self.place.way is Way.REPLICA and position:
            row = await self._sql.connection.fetchrow(STATEMENTS["applied"], *position.split(" "))
            return row["applied"], row["by_source"]
        return None, False

    async def origin(self) -> Origin:
        """The identifier of the cluster, where the role may see it, and whether documents of ours were found there."""
        return Origin(marks=(await self._system(), self._translator.shown_by(self.place)))

    async def _system(self) -> frozenset[str]:
        try:
            async with self._sql.transaction(None, level="read committed", end="ROLLBACK"):
                return frozenset({str(await self._sql.connection.fetchval(STATEMENTS["system"]))})
        except StoreError as error:
            if error.reason is not Reason.REFUSED:
                raise
            return frozenset()
