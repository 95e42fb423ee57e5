"""Which of an application's tables hold conversations and profiles, as far as names, types and keys tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from monitor.bindings.survey import Column, Table

Family: TypeAlias = Literal["text", "json", "time", "number", "uuid", "truth", "other"]

_THREADS = ("threads", "conversations", "chats", "dialogs", "discussions", "rooms", "sessions", "topics", "tickets")
_MESSAGES = ("messages", "posts", "turns", "entries", "replies", "comments", "events")
_PROFILES = ("profiles", "preferences", "settings", "users", "accounts")
_FAMILIES: tuple[tuple[Family, str], ...] = (
    ("text", r"text|character|varchar|citext"),
    ("json", r"jsonb?$"),
    ("time", r"timestamp|date$"),
    ("number", r"smallint|integer|bigint"),
    ("uuid", r"uuid$"),
    ("truth", r"boolean"),
)

ID = ("id", "uuid", "key")
USER = ("user_id", "owner_id", "account_id", "author_id", "customer_id", "profile_id", "created_by", "user", "owner")
NAME = ("name", "title", "subject", "label")
META = ("metadata", "meta", "extra", "attributes", "properties", "data", "context")
CREATED = ("created_at", "created", "inserted_at", "sent_at", "posted_at", "timestamp", "time", "date_created", "ts")
UPDATED = ("updated_at", "updated", "modified_at", "last_message_at", "last_activity_at", "date_updated")
COUNT = ("message_count", "messages_count", "num_messages", "n_messages")
ROLE = ("role", "author_role", "sender", "sender_type", "author_type", "author", "speaker", "from_role")
TYPE = ("message_type", "type", "kind", "category")
CONTENT = ("content", "body", "text", "message", "content_text", "value")
NUMBER = ("seq", "sequence", "number", "position", "ordinal", "idx", "index", "sort_order", "turn")
DOCUMENT = ("profile", "auth_data", "preferences", "settings", "data", "metadata", "attributes", "details")
PERMISSIONS = ("permissions", "scopes", "roles", "grants")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """A table of threads, one of messages, and what their columns are for; None where there is no such column."""

    threads: Table
    messages: Table
    thread_id: Column
    user: Column
    name: Column | None
    metadata: Column | None
    created: Column | None
    updated: Column | None
    count: Column | None
    message_id: Column
    of_thread: Column
    content: Column
    role: Column | None
    type: Column | None
    said: Column | None
    message_metadata: Column | None
    number: Column | None

    @property
    def cascades(self) -> bool:
        """Whether messages go with their thread."""
        link = self.messages.leads(self.of_thread.name)
        return link is not None and link.cascades


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiles:
    """A table with one row for each user, and where the document is."""

    table: Table
    user: Column
    document: Column
    permissions: Column | None
    created: Column | None
    updated: Column | None


def family(column: Column) -> Family:
    """What sort of type it is."""
    if column.choices and not re.match(r"text|character|varchar", column.type):
        return "text"  # an enum
    return next((name for name, pattern in _FAMILIES if re.match(pattern, column.type)), "other")


def pick(table: Table, names: Sequence[str], *families: Family) -> Column | None:
    """The first column of one of these names, and of one of these sorts where any is given."""
    found = (table.column(name) for name in names)
    return next((column for column in found if column and (not families or family(column) in families)), None)


def _rank(table: Table, words: Sequence[str]) -> int | None:
    """How well a table's name fits, 0 being best; None where it does not."""
    name = table.name.lower()
    for place, word in enumerate(words):
        if name in {word, word[:-1]}:
            return place
    for place, word in enumerate(words):
        if name.endswith((word, word[:-1])):
            return place + len(words)
    return None


def conversations(tables: Sequence[Table]) -> Conversations | None:
    """The most likely tables of conversations; None where there are none."""
    ranked = sorted(_pairs(tables), key=lambda pair: pair[0])
    return ranked[0][1] if ranked else None


def _pairs(tables: Sequence[Table]) -> Iterator[tuple[int, Conversations]]:
    for messages in tables:
        for threads in tables:
            spoken, kept = _rank(messages, _MESSAGES), _rank(threads, _THREADS)
            if threads is messages or spoken is None or kept is None:
                continue
            if (found := _conversation(threads, messages)) is not None:
                yield spoken + kept, found


def _conversation(threads: Table, messages: Table) -> Conversations | None:
    place = f"{threads.schema}.{threads.name}"
    link = next((messages.column(key.column) for key in messages.foreign if key.table == place), None)
    singular = threads.name.lower().rstrip("s")
    link = link or pick(messages, (f"{singular}_id", "thread_id", "conversation_id", "chat_id", "session_id"))
    thread_id, message_id = _key(threads), _key(messages)
    user = pick(threads, USER) or _to_users(threads)
    content = pick(messages, CONTENT, "text", "json")
    if link is None or thread_id is None or message_id is None or user is None or content is None:
        return None
    return Conversations(
        threads=threads,
        messages=messages,
        thread_id=thread_id,
        user=user,
        name=pick(threads, NAME, "text"),
        metadata=pick(threads, META, "json"),
        created=pick(threads, CREATED, "time", "number"),
        updated=pick(threads, UPDATED, "time", "number"),
        count=pick(threads, COUNT, "number"),
        message_id=message_id,
        of_thread=link,
        content=content,
        role=pick(messages, ROLE, "text"),
        type=pick(messages, TYPE, "text"),
        said=pick(messages, CREATED, "time", "number"),
        message_metadata=pick(messages, META, "json"),
        number=pick(messages, NUMBER, "number"),
    )


def _key(table: Table) -> Column | None:
    if len(table.primary_key) == 1:
        return table.column(table.primary_key[0])
    return pick(table, ID)


def _to_users(table: Table) -> Column | None:
    keys = (key.column for key in table.foreign if re.search(r"\.(users?|accounts?|profiles?)$", key.table))
    return next((column for key in keys if (column := table.column(key))), None)


def profiles(tables: Sequence[Table], *, besides: Sequence[str]) -> Profiles | None:
    """The most likely table of profiles, but none of those `besides`; None where there is none."""
    ranked = sorted(
        ((rank, table) for table in tables if (rank := _rank(table, _PROFILES)) is not None),
        key=lambda pair: pair[0],
    )
    for _, table in ranked:
        document = pick(table, DOCUMENT, "json")
        if f"{table.schema}.{table.name}" in besides or document is None or len(table.primary_key) != 1:
            continue
        user = table.column(table.primary_key[0])
        if user is not None and not user.made_by_server:
            return Profiles(
                table=table,
                user=user,
                document=document,
                permissions=pick(table, PERMISSIONS, "json", "other"),
                created=pick(table, CREATED, "time", "number"),
                updated=pick(table, UPDATED, "time", "number"),
            )
    return None
