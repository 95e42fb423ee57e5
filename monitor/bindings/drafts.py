"""Statements for tables whose columns were guessed, as an application would write them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from monitor.bindings.guesses import CREATED, Conversations, Profiles, family, pick
from monitor.bindings.survey import Column, Foreign, Table

_RESERVED = re.compile(
    r"all|and|any|array|as|asc|both|case|cast|check|collate|column|constraint|create|default|desc|distinct|do|else|end"
    r"|except|false|fetch|for|foreign|from|grant|group|having|in|initially|into|lateral|leading|limit|not|null|offset|on"
    r"|only|or|order|placing|primary|references|returning|select|session_user|some|table|then|to|trailing|true|union"
    r"|unique|user|using|variadic|when|where|window|with"
)
_SETTING = re.compile(r"current_setting\('([^']+)'")
_OF_A_USER = re.compile(r"user|uid|account|owner|sub")
LONGEST_ID = 64
"""Characters that an id of a user has at most."""
_AT = "@holdfast.invalid"
_CODE = 3  # letters of a code, such as a country's or a currency's
UNKNOWN = "NULL"
"""What stands where nobody can know a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guessed:
    """What was guessed of `tables`, which are all of a schema; `name` is the application's."""

    name: str
    threads: Conversations | None
    profile: Profiles | None
    tables: Sequence[Table]
    redis: bool

    @property
    def used(self) -> tuple[Table, ...]:
        """The tables that statements touch."""
        threads = (self.threads.threads, self.threads.messages) if self.threads else ()
        return (*threads, *((self.profile.table,) if self.profile else ()))

    @property
    def link(self) -> Foreign | None:
        """By what a thread refers to its user."""
        return self.threads.threads.leads(self.threads.user.name) if self.threads else None

    @property
    def users(self) -> Table | None:
        """The table of users that threads refer to, where it can be seen."""
        place = self.link.table if self.link else ""
        return next((table for table in self.tables if f"{table.schema}.{table.name}" == place), None)

    def values(self, table: Table, known: Mapping[str, str], *, besides: str = "") -> dict[str, str]:
        """What is inserted: what is known, and something for each other column that must have a value."""
        found = dict(known)
        for column in table.columns:
            if column.required and column.name not in {*known, besides}:
                link = table.leads(column.name)
                of_user = link is not None and self.link is not None and link.table == self.link.table
                found[column.name] = ":user_id" if of_user else UNKNOWN if link else _some(column)
        return found

    @property
    def softly(self) -> bool:
        """Whether both, threads and messages, are marked as deleted, and stay."""
        both = (self.threads.threads, self.threads.messages) if self.threads else ()
        return bool(both) and all(_mark_of(table) for table in both)


