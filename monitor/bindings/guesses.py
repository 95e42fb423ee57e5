"""Which of an application's tables hold conversations and profiles, as far as names, types and keys tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from monitor.bindings.survey import Column, Table

_UNNAMED = 100  # more than any names are worth
_NEAREST = 3  # pairs of tables that an error names

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
CONTENT = ("content", "body", "text", "message", "content_text", "value", "payload")
NUMBER = ("seq", "sequence", "number", "position", "ordinal", "idx", "index", "sort_order", "turn")
DOCUMENT = ("profile", "auth_data", "preferences", "prefs", "settings", "data", "metadata", "attributes", "details")
PERMISSIONS = ("permissions", "scopes", "roles", "grants")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """A table of threads, one of messages, and what their columns are for; None where there is no such column.

    `by_name` is whether both tables, and the column of content, have names that say so.
    """

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
    by_name: bool = True

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


def conversations(
    tables: Sequence[Table], *, threads: str | None = None, messages: str | None = None
) -> Conversations | None:
    """The most likely tables of conversations, or those that are named; None where there are none."""
    ranked = sorted(_pairs(tables, threads, messages), key=lambda pair: pair[0])
    return ranked[0][1] if ranked else None


def _pairs(tables: Sequence[Table], named: str | None, spoken_in: str | None) -> Iterator[tuple[int, Conversations]]:
    """Pairs of tables with what they lack in likeness: names count most, and keys and roles where names say nothing."""
    for messages in tables:
        for threads in tables:
            if threads is messages or named not in {None, threads.name} or spoken_in not in {None, messages.name}:
                continue
            spoken = 0 if spoken_in else _rank(messages, _MESSAGES)
            kept = 0 if named else _rank(threads, _THREADS)
            found = _conversation(threads, messages)
            if found is None:
                continue
            if spoken is not None and kept is not None:
                yield spoken + kept, found
            elif _link(threads, messages, by_key=True) and (found.role or {spoken, kept} != {None}):
                like = sum(rank is not None for rank in (spoken, kept, found.role, found.said))
                yield _UNNAMED - like, replace(found, by_name=False)


def missed(tables: Sequence[Table], *, named: str | None = None, spoken_in: str | None = None) -> tuple[str, ...]:
    """What the tables lack that are most like conversations, or that are named; a sentence each, the nearest first."""
    near = []
    for messages in tables:
        for threads in tables:
            ranks = (_rank(messages, _MESSAGES), _rank(threads, _THREADS))
            by_key = _link(threads, messages, by_key=True) is not None
            if threads is messages or named not in {None, threads.name} or spoken_in not in {None, messages.name}:
                continue
            near_enough = by_key or None not in ranks or None not in {named, spoken_in}
            if near_enough and (lacks := [*_lacks(threads, messages)]):
                near.append((len(lacks) + ranks.count(None), f"{messages.name} in {threads.name}: {', '.join(lacks)}"))
    return tuple(sentence for _, sentence in sorted(near)[:_NEAREST])


def _lacks(threads: Table, messages: Table) -> Iterator[str]:
    if _link(threads, messages) is None:
        yield f"{messages.name} does not refer to {threads.name}"
    for table in (threads, messages):
        if _key(table) is None:
            yield f"{table.name} has no key of one column"
    if _user(threads) is None:
        yield f"no column of {threads.name} says whose a row is (such as user_id)"
    if _content(messages) is None:
        yield f"{messages.name} has no column of text or json"
    unnamed = {_rank(messages, _MESSAGES), _rank(threads, _THREADS)} == {None}
    if unnamed and pick(messages, ROLE, "text") is None:
        yield f"neither their names nor a column such as role say that {messages.name} are messages"


def _link(threads: Table, messages: Table, *, by_key: bool = False) -> Column | None:
    place = f"{threads.schema}.{threads.name}"
    link = next((messages.column(key.column) for key in messages.foreign if key.table == place), None)
    if by_key or link:
        return link
    singular = threads.name.lower().rstrip("s")
    return pick(messages, (f"{singular}_id", "thread_id", "conversation_id", "chat_id", "session_id"))


def _user(threads: Table) -> Column | None:
    return pick(threads, USER) or _to_users(threads)


def _content(messages: Table) -> Column | None:
    """By its name, or the first of the columns that could be it."""
    taken = {*ROLE, *TYPE, *messages.primary_key, *(key.column for key in messages.foreign)}
    free = [each for each in messages.columns if each.name not in taken and not each.choices and not each.always]
    free = [each for each in free if family(each) in {"text", "json"}]
    return pick(messages, CONTENT, "text", "json") or next(
        iter(sorted(free, key=lambda each: (each.name in META, not each.required, _short(each)))), None
    )


def _short(column: Column) -> bool:
    return bool(re.search(r"\(\d+\)", column.type))


def is_named_content(column: Column) -> bool:
    """Whether the name of a column says that what is said stands there."""
    return column.name in CONTENT


def _of_messages(threads: Table, messages: Table, *patterns: str) -> Column | None:
    """The column of threads by a name that is made of the messages', such as turn_count."""
    words = [
        messages.name.lower().rsplit("_", 1)[-1].removesuffix("s"),
        *(word.removesuffix("s") for word in _MESSAGES),
    ]
    names = [pattern.format(word) for word in dict.fromkeys(words) for pattern in patterns]
    return pick(threads, names, "number") if "count" in patterns[0] else pick(threads, names, "time", "number")


def _conversation(threads: Table, messages: Table) -> Conversations | None:
    link = _link(threads, messages)
    thread_id, message_id = _key(threads), _key(messages)
    user = _user(threads)
    content = _content(messages)
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
        updated=pick(threads, UPDATED, "time", "number")
        or _of_messages(threads, messages, "last_{}_at", "last_{}", "{}_added_at"),
        count=pick(threads, COUNT, "number")
        or _of_messages(threads, messages, "{}_count", "{}s_count", "num_{}s", "count_{}s"),
        message_id=message_id,
        of_thread=link,
        content=content,
        role=pick(messages, ROLE, "text"),
        type=pick(messages, TYPE, "text"),
        said=pick(messages, CREATED, "time", "number"),
        message_metadata=next((each for each in (pick(messages, META, "json"),) if each != content), None),
        number=pick(messages, NUMBER, "number"),
    )


def _key(table: Table) -> Column | None:
    if len(table.primary_key) == 1:
        return table.column(table.primary_key[0])
    return pick(table, ID)


def _to_users(table: Table) -> Column | None:
    keys = (
        key.column
        for key in table.foreign
        if re.search(r"\.(users?|accounts?|profiles?|members?|customers?|people|persons?)$", key.table)
    )
    return next((column for key in keys if (column := table.column(key))), None)


def profiles(tables: Sequence[Table], *, besides: Sequence[str], named: str | None = None) -> Profiles | None:
    """The most likely table of profiles, or the one that is named, but none of those `besides`; None where none is."""
    ranked = sorted(
        ((rank, table) for table in tables if (rank := _rank(table, _PROFILES)) is not None),
        key=lambda pair: pair[0],
    )
    if named is not None:
        ranked = [(0, table) for table in tables if table.name == named]
    for _, table in ranked:
        own = [column for column in table.columns if family(column) == "json"]
        document = pick(table, DOCUMENT, "json") or (own[0] if len(own) == 1 else None)
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
