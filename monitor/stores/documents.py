"""Documents in the table `profiles`, and their copies under our prefix: what `sync` and `profile` both ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from monitor.core.document import Cached, Document, decode
from monitor.stores.encodings import acknowledged
from monitor.stores.keys import REMEMBER_SHOWN, KeyConnection
from monitor.stores.redis import Command, Reply
from monitor.stores.rows import BEGIN_SHOWN, RowConnection

STATEMENTS: Mapping[str, str] = {
    "insert_document": (
        "INSERT INTO holdfast.profiles (id, instance, user_id, version, body) VALUES ($1, $2, $3, $4, $5)"
    ),
    "update_document": (
        "UPDATE holdfast.profiles SET version = $2, body = $3, updated_at = clock_timestamp() WHERE id = $1"
    ),
    "delete_document": "DELETE FROM holdfast.profiles WHERE id = $1",
    "load_document": "SELECT id, user_id, version, body FROM holdfast.profiles WHERE id = $1",
}
"""Every statement on documents, by name."""

ROWS: Mapping[str, tuple[str, ...]] = {
    "create_document": (BEGIN_SHOWN, STATEMENTS["insert_document"], "COMMIT"),
    "change_document": (BEGIN_SHOWN, STATEMENTS["update_document"], "COMMIT"),
    "load_document": (BEGIN_SHOWN, STATEMENTS["load_document"], "COMMIT"),
    "delete_document": (BEGIN_SHOWN, STATEMENTS["delete_document"], "COMMIT"),
}
"""What a probe may ask for, and all that is then sent."""
KEYS: Mapping[str, tuple[str, ...]] = {
    "put_copy": ("ECHO NONCE", *REMEMBER_SHOWN, "SET {key} VALUE PX …"),
    "peek_copy": ("ECHO NONCE", "GET {key}"),
    "delete_copies": ("ECHO NONCE", "DEL {key} …", "ZREM {index} {key} …"),
}
"""The same of their copies."""

LIFE = 60.0  # seconds that a copy lives; longer than any run, so that none expires under its eyes


class DocumentConnection(RowConnection):
    """One connection. A write returns when its COMMIT was answered by COMMIT and touched what it had to touch."""

    statements: ClassVar = STATEMENTS

    async def insert(self, document: Document) -> None:
        """Store a new document."""
        async with self.transaction(document.user, sent_bytes=len(document.body.encode())):
            row = (document.id, self.instance, document.user, document.version, document.body)
            await self.change("insert_document", *row)

    async def update(self, document: Document) -> None:
        """Put another version in the place of the one with this id."""
        async with self.transaction(document.user, sent_bytes=len(document.body.encode())):
            await self.change("update_document", document.id, document.version, document.body)

    async def remove(self, *documents: Document) -> None:
        """Delete documents, each in a transaction of its own."""
        for document in documents:
            async with self.transaction(document.user):
                await self.change("delete_document", document.id)

    async def load(self, document: Document) -> Document | None:
        """The document with this id, whatever its version, as its owner sees it; None where there is none."""
        async with self.transaction(document.user):
            row = await self.connection.fetchrow(STATEMENTS["load_document"], document.id)
        if row is None:
            return None
        return Document(id=row["id"], user=row["user_id"], version=row["version"], body=row["body"])


class CopyConnection(KeyConnection):
    """One connection to a cache of documents."""

    def writing(self, key: str, document: Document) -> tuple[Command, ...]:
        """What keeps a copy; the last reply acknowledges it."""
        return *self.remember(key, ttl=LIFE), ("SET", key, document.encode(), "PX", round(LIFE * 1000))

    def reading(self, key: str) -> Command:
        """What reads a copy."""
        return ("GET", key)

    def cached(self, reply: Reply) -> Cached:
        """What the reply to `reading` shows."""
        return decode(reply if isinstance(reply, bytes) else None)

    async def put(self, key: str, document: Document) -> None:
        """Keep a copy under a key of our own."""
        *_, answer = await self.ask(*self.writing(key, document), writing=True)
        acknowledged(answer, "SET of a copy")

    async def peek(self, key: str) -> Cached:
        """What is under a key."""
        (reply,) = await self.ask(self.reading(key))
        return self.cached(reply)