class ThreadDrafts:
    """The statements for conversations, each by its key in a binding."""

    def __init__(self, guessed: Guessed, found: Conversations) -> None:
        self._guessed, self._found = guessed, found
        self._threads, self._messages = table_name(found.threads), table_name(found.messages)
        self._tid, self._mid, self._link, self._user = (
            name(column.name) for column in (found.thread_id, found.message_id, found.of_thread, found.user)
        )
        self._owned = f"WHERE {self._tid} = :thread_id AND {self._user} = :user_id"
        self._shown = alive_of(found.messages, "m.", also_archived=False)
        self._source = f"FROM {self._messages} AS m JOIN {self._threads} AS t ON t.{self._tid} = m.{self._link}"
        self._where = f"WHERE t.{self._tid} = :thread_id AND t.{self._user} = :user_id"
        with_metadata = found.metadata is not None and found.message_metadata is not None
        self._metadata = (found.metadata, found.message_metadata) if with_metadata else (None, None)
        order = [column for column in (found.number, found.said) if column is not None][:1]
        self.ordered = bool(order) or number_by_server(found.message_id)
        self._order = [*(name(column.name) for column in order), self._mid]

    def create_values(self) -> dict[str, str]:
        """What a new thread holds."""
        found = self._found
        known = {} if number_by_server(found.thread_id) else {found.thread_id.name: ":thread_id"}
        known[found.user.name] = ":user_id"
        known |= _present((found.name, ":name"), (self._metadata[0], ":metadata"))
        known |= _moments(found.created, found.updated)
        return self._guessed.values(found.threads, known, besides=found.thread_id.name)

    def append_values(self) -> dict[str, str]:
        """What a new message holds."""
        found = self._found
        known = {} if number_by_server(found.message_id) else {found.message_id.name: ":message_id"}
        known |= {found.of_thread.name: ":thread_id", **self._spoken()} | _moments(found.said)
        if found.number is not None and not found.number.made_by_server:
            known[found.number.name] = ":number"
        author = found.messages.column(found.user.name) or found.messages.column("user_id")
        if author is not None and author.required:
            known[author.name] = ":user_id"
        return self._guessed.values(found.messages, known, besides=found.message_id.name)

    def _spoken(self) -> dict[str, str]:
        found = self._found
        columns = ((found.role, ":role"), (found.type, ":type"), (found.content, as_kept(found.content)))
        return _present(*columns, (self._metadata[1], ":metadata"))

    def create(self) -> tuple[str, ...]:
        """Store a thread."""
        returning = f"\nRETURNING {self._tid} AS thread_id" if number_by_server(self._found.thread_id) else ""
        return (insert(self._found.threads, self.create_values()) + returning,)

    def append(self) -> tuple[str, ...]:
        """Touch the thread, and store a message."""
        found = self._found
        returning = f"\nRETURNING {self._mid} AS message_id" if number_by_server(found.message_id) else ""
        touched = [f"{name(column)} = {value}" for column, value in _moments(found.updated).items()]
        touched += [f"{name(found.count.name)} = {name(found.count.name)} + 1"] if found.count else []
        alive = alive_of(found.threads, also_archived=False)
        before = (f"UPDATE {self._threads} SET {', '.join(touched)} {self._owned}{alive}",) if touched else ()
        values = self.append_values()
        into = f"INSERT INTO {self._messages} ({', '.join(map(name, values))})\nSELECT {', '.join(values.values())}"
        return (*before, f"{into}\nFROM {self._threads} {self._owned}{alive}{returning}")

    def rename(self) -> tuple[str, ...]:
        """Give a thread another name; nothing where it has none."""
        if self._found.name is None:
            return ()
        return (f"UPDATE {self._threads} SET {name(self._found.name.name)} = :name {self._owned}",)

    def edit(self) -> tuple[str, ...]:
        """Change a message."""
        changed = ", ".join(f"{name(column)} = {value}" for column, value in self._spoken().items())
        return (f"UPDATE {self._messages} SET {changed}\n{self._one_message()}",)

    def delete_message(self) -> tuple[str, ...]:
        """Delete a message."""
        count = self._found.count
        less = f"{name(count.name)} = {name(count.name)} - 1" if count else ""
        before = (f"UPDATE {self._threads} SET {less} {self._owned}",) if less else ()
        return (*before, f"{self._removal(self._found.messages)}\n{self._one_message()}")

    def _removal(self, table: Table) -> str:
        mark = _mark_of(table) if self._guessed.softly else None
        return f"UPDATE {table_name(table)} SET {mark}" if mark else f"DELETE FROM {table_name(table)}"

    def _one_message(self) -> str:
        own = f"EXISTS (SELECT FROM {self._threads} {self._owned})"
        return f"WHERE {self._mid} = :message_id AND {self._link} = :thread_id\n  AND {own}"

    def delete(self) -> tuple[str, ...]:
        """Delete a thread, and first its messages where they do not go with it."""
        own = f"{self._removal(self._found.threads)} {self._owned}"
        exists = f"EXISTS (SELECT FROM {self._threads} {self._owned})"
        before = f"{self._removal(self._found.messages)} WHERE {self._link} = :thread_id AND {exists}"
        return (own,) if self._found.cascades and not self._guessed.softly else (before, own)

    def load(self) -> tuple[str, ...]:
        """Read a thread."""
        found = self._found
        columns = ((found.thread_id, "thread_id"), (found.user, "user_id"), (found.name, "name"))
        read = _read("t", *columns, (self._metadata[0], "metadata"), (found.count, "message_count"))
        alive = alive_of(found.threads, "t.")
        return (f"SELECT {read}\nFROM {self._threads} AS t {self._where}{alive}",)

    def messages(self) -> tuple[str, ...]:
        """Read all messages in their order."""
        return (f"{self._select()}\n{self._in_order()} LIMIT :limit",)

    def page(self) -> tuple[str, ...]:
        """Read the messages after one."""
        kind = {"uuid": "uuid", "number": "bigint"}.get(id_kind(self._found.message_id), "text")
        last = f"SELECT {', '.join(self._order)} FROM {self._messages} WHERE {self._mid} = :after_id"
        keys = ", ".join(f"m.{key}" for key in self._order)
        after = f"  AND (:after_id::{kind} IS NULL\n       OR ({keys}) > ({last}))"
        return (f"{self._select()}\n{after}\n{self._in_order()} LIMIT :limit",)

    def newest(self) -> tuple[str, ...]:
        """Read the last messages, the newest first."""
        return (f"{self._select()}\n{self._in_order(' DESC')} LIMIT :limit",)

    def count(self) -> tuple[str, ...]:
        """Count the messages."""
        return (f"SELECT count(*) AS messages\n{self._source}\n{self._where}{self._shown}",)

    def list(self) -> tuple[str, ...]:
        """The threads of a user."""
        found = self._found
        latest = f"ORDER BY {name(found.created.name)} DESC LIMIT" if found.created else "LIMIT"
        where = f"WHERE {self._user} = :user_id{alive_of(found.threads)}"
        return (f"SELECT {self._tid} AS thread_id\nFROM {self._threads} {where}\n{latest} :limit",)

    def _select(self) -> str:
        found = self._found
        spoken = _read("m", (found.role, "role"), (found.type, "type"))
        if family(found.content) == "json":
            content = f"m.{name(found.content.name)} #>> '{{}}' AS content"
        else:
            content = _read("m", (found.content, "content"))
        more = _read("m", (self._metadata[1], "metadata"), (found.number, "number"))
        parts = (f"m.{_as(self._mid, 'message_id')}", "" if found.role else "'user' AS role", spoken, content, more)
        return f"SELECT {', '.join(part for part in parts if part)}\n{self._source}\n{self._where}{self._shown}"

    def _in_order(self, direction: str = "") -> str:
        return "ORDER BY " + ", ".join(f"m.{key}{direction}" for key in self._order)


class ProfileDrafts:
    """The statements for profiles, each by its key in a binding."""

    def __init__(self, guessed: Guessed, found: Profiles) -> None:
        self._guessed, self._found = guessed, found
        self._table, self._user = table_name(found.table), name(found.user.name)

    def values(self) -> dict[str, str]:
        """What a profile holds."""
        found = self._found
        known = {found.user.name: ":user_id", found.document.name: ":profile"}
        known |= _present((found.permissions, ":permissions")) | _moments(found.created, found.updated)
        return self._guessed.values(found.table, known)

    def write(self) -> tuple[str, ...]:
        """Insert or replace it."""
        found = self._found
        kept = [column for column in (found.document, found.permissions, found.updated) if column is not None]
        changed = ", ".join(f"{name(column.name)} = excluded.{name(column.name)}" for column in kept)
        return (f"{insert(found.table, self.values())}\nON CONFLICT ({self._user}) DO UPDATE\nSET {changed}",)

    def read(self) -> tuple[str, ...]:
        """Read it."""
        found = self._found
        read = _read("", (found.user, "user_id"), (found.document, "profile"), (found.permissions, "permissions"))
        return (f"SELECT {read} FROM {self._table} WHERE {self._user} = :user_id",)

    def delete(self) -> tuple[str, ...]:
        """Delete it."""
        return (f"DELETE FROM {self._table} WHERE {self._user} = :user_id",)


def begins(guessed: Guessed) -> tuple[list[str], list[str]]:
    """How a transaction begins as a user by what policies ask for, and the settings that nobody can guess."""
    said = " ".join(policy for table in guessed.used if table.secured for policy in table.policies)
    names = sorted(set(_SETTING.findall(said)))
    statements: list[str] = []
    if re.search(r"auth\.(uid|jwt)\(\)", said) or any(each.startswith("request.jwt") for each in names):
        statements = ["SET LOCAL ROLE authenticated", "SELECT set_config('request.jwt.claims', :claims, true)"]
    own = [each for each in names if not each.startswith("request.jwt")]
    statements += [f"SELECT set_config('{each}', :user_id, true)" for each in own if _OF_A_USER.search(each)]
    return statements, [each for each in own if not _OF_A_USER.search(each)]


def parent(guessed: Guessed) -> tuple[Table, dict[str, str], str] | None:
    """The row of a user that must exist before its threads: its table, its values, and the statement."""
    if guessed.link is None or guessed.users is None:
        return None
    values = guessed.values(guessed.users, {guessed.link.to: ":user_id"})
    return guessed.users, values, f"{insert(guessed.users, values)}\nON CONFLICT ({name(guessed.link.to)}) DO NOTHING"


def cleaning(guessed: Guessed) -> Iterator[str]:
    """What takes the leftovers of a killed daemon; nothing for a table that does not say how old its rows are."""
    if (found := guessed.threads) and found.created is not None:
        user, threads = name(found.user.name), table_name(found.threads)
        where = f"{threads} WHERE {user} = :user_id AND {_old(found.created)}"
        if not found.cascades:
            own = f"(SELECT {name(found.thread_id.name)} FROM {where})"
            yield f"DELETE FROM {table_name(found.messages)} WHERE {name(found.of_thread.name)} IN {own}"
        yield f"DELETE FROM {where}"
    if (profile := guessed.profile) and (age := profile.updated or profile.created):
        where = f"{name(profile.user.name)} = :user_id AND {_old(age)}"
        yield f"DELETE FROM {table_name(profile.table)} WHERE {where}"
    if (users := guessed.users) and found and guessed.link and (made := pick(users, CREATED, "time", "number")):
        mine = f"SELECT FROM {table_name(found.threads)} WHERE {name(found.user.name)} = :user_id"
        where = f"{name(guessed.link.to)} = :user_id AND {_old(made)} AND NOT EXISTS ({mine})"
        yield f"DELETE FROM {table_name(users)} WHERE {where}"


def ageless(guessed: Guessed) -> tuple[Table, ...]:
    """The tables that `clean` leaves alone, since nothing in them says how old rows are."""
    profile, users = guessed.profile, guessed.users
    of_profile = (profile.table,) if profile and not (profile.updated or profile.created) else ()
    return (*of_profile, *((users,) if users and not pick(users, CREATED, "time", "number") else ()))


def as_kept(content: Column) -> str:
    """What is said, as its column keeps it: a column of JSON has it as a string of JSON."""
    return {"json": "to_json(:content::text)", "jsonb": "to_jsonb(:content::text)"}.get(content.type, ":content")


def _mark_of(table: Table) -> str | None:
    """How a row is marked as deleted; None where the table has no such column."""
    for column in table.columns:
        if column.name in {"deleted_at", "removed_at"} and family(column) == "time":
            return f"{name(column.name)} = :now"
        if column.name in {"is_deleted", "deleted"} and family(column) == "truth":
            return f"{name(column.name)} = true"
    return None


def alive_of(table: Table, alias: str = "", *, also_archived: bool = True) -> str:
    """What holds of rows that are not put away, as the end of a WHERE: deleted, or `also_archived`."""
    truths = {column.name for column in table.columns if family(column) == "truth"}
    moments = {column.name for column in table.columns if family(column) == "time"}
    asked = ("is_active", "active") if also_archived else ()
    found = [f"{alias}{each}" for each in asked if each in truths]
    asked = ("deleted_at", "removed_at", *(("archived_at",) if also_archived else ()))
    found += [f"{alias}{each} IS NULL" for each in asked if each in moments]
    asked = ("is_deleted", "deleted", *(("is_archived", "archived") if also_archived else ()))
    found += [f"NOT {alias}{each}" for each in asked if each in truths]
    return "".join(f" AND {condition}" for condition in found)


def insert(table: Table, values: Mapping[str, str]) -> str:
    """INSERT of one row."""
    return f"INSERT INTO {table_name(table)} ({', '.join(map(name, values))})\nVALUES ({', '.join(values.values())})"


def id_kind(column: Column) -> str:
    """What `ids` calls an identifier of this type."""
    return {"uuid": "uuid", "number": "number"}.get(family(column), "text")


def number_by_server(column: Column) -> bool:
    """Whether the server makes it: numbers, which it returns."""
    return id_kind(column) == "number"


def table_name(table: Table) -> str:
    """A table's name with its schema."""
    return f"{name(table.schema)}.{name(table.name)}"


def name(word: str) -> str:
    """An identifier as SQL needs it."""
    plain = re.fullmatch(r"[a-z_][a-z0-9_]*", word) and not _RESERVED.fullmatch(word)
    return word if plain else '"' + word.replace('"', '""') + '"'


def _some(column: Column) -> str:
    """A value that a column takes."""
    if column.choices:
        return "'" + column.choices[0].replace("'", "''") + "'"
    text = _some_text(column)
    number = _moment(column) if re.search(r"_at$|time", column.name) else _some_number(column)
    values = {"text": text, "json": "'{}'", "time": ":now", "number": number, "truth": "false"}
    return values.get(family(column), "gen_random_uuid()" if column.type == "uuid" else UNKNOWN)


def room_of(column: Column) -> int | None:
    """How many characters a text takes; None where that is no matter."""
    found = re.search(r"\((\d+)\)", column.type)
    return int(found[1]) if found and family(column) == "text" else None


def _some_text(column: Column) -> str:
    mail, room = "mail" in column.name, room_of(column)
    if room is None or room >= LONGEST_ID + len(_AT) * mail:
        return f":user_id::text || '{_AT}'" if mail else ":user_id::text"
    return f"left(md5(:user_id::text), {room})" if column.unique else f"'{'X' * min(room, _CODE)}'"


def _some_number(column: Column) -> str:
    """The least number that a CHECK of one bound allows, else 0."""
    for check in column.checks:
        if found := re.fullmatch(r"CHECK \(+\w+ (>=?) \(?'?(\d+)'?(?:::\w+)?\)*", check):
            return str(int(found[2]) + (found[1] == ">"))
    return "0"


def _moment(column: Column) -> str:
    """The present moment as a column keeps it: a bigint has milliseconds, an integer seconds."""
    return ":now_ms" if column.type == "bigint" else ":now"


def _old(column: Column) -> str:
    return f"{name(column.name)} < {_moment(column).replace(':now', ':before')}"


def _moments(*columns: Column | None) -> dict[str, str]:
    return {column.name: _moment(column) for column in columns if column is not None}


def _present(*columns: tuple[Column | None, str]) -> dict[str, str]:
    return {column.name: value for column, value in columns if column is not None}


def _read(alias: str, *columns: tuple[Column | None, str]) -> str:
    dot = f"{alias}." if alias else ""
    return ", ".join(f"{dot}{_as(name(column.name), word)}" for column, word in columns if column is not None)


def _as(column: str, word: str) -> str:
    return column if column == word else f"{column} AS {word}"
